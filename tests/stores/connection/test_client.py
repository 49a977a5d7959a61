"""What is sent again and what is not, and what becomes of the others while a server does not answer."""

import threading
import time
from errno import EMFILE

import pytest
from redis import ConnectionError, ResponseError, TimeoutError

from app.stores.connection.circuit import Circuit, CircuitOpen
from app.stores.connection.connect import connect
from app.stores.connection.node import Wait
from scripts.faults.proxy import Proxy
from tests.servers import redis_at, wait_until


@pytest.fixture
def network(redis_server):
    proxy = Proxy(redis_server.plain_url.removeprefix("unix://"))
    yield proxy
    proxy.close()


@pytest.fixture
def real_redis(redis_server):
    with redis_at(redis_server.url) as redis:
        yield redis
        redis.flushdb()


@pytest.fixture
def client(network, real_redis):
    """Speaks with Redis over the network, with the time-outs that operators have."""
    with connect(f"redis://127.0.0.1:{network.port}/0") as client:
        yield client


def test_a_connection_that_was_closed_while_idle_is_noticed(redis_server, real_redis):
    """Before anything is sent, so a write goes through as well."""
    with connect(redis_server.url) as client:
        assert client.write(("SET", "key", "1")) == ["OK"]
        real_redis.client_kill_filter(_type="normal", skipme=True)
        assert client.write(("INCR", "key")) == [2]


def test_a_read_whose_answer_was_lost_is_asked_again(client, network, real_redis):
    real_redis.set("key", "1")
    client.read(("GET", "key"))
    network.stall()
    threading.Timer(0.2, lose_what_is_under_way, [network]).start()
    assert client.read(("GET", "key")) == ["1"]


def test_a_write_whose_answer_was_lost_is_not_sent_again(client, network, real_redis):
    """It may have happened: whoever asked for it hears that it is not known."""
    client.write(("SET", "key", "1"))
    network.stall()
    threading.Timer(0.2, lose_what_is_under_way, [network]).start()
    with pytest.raises(ConnectionError):
        client.write(("INCR", "key"))
    assert real_redis.get("key") in ("1", "2")
    assert client.write(("INCR", "key")) in ([2], [3])
    assert int(real_redis.get("key")) <= 3


def lose_what_is_under_way(network):
    network.reset()
    network.restore()


def test_who_waited_in_vain_spares_the_others(client, network, real_redis):
    """The first waits for the time-out, the others for a moment, and once it moves again nobody is refused."""
    client.write(("SET", "key", "1"))
    network.stall()
    with pytest.raises(TimeoutError):
        client.read(("GET", "key"))
    began = time.monotonic()
    with pytest.raises(CircuitOpen):
        client.read(("GET", "key"))
    with pytest.raises(CircuitOpen):
        client.write(("INCR", "key"))
    assert time.monotonic() - began < 2 * 0.75  # no time-out of either
    network.restore()
    wait_until(lambda: not client.nodes()[0].circuit.is_open, "the circuit stays open", within_s=5)
    assert client.read(("GET", "key")) == ["1"]  # what was refused was not sent


def test_answers_that_come_late_are_nobodys(client, network, real_redis):
    real_redis.mset({"a": "1", "b": "2"})
    client.read(("GET", "a"))
    network.stall()
    with pytest.raises(TimeoutError):
        client.read(("GET", "a"))
    network.restore()
    wait_until(lambda: not client.nodes()[0].circuit.is_open, "the circuit stays open", within_s=5)
    assert client.read(("GET", "b")) == ["2"]


def test_a_server_that_refuses_connections_is_asked_each_time(client, network):
    """At once, both the refusals and the first answer."""
    network.reset()
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(ConnectionError):
            client.read(("PING",))
    assert time.monotonic() - began < 20 * 0.75 / 2  # none of them waited for a time-out
    network.restore()
    assert client.read(("PING",)) == ["PONG"]


def test_a_connection_is_made_without_a_look_at_the_disk(redis_server, monkeypatch):
    """redis-py would look for its version, and a process without a file for that would answer 500."""

    def refuse():
        raise OSError(EMFILE, "Too many open files")

    client = connect(redis_server.url)
    monkeypatch.setattr("redis.utils.get_lib_version", refuse)
    assert client.read(("PING",)) == ["PONG"]


def test_a_refusal_among_replies_leaves_the_connection_in_order(client, real_redis):
    real_redis.set("text", "a")
    with pytest.raises(ResponseError, match="not an integer"):
        client.write(("INCR", "text"), ("SET", "key", "1"))
    assert client.read(("GET", "key"), ("GET", "text")) == ["1", "a"]


def test_a_script_that_the_server_forgot_is_sent_whole(client, real_redis):
    assert client.run_script("return ARGV[1]", [], ["1"]) == ("1", True)
    real_redis.script_flush()
    assert client.run_script("return ARGV[1]", [], ["2"]) == ("2", True)


def test_replicas_are_waited_for_in_vain(client, real_redis):
    """What was written stands; how long that took is what was asked for, beyond the time-out too."""
    began = time.monotonic()
    script = "return redis.call('SET', KEYS[1], ARGV[1])['ok']"
    assert client.run_script(script, ["key"], ["1"], Wait(replicas=1, ms=1000)) == ("OK", False)
    assert time.monotonic() - began > 0.9
    assert client.write(("INCR", "key"), wait=Wait(replicas=1, ms=50)) == [2]
    assert real_redis.get("key") == "2"


def test_a_server_that_may_not_be_asked_how_many_replicas_have_it(redis_server, real_redis):
    """It counts as none, and the reply to the rest is heard."""
    real_redis.acl_setuser(
        "sparse", enabled=True, passwords=["+right"], keys=["*"], categories=["+@all"], commands=["-wait"]
    )
    try:
        with connect(f"unix://sparse:right@{redis_server.plain_url.removeprefix('unix://')}") as client:
            assert client.run_script("return ARGV[1]", [], ["1"], Wait(replicas=1, ms=50)) == ("1", False)
            assert client.read(("GET", "key")) == [None]
    finally:
        real_redis.acl_deluser("sparse")


def test_a_walk_over_all_keys_is_not_continued_on_another_server(redis_server, real_redis):
    """One that was started again has another order: what is missing would not be noticed."""
    real_redis.mset({f"key:{number}": "1" for number in range(5000)})
    with connect(redis_server.url) as client:
        assert len({*client.scan("key:*")}) == 5000
        walk = client.scan("key:*")
        next(walk)
        real_redis.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(ConnectionError, match="begin again"):
            list(walk)


def test_a_circuit_that_nobody_could_close_stays_closed(monkeypatch):
    """Where the system gives no more threads, who waits in vain does so again, and nobody is refused for good."""

    def refuse(_):
        raise RuntimeError("can't start new thread")

    circuit = Circuit(lambda: None)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    circuit.open("late")
    circuit.require_closed()


def test_a_circuit_outlives_whatever_a_probe_fails_with():
    failures = [UnicodeError(), ConnectionError(), None]

    def probe():
        failure = failures.pop(0)
        if failure:
            raise failure

    circuit = Circuit(probe)
    circuit.open("late")
    wait_until(lambda: not circuit.is_open, "the circuit stays open", within_s=10)
    assert failures == []
