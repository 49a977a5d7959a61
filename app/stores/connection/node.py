"""One Redis server, with a connection to it for each thread of this process."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from hiredis import pack_command
from redis import ConnectionError as ConnectionBroken
from redis import ReadOnlyError, RedisError, ResponseError

from app.stores.connection.circuit import Circuit, NothingSent
from app.stores.connection.redis_url import Host
from app.watch import metrics

RedisCommand = tuple[str | bytes | int | float, ...]

_MEASURED_ONCE_IN = 16  # trips; to measure each trip would make all trips a tenth slower
_WAITED_S = 0.1  # an error that came later than this was a time-out
_ROLE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Wait:
    """
    Attributes:
        replicas: How many replicas must confirm a write.
        ms: How long to wait for them, in milliseconds.
    """

    replicas: int
    ms: int


class NotPrimary(ConnectionBroken):
    """The server is a replica, or a Sentinel, so nothing that it answers is used."""


class Replaced(ConnectionBroken):
    """Another server has taken over meanwhile. Nothing was sent."""


class Node:
    """A server, with one connection for each thread.

    It does not use redis-py's pool, retries and callbacks, because they take longer than Redis takes to answer
    (docs/performance.md has the figures). A connection on which anything went wrong is closed at once, so that a late
    reply is never taken for the reply to another request.
    """

    def __init__(self, make: Callable[[], Any], host: Host | None = None, *, is_in_cluster: bool = False) -> None:
        """
        Args:
            make: Makes a connection of redis-py, not yet open.
            host: The server of the connection, if there are several servers.
            is_in_cluster: The server sends its clients on when it is a replica, so its role need not be asked.
        """
        self.make_connection = make
        self.host = host
        self._role_every_s = inf if is_in_cluster else _ROLE_EVERY_S
        self.circuit = Circuit(self._probe)
        self._local = threading.local()
        self._trips = itertools.count()
        self._generation = 0
        self._look_at = inf  # when _look_if_due() is called next

    def exchange(
        self, commands: Sequence[RedisCommand], wait: Wait | None = None, *, decoded: bool = True
    ) -> list[Any]:
        """Send commands in one trip, and return their raw replies in order, including refusals.

        Args:
            wait: Adds one more reply: the number of replicas that have everything that this connection wrote.

        Raises:
            redis.ConnectionError: No reply came. The commands may have been executed.
            redis.TimeoutError: As above.
            NothingSent: A ConnectionError if nothing was sent; CircuitOpen if the server did not answer lately.
            NotPrimary: A ConnectionError, because what a replica answers may be old.
        """
        if next(self._trips) % _MEASURED_ONCE_IN:
            return self._exchange(commands, wait, decoded)
        with metrics.REDIS_SECONDS.time():
            return self._exchange(commands, wait, decoded)

    @property
    def connection(self) -> Any:
        """Return the connection that this thread used last."""
        return getattr(self._local, "connection", None)

    @property
    def generation(self) -> int:
        """Return a number that grows with each renewal."""
        return self._generation

    def renew(self) -> None:
        """Make each thread open a new connection before its next command."""
        self._generation += 1

    def ask_anew(self, *commands: RedisCommand) -> list[Any]:
        """Send commands on a new connection, to a replica as well, and return their raw replies."""
        connection = self.make_connection()
        try:
            return exchange_on(connection, *commands)
        finally:
            connection.disconnect()

    def _exchange(self, commands: Sequence[RedisCommand], wait: Wait | None, decoded: bool) -> list[Any]:
        self.circuit.require_closed()
        began = time.monotonic()
        connection = None
        try:
            if began >= self._look_at:
                self._look_if_due()
            connection = self._usable_connection()
            asks_role = began >= self._local.ask_role_at
            sent = [*commands, ("WAIT", wait.replicas, wait.ms)] if wait else commands
            if asks_role:
                sent = [("ROLE",), *sent]
            connection.send_packed_command(pack(sent))
            role: Any = _read_reply(connection, decoded=True) if asks_role else None
            replies = [_read_reply(connection, decoded) for _ in commands]
            if wait:
                replies.append(_read_confirmations(connection, wait))
        except Replaced:
            raise
        except BaseException as problem:
            self._drop(connection)
            if isinstance(problem, RedisError | OSError) and time.monotonic() - began > _WAITED_S:
                self.circuit.open(str(problem))
            raise
        reason = ""
        if asks_role:
            self._local.ask_role_at = began + (inf if isinstance(role, ResponseError) else self._role_every_s)
            reason = why_not_primary(role)
        is_refused = any(isinstance(reply, ReadOnlyError) for reply in replies)
        if is_refused or reason:
            self._leave(connection)
        if reason and not is_refused:
            raise NotPrimary(reason)
        return replies

    def _usable_connection(self) -> Any:
        """Return this thread's connection; a new connection if the last one cannot be used any more."""
        connection = self.connection
        if connection is not None and (self._local.generation != self._generation or _is_stale(connection)):
            self._drop(connection)
            connection = None
        if connection is None:
            generation = self._generation  # read first, so that a renewal meanwhile counts for it
            try:
                connection = self.make_connection()
            except ConnectionBroken as nowhere:
                raise NothingSent(str(nowhere)) from None
            try:
                self._require_known(connection)
            except BaseException:
                connection.disconnect()
                raise
            self._local.connection = connection
            self._local.generation = generation
            self._local.ask_role_at = 0.0 if self._role_every_s < inf else inf
        return connection

    def _require_known(self, connection: Any) -> None:
        """Refuse a new connection that leads to another server than is known, where that can be."""

    def _look_if_due(self) -> None:
        """Look whether another server has taken over, where that is looked for."""

    def _leave(self, connection: Any) -> None:
        """Drop a connection to a server that has become a replica, and let other threads drop theirs."""
        if self._local.generation == self._generation:  # else another thread has told already
            self.renew()
        self._drop(connection)

    def close(self) -> None:
        """Stop asking this server. Connections of other threads close when the threads end."""
        self.circuit.give_up()
        self._drop(self.connection)

    def _drop(self, connection: Any) -> None:
        self._local.connection = None
        if connection is not None:
            connection.disconnect()

    def _probe(self) -> None:
        self.ask_anew(("PING",))  # any reply is enough, even an error
        self.renew()


def pack(commands: Sequence[RedisCommand]) -> list[bytes]:
    """Return commands as they go over the wire, in one piece. redis-py would copy each of them first."""
    return [b"".join(map(pack_command, commands))]  # type: ignore[arg-type]  # hiredis' stub has tuples of one


def exchange_on(connection: Any, *commands: RedisCommand) -> list[Any]:
    """Send commands on a connection, and return their raw replies, including refusals."""
    connection.send_packed_command(pack(commands))
    return [_read_reply(connection, decoded=True) for _ in commands]


def why_not_primary(role: Any) -> str:
    """Return why a server may not be used, from its reply to ROLE; "" if it may, or if it does not tell."""
    if not isinstance(role, list) or role[0] == "master":
        return ""
    if role[0] == "slave":
        return f"the server is a replica of {role[1]}:{role[2]} and may not know of the last changes"
    return f"the server keeps no data, it is a {role[0]}"


def _read_reply(connection: Any, decoded: bool) -> Any:
    try:
        return connection.read_response(disable_decoding=not decoded)
    except ResponseError as refusal:
        return refusal


def _read_confirmations(connection: Any, wait: Wait) -> int:
    """Return how many replicas confirmed.

    Return 0 if the server refuses WAIT, for example because it has become a replica.
    """
    try:
        replicas: int = connection.read_response(timeout=connection.socket_timeout + wait.ms / 1000)
    except ResponseError:
        return 0
    return replicas


def _is_stale(connection: Any) -> bool:
    """Tell whether the server closed the connection.

    No reply is expected, so readable data means that the server closed.
    """
    try:
        return bool(connection.can_read(timeout=0))
    except (RedisError, OSError):
        return True
