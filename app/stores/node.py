"""How the threads of this process speak with one server."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import ConnectionError as ConnectionBroken
from redis import ReadOnlyError, Redis, RedisError, ResponseError
from redis.sentinel import MasterNotFoundError

from app import metrics
from app.stores.address import Host
from app.stores.circuit import Circuit

Command = tuple[str | bytes | int | float, ...]

_MEASURED_ONCE_IN = 16  # trips: to measure each would take as long again as a tenth of the trip
_WAITED_S = 0.1  # whoever failed after that failed by waiting
_LOOK_EVERY_S = 1.0
_LOOK_AGAIN_S = 5.0  # where no Sentinel answered, which may have taken its time


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
        self.make = make
        self.host = host
        self.circuit = Circuit(self._probe)
        self._local = threading.local()
        self._trips = itertools.count()
        self._generation = 0

    def exchange(self, commands: Sequence[Command], wait: Wait | None = None, *, decoded: bool = True) -> list[Any]:
        """Send commands in one trip; their raw replies in order, refusals among them as they are.

        wait: adds the reply to WAIT, the number of replicas that have all that this connection wrote
        Raises: redis.ConnectionError or redis.TimeoutError where no answer came: it may all have happened; CircuitOpen,
            of the former, where nothing was sent
        """
        if next(self._trips) % _MEASURED_ONCE_IN:
            return self._exchange(commands, wait, decoded)
        with metrics.REDIS_SECONDS.time():
            return self._exchange(commands, wait, decoded)

    def renew(self) -> None:
        """Have each thread make a new connection before it asks anything else."""
        self._generation += 1

    def _exchange(self, commands: Sequence[Command], wait: Wait | None, decoded: bool) -> list[Any]:
        self.circuit.require_closed()
        began = time.monotonic()
        connection = None
        try:
            connection = self._connection()
            sent = [*commands, ("WAIT", wait.replicas, wait.ms)] if wait else commands
            connection.send_packed_command(connection.pack_commands(sent))
            replies = [_reply(connection, decoded) for _ in commands]
            if wait:
                replies.append(connection.read_response(timeout=connection.socket_timeout + wait.ms / 1000))
        except BaseException as problem:
            self._drop(connection)
            if isinstance(problem, RedisError | OSError) and time.monotonic() - began > _WAITED_S:
                self.circuit.open(str(problem))
            raise
        if any(isinstance(reply, ReadOnlyError) for reply in replies):  # it has become a replica of another
            self._drop(connection)
        return replies

    def _connection(self) -> Any:
        """This thread's; a new one where the last one is over."""
        connection = getattr(self._local, "connection", None)
        if connection is not None and (self._local.generation != self._generation or _is_stale(connection)):
            self._drop(connection)
            connection = None
        if connection is None:
            generation = self._generation  # as of before it is known where to: that may change meanwhile
            connection = self._local.connection = self.make()
            self._local.generation = generation
        return connection

    def close(self) -> None:
        """Nobody needs this server any longer; other threads' connections go with the threads."""
        self.circuit.give_up()
        self._drop(getattr(self._local, "connection", None))

    def _drop(self, connection: Any) -> None:
        self._local.connection = None
        if connection is not None:
            connection.disconnect()

    def _probe(self) -> None:
        connection = self.make()
        try:
            connection.send_command("PING")
            _reply(connection, decoded=True)  # whatever it says, it answers
        finally:
            connection.disconnect()
        self.renew()


class Sentinels:
    """Says who the primary of a set is, as the first Sentinel has it that knows.

    redis-py's Sentinel moves that one to the front of its list, from several threads at once, which may write it over
    one that was away; and tells for none of them why it did not answer.
    """

    def __init__(self, clients: Sequence[Redis], service: str) -> None:
        self._clients = tuple(clients)
        self._service = service

    def primary(self) -> Host:
        """Raises: MasterNotFoundError where some answer and none knows, else redis.ConnectionError"""
        said: list[str] = []
        is_answered = False
        for client in self._clients:
            try:
                ask: Callable[[str], Any] = client.sentinel_master
                state = ask(self._service)
            except RedisError as problem:
                is_answered |= isinstance(problem, ResponseError)
                said.append(str(problem))
                continue
            if state["is_master"] and not state["is_sdown"] and not state["is_odown"]:
                self._clients = (client, *(other for other in self._clients if other is not client))
                return state["ip"], state["port"]
            is_answered = True
            said.append("it is down")
        kind = MasterNotFoundError if is_answered else ConnectionBroken
        raise kind(f"no Sentinel names a primary: {'; '.join(dict.fromkeys(said))}")

    def close(self) -> None:
        for client in self._clients:
            client.close()


class Primary(Node):
    """The server that the Sentinels call the primary of a set."""

    def __init__(self, sentinels: Sentinels, connect_to: Callable[[Host], Any]) -> None:
        super().__init__(lambda: connect_to(self._ask()))
        self._sentinels = sentinels
        self._known: Host | None = None
        self._looking = threading.Lock()
        self._look_at = 0.0

    def close(self) -> None:
        super().close()
        self._sentinels.close()

    def _ask(self) -> Host:
        host = self._sentinels.primary()
        if self._known and host != self._known:
            self.renew()
        self._known = host
        return host

    def _connection(self) -> Any:
        """Whoever was the primary may not know yet that it is no longer: once a second a thread asks the Sentinels.

        The others go on meanwhile with what is known, unless nobody has asked for longer than that.
        """
        late_s = time.monotonic() - self._look_at
        if late_s >= 0 and self._looking.acquire(blocking=late_s >= _LOOK_EVERY_S):
            try:
                if time.monotonic() >= self._look_at:  # nobody else has, while this one waited
                    self._look()
            finally:
                self._looking.release()
        return super()._connection()

    def _look(self) -> None:
        """The connections that work go on where no Sentinel answers, or none knows."""
        pause_s = _LOOK_EVERY_S
        try:
            self._ask()
        except MasterNotFoundError:
            pass
        except RedisError:
            pause_s = _LOOK_AGAIN_S
        finally:
            self._look_at = time.monotonic() + pause_s


def _reply(connection: Any, decoded: bool) -> Any:
    try:
        return connection.read_response(disable_decoding=not decoded)
    except ResponseError as refusal:
        return refusal


def _is_stale(connection: Any) -> bool:
    """Nothing is owed: what there is to read is the server's goodbye."""
    try:
        return bool(connection.can_read(timeout=0))
    except (RedisError, OSError):
        return True
