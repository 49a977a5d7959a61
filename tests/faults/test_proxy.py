"""The network between the service and Redis, as the rows of the table need it."""

import time

import pytest
from redis import ConnectionError as ConnectionBroken
from redis import Redis
from redis import TimeoutError as AnswerTooLate
from redis.backoff import NoBackoff
from redis.retry import Retry

from scripts.faults.proxy import Proxy
from tests.servers import wait_until


@pytest.fixture
def proxy(redis_server):
    proxy = Proxy(redis_server.plain_url.removeprefix("unix://"))
    yield proxy
    proxy.close()


@pytest.fixture
def client(proxy):
    client = Redis(port=proxy.port, socket_timeout=0.3, retry=Retry(NoBackoff(), 0), decode_responses=True)
    yield client
    proxy.restore()
    client.flushdb()
    client.close()


def test_what_stands_still_arrives_once_it_moves_again(proxy, client):
    """Also what whoever sent it has given up by then."""
    assert client.set("key", "before")
    proxy.stall()
    with pytest.raises(AnswerTooLate):
        client.set("key", "late")
    with pytest.raises(AnswerTooLate):
        client.ping()  # on a new connection
    proxy.restore()
    wait_until(lambda: client.get("key") == "late", "it never arrived", within_s=5)


def test_what_is_reset_breaks_at_once(proxy, client):
    """Those that are open, and those that come."""
    assert client.ping()
    proxy.reset()
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(ConnectionBroken):
            client.ping()
    assert time.monotonic() - began < 0.3
    proxy.restore()
    assert client.ping()


def test_what_is_slow_comes_in_order(proxy, client):
    proxy.delay()
    answered = 0
    for number in range(50):
        try:
            assert client.echo(str(number)) == str(number)
            answered += 1
        except AnswerTooLate:
            continue
    assert answered > 40


def test_a_server_that_is_gone_refuses(tmp_path):
    proxy = Proxy(str(tmp_path / "nobody"))
    with (
        Redis(port=proxy.port, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(ConnectionBroken),
    ):
        client.ping()
    proxy.close()
