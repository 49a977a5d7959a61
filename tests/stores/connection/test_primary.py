"""The primary behind one name, which leads to another server after a failover, or to one that was demoted."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import RedisError

from app.stores.connection.connect import connect
from app.stores.connection.node import Wait
from app.stores.connection.redis_clock import RedisClock
from tests.ports import free_port
from tests.servers import wait_until
from tests.sets import Pair


@pytest.fixture
def pair():
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def at_name(pair):
    with connect(pair.url) as client:
        yield client


def test_processes_agree_before_anything_changes(pair, at_name, all_read):
    """One has noticed that another server took over, one has not: what the first confirms, the second knows by then."""
    at_name.write(("SET", "session", "live"))
    with connect(pair.url) as other:
        assert all_read(other, "session") == all_read(at_name, "session") == {"live"}
        pair.take_over()
        wait_until(lambda: ends_session(at_name), "changes are refused for good", within_s=6)
        assert all_read(other, "session") == {None}
    pair.follow()


def test_after_the_machine_was_suspended_neither_primary_nor_time_are_known(redis_server, monkeypatch):
    """Another server may be the primary by then. The other clock, CLOCK_MONOTONIC, stood still meanwhile."""
    with connect(redis_server.url) as client:
        clock = RedisClock(client)
        clock()
        client.read(("PING",))
        assert client.primary.is_known_for(0.05)
        assert clock.told() is not None
        clock_gettime = time.clock_gettime
        monkeypatch.setattr(time, "clock_gettime", lambda which: clock_gettime(which) + 3600)
        assert not client.primary.is_known()
        assert clock.told() is None
        assert clock() == pytest.approx(time.time(), abs=1)


def test_a_look_that_fails_does_not_tell_who_is_the_primary(pair, at_name, monkeypatch):
    """Connections that are open are kept then, but nothing is answered from memory for longer."""
    at_name.read(("PING",))
    at_name.primary.look_again()
    assert at_name.primary.is_known_for(0.2)
    pair.name.lead_to(free_port())
    clock_gettime = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda which: clock_gettime(which) + 1.9)
    at_name.primary.look_again()
    assert at_name.primary.is_known()
    assert not at_name.primary.is_known_for(0.2)
    pair.name.lead_to(pair.primary.port)


def test_a_change_that_waited_at_the_former_primary_is_not_told_as_done(pair, at_name):
    """As in a planned failover: the server takes no writes for a moment, the name leads elsewhere, and then it does.

    Nobody had to look for the primary in that time, and the next one does not get the change.
    """
    at_name.write(("SET", "session", "live"))
    former = pair.primary
    former.client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    with ThreadPoolExecutor(1) as thread:
        told = thread.submit(ends_session, at_name)
        wait_until(lambda: former.client.info("clients")["blocked_clients"] == 1, "the change does not wait")
        waits_since = time.monotonic()
        wait_until(lambda: time.monotonic() > waits_since + 0.15, "time stands still")
        pair.take_over()
        former.client.execute_command("CLIENT", "UNPAUSE")
        assert told.result(60) is False
    assert former.client.get("session") is None
    assert pair.primary.client.get("session") == "live"
    pair.follow()


def test_nothing_is_changed_by_a_new_connection_to_another_server_before_all_have_noticed(pair, at_name):
    """The name leads it there before anybody has looked. Other processes still ask the former one."""
    at_name.write(("SET", "session", "live"))
    wait_until(pair.is_in_touch, "the replica is not in touch")
    at_name.primary.look_again()
    pair.take_over()
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(ends_session, at_name).result(60) is False
    assert pair.primary.client.get("session") == "live"
    assert at_name.primary.is_held
    assert at_name.read(("GET", "session")) == ["live"], "reads go on"
    pair.follow()


def ends_session(client):
    try:
        return client.write(("DEL", "session")) == [1]
    except RedisError:
        return False


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
    """The name leads elsewhere, and the former primary follows: after one refusal all are at the new one.

    Changes are refused for two seconds more, as other processes may not know yet. Then its replica confirms them.
    """
    at_name.write(("SET", "key", "1"))
    assert all_read(at_name, "key") == {"1"}
    pair.take_over()
    pair.follow()
    pair.primary.client.set("key", "2")
    refused_at = time.monotonic()
    with pytest.raises(RedisError):
        at_name.write(("INCR", "key"))
    assert all_read(at_name, "key") == {"2"}
    wait_until(lambda: increments(at_name), "changes are refused for good", within_s=5)
    assert time.monotonic() - refused_at > 1.9
    assert all_read(at_name, "key") == {"3"}


def increments(client):
    try:
        return client.run_script("return redis.call('INCR', KEYS[1])", ["key"], [], Wait(replicas=1, ms=5000)) == (
            3,
            True,
        )
    except RedisError:
        return False


def test_a_url_that_names_a_replica(pair):
    """Nothing that it answers is used, from the first request on."""
    with connect(f"redis://127.0.0.1:{pair.replica.port}/0") as client:
        for _ in range(3):
            with pytest.raises(RedisError, match=f"a replica of 127.0.0.1:{pair.primary.port}"):
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
    with connect(pair.url.replace("//", "//sparse:right@")) as client:
        client.write(("SET", "session", "live"))
        assert all_read(client, "session") == {"live"}
        pair.take_over()
        pair.follow()
        pair.primary.client.delete("session")
        wait_until(lambda: all_read(client, "session") == {None}, "a replica is asked", within_s=5)
