"""The primary: the server that REDIS_URL leads to now. One that was replaced is left within two seconds.

That a connection's server is a replica is noticed in node.py. How Sentinels name the primary: sentinel.py.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from redis import ConnectionError as ConnectionBroken
from redis import RedisError, ResponseError

from app.stores.connection.circuit import NothingSent
from app.stores.connection.node import Node, RedisCommand, Wait

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_WAIT_AFTER_S = 1.5  # a request whose server was not looked for in this time waits until it was
_LOOK_S = 0.25  # for connecting, and again for the reply
_HELD_S = 0.5  # a hold that is not renewed ends, in case its thread is gone
_SHARE = 5  # looking takes at most one part in so many of a thread's time, also if nobody answers


class Way(Protocol):
    """The way to the primary."""

    def attach(self, primary: "Primary") -> None:
        """Take the primary that is to be told of a failover, where one is heard of before it happens."""

    def make_connection(self) -> Any:
        """Return a connection to the primary, not yet open."""

    def look(self) -> Hashable:
        """Return a name of the server that is the primary now; None if servers cannot be told apart.

        Raises:
            redis.RedisError: It is not known now which server is the primary. OSError also means this.
        """

    def close(self) -> None: ...


class Named:
    """The way by a host's name or address, or a socket. After a failover the same name may lead to another server.

    Connections that are open may then stay at the former primary, which may not know that it was replaced. So a new
    connection asks for the server's `run_id`.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        """
        Args:
            make: Makes a connection of redis-py. It takes options of redis-py beside those of REDIS_URL.
        """
        self.make_connection = make
        self._look = Node(lambda: make(socket_timeout=_LOOK_S, socket_connect_timeout=_LOOK_S))

    def attach(self, primary: "Primary") -> None: ...

    def look(self) -> Hashable:
        [info] = self._look.ask_anew(("INFO", "server"))
        if isinstance(info, ResponseError):
            return None
        return next((line for line in info.splitlines() if line.startswith("run_id:")), None)

    def close(self) -> None: ...


class Primary(Node):
    """The primary, with one connection to it for each thread.

    A former primary may not know that it was replaced, and goes on answering. So at most once a second, before it sends
    a command, a thread looks which server is the primary now. Meanwhile other threads use the known primary. Only if
    the last look is too long ago, they wait.
    """

    def __init__(self, way: Way) -> None:
        super().__init__(way.make_connection)
        self._way = way
        self._known: Hashable = None
        self._looking = threading.Lock()
        self._look_at = 0.0
        self._held_until = 0.0
        self._takeovers = 0  # how often another server was found to be the primary
        way.attach(self)

    def exchange_writes(
        self, commands: Sequence[RedisCommand], wait: Wait | None = None, *, decoded: bool = True
    ) -> list[Any]:
        """Do as exchange(), but refuse writes while a failover is under way: the next primary may not get them.

        Raises:
            NothingSent: A failover is under way.
            redis.ConnectionError: A failover began meanwhile. It may undo what was written.
        """
        if self.is_held:
            raise NothingSent("a failover is under way")
        replies = self.exchange(commands, wait, decoded=decoded)
        if self.is_held or self._local.takeovers != self._takeovers:
            raise ConnectionBroken("a failover began meanwhile, which may undo what was written")
        return replies

    @property
    def is_held(self) -> bool:
        return time.monotonic() < self._held_until

    def hold_writes(self) -> None:
        """Refuse writes for a short time, or for a short time more."""
        self._held_until = time.monotonic() + _HELD_S

    def release_writes(self) -> None:
        self._held_until = 0.0

    def look_again(self) -> None:
        """Look now which server is the primary."""
        with self._looking:
            self._look()

    def close(self) -> None:
        super().close()
        self._way.close()

    def _usable_connection(self) -> Any:
        now = time.monotonic()
        if now >= self._look_at:
            is_late = now >= self._look_at + _WAIT_AFTER_S - _LOOK_EVERY_S
            if self._looking.acquire(blocking=is_late):
                try:
                    if time.monotonic() >= self._look_at:  # unless another thread did it while this one waited
                        self._look()
                finally:
                    self._looking.release()
        self._local.takeovers = self._takeovers
        return super()._usable_connection()

    def _look(self) -> None:
        """Look which server is the primary. While that cannot be found out, connections that work are kept."""
        began = time.monotonic()
        try:
            found = self._way.look()
        except (RedisError, OSError):
            took_s = time.monotonic() - began
            self._look_at = began + max(_LOOK_EVERY_S, _SHARE * took_s)
            return
        self._look_at = began + _LOOK_EVERY_S
        if found is None or found == self._known:
            return
        if self._known is not None:
            log.warning("redis: another server is the primary now, all connections are made anew")
            self._takeovers += 1
            self.renew()
        self._known = found
