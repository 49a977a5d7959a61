"""The primary of a set that Sentinels watch, while servers and Sentinels come and go."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from redis import RedisError

from app.stores.connection.connect import connect
from tests.servers import wait_until
from tests.sets import SentinelSet

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


def read_from_threads(client, number):
    """Each has a connection of its own, for which it asks the Sentinels."""
    start = Barrier(number)

    def read(_):
        start.wait(60)
        return client.read(("EXISTS", "key"))

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(read, range(number)))


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
    try:
        with connect(url) as misled, pytest.raises(RedisError, match="a replica"):
            misled.read(("EXISTS", "key"))
    finally:
        wrong.kill()
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


def test_a_url_that_names_a_sentinel(servers):
    """As a server with data: it is told what it is."""
    url = f"redis://127.0.0.1:{servers.sentinels[0].port}/0?password=open-sesame-of-sentinels"
    with connect(url) as client, pytest.raises(RedisError, match="it is a sentinel"):
        client.read(("GET", "key"))


def test_a_sentinel_that_does_not_tell_of_failovers(servers, caplog):
    """Its user may not subscribe: it is asked once a second all the same, and the log says so."""
    sentinel = servers.sentinels[0]
    secret = "open-sesame-of-sentinels"
    sentinel.call("ACL", "SETUSER", "deaf", "on", f">{secret}", "resetchannels", "+@all", "-subscribe", "~*")
    url = servers.plain_url.replace("sentinel_password=", "sentinel_username=deaf&sentinel_password=")
    one = re.sub(r",127\.0\.0\.1:\d+", "", url)
    with connect(one) as client:
        assert client.read(("EXISTS", "key")) == [0]
        wait_until(lambda: "does not tell of failovers" in caplog.text, "it is not told")
        assert client.write(("SET", "key", "1")) == ["OK"]
    assert "REDIS_URL names 1 of 3 Sentinels" in caplog.text
    servers.primary().client.delete("key")
