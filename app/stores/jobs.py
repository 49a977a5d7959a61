"""Queues of jobs in Redis: mails (mail.py), and events to each receiver.

A queue keeps each job until it is done or given up. Jobs of one user are done in order: what a worker takes is the
oldest job of its user, and whatever else waits for that user is behind it. Jobs may also be queued in no order. How a
worker does the jobs: jobs/worker.py. What a job is: job_records.py.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Generic, TypeVar

import orjson
from redis import ResponseError

from app.stores.connection.client import RedisClient
from app.stores.connection.node import RedisCommand
from app.stores.connection.refusals import is_wrong_type
from app.stores.foreign import read_json
from app.stores.job_records import Job, Kept, Queue, QueueStatus, Settled
from app.stores.lifetimes import RETENTION_S
from app.stores.lua import job_script

_MOST_DEAD = 10_000
_READ_AT_ONCE = 1000

T = TypeVar("T")


@contextmanager
def no_job_in_foreign_key() -> Iterator[None]:
    """Pass over a key of another type: it is another application's, so it has no jobs."""
    try:
        yield
    except ResponseError as refused:
        if not is_wrong_type(refused):
            raise


class JobQueue(Generic[T]):
    """A queue of jobs for any number of workers. redis.RedisError is not caught here.

    A worker holds what it takes for some time. If it dies, another takes the job after that.
    """

    def __init__(
        self,
        redis: RedisClient,
        queue: Queue,
        read: Callable[[bytes], T],
        clock: Callable[[], float] = time.time,
        retention_s: int = RETENTION_S,
    ) -> None:
        """
        Args:
            read: Parses content; raises KeyError, TypeError or ValueError if it cannot.
            retention_s: How long jobs are kept after they were given up.
        """
        self.queue = queue
        self._redis = redis
        self._read = read
        self._clock = clock
        self._retention_s = retention_s

    def put(self, content: bytes, user_id: str, *beside: RedisCommand) -> int:
        """Queue a job, and send further commands in one trip with it. Return how many waiting jobs are lost by it.

        Args:
            user_id: In whose order it is done; "" for no order.
        """
        queue = self.queue
        args = (queue.field, content, user_id, queue.most_waiting)
        script = job_script("put_job").source
        lost, *_ = self._redis.write(("EVAL", script, 1, queue.keys.waiting, *args), *beside)
        return int(lost)

    def turn(
        self,
        worker: str,
        settled: Sequence[Settled[T]],
        want: int,
        hold_s: float,
        *,
        lost_reply: bool = False,
        early: bool = False,
    ) -> Sequence[Job[T]]:
        """Settle jobs, and take the next ones, in one trip.

        Args:
            worker: A name that no other worker has (`new_worker`).
            want: How many jobs to take at most.
            hold_s: How long they are held.
            lost_reply: The reply of an earlier turn was lost, so this worker may hold jobs that it does not know of.
            early: If no job is due, take one that failed and is tried again later.
        """
        now = self._clock()
        argument = {
            "now": now,
            "until": now + hold_s,
            "want": want,
            "worker": worker,
            "lost_reply": lost_reply,
            "early": early,
            "settled": [self._as_argument(one, now) for one in settled],
        }
        rows = self._run_script("turn", argument, decoded=False)
        return [self._parse_job(*row) for row in rows]

    def status(self) -> QueueStatus:
        keys = self.queue.keys
        waiting, oldest, dead, state = self._redis.read_own(
            ("XLEN", keys.waiting),
            ("XRANGE", keys.waiting, "-", "+", "COUNT", 1),
            ("XLEN", keys.dead),
            ("HGETALL", keys.state),
        )
        found = dict(zip((state or ())[::2], (state or ())[1::2], strict=True))
        return QueueStatus(
            waiting or 0,
            _time_of(oldest[0][0]) if oldest else None,
            dead or 0,
            _number(found.get("turned_at")),
            delivered=int(_number(found.get("delivered")) or 0),
            failed=int(_number(found.get("failed")) or 0),
            given_up=int(_number(found.get("given_up")) or 0),
            away_since=_number(found.get("away_since")),
            failure=found.get("failure", "") if {"away_since", "off_since"} & found.keys() else "",
            off_since=_number(found.get("off_since")),
        )

    def note_away(self, failure: str) -> None:
        """Note that the receiver is away, for who looks at the queue."""
        self._redis.write(("HSET", self.queue.keys.state, "away_since", repr(self._clock()), "failure", failure))

    def note_back(self) -> None:
        """Note that the receiver is back, and let all jobs that failed be tried again at once."""
        self._redis.write(("HDEL", self.queue.keys.state, "away_since"))
        self.hurry()

    def hurry(self) -> None:
        """Let all jobs that failed be tried again at once."""
        self._run_script("hurry_jobs", {"now": self._clock()})

    def switch_off(self, failure: str) -> None:
        """Let no worker take a job any more, until `switch_on`. Jobs still come, and wait."""
        self._redis.write(("HSET", self.queue.keys.state, "off_since", repr(self._clock()), "failure", failure))

    def switch_on(self) -> None:
        """Let workers take jobs again. Whether the receiver is away is for them to find out."""
        self._redis.write(("HDEL", self.queue.keys.state, "off_since"))

    def waiting(self, count: int, user_id: str | None = None) -> Sequence[Kept]:
        """Return the oldest jobs that wait, of all or of one user."""
        found = self._first(self.queue.keys.waiting, count, user_id)
        users = [kept.user_id or kept.entry_id for kept in found]
        [rows] = self._redis.read(("HMGET", self.queue.keys.open, *users)) if users else [[]]
        return [_with_failure(kept, row) for kept, row in zip(found, rows, strict=True)]

    def dead(self, count: int, user_id: str | None = None) -> Sequence[Kept]:
        """Return the oldest jobs that were given up, of all or of one user."""
        return self._first(self.queue.keys.dead, count, user_id)

    def revive(self, entry_id: str | None = None) -> int:
        """Queue given-up jobs as new jobs: all, or one. Return their number. Jobs whose content is missing are left."""
        if entry_id:
            return int(self._run_script("revive_jobs", {"after": "0-0", "only": entry_id})[1])
        count, last = 0, "0-0"
        while last:
            last, queued = self._run_script("revive_jobs", {"after": last})
            count += queued
        return count

    def discard(self, mark: str) -> None:
        """Delete every job whose content contains this text, waiting and dead. This reads all jobs."""
        for stream in (self.queue.keys.waiting, self.queue.keys.dead):
            with no_job_in_foreign_key():
                for entries in self._chunks(stream):
                    marked = [one.entry_id for one in entries if mark.encode() in one.content]
                    if marked:
                        self._redis.write(("XDEL", stream, *marked))

    def is_there(self) -> bool:
        """Tell whether anything is kept of the queue."""
        return any(self._redis.read(*(("EXISTS", key) for key in self.queue.keys.all())))

    def drop(self) -> None:
        """Delete the queue, with all that waits."""
        self._redis.write(*(("DEL", key) for key in self.queue.keys.all()))

    def _first(self, stream: str, count: int, user_id: str | None) -> Sequence[Kept]:
        found: list[Kept] = []
        for entries in self._chunks(stream):
            found += [one for one in entries if user_id in (None, one.user_id)]
            if len(found) >= count:
                break
        return found[:count]

    def _chunks(self, stream: str) -> Iterator[Sequence[Kept]]:
        last = "-"
        # Read as bytes, because other programs may have written invalid text.
        while entries := self._redis.write_bytes(("XRANGE", stream, last, "+", "COUNT", _READ_AT_ONCE))[0]:
            last = f"({entries[-1][0].decode()}"
            yield [self._parse_kept(entry_id, dict(zip(row[::2], row[1::2], strict=True))) for entry_id, row in entries]

    def _parse_kept(self, entry_id: bytes, row: Mapping[bytes, bytes]) -> Kept:
        text = {
            name: row.get(name.encode(), b"").decode("utf-8", "replace") for name in ("user", "failure", "attempts")
        }
        attempts = int(text["attempts"]) if text["attempts"].isdecimal() else 0
        content = row.get(self.queue.field.encode(), b"")
        return Kept(entry_id.decode(), text["user"], _time_of(entry_id.decode()), content, attempts, text["failure"])

    def _run_script(self, script: str, argument: dict[str, Any], *, decoded: bool = True) -> Any:
        queue = self.queue
        context = {
            "field": queue.field,
            "max": queue.most_waiting,
            "max_dead": _MOST_DEAD,
            "retention_s": self._retention_s,
        }
        args = (orjson.dumps(context), orjson.dumps(argument))
        reply, _ = self._redis.run_script(job_script(script).source, queue.keys.all(), args, decoded=decoded)
        return reply

    def _as_argument(self, settled: Settled[T], now: float) -> Mapping[str, Any]:
        job = settled.job
        named = {"user": job.user_id, "id": job.entry_id, "hold": job.hold, "outcome": settled.outcome}
        if settled.outcome == "done":
            return named
        failing_since = now if job.failing_since is None else job.failing_since
        failed = {"attempts": job.attempts + 1, "failing_since": failing_since}
        return named | failed | {"due_at": settled.due_at, "failure": settled.failure}

    def _parse_job(
        self, entry_id: bytes, user: bytes, hold: int, attempts: int, failing_since: bytes, content: bytes
    ) -> Job[T]:
        named = (entry_id.decode(), user.decode(), hold)
        since = float(failing_since) if failing_since else None
        try:
            return Job(*named, self._read(content), attempts, since)
        except (KeyError, TypeError, ValueError):
            return Job(*named, None, attempts, since)


def new_worker() -> str:
    """Return a name that no other worker ever has."""
    return secrets.token_hex(8)


def _with_failure(kept: Kept, open_job: str | None) -> Kept:
    """Return a job that waits with what is known of its attempts, if it is the open one of its user."""
    row = read_json(open_job)
    if row.get("id") != kept.entry_id:
        return kept
    return replace(kept, attempts=int(row.get("attempts", 0)), failure=str(row.get("failure", "")))


def _time_of(entry_id: str) -> float:
    return int(entry_id.partition("-")[0]) / 1000


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:  # another program wrote it
        return None
