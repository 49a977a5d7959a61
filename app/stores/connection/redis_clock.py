"""The clock of Redis, which all processes share. It contradicts a process whose own clock is wrong."""

import time
from collections.abc import Callable

from redis import RedisError

from app.stores.boot_clock import boot_clock
from app.stores.connection.client import RedisClient

_ASK_EVERY_S = 60


class RedisClock:
    """Tells the time of Redis, in Unix seconds. It asks Redis once a minute, and counts on in between.

    In a Cluster it asks one of the servers. Until one has answered, it tells the time of this process.
    """

    def __init__(self, redis: RedisClient, own: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._own = own
        self._ahead_s: float | None = None  # of a clock that nobody sets
        self._ask_at = 0.0

    def __call__(self) -> float:
        counted = boot_clock()
        if counted >= self._ask_at:
            self._ask_at = counted + _ASK_EVERY_S  # whoever comes meanwhile does not wait
            self._ask()
        return self._own() if self._ahead_s is None else boot_clock() + self._ahead_s

    def told(self) -> float | None:
        """Return the time without asking Redis; None if it must be asked."""
        counted = boot_clock()
        return counted + self._ahead_s if self._ahead_s is not None and counted < self._ask_at else None

    def _ask(self) -> None:
        try:
            before = boot_clock()
            [(seconds, microseconds)] = self._redis.nodes()[0].exchange([("TIME",)])
        except (RedisError, IndexError):  # the command that comes next says so
            self._ask_at = 0.0
            return
        self._ahead_s = int(seconds) + int(microseconds) / 1e6 - (before + boot_clock()) / 2
