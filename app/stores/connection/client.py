"""The interface through which stores speak to Redis, and the client of one server.

The client of a Cluster: cluster.py. Connections and threads: node.py.
"""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from redis import ConnectionError as ConnectionBroken
from redis import RedisError, ResponseError
from redis.exceptions import MovedError, NoScriptError

from app.stores.connection.circuit import NothingSent
from app.stores.connection.node import Node, RedisCommand, Wait
from app.stores.connection.primary import Primary
from app.stores.connection.redis_url import TIMEOUT_S
from app.stores.connection.refusals import is_wrong_type

Found = TypeVar("Found")
Other = TypeVar("Other")

_SCAN_COUNT = 1000  # keys that a server reads in one step of a scan


@dataclass(frozen=True, slots=True)
class Read(Generic[Found]):
    """Something to look up, and not looked up yet. Several are found in one trip: `RedisClient.look_up`.

    Attributes:
        commands: They change nothing.
        parse: Returns what is found, from the replies as `read_own` returns them.
    """

    commands: Sequence[RedisCommand]
    parse: Callable[[Sequence[Any]], Found]


NOTHING: "Read[None]" = Read((), lambda _: None)


class RedisClient(ABC):
    """A client of Redis. Commands are tuples for redis-py's encoder, replies are raw.

    A write is sent only once. If its reply is lost, it may have been executed, so the error is raised. A read is sent
    once more after its connection broke. All methods raise redis.RedisError.

    Attributes:
        primary: The one server that keeps all data; None in a Cluster.
    """

    primary: Primary | None = None

    @abstractmethod
    def send(
        self, commands: Sequence[RedisCommand], wait: Wait | None = None, *, decoded: bool = True
    ) -> tuple[list[Any], bool]:
        """Send commands, in one trip for each server that they concern.

        Returns:
            The replies in order, including refusals; and True if on each server enough replicas (`wait`) confirmed.
        """

    @abstractmethod
    def nodes(self) -> Sequence[Node]:
        """Return the servers that keep the data: one, or the primaries of a Cluster."""

    @abstractmethod
    def close(self) -> None: ...

    def read(self, *commands: RedisCommand) -> list[Any]:
        return _require_accepted(self._read(commands))

    def read_own(self, *commands: RedisCommand) -> list[Any]:
        """Read as `read` does. The reply about a key of another type is None: such a key is another application's."""
        return _require_accepted(_own(self._read(commands)))

    def look_up(self, *reads: Read[Found]) -> list[Found]:
        """Return what is found, in this order and in one trip for each server."""
        commands = [command for read in reads for command in read.commands]
        replies = iter(self.read_own(*commands) if commands else ())
        return [read.parse(list(islice(replies, len(read.commands)))) for read in reads]

    def look_up_both(self, first: Read[Found], second: Read[Other]) -> tuple[Found, Other]:
        """Do as `look_up` does, with things of two kinds."""
        found: list[Any] = self.look_up(first, second)
        return found[0], found[1]

    def _read(self, commands: Sequence[RedisCommand]) -> list[Any]:
        try:
            replies = self._send_reads(commands)
        except NothingSent:
            raise
        except ConnectionBroken:
            replies = self._send_reads(commands)
        return replies

    def _send_reads(self, commands: Sequence[RedisCommand]) -> list[Any]:
        return self.send(commands)[0]

    def write(self, *commands: RedisCommand, wait: Wait | None = None) -> list[Any]:
        """Send writes and return their replies. This waits for replicas, but does not tell whether enough confirmed."""
        replies, _ = self.send(commands, wait)
        return _require_accepted(replies)

    def write_own(self, *commands: RedisCommand, wait: Wait | None = None) -> list[Any]:
        """Send writes as `write` does. The reply about a key of another type is None; the key stays as it is."""
        replies, _ = self.send(commands, wait)
        return _require_accepted(_own(replies))

    def write_bytes(self, *commands: RedisCommand) -> list[Any]:
        """Send writes and return their replies as bytes, because other programs may have written invalid text."""
        replies, _ = self.send(commands, decoded=False)
        return _require_accepted(replies)

    def run_script(
        self,
        script: str,
        keys: Sequence[str],
        args: Sequence[str | bytes | int | float],
        wait: Wait | None = None,
        *,
        decoded: bool = True,
    ) -> tuple[Any, bool]:
        """Run a script by its hash, or by its text if the server does not know the hash.

        Args:
            decoded: Whether texts in the reply are texts; else they are bytes.

        Returns:
            The script's reply, and True if enough replicas (`wait`) have confirmed its writes and all earlier ones.
        """
        rest: RedisCommand = (len(keys), *keys, *args)
        [reply], is_on_replicas = self.send([("EVALSHA", _sha1(script), *rest)], wait, decoded=decoded)
        if isinstance(reply, NoScriptError):
            [reply], is_on_replicas = self.send([("EVAL", script, *rest)], wait, decoded=decoded)
        return _require_accepted([reply])[0], is_on_replicas

    def run_script_for_each(
        self,
        script: str,
        calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int | float]]],
        wait: Wait | None = None,
    ) -> list[Any]:
        """Run a script several times, in one trip for each server. Whether enough replicas confirmed is not told.

        Args:
            calls: The keys and the arguments of each time.
            wait: How to wait for replicas; None means no waiting.

        Returns:
            The script's replies in order, including refusals.
        """
        rest = [(len(keys), *keys, *args) for keys, args in calls]
        replies, _ = self.send([("EVALSHA", _sha1(script), *one) for one in rest], wait)
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again, _ = self.send([("EVAL", script, *rest[at]) for at in unknown], wait)
            for at, reply in zip(unknown, again, strict=True):
                replies[at] = reply
        return replies

    def register_script(self, script: bytes) -> Callable[[Sequence[str], Sequence[str | bytes | int | float]], Any]:
        """Return a function of keys and arguments that runs a script, as redis-py does, for the rate limiter."""
        text = script.decode()
        return lambda keys, args: self.run_script(text, keys, args)[0]

    def require_answer(self, command: RedisCommand) -> None:
        """Raise redis.RedisError if no server answers this command, or if it is refused.

        In a Cluster one server is enough, because the users on it are served.
        """
        problem: Exception = NothingSent("there is no server")
        until = time.monotonic() + TIMEOUT_S
        for number, node in enumerate(sorted(self.nodes(), key=lambda node: node.circuit.is_open)):
            if number > 1 and time.monotonic() > until:
                break
            try:
                [reply] = node.exchange([command])
            except RedisError as away:
                problem = away
            else:
                if not isinstance(reply, ResponseError) or isinstance(reply, MovedError):
                    return
                problem = reply
        raise problem

    def scan(self, pattern: str) -> Iterator[str]:
        """Yield the names of all matching keys, in no order. A name may come twice while keys are made or deleted.

        Raises:
            redis.ConnectionError: Also if a server restarted or was replaced meanwhile. The order of keys is then
                another, so names would be missing.
        """
        for node in self.nodes():
            cursor, connection = "0", None
            while True:
                [(cursor, names)] = _require_accepted(
                    node.exchange([("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)])
                )
                if connection not in (None, node.connection):
                    raise ConnectionBroken("the connection broke while all keys were looked through: begin again")
                connection = node.connection
                yield from names
                if cursor == "0":
                    break

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class OneServer(RedisClient):
    """The client of the primary that a name leads to, or that Sentinels name."""

    def __init__(self, node: Primary) -> None:
        self._node = self.primary = node

    def send(
        self, commands: Sequence[RedisCommand], wait: Wait | None = None, *, decoded: bool = True
    ) -> tuple[list[Any], bool]:
        replies = self._node.exchange_writes(commands, wait, decoded=decoded)
        if wait is None:
            return replies, True
        confirmations = replies.pop()
        return replies, confirmations >= wait.replicas

    def _send_reads(self, commands: Sequence[RedisCommand]) -> list[Any]:
        return self._node.exchange(commands)

    def nodes(self) -> Sequence[Node]:
        return [self._node]

    def close(self) -> None:
        self._node.close()


def _own(replies: Sequence[Any]) -> list[Any]:
    """Return the replies, with None for each about a key of another type."""
    return [None if isinstance(reply, ResponseError) and is_wrong_type(reply) else reply for reply in replies]


def _require_accepted(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return replies


@cache
def _sha1(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
