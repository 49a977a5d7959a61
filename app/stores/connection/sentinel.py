"""The way to the primary of a set that Sentinels watch, who also tell of a failover before it happens."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import ConnectionError as ConnectionBroken
from redis import Redis, RedisError, ResponseError
from redis.sentinel import MasterNotFoundError

from app.stores.boot_clock import boot_clock
from app.stores.connection.primary import Primary, may_answer
from app.stores.connection.redis_url import Host

log = logging.getLogger(__name__)

# A Sentinel that leads a failover tells of it 50 to 100 ms before it promotes a replica, and when it has.
_EVENTS = ("+elected-leader", "+promoted-slave", "+switch-master")
_FOLLOW_EVERY_S = 0.02  # while a failover is under way
_HEAR_S = 0.5  # how soon a thread that hears a Sentinel notices that it is no longer needed
_HEAR_AGAIN_S = 1.0  # after a Sentinel went away
_BEHIND_S = 15.0  # Sentinels that do not know of a failover after this time are believed


@dataclass(frozen=True, slots=True)
class View:
    """What a Sentinel knows of the primary.

    Attributes:
        epoch: The number of the failover that made it the primary. The highest one is right.
        is_failing_over: This Sentinel leads a failover, and has not promoted a replica yet.
        is_down: This Sentinel does not reach it.
        sentinels: The number of Sentinels that it knows, itself included.
    """

    host: Host
    epoch: int
    is_failing_over: bool
    is_down: bool
    sentinels: int


class Sentinels:
    """Sentinels. They are asked in turn until one names the primary of a set. Next time that Sentinel is asked first.

    A thread for each of them hears of failovers. While one is under way, writes are held: the former primary goes on
    taking them for seconds, and the next one does not get them.

    redis-py's Sentinel class changes the order of its list from several threads at once, so that one Sentinel may
    overwrite another. It also hides why a Sentinel did not answer.
    """

    def __init__(self, clients: Sequence[Redis], service: str, connect_to: Callable[[Host], Any]) -> None:
        """
        Args:
            service: The Sentinels' name for the set.
            connect_to: Makes a connection to a server of the set, not yet open.
        """
        self._clients = tuple(clients)
        self._service = service
        self._connect_to = connect_to
        self._newest: View | None = None
        self._newest_at = 0.0
        self._former: Host | None = None
        self._primary: Primary | None = None
        self._is_heard = threading.Lock()  # taken for good by whoever starts the threads
        self._is_closed = False

    def attach(self, primary: Primary) -> None:
        self._primary = primary

    def make_connection(self) -> Any:
        """Return a connection to the primary, not yet open. This raises what look() raises."""
        return self._connect_to(self.look())

    def name_of(self, connection: Any) -> Host:
        return connection.host, connection.port

    def look(self) -> Host:
        """Return the primary's host and port.

        Raises:
            MasterNotFoundError: Some Sentinels answered, but they know no primary.
            redis.ConnectionError: No Sentinel answered.
        """
        self._hear_all()
        said: list[str] = []
        behind: list[View] = []
        is_answered = False
        for client in self._clients:
            try:
                view = self._ask(client)
            except RedisError as problem:
                is_answered |= isinstance(problem, ResponseError)
                said.append(str(problem))
                continue
            is_answered = True
            if view.is_down:
                said.append("it is down")
            elif self._newest and view.epoch < self._newest.epoch:
                behind.append(view)
            else:
                self._clients = (client, *(other for other in self._clients if other is not client))
                return self._note(view)
        if self._newest and behind:
            # A Sentinel that is cut off does not hear of a failover. If most say the same for long, they were replaced.
            is_newest_right = 2 * len(behind) <= len(self._clients) or boot_clock() < self._newest_at + _BEHIND_S
            return self._newest.host if is_newest_right else self._note(max(behind, key=lambda view: view.epoch))
        kind = MasterNotFoundError if is_answered else ConnectionBroken
        raise kind(f"no Sentinel names a primary: {'; '.join(dict.fromkeys(said))}")

    def may_former_answer(self) -> bool:
        if self._former is None:
            return True
        connection = self._connect_to(self._former)
        try:
            return may_answer(connection)
        finally:
            connection.disconnect()

    def _ask(self, client: Redis) -> View:
        """Ask a Sentinel for the set, and in the same trip for the primary, which it knows earlier than the set."""
        pipe = client.pipeline(transaction=False)
        pipe.sentinel_master(self._service)
        pipe.sentinel_get_master_addr_by_name(self._service)
        known, address = pipe.execute()
        host = (str(address[0]), int(address[1]))
        is_promoted = host != (known["ip"], known["port"])
        return View(
            host=host,
            epoch=known["config-epoch"],
            is_failing_over="failover_in_progress" in known["flags"] and not is_promoted,
            is_down=not is_promoted and (known["is_sdown"] or known["is_odown"] or not known["is_master"]),
            sentinels=known["num-other-sentinels"] + 1,
        )

    def _note(self, view: View) -> Host:
        named = len(self._clients)
        if self._newest is None and view.sentinels > named:
            log.warning(
                "REDIS_URL names %d of %d Sentinels. Name all: a failover by hand at another may undo some changes",
                named,
                view.sentinels,
            )
        if self._newest and self._newest.host != view.host:
            self._former = self._newest.host
        self._newest, self._newest_at = view, boot_clock()
        if view.is_failing_over and self._primary:
            self._primary.hold_writes()
        return view.host

    def _hear_all(self) -> None:
        """Start the threads that hear of failovers, once in a process, not before the first command."""
        if self._is_heard.acquire(blocking=False):
            for client in self._clients:
                threading.Thread(target=self._hear, args=(client,), daemon=True).start()

    def _hear(self, client: Redis) -> None:
        """Hear a Sentinel's events for as long as this client is used."""
        make_pubsub: Callable[..., Any] = client.pubsub
        is_refused = False
        while not self._is_closed:
            try:
                with make_pubsub(ignore_subscribe_messages=True) as events:
                    events.subscribe(*_EVENTS)
                    self._follow(client)  # an event may have been missed
                    while not self._is_closed:
                        event = events.get_message(timeout=_HEAR_S)
                        if event and self._service in str(event["data"]).split():
                            self._follow(client)
            except ResponseError as refusal:
                if not is_refused:
                    log.warning(
                        "a Sentinel does not tell of failovers, they are noticed within two seconds: %s", refusal
                    )
                is_refused = True
                time.sleep(_HEAR_AGAIN_S)
            except Exception:  # any error: it is away, or this client is closed
                time.sleep(_HEAR_AGAIN_S)

    def _follow(self, client: Redis) -> None:
        """Hold writes as long as this Sentinel leads a failover, then go over to the primary that it names."""
        primary, is_holding = self._primary, False
        while primary and not self._is_closed:
            view = self._ask(client)
            if not view.is_failing_over:
                if self._newest is None or view.epoch > self._newest.epoch:
                    self._note(view)
                    primary.look_again()
                if is_holding:
                    primary.release_writes()
                return
            primary.hold_writes()
            is_holding = True
            time.sleep(_FOLLOW_EVERY_S)

    def close(self) -> None:
        self._is_closed = True
        for client in self._clients:
            client.close()
