"""The primary: the server that REDIS_URL leads to now. One that was replaced is left within two seconds.

That a connection's server is a replica is noticed in node.py. How Sentinels name the primary: sentinel.py.
"""

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from redis import ConnectionError as ConnectionBroken
from redis import RedisError, ResponseError
from redis import TimeoutError as AnswerTooLate

from app.stores.boot_clock import boot_clock
from app.stores.connection.circuit import NothingSent
from app.stores.connection.node import Node, RedisCommand, Replaced, Wait, exchange_on

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_WAIT_AFTER_S = 1.5  # a request whose server was not looked for in this time waits until it was
_LOOK_S = 0.25  # for connecting, and again for the reply
# Other processes leave a former primary within this time, and do not know what changes at the new one until then.
_SETTLE_S = 2.0
_HELD_S = 0.5  # a hold that is not renewed ends, in case its thread is gone
_LOOK_AGAIN_S = 0.25  # after nobody answered
_LONG_S = 0.1  # a change that took longer may have been made by a former primary
_SHARE = 2  # looking takes at most one part in so many of a thread's time, also if nobody answers


class Way(Protocol):
    """The way to the primary."""

    def attach(self, primary: "Primary") -> None:
        """Take the primary that is to be told of a failover, where one is heard of before it happens."""

    def make_connection(self) -> Any:
        """Return a connection to the primary, not yet open."""

    def name_of(self, connection: Any) -> Hashable:
        """Return the name of the server that a connection leads to, as look() does; open the connection for that.

        Raises:
            redis.RedisError: The server does not answer. OSError also means this.
        """

    def look(self) -> Hashable:
        """Return a name of the server that is the primary now; None if servers cannot be told apart.

        Raises:
            redis.RedisError: It is not known now which server is the primary. OSError also means this.
        """

    def may_former_answer(self) -> bool:
        """Tell whether the server that was the primary before may still answer others. False if its process is gone."""

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
        self._make = make
        self._kept: Any = None  # a connection to the server that was found last
        self._former: Any = None  # and to the one before
        self._found: Hashable = None

    def attach(self, primary: "Primary") -> None: ...

    def name_of(self, connection: Any) -> Hashable:
        [info] = exchange_on(connection, ("INFO", "server"))
        lines = [] if isinstance(info, ResponseError) else info.splitlines()
        return next((line for line in lines if line.startswith("run_id:")), None)

    def look(self) -> Hashable:
        connection = self._make(socket_timeout=_LOOK_S, socket_connect_timeout=_LOOK_S)
        try:
            found = self.name_of(connection)
        except BaseException:
            connection.disconnect()
            raise
        if found != self._found:
            self._drop_former()
            self._former, self._kept = self._kept, None
        elif self._kept is not None:
            self._kept.disconnect()
        self._found, self._kept = found, connection
        return found

    def may_former_answer(self) -> bool:
        if self._former is None:
            return True
        return may_answer(self._former)

    def _drop_former(self) -> None:
        if self._former is not None:
            self._former.disconnect()
            self._former = None

    def close(self) -> None:
        self._drop_former()
        if self._kept is not None:
            self._kept.disconnect()


def may_answer(connection: Any) -> bool:
    """Tell whether a connection's server may answer, now or later. False if its process is gone."""
    try:
        exchange_on(connection, ("PING",))
    except AnswerTooLate:
        return True
    except (RedisError, OSError):
        return False
    return True


class Primary(Node):
    """The primary, with one connection to it for each thread.

    A former primary may not know that it was replaced, and goes on answering. So at most once a second, before it sends
    a command, a thread looks which server is the primary now. Meanwhile other threads use the known primary. Only if
    the last look is too long ago, they wait.

    When another server is the primary, other processes may ask the former one for up to two seconds more, unless its
    process is gone. Changes are refused for that time, so that the former one admits no session which was ended at the
    new one.
    """

    def __init__(self, way: Way) -> None:
        super().__init__(way.make_connection)
        self._way = way
        self._known: Hashable = None
        self._looking = threading.Lock()
        self._look_at = self._looked_at = 0.0
        self._known_at = 0.0  # when the last look began that found the primary
        self._held_until = 0.0
        self._settled_at = 0.0
        self._takeovers = 0  # how often another server was found to be the primary
        way.attach(self)

    def exchange_writes(
        self, commands: Sequence[RedisCommand], wait: Wait | None = None, *, decoded: bool = True
    ) -> list[Any]:
        """Do as exchange(), but refuse writes while a failover is under way, and until all processes have noticed it.

        Raises:
            NothingSent: A failover is under way.
            redis.ConnectionError: A failover began meanwhile. It may undo what was written.
        """
        self._look_if_due()
        if self.is_held:
            raise NothingSent("a failover is under way, and changes wait for its end")
        sent_at = boot_clock()
        replies = self.exchange(commands, wait, decoded=decoded)
        if boot_clock() - sent_at > _LONG_S + (wait.ms / 1000 if wait else 0):
            self._look_anew()
        if self.is_held or self._local.takeovers != self._takeovers:
            raise ConnectionBroken("a failover began meanwhile, which may undo what was written")
        return replies

    def is_known(self) -> bool:
        """Tell whether it is known which server is the primary. If not, the next command waits for a look."""
        return boot_clock() < self._look_at + _WAIT_AFTER_S - _LOOK_EVERY_S

    def is_known_for(self, seconds: float) -> bool:
        """Tell whether it is known, and nothing changes at another one for so long from now: it is refused there."""
        return self.is_known() and boot_clock() + seconds <= self._known_at + _SETTLE_S

    def look_if_due(self) -> None:
        """Look which server is the primary, as a command would before it is sent."""
        self._look_if_due()

    @property
    def is_held(self) -> bool:
        return boot_clock() < max(self._held_until, self._settled_at)

    def hold_writes(self) -> None:
        """Refuse writes for a short time, or for a short time more."""
        self._held_until = boot_clock() + _HELD_S

    def release_writes(self) -> None:
        self._held_until = 0.0

    def look_again(self) -> None:
        """Look now which server is the primary."""
        with self._looking:
            self._look()

    def close(self) -> None:
        super().close()
        self._way.close()

    def _require_known(self, connection: Any) -> None:
        """Refuse a new connection that does not lead to the known primary: the way may lead elsewhere before a look.

        Raises:
            Replaced: Another server is the primary now, and other processes may not know of it yet.
        """
        self._local.takeovers = self._takeovers
        if self._known is None:
            return
        found = self._way.name_of(connection)
        if found is None or found == self._known:
            return
        with self._looking:
            if found != self._known:  # unless another thread has looked meanwhile
                self._look()
        self._local.takeovers = self._takeovers
        if self.is_held or found != self._known:
            raise Replaced("another server is the primary now")

    def _leave(self, connection: Any) -> None:
        """Look at once which server is the primary, because this one is a replica now."""
        super()._leave(connection)
        self._look_at = 0.0

    def _look_anew(self) -> None:
        """Look unless another thread has looked since now.

        A change that took long may have waited at a server that took none: for a planned failover writes are paused.
        """
        replied_at = boot_clock()
        with self._looking:
            if self._looked_at < replied_at:
                self._look()

    def _look_if_due(self) -> None:
        now = boot_clock()
        if now >= self._look_at:
            is_late = now >= self._look_at + _WAIT_AFTER_S - _LOOK_EVERY_S
            if self._looking.acquire(blocking=is_late):
                try:
                    if boot_clock() >= self._look_at:  # unless another thread did it while this one waited
                        self._look()
                finally:
                    self._looking.release()

    def _look(self) -> None:
        """Look which server is the primary. While that cannot be found out, connections that work are kept."""
        began = self._looked_at = boot_clock()
        try:
            found = self._way.look()
        except (RedisError, OSError):
            took_s = boot_clock() - began
            self._look_at = began + max(_LOOK_AGAIN_S, _SHARE * took_s)
            return
        self._look_at, self._known_at = began + _LOOK_EVERY_S, began
        if found is None or found == self._known:
            return
        if self._known is not None:
            log.warning("redis: another server is the primary now, all connections are made anew")
            if self._way.may_former_answer():
                self._settled_at = boot_clock() + _SETTLE_S
            self._takeovers += 1
            self.renew()
        self._known = found
