"""Queues what the scripts tell others of: mails to users, and events to other systems.

On one server, or with Sentinels, a script writes a job straight into the queue, in one step with what it tells of. A
Cluster has the queues in other slots, where no script on a user can write. There the script writes the job into the
user's outbox, in the same step. The process that ran it passes it on right after. If that dies, `sweep` finds it.

What the scripts do: lua/telling.lua and lua/pass_on.lua.
"""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis import RedisError

from app.stores.connection.client import RedisClient
from app.stores.connection.refusals import describe, is_wrong_type
from app.stores.job_records import MOST_WAITING, Queue
from app.stores.keys import Keys, unprefixed
from app.stores.lua import job_script, user_script
from app.watch import lost_jobs

log = logging.getLogger(__name__)

HELD_MS = 10_000  # for how long a process may pass on what is in an outbox before another may; it takes some ms
SWEPT_EVERY_S = 240
_AT_ONCE = 1000
_ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom scripts queue jobs for.

    Attributes:
        takes: The types of the events that are queued; None for all. A queue of mails takes none.
        in_order: The jobs of a user are done in order.
    """

    queue: Queue
    takes: frozenset[str] | None
    in_order: bool = True


class Outbox:
    def __init__(
        self,
        redis: RedisClient,
        keys: Keys = unprefixed,
        addressees: Sequence[Addressee] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._addressees = addressees
        self._clock = clock
        self._in_cluster = redis.primary is None and bool(addressees)
        self._has_events = any(one.takes is None or one.takes for one in addressees)
        self._known = {one.queue.keys.waiting: one.queue for one in addressees}
        self._queues = [_described(one) for one in addressees]

    def keys_of(self, user_id: str) -> Sequence[str]:
        """Return the last keys of a script: those of what it tells others of."""
        if self._in_cluster:
            return (self._keys.outbox(user_id),)
        return [one.queue.keys.waiting for one in self._addressees]

    def context(self) -> dict[str, Any]:
        """Return what a script has to know, as lua/telling.lua says; nothing if nobody is told of anything."""
        if not self._addressees:
            return {}
        known: dict[str, Any] = {"queues": self._queues}
        if self._has_events:
            known["event_id"] = f"evt_{secrets.token_hex(_ID_BYTES)}"
        return known | {"has_outbox": True} if self._in_cluster else known

    def hand_on(self, user_id: str, told: Sequence[int]) -> None:
        """Do what is left after a script: note what is lost, and in a Cluster pass on the rest.

        Args:
            told: What lua/telling.lua says that it has done.
        """
        count, *lost = told
        for one, of_queue in zip(self._addressees, lost, strict=False):
            _note_lost(one.queue.name, of_queue)
        if count and self._in_cluster:
            self.pass_on(user_id)

    def pass_on(self, user_id: str) -> int:
        """Pass on what is in a user's outbox, in order. If Redis fails, the rest stays there, for the next one.

        Returns:
            How many jobs were passed on.
        """
        me = secrets.token_hex(8)
        passed, done = 0, list[str]()
        try:
            while rows := self._take(user_id, me, done):
                done = self._put(user_id, rows)
                passed += len(done)
                if len(done) < len(rows):
                    self._take(user_id, me, done, ends=True)
                    break
        except RedisError as error:
            _log_left(user_id, error)
        return passed

    def sweep(self) -> int:
        """Pass on what processes that died have left in outboxes, in a Cluster. Return how many jobs that were.

        Several processes may call this: one of them does it, once in some minutes.
        """
        if not self._in_cluster:
            return 0
        [is_due] = self._redis.write_own(("SET", self._keys.swept, self._clock(), "NX", "EX", SWEPT_EVERY_S))
        if not is_due:
            return 0
        found = map(self._keys.user_id_in, self._redis.scan(self._keys.outbox("*")))
        return sum(self.pass_on(user_id) for user_id in found if user_id)

    def _take(self, user_id: str, me: str, done: Sequence[str], *, ends: bool = False) -> Sequence[str]:
        """Return the next rows of an outbox, and remove those that were passed on."""
        asked = {"by": me, "held_ms": HELD_MS, "done": done, "most": _AT_ONCE, "ends": ends}
        own_keys = (self._keys.outbox(user_id), self._keys.passing_on(user_id))
        rows, _ = self._redis.run_script(user_script("pass_on").source, own_keys, (orjson.dumps(asked),))
        return rows or ()

    def _put(self, user_id: str, rows: Sequence[str]) -> list[str]:
        """Put rows into their queues, one queue after the other, and return those that need not be tried again.

        So a server that is away holds up its own queues alone.
        """
        by_queue: dict[tuple[str, str, str], list[str]] = {}
        for row in rows:
            stream, field, in_whose_order, _ = row.split(" ", 3)
            by_queue.setdefault((stream, field, in_whose_order), []).append(row)
        done = []
        for queue, some in by_queue.items():
            try:
                self._put_into(*queue, [row.split(" ", 3)[3] for row in some])
            except RedisError as error:
                _log_left(user_id, error)
            else:
                done += some
        return done

    def _put_into(self, stream: str, field: str, user_id: str, contents: Sequence[str]) -> None:
        """Put jobs into a queue, all or none. If its key is another application's, they are lost.

        The queue may be one that this process does not know, because it has other settings by now.
        """
        queue = self._known.get(stream)
        argument: dict[str, Any] = {"field": field, "user_id": user_id, "contents": contents}
        argument["max"] = queue.most_waiting if queue else MOST_WAITING
        try:
            lost, _ = self._redis.run_script(job_script("queue_rows").source, (stream,), (orjson.dumps(argument),))
        except RedisError as error:
            if not is_wrong_type(error):
                raise
            lost = len(contents)
        _note_lost(queue.name if queue else "unknown", int(lost))


def _described(addressee: Addressee) -> dict[str, Any]:
    """Return what a script has to know of a queue."""
    queue = addressee.queue
    takes = {"takes": dict.fromkeys(addressee.takes, True)} if addressee.takes is not None else {}
    return {
        "stream": queue.keys.waiting,
        "field": queue.field,
        "max": queue.most_waiting,
        "in_order": addressee.in_order,
        **takes,
    }


def _log_left(user_id: str, error: RedisError) -> None:
    log.warning("what is to be told of user %s stays in the outbox: %s", user_id, describe(error))


def _note_lost(name: str, count: int) -> None:
    if count:
        lost_jobs.note(name, count)
