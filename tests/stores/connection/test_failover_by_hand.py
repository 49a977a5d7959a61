"""A failover that an operator asks a Sentinel for, while writes go on."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import pytest
from redis import RedisError

from app.stores.connection.connect import connect
from tests.servers import wait_until
from tests.sets import SentinelSet


@pytest.fixture
def servers():
    """A set of each test's own: Sentinels that were stopped for a while do nothing for half a minute."""
    servers = SentinelSet()
    yield servers
    servers.close()


def test_a_failover_by_hand_loses_nothing(servers):
    """Every write that was told as done is at the new primary, although the former one goes on taking writes.

    Writes are refused from the moment on in which the Sentinel that leads the failover tells of it.
    """
    servers.wait_until_in_touch()
    old = servers.primary()
    is_over, done, refused = Event(), [], set()

    def write(name):
        for number in count():
            if is_over.is_set():
                return
            key = f"{name}:{number}"
            try:
                client.write(("SET", key, "1"))
                done.append((time.monotonic(), key))
            except RedisError as problem:
                refused.add(str(problem))
                time.sleep(0.001)

    with connect(servers.plain_url) as client, ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(write, name) for name in ("a", "b", "c", "d")]
        try:
            wait_until(lambda: len(done) > 100, "nothing is written")
            servers.sentinels[0].call("SENTINEL", "FAILOVER", "keyrack")
            failed_over_at = time.monotonic()
            wait_until(lambda: servers.primary() is not old, "there was no failover")
            known_at = time.monotonic()
            wait_until(lambda: done[-1][0] > known_at, "nothing is written at the new primary", within_s=5)
        finally:
            is_over.set()
        for one in writing:
            one.result()
    assert old.replication()["role"] == "master", "the test comes too late to say anything"
    assert "a failover is under way, and changes wait for its end" in refused
    kept = set(servers.primary().client.scan_iter(count=10_000))
    assert [at - failed_over_at for at, key in done if key not in kept] == []


def test_a_sentinel_that_has_not_heard_of_a_failover(servers):
    """Once another Sentinel has told of the new primary, nobody goes back to the former one."""
    cut_off, *others = servers.sentinels
    old = servers.primary()
    with connect(servers.plain_url) as client:
        assert client.write(("SET", "key", "1")) == ["OK"]
        os.kill(cut_off.process.pid, signal.SIGSTOP)
        try:
            others[0].call("SENTINEL", "FAILOVER", "keyrack")
            wait_until(lambda: names(others[0]) != old.port, "there was no failover")
            wait_until(lambda: writes_at(client, names(others[0])), "the new primary is not used", within_s=5)
        finally:
            os.kill(cut_off.process.pid, signal.SIGCONT)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert writes_at(client, names(others[0]))


def names(sentinel):
    return int(sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "keyrack")[1])


def writes_at(client, port):
    """Whether a write arrives at this server. In the moment of a failover it may be refused."""
    try:
        client.write(("SET", "key", "1"))
    except RedisError:
        return False
    return client.nodes()[0].connection.port == port
