"""How the threads of this process speak with one server."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import ConnectionError as ConnectionBroken
from redis import ReadOnlyError, RedisError, ResponseError

from app.stores.connection.circuit import Circuit, NothingSent
from app.stores.connection.redis_url import Host
from app.watch import metrics

RedisCommand = tuple[str | bytes | int | float, ...]

_MEASURED_ONCE_IN = 16  # trips: to measure each would take as long again as a tenth of the trip
_WAITED_S = 0.1  # whoever failed after that failed by waiting


@dataclass(frozen=True, slots=True)
class Wait:
    """How many replicas are to have a write, and for how long that is waited for, in milliseconds."""

    replicas: int
    ms: int


class Node:
    """A connection for each thread.

    redis-py's way of a command, with its pool, retries and callbacks, takes longer than Redis takes to answer it;
    docs/performance.md has the figures. A connection on which anything went wrong is closed at once, so an answer
    that comes late is never taken for the answer to another request.
    """

    def __init__(self, make: Callable[[], Any], host: Host | None = None) -> None:
        """make: a connection of redis-py's, not yet open; host: where it leads, where that is a choice among several"""
        self.make_connection = make
        self.host = host
        self.circuit = Circuit(self._probe)
        self._local = threading.local()
        self._trips = itertools.count()
        self._generation = 0

    def exchange(
        self, commands: Sequence[RedisCommand], wait: Wait | None = None, *, decoded: bool = True
    ) -> list[Any]:
        """Send commands in one trip; their raw replies in order, refusals among them as they are.

        wait: adds the reply to WAIT, the number of replicas that have all that this connection wrote
        Raises: redis.ConnectionError or redis.TimeoutError where no answer came: it may all have happened; CircuitOpen,
            of the former, where nothing was sent
        """
        if next(self._trips) % _MEASURED_ONCE_IN:
            return self._exchange(commands, wait, decoded)
        with metrics.REDIS_SECONDS.time():
            return self._exchange(commands, wait, decoded)

    @property
    def connection(self) -> Any:
        """That over which this thread asked last."""
        return getattr(self._local, "connection", None)

    def renew(self) -> None:
        """Have each thread make a new connection before it asks anything else."""
        self._generation += 1

    def _exchange(self, commands: Sequence[RedisCommand], wait: Wait | None, decoded: bool) -> list[Any]:
        self.circuit.require_closed()
        began = time.monotonic()
        connection = None
        try:
            connection = self._usable_connection()
            sent = [*commands, ("WAIT", wait.replicas, wait.ms)] if wait else commands
            connection.send_packed_command(connection.pack_commands(sent))
            replies = [_read_reply(connection, decoded) for _ in commands]
            if wait:
                replies.append(_read_confirmations(connection, wait))
        except BaseException as problem:
            self._drop(connection)
            if isinstance(problem, RedisError | OSError) and time.monotonic() - began > _WAITED_S:
                self.circuit.open(str(problem))
            raise
        if any(isinstance(reply, ReadOnlyError) for reply in replies):  # it has become a replica of another
            self._drop(connection)
        return replies

    def _usable_connection(self) -> Any:
        """This thread's; a new one where the last one is over."""
        connection = self.connection
        if connection is not None and (self._local.generation != self._generation or _is_stale(connection)):
            self._drop(connection)
            connection = None
        if connection is None:
            generation = self._generation  # as of before it is known where to: that may change meanwhile
            try:
                connection = self._local.connection = self.make_connection()
            except ConnectionBroken as nowhere:
                raise NothingSent(str(nowhere)) from None
            self._local.generation = generation
        return connection

    def close(self) -> None:
        """Nobody needs this server any longer; other threads' connections go with the threads."""
        self.circuit.give_up()
        self._drop(self.connection)

    def _drop(self, connection: Any) -> None:
        self._local.connection = None
        if connection is not None:
            connection.disconnect()

    def _probe(self) -> None:
        connection = self.make_connection()
        try:
            connection.send_command("PING")
            _read_reply(connection, decoded=True)  # whatever it says, it answers
        finally:
            connection.disconnect()
        self.renew()


def _read_reply(connection: Any, decoded: bool) -> Any:
    try:
        return connection.read_response(disable_decoding=not decoded)
    except ResponseError as refusal:
        return refusal


def _read_confirmations(connection: Any, wait: Wait) -> int:
    """How many replicas have it; none where the server may not be asked, or has become a replica itself."""
    try:
        replicas: int = connection.read_response(timeout=connection.socket_timeout + wait.ms / 1000)
    except ResponseError:
        return 0
    return replicas


def _is_stale(connection: Any) -> bool:
    """Nothing is owed: what there is to read is the server's goodbye."""
    try:
        return bool(connection.can_read(timeout=0))
    except (RedisError, OSError):
        return True
