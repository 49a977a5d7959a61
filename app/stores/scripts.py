"""Runs the scripts on one user's sessions, waits for replicas and holders of leases, and passes events to listeners.

The scripts themselves: lua/. Scripts on queues of jobs: jobs.py.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from redis import ResponseError

from app.errors import Unconfirmed
from app.stores.connection.client import RedisClient
from app.stores.connection.node import Wait
from app.stores.connection.refusals import describe, is_wrong_type
from app.stores.keys import Keys, unprefixed
from app.stores.leases.endings import Endings
from app.stores.lifetimes import Lifetimes
from app.stores.lua import Script, session_script, telling_script
from app.stores.outbox import Outbox
from app.times import iso
from app.watch import audit, context
from app.watch.events import Event, Listener

log = logging.getLogger(__name__)


class ForeignKey(ResponseError):
    """A key of the user has another type, so another application has written it. The script changed nothing."""


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """The way in which a script waits: for REDIS_WAIT_REPLICAS replicas, and for the holders of leases.

    Attributes:
        refuses: Called with the script's result if too few replicas have confirmed it. If it returns True, the request
            is refused.
        may_repeat: The script may repeat an ending whose waits are not over. So it waits for the holders of leases even
            if it ends nothing. All other scripts wait for them only if they end something.
    """

    waits: bool = True
    refuses: Callable[[Any], bool] = lambda _: False
    may_repeat: bool = False


DO_NOT_WAIT = WaitPolicy(waits=False)
# For changes that a failover may undo, because that would let nobody in.
WAIT_AND_GO_ON = WaitPolicy()
# Refuses even if the script changed nothing: a client that repeats a refused request must not get 204 too early.
WAIT_OR_REFUSE = WaitPolicy(refuses=lambda _: True, may_repeat=True)


class Call(Protocol):
    """Runs a script on the sessions of a user and returns its result.

    Raises:
        redis.RedisError: Not caught here; the client gets 503.
        ForeignKey: One of the keys is another application's.
        Unconfirmed: Too few replicas have confirmed it, and there is no request or command that could report it.
    """

    def __call__(
        self, user_id: str, further_keys: Sequence[str] = (), argument: Mapping[str, Any] | None = None
    ) -> Any: ...


class BatchCall(Protocol):
    """Runs a script for several sessions in one trip, each named by its user's id and the script's argument.

    What Redis refuses is logged, and passed over.

    Raises:
        redis.RedisError: Redis is away.
    """

    def __call__(self, uses: Sequence[tuple[str, Mapping[str, Any]]]) -> None: ...


class SessionScripts:
    """The scripts on one user's sessions, as functions. All scripts get the same first keys, the same last keys and the
    same first argument."""

    def __init__(
        self,
        redis: RedisClient,
        lifetimes: Lifetimes,
        clock: Callable[[], float] = time.time,
        wait: Wait | None = None,
        listeners: Sequence[Listener] = (audit.record_endings,),
        keys: Keys = unprefixed,
        redis_clock: Callable[[], float] | None = None,
        endings: Endings | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        """
        Args:
            redis_clock: The clock of Redis. A session is over only if both clocks say so. None stands for `clock`.
            endings: How endings wait for holders of leases; None if there are no leases.
            outbox: Whom the scripts tell by queues; None if nobody.
        """
        self.keys = keys
        self._redis = redis
        self._lifetimes = lifetimes
        self._clock = clock
        self._wait = wait
        self._listeners = listeners
        self._redis_clock = redis_clock or clock
        self._endings = endings
        self.outbox = outbox or Outbox(redis, keys)

    def register(self, name: str, policy: WaitPolicy = DO_NOT_WAIT) -> Call:
        """Return a function that runs the script of this name."""
        script = session_script(name)
        wait = self._wait if policy.waits else None
        endings = self._endings

        def call(user_id: str, further_keys: Sequence[str] = (), argument: Mapping[str, Any] | None = None) -> Any:
            n, asked = endings.begin(asks_always=policy.may_repeat) if endings else (0, {})
            all_keys = self._all_keys(user_id, further_keys)
            args = self._args(user_id, asked, argument or {})
            (result, reported, told, *holders), is_on_replicas = self._run(script, all_keys, args, wait)
            self._hand_on(user_id, reported)
            if endings and holders:
                endings.wait(n, holders[0])
            self.outbox.hand_on(user_id, told)
            if not is_on_replicas and policy.refuses(result) and not context.note_unconfirmed():
                raise Unconfirmed
            return result

        return call

    def register_without_sessions(self, name: str, policy: WaitPolicy = DO_NOT_WAIT) -> Call:
        """Return a function that runs the script of this name, which knows no sessions and gets no keys of them."""
        script = telling_script(name)
        wait = self._wait if policy.waits else None

        def call(user_id: str, further_keys: Sequence[str] = (), argument: Mapping[str, Any] | None = None) -> Any:
            keys, args = self.call_of(user_id, further_keys, argument or {})
            (result, told), is_on_replicas = self._run(script, keys, args, wait)
            self.outbox.hand_on(user_id, told)
            if not is_on_replicas and policy.refuses(result) and not context.note_unconfirmed():
                raise Unconfirmed
            return result

        return call

    def register_batch(self, name: str) -> BatchCall:
        """Return a function that runs the script of this name for several sessions, without a wait for replicas."""
        script = session_script(name)
        endings = self._endings

        def call(uses: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
            begun = [endings.begin(asks_always=False) if endings else (0, {}) for _ in uses]
            calls = [
                (self._all_keys(user_id), self._args(user_id, asked, argument))
                for (user_id, argument), (_, asked) in zip(uses, begun, strict=True)
            ]
            replies = self._redis.run_script_for_each(script.source, calls)
            with endings.wait_once() if endings else nullcontext():
                for (user_id, _), (n, _), reply in zip(uses, begun, replies, strict=True):
                    if isinstance(reply, ResponseError):
                        log.warning("redis: %s at %s", describe(reply), script.place_of(reply))
                        continue
                    _, reported, told, *holders = reply
                    self._hand_on(user_id, reported)
                    if endings and holders:
                        endings.wait(n, holders[0])
                    self.outbox.hand_on(user_id, told)

        return call

    def call_of(
        self, user_id: str, own_keys: Sequence[str], argument: Mapping[str, Any]
    ) -> tuple[Sequence[str], Sequence[bytes]]:
        """Return the keys and arguments of a script on a user that knows no sessions (lua, telling_script)."""
        return (*own_keys, *self.outbox.keys_of(user_id)), self._args(user_id, {}, argument)

    def _all_keys(self, user_id: str, further_keys: Sequence[str] = ()) -> Sequence[str]:
        keys = self.keys
        first = (keys.last_used(user_id), keys.sessions(user_id), keys.ended(user_id))
        return (*first, *further_keys, keys.activity(user_id), *self.outbox.keys_of(user_id))

    def _args(self, user_id: str, asked: dict[str, Any], argument: Mapping[str, Any]) -> tuple[bytes, bytes]:
        return orjson.dumps(self._context(user_id) | asked), orjson.dumps(argument)

    def _run(self, script: Script, all_keys: Sequence[str], args: Sequence[bytes], wait: Wait | None) -> Any:
        try:
            return self._redis.run_script(script.source, all_keys, args, wait)
        except ResponseError as refused:  # logged without its text, which may quote a value
            log.warning("redis: %s at %s", describe(refused), script.place_of(refused))
            if is_wrong_type(refused):
                raise ForeignKey(*refused.args) from refused
            raise

    def _hand_on(self, user_id: str, reported: Sequence[str]) -> None:
        if not reported:
            return
        rows = zip(*[iter(reported)] * 5, strict=True)
        events = [
            Event(kind, user_id, id_hash, reason or None, old_id_hash or None, by or None)
            for kind, id_hash, reason, old_id_hash, by in rows
        ]
        for listen in self._listeners:
            listen(events)

    def _context(self, user_id: str) -> dict[str, Any]:
        now = self._clock()
        of_redis = self._redis_clock()
        return {
            "user_id": user_id,
            "now": now,
            "earliest": min(now, of_redis),
            "latest": max(now, of_redis),
            "at": iso(now),
            "ttl_s": self._lifetimes.ttl_s,
            "max_age_s": self._lifetimes.max_age_s,
            "public_computer_s": self._lifetimes.public_computer_s,
            "retention_s": self._lifetimes.retention_s,
            "channel": self.keys.channel,
            **self.outbox.context(),
        }
