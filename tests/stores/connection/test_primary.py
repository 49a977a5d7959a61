"""The primary of a set that Sentinels watch, or behind one name, while servers and Sentinels come and go."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from redis import RedisError

from app.stores.connection.connect import connect
from app.stores.connection.node import Wait
from tests.servers import wait_until
from tests.sets import Pair, SentinelSet

_ANSWERED_S = 3  # 1.5 by the time-outs, and the rest for a busy machine


@pytest.fixture(scope="module")
def servers():
    servers = SentinelSet(password="open-sesame")
    yield servers
    servers.close()


@pytest.fixture
def client(servers):
    with connect(servers.plain_url) as client:
        yield client


def read_from_threads(client, count):
    """Each has a connection of its own, for which it asks the Sentinels."""
    start = Barrier(count)

    def read(_):
        start.wait(60)
        return client.read(("EXISTS", "key"))

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(read, range(count)))


def test_no_sentinel_is_forgotten(servers, client):
    """Whoever was away when many threads asked at once is asked again later: it may be the last one."""
    first, second, third = servers.sentinels
    first.kill()
    for _ in range(5):
        assert read_from_threads(client, 8) == [[0]] * 8
    first.start()
    wait_until(first.answers, "the sentinel did not start")
    second.kill()
    third.kill()
    try:
        assert read_from_threads(client, 8) == [[0]] * 8
    finally:
        for sentinel in (second, third):
            sentinel.start()
            wait_until(sentinel.answers, "the sentinel did not start")


@pytest.mark.parametrize(
    ("wrong", "right", "reason"),
    [
        ("/keyrack/", "/another/", "No such master"),
        ("-of-sentinels", "-of-nobody", "invalid username-password"),
        ("sentinel_password", "username", "Authentication required"),
    ],
)
def test_the_reason_is_told_and_no_password(servers, wrong, right, reason):
    with connect(servers.plain_url.replace(wrong, right)) as client, pytest.raises(RedisError, match=reason) as refused:
        client.read(("EXISTS", "key"))
    assert "sesame" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_no_replica_is_asked(servers, client):
    """A Sentinel that is wrong, or has not heard of a failover yet, may name one: what it has may be old."""
    primary = servers.primary()
    replica = next(server for server in servers.servers if server is not primary)
    wrong = servers.add_sentinel_for(replica)
    wait_until(wrong.answers, "the sentinel did not start")
    assert int(wrong.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "keyrack")[1]) == replica.port
    url = servers.plain_url.replace(f"127.0.0.1:{servers.sentinels[0].port},", f"127.0.0.1:{wrong.port},")
    with connect(url) as misled, pytest.raises(RedisError, match="a replica"):
        misled.read(("EXISTS", "key"))
    assert client.read(("EXISTS", "key")) == [0]


def test_sentinels_that_do_not_answer_hold_nobody_up_for_long(servers, client):
    """Connections that work go on, and are asked for a primary once a second; a new one is refused in time."""
    client.read(("EXISTS", "key"))
    for sentinel in servers.sentinels:
        os.kill(sentinel.process.pid, signal.SIGSTOP)
    try:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            began = time.monotonic()
            assert client.read(("EXISTS", "key")) == [0]
            assert time.monotonic() - began < _ANSWERED_S
        began = time.monotonic()
        with pytest.raises(RedisError):
            read_from_threads(client, 1)
        assert time.monotonic() - began < _ANSWERED_S
    finally:
        for sentinel in servers.sentinels:
            os.kill(sentinel.process.pid, signal.SIGCONT)
    wait_until(lambda: answers_in_a_new_thread(client), "it is refused for good")


def answers_in_a_new_thread(client):
    try:
        return read_from_threads(client, 1) == [[0]]
    except RedisError:
        return False


@pytest.fixture(scope="module")
def pair():
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def at_name(pair):
    with connect(pair.plain_url) as client:
        yield client


@pytest.fixture(scope="module")
def all_read():
    """Reads a key in the same eight threads each time, each on its connection; what they got, or were refused by."""
    threads = [ThreadPoolExecutor(1) for _ in range(8)]

    def read(client, key):
        try:
            return client.read(("GET", key))[0]
        except RedisError as problem:
            return type(problem).__name__

    yield lambda client, key: {told.result() for told in [thread.submit(read, client, key) for thread in threads]}
    for thread in threads:
        thread.shutdown()


def test_another_server_behind_the_name(pair, at_name, all_read):
    """Connections that are open stay at the former primary, which answers as before; they are left within two seconds.

    Nothing but the name tells, as the former primary is cut off and does not know.
    """
    at_name.write(("SET", "session", "live"))
    assert all_read(at_name, "session") == {"live"}
    former = pair.take_over()
    pair.primary.client.delete("session")
    taken_over_at = time.monotonic()
    assert former.client.get("session") == "live"
    said_yes_at = taken_over_at
    while time.monotonic() < taken_over_at + 4:
        asked_at = time.monotonic()
        if "live" in all_read(at_name, "session"):
            said_yes_at = asked_at
    pair.follow()
    assert said_yes_at - taken_over_at < 2
    assert all_read(at_name, "session") == {None}
    assert at_name.write(("SET", "session", "new")) == ["OK"]


def test_idle_connections_to_the_former_primary(pair, at_name, all_read):
    """They were used before, and are not used again: the first answer after two seconds is the new primary's."""
    at_name.write(("SET", "session", "live"))
    assert all_read(at_name, "session") == {"live"}
    former = pair.take_over()
    pair.primary.client.delete("session")
    taken_over_at = time.monotonic()
    wait_until(lambda: time.monotonic() > taken_over_at + 2, "time stands still")
    assert former.client.get("session") == "live"
    assert all_read(at_name, "session") == {None}
    pair.follow()


def test_a_primary_that_was_demoted(pair, at_name, all_read):
    """A second later nobody takes an answer from it, and the refusal says why; once it is the primary it is used."""
    assert at_name.write(("SET", "key", "1")) == ["OK"]
    demoted = pair.primary
    demoted.call("REPLICAOF", "127.0.0.1", 1)
    try:
        demoted_at = time.monotonic()
        wait_until(lambda: all_read(at_name, "key") == {"NotPrimary"}, "a replica is asked", within_s=5)
        assert time.monotonic() - demoted_at < 2
        with pytest.raises(RedisError, match=r"the server is a replica of 127\.0\.0\.1:1 "):
            at_name.read(("GET", "key"))
        with pytest.raises(RedisError):
            at_name.write(("SET", "key", "2"))
        with pytest.raises(RedisError, match="is a replica"):
            at_name.require_answer(("GET", "key"))
    finally:
        demoted.call("REPLICAOF", "NO", "ONE")
    assert all_read(at_name, "key") == {"1"}


def test_one_refused_write_renews_all_connections(pair, at_name, all_read):
    """The name leads elsewhere, and the former primary follows: who writes first is served, and so are all others.

    The write is confirmed by the replica of the new primary, although the former one refused WAIT.
    """
    at_name.write(("SET", "key", "1"))
    assert all_read(at_name, "key") == {"1"}
    pair.take_over()
    pair.follow()
    pair.primary.client.set("key", "2")
    confirmed = Wait(replicas=1, ms=5000)
    assert at_name.run_script("return redis.call('INCR', KEYS[1])", ["key"], [], confirmed) == (3, True)
    assert all_read(at_name, "key") == {"3"}


def test_a_url_that_names_a_replica(pair):
    """Nothing that it answers is used, from the first request on."""
    with connect(f"redis://127.0.0.1:{pair.replica.port}/0") as client:
        for _ in range(3):
            with pytest.raises(RedisError, match=f"a replica of 127.0.0.1:{pair.primary.port}"):
                client.read(("GET", "key"))


def test_a_url_that_names_a_sentinel(servers):
    """As a server with data: it is told what it is."""
    url = f"redis://127.0.0.1:{servers.sentinels[0].port}/0?password=open-sesame-of-sentinels"
    with connect(url) as client, pytest.raises(RedisError, match="it is a sentinel"):
        client.read(("GET", "key"))


@pytest.mark.parametrize("refused", ["-role", "-info"])
def test_a_user_who_may_not_ask(pair, refused, all_read):
    """It is served all the same. Without ROLE, or without INFO, one of the two ways to notice is left."""
    for server in (pair.primary, pair.replica):
        server.client.acl_setuser(
            "sparse",
            enabled=True,
            passwords=["+right"],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
            commands=[refused],
        )
    with connect(pair.plain_url.replace("//", "//sparse:right@")) as client:
        client.write(("SET", "session", "live"))
        assert all_read(client, "session") == {"live"}
        pair.take_over()
        pair.follow()
        pair.primary.client.delete("session")
        wait_until(lambda: all_read(client, "session") == {None}, "a replica is asked", within_s=5)
