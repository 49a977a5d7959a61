"""The one place that makes clients of Redis."""

import hashlib
import itertools
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from redis import ConnectionError as ConnectionBroken
from redis import Redis
from redis import RedisError as StoreError
from redis import TimeoutError as AnswerTooLate
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from app import metrics

__all__ = ["StoreError", "ThreadConnections", "connect", "describe"]

TIMEOUT_S = 0.75  # to connect, and again to be answered: a request that finds Redis gone has its 503 within 1.5 s

_MEASURED_ONCE_IN = 16  # trips: to measure each would take as long again as a tenth of the trip


def connect(url: str) -> Redis:
    """A client with a pool of connections; none is made before the first command.

    A command is sent once: redis-py notices a connection that broke while it was idle and makes a new one, but a
    command whose answer was lost may have happened, so whoever asked hears of it.
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        protocol=2,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def describe(error: StoreError) -> str:
    """What went wrong, without the command: that may hold an e-mail address."""
    told = str(error) if isinstance(error, ConnectionBroken | AnswerTooLate) else str(error).partition(" ")[0]
    return f"{type(error).__name__}: {told}"


@cache
def _sha1(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


class ThreadConnections:
    """A connection for each thread, for what every request asks.

    redis-py's way of a command, with its pool, retries and callbacks, takes longer than Redis takes to answer it;
    docs/performance.md has the figures. A connection on which anything went wrong is closed at once, so an answer
    that comes late is never taken for the answer to another request.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._local = threading.local()
        self._trips = itertools.count()

    def execute(self, *commands: tuple[str | bytes | int, ...]) -> list[Any]:
        """Send commands in one trip; their raw replies in order.

        Raises: redis.RedisError
        """
        if next(self._trips) % _MEASURED_ONCE_IN:
            return self._exchange(commands)
        with metrics.REDIS_SECONDS.time():
            return self._exchange(commands)

    def _exchange(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        connection = self._connection()
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            return [connection.read_response() for _ in commands]
        except BaseException:
            self._local.connection = None
            connection.disconnect()
            raise

    def run_script(self, script: str, keys: Sequence[str], args: Sequence[bytes]) -> Any:
        """Run a script by its hash; where the server does not know it, or no longer, by its text.

        Raises: redis.RedisError
        """
        rest: tuple[str | bytes, ...] = (str(len(keys)), *keys, *args)
        try:
            [reply] = self.execute(("EVALSHA", _sha1(script), *rest))
        except NoScriptError:
            [reply] = self.execute(("EVAL", script, *rest))
        return reply

    def _connection(self) -> Any:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._pool.connection_class(**self._pool.connection_kwargs)
            return connection
        try:
            is_stale = connection.can_read(timeout=0)  # nothing is owed: what there is to read is the server's goodbye
        except (ConnectionBroken, AnswerTooLate, OSError):
            is_stale = True
        if is_stale:
            connection.disconnect()
        return connection
