"""Who delivers hears of an event at once, and goes on listening whatever becomes of Redis."""

import threading

import pytest

from app.stores.connection.connect import connect
from app.stores.keys import unprefixed
from app.stores.waking import Waking
from tests.servers import RedisServer, redis_at


@pytest.fixture
def listening():
    """Listens with a client; returns what is set at each message."""
    stop = threading.Event()
    threads = []

    def listen(client):
        woken = threading.Event()
        thread = threading.Thread(target=Waking(client, unprefixed).listen, args=(woken.set, stop))
        thread.start()
        threads.append(thread)
        return woken

    yield listen
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def say_until(redis, woken):
    """A message is lost on who does not listen yet."""
    for _ in range(100):
        redis.publish(unprefixed.channel, "x")
        if woken.wait(0.1):
            return True
    return False


@pytest.mark.parametrize("redis", ["real", "cluster"], indirect=True)
def test_each_message_wakes(store, redis, listening):
    woken = listening(store)
    assert say_until(redis, woken)
    woken.clear()
    redis.publish(unprefixed.channel, "x")
    assert woken.wait(10)


def test_it_listens_again_when_redis_is_back(listening):
    server = RedisServer()
    try:
        with redis_at(server.url) as redis:
            woken = listening(connect(server.url))
            assert say_until(redis, woken)
            server.stop()
            server.start()
            woken.clear()
            assert say_until(redis, woken)
    finally:
        server.close()
