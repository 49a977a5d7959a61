"""Hears on the channel that something has happened, so that who delivers does so at once.

What is missed while nobody listens is found in the queue a little later.
"""

import threading
from collections.abc import Callable

from redis import RedisError, ResponseError

from app.stores.connection.client import RedisClient
from app.stores.connection.node import exchange_on
from app.stores.keys import Keys

_LOOK_AFTER_STOP_S = 0.5
_PAUSE_S = 1.0  # before another try to listen


class Waking:
    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._channel = keys.channel

    def listen(self, wake: Callable[[], None], stop: threading.Event) -> None:
        """Call `wake` after each message, until `stop` is set. Without Redis, or the right to listen, try on."""
        while not stop.is_set():
            connection = None
            try:
                connection = self._redis.nodes()[0].make_connection()
                [reply] = exchange_on(connection, ("SUBSCRIBE", self._channel))
                if isinstance(reply, ResponseError):
                    raise reply
                self._hear(connection, wake, stop)
            except (RedisError, OSError):
                stop.wait(_PAUSE_S)
            finally:
                if connection is not None:
                    connection.disconnect()

    def _hear(self, connection: object, wake: Callable[[], None], stop: threading.Event) -> None:
        while not stop.is_set():
            if connection.can_read(timeout=_LOOK_AFTER_STOP_S):  # type: ignore[attr-defined]
                connection.read_response()  # type: ignore[attr-defined]
                wake()
