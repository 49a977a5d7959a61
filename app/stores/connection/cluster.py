"""The client of a Redis Cluster: it finds the server that has a key, and follows keys that move."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis import ConnectionError as ConnectionBroken
from redis import RedisError
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from app.stores.connection.circuit import NothingSent
from app.stores.connection.client import RedisClient
from app.stores.connection.node import Node, RedisCommand, Wait
from app.stores.connection.redis_url import TIMEOUT_S, Host

log = logging.getLogger(__name__)

_KEY_AT = {
    "EVAL": 3,
    "EVALSHA": 3,
    "XGROUP": 2,
    "XREADGROUP": 7,
}  # index of the key in a command; 1 in all other commands
_REFUSALS = (AskError, TryAgainError, ClusterDownError)  # nothing was executed; MovedError is an AskError
_REFRESH_EVERY_S = 0.1
_HOPS = 5
_MOVING_S = 0.5  # how long a command waits while a user's keys move to another server
_MOVING_RETRY_EVERY_S = 0.02


class Cluster(RedisClient):
    """The client of a Cluster. It sends a command to the server that has the key's slot.

    When a reply shows that slots have moved, a thread asks which server has which slots. Only the very first request
    waits for that thread. redis-py's RedisCluster asks within the request, one server after the other and one thread
    after the other. This takes minutes if servers do not answer.
    """

    def __init__(self, start: Sequence[Host], connect_to: Callable[[Host], Any]) -> None:
        """
        Args:
            start: Some of the servers. They are asked for the others.
        """
        self._start = start
        self._connect_to = connect_to
        self._nodes: dict[Host, Node] = {}
        self._slots: list[Node | None] = []
        self._lock = threading.Lock()
        self._refreshed_at = 0.0
        self._refreshing: threading.Event | None = None  # set when the refresh under way is over
        self._problem = ""  # the error of the last refresh

    def send(
        self, commands: Sequence[RedisCommand], wait: Wait | None = None, *, decoded: bool = True
    ) -> tuple[list[Any], bool]:
        by_node: dict[Node, list[int]] = {}
        for position, command in enumerate(commands):
            by_node.setdefault(self._node_for(command), []).append(position)
        found: list[Any] = [None] * len(commands)
        is_on_replicas = True
        for node, positions in by_node.items():
            replies, replicas = self._exchange(node, [commands[position] for position in positions], wait, decoded)
            # A server that refused all of them has nothing to be confirmed. As a replica it also refuses WAIT.
            if not all(isinstance(reply, _REFUSALS) for reply in replies):
                is_on_replicas &= wait is None or replicas >= wait.replicas
            for position, reply in zip(positions, replies, strict=True):
                found[position] = reply
                if isinstance(reply, _REFUSALS):
                    found[position], replicas = self._follow_refusal(commands[position], node, reply, wait, decoded)
                    is_on_replicas &= wait is None or replicas >= wait.replicas
        return found, is_on_replicas

    def nodes(self) -> Sequence[Node]:
        return list({node: None for node in self._require_slots() if node})

    def scan(self, pattern: str) -> Iterator[str]:
        """Yield the names of all matching keys, on all servers.

        Raises:
            redis.ConnectionError: Also if slots moved meanwhile, because their keys may have been missed.
        """
        before = list(self._require_slots())
        yield from super().scan(pattern)
        self._refresh_soon().wait(TIMEOUT_S)
        if before != self._require_slots():
            raise ConnectionBroken("slots moved while all keys were looked through: begin again")

    def close(self) -> None:
        with self._lock:
            for node in self._nodes.values():
                node.close()

    def _exchange(
        self, node: Node, commands: Sequence[RedisCommand], wait: Wait | None, decoded: bool
    ) -> tuple[list[Any], int]:
        """Return the replies, and the number of replicas that confirmed the writes."""
        try:
            replies = node.exchange(commands, wait, decoded=decoded)
        except (RedisError, OSError):
            self._refresh_soon()
            raise
        return replies, replies.pop() if wait else 0

    def _follow_refusal(
        self, command: RedisCommand, node: Node, reply: Any, wait: Wait | None, decoded: bool
    ) -> tuple[Any, int]:
        """Send a refused command to the server that the refusal names, until a server accepts it.

        A refused command was not executed, so it may be sent again.

        Returns:
            The last reply, which is a refusal if no server accepted the command, and the number of replicas that
            confirmed.
        """
        opening: list[RedisCommand] = []
        replicas, hops, until = 0, 0, time.monotonic() + _MOVING_S
        while hops < _HOPS:
            if (
                isinstance(reply, TryAgainError) and time.monotonic() < until
            ):  # the slot is moving: some keys are here, some there
                time.sleep(_MOVING_RETRY_EVERY_S)
            elif isinstance(reply, AskError):
                hops += 1
                node = self._node_at((reply.host or str(node.host and node.host[0]), reply.port))
                opening = [] if isinstance(reply, MovedError) else [("ASKING",)]
                if isinstance(reply, MovedError):
                    self._slots[reply.slot_id] = node
                    self._refresh_soon()
            else:
                break
            (*_, reply), replicas = self._exchange(node, [*opening, command], wait, decoded)
        if isinstance(reply, ClusterDownError):
            self._refresh_soon()
        return reply, replicas

    def _node_for(self, command: RedisCommand) -> Node:
        place = _KEY_AT.get(str(command[0]), 1)
        key = command[place] if place < len(command) else ""
        node = self._require_slots()[key_slot(key if isinstance(key, bytes) else str(key).encode())]
        if node is None:
            self._refresh_soon()
            raise NothingSent("no server has this slot")
        return node

    def _require_slots(self) -> list[Node | None]:
        if not self._slots:
            self._refresh_soon().wait(TIMEOUT_S)
            if not self._slots:
                raise NothingSent("no server of the Cluster says what it looks like")
        return self._slots

    def _refresh_soon(self) -> threading.Event:
        """Start a thread that asks which server has which slots. Return an event that is set at its end."""
        with self._lock:
            if self._refreshing is None:
                is_done = threading.Event()
                try:
                    threading.Thread(target=self._refresh, args=(is_done,), daemon=True).start()
                except RuntimeError:  # no thread can be started; the next request tries again
                    is_done.set()
                    return is_done
                self._refreshing = is_done
            return self._refreshing

    def _refresh(self, is_done: threading.Event) -> None:
        time.sleep(max(0.0, self._refreshed_at + _REFRESH_EVERY_S - time.monotonic()))
        try:
            self._set_slots(*self._ask_any_server())
            self._problem = ""
        except Exception as problem:  # any error: the next refresh may succeed
            if str(problem) != self._problem:  # logged once, and not ten times a second
                self._problem = str(problem)
                log.warning("what the Cluster looks like is not known: %s", problem)
        finally:
            with self._lock:
                self._refreshed_at = time.monotonic()
                self._refreshing = None
            is_done.set()

    def _ask_any_server(self) -> tuple[Host, list[Any]]:
        """Return the first server that answers, and its reply to CLUSTER SLOTS.

        Servers that are known not to answer are asked last. The others are asked in random order, because a server may
        be cut off from the Cluster without knowing it, and must not be the first every time.
        """
        said = ""
        with self._lock:
            known = list({*self._nodes, *self._start})
        random.shuffle(known)
        for host in sorted(known, key=lambda host: self._node_at(host).circuit.is_open):
            try:
                [reply] = self._node_at(host).exchange([("CLUSTER", "SLOTS")])
            except (RedisError, OSError) as problem:
                said = str(problem)
                continue
            if isinstance(reply, list) and reply:
                return host, reply
            said = str(reply)
        raise ConnectionBroken(f"no server of the Cluster answers: {said}")

    def _set_slots(self, asked: Host, ranges: list[Any]) -> None:
        """Note which server has which slots, and stop asking servers without slots.

        Args:
            asked: The server that answered. It may leave its own host out.
            ranges: The reply to CLUSTER SLOTS: first and last slot, host and port of the primary, then the replicas.
        """
        slots: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_), *_ in ranges:
            slots[first : last + 1] = [self._node_at((host or asked[0], port))] * (last + 1 - first)
        self._slots = slots
        in_use = set(slots)
        with self._lock:
            unused = [host for host, node in self._nodes.items() if node not in in_use and host not in self._start]
            for host in unused:
                self._nodes.pop(host).circuit.give_up()

    def _node_at(self, host: Host) -> Node:
        with self._lock:
            if host not in self._nodes:
                self._nodes[host] = Node(lambda: self._connect_to(host), host, is_in_cluster=True)
            return self._nodes[host]
