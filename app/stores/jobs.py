"""Queues of jobs in Redis: one worker takes a job, and retries it or gives it up. The only kind so far: mail.py.

How a worker does the jobs: jobs/worker.py.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from redis import ResponseError

from app.stores.connection.client import RedisClient
from app.stores.connection.node import RedisCommand
from app.stores.connection.refusals import is_wrong_type
from app.stores.lifetimes import RETENTION_S
from app.stores.lua import job_script

_READ_AT_ONCE = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Queue:
    """The keys and bounds of one kind of jobs.

    Attributes:
        ready: Stream of the jobs that are due. This key and the next two share a hash tag, so they are in one slot.
        later: Sorted set of jobs that failed, scored by the time when they are due again (Unix s).
        dead: Stream of jobs that were given up.
        group: Consumer group of the workers.
        content: The name of the field with a job's content.
        max_ready: About how many jobs are kept in `ready`. If there are more, the oldest are lost.
        max_dead: About how many jobs are kept in `dead`. If there are more, the oldest are lost.
    """

    ready: str
    later: str
    dead: str
    group: str
    content: str
    max_ready: int
    max_dead: int = 10_000


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A job that a worker has taken.

    Attributes:
        entry_id: Id of its entry in the stream.
        content: None if it cannot be read.
        attempts: The number of failed attempts.
        failing_since: When the first attempt failed (Unix s); None before that.
    """

    entry_id: str
    content: T | None
    attempts: int = 0
    failing_since: float | None = None


@contextmanager
def _no_job_in_foreign_key() -> Iterator[None]:
    """Pass over a key of another type: it is another application's, so it has no jobs."""
    try:
        yield
    except ResponseError as refused:
        if not is_wrong_type(refused):
            raise


class JobQueue(Generic[T]):
    """A queue of jobs. A worker takes one job at a time, and then finishes it, postpones it or gives it up.

    If a worker dies with a job, another worker takes the job over. If the consumer group is gone, alone or with all
    data, it is made again. redis.RedisError is not caught here.
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
        self._redis = redis
        self._queue = queue
        self._read = read
        self._clock = clock
        self._retention_s = retention_s

    def put(self, content: bytes, *beside: RedisCommand) -> None:
        """Queue a job, and send further commands in one trip with it."""
        queue = self._queue
        row = ("attempts", 0, queue.content, content)
        self._redis.write(("XADD", queue.ready, "MAXLEN", "~", queue.max_ready, "*", *row), *beside)

    def new_worker(self) -> str:
        """Return a name that no other worker ever has."""
        return secrets.token_hex(8)

    def take(self, worker: str, idle_s: float) -> Job[T] | None:
        """Take the next job for a worker that has no job now.

        The order is: first a job that this worker took before, when the reply of Redis was lost; then a job that
        another worker took at least `idle_s` ago and has not settled; then a job that no worker has taken.
        """
        return self._take_new(worker, "0") or self._take_over(worker, idle_s) or self._take_new(worker, ">")

    def finish(self, job: Job[T]) -> None:
        """Remove a job that is done or need not be done."""
        self._run_script("finish_job", self._queue.later, {"id": job.entry_id})

    def postpone(self, job: Job[T], due_at: float) -> None:
        """Postpone a job until `due_at` (Unix seconds), after a failed attempt."""
        failing_since = self._clock() if job.failing_since is None else job.failing_since
        argument = {"id": job.entry_id, "due_at": due_at, "attempts": job.attempts + 1}
        self._run_script("postpone_job", self._queue.later, argument | {"failing_since": f"{failing_since:.3f}"})

    def requeue_due(self) -> None:
        """Queue postponed jobs that are due again, a hundred at most."""
        self._run_script("requeue_jobs", self._queue.later, {"now": self._clock()})

    def give_up(self, job: Job[T], failure: str) -> None:
        """Give a job up after a failed attempt, and keep it in the stream `dead`."""
        oldest = str(int((self._clock() - self._retention_s) * 1000))
        argument = {"id": job.entry_id, "attempts": job.attempts + 1, "failure": failure}
        self._run_script(
            "give_up_job", self._queue.dead, argument | {"oldest": oldest, "retention_s": self._retention_s}
        )

    def revive(self) -> int:
        """Queue all given-up jobs as new jobs, and return their number. Jobs whose content is missing are left."""
        count, last = 0, "0-0"
        while last:
            last, queued = self._run_script("revive_jobs", self._queue.dead, {"after": last})
            count += queued
        return count

    def retire(self, worker: str) -> None:
        """Remove a worker that has ended. If it still has jobs, it is kept, so that others can take them over."""
        queue = self._queue
        try:
            [pending] = self._redis.read(("XPENDING", queue.ready, queue.group, "-", "+", 1, worker))
            if not pending:
                self._redis.write(("XGROUP", "DELCONSUMER", queue.ready, queue.group, worker))
        except ResponseError:  # the group is gone, and so is the worker
            return

    def discard(self, mark: str) -> None:
        """Delete every job whose content contains this text: in `ready`, `later` and `dead`. This reads all jobs."""
        for stream in (self._queue.ready, self._queue.dead):
            with _no_job_in_foreign_key():
                self._discard_from_stream(stream, mark.encode())
        with _no_job_in_foreign_key():
            self._discard_postponed(mark)

    def _discard_postponed(self, mark: str) -> None:
        cursor = "0"
        while True:
            scan = ("ZSCAN", self._queue.later, cursor, "MATCH", f"*{mark}*", "COUNT", _READ_AT_ONCE)
            [(cursor, scored)] = self._redis.read(scan)
            if scored:
                self._redis.write(("ZREM", self._queue.later, *scored[::2]))
            if cursor == "0":
                break

    def _discard_from_stream(self, stream: str, mark: bytes) -> None:
        last = "-"
        while entries := self._send("XRANGE", stream, last, "+", "COUNT", _READ_AT_ONCE):
            last = f"({entries[-1][0].decode()}"
            marked = [entry_id for entry_id, row in entries if any(mark in value for value in row[1::2])]
            if marked:
                self._redis.write(("XDEL", stream, *marked))

    def _run_script(self, script: str, other_key: str, argument: dict[str, Any]) -> Any:
        queue = self._queue
        context = {
            "group": queue.group,
            "content": queue.content,
            "max_ready": queue.max_ready,
            "max_dead": queue.max_dead,
        }
        args = (orjson.dumps(context), orjson.dumps(argument))
        reply, _ = self._redis.run_script(job_script(script).source, (queue.ready, other_key), args)
        return reply

    def _take_new(self, worker: str, after: str) -> Job[T] | None:
        """
        Args:
            after: ">" for a job that no worker has taken, "0" for a job that this worker took.
        """
        queue = self._queue
        streams = self._send("XREADGROUP", "GROUP", queue.group, worker, "COUNT", 1, "STREAMS", queue.ready, after)
        return self._parse_job(*streams[0][1][0]) if streams and streams[0][1] else None

    def _take_over(self, worker: str, idle_s: float) -> Job[T] | None:
        queue, cursor = self._queue, b"0-0"
        while True:
            command = ("XAUTOCLAIM", queue.ready, queue.group, worker, int(idle_s * 1000), cursor, "COUNT", 1)
            cursor, entries, *_ = self._send(*command)
            if entries:
                return self._parse_job(*entries[0])
            if cursor == b"0-0":
                return None

    def _send(self, *command: str | int | bytes) -> Any:
        """Return the reply as bytes, because other programs may have written invalid text into the stream."""
        try:
            [reply] = self._redis.write_bytes(command)
        except ResponseError:
            if not self._make_group():
                raise
            [reply] = self._redis.write_bytes(command)
        return reply

    def _make_group(self) -> bool:
        """Make the consumer group; False if it exists. It begins with the oldest job, so that no job is lost."""
        try:
            self._redis.write(("XGROUP", "CREATE", self._queue.ready, self._queue.group, "0", "MKSTREAM"))
        except ResponseError as refused:
            if str(refused).startswith("BUSYGROUP"):
                return False
            raise
        return True

    def _parse_job(self, entry_id: bytes, fields: Sequence[bytes] | None) -> Job[T]:
        """
        Args:
            fields: Names and values in turn; None if the entry was deleted after the worker took it.
        """
        row = dict(zip((fields or ())[::2], (fields or ())[1::2], strict=True))
        try:
            content = self._read(row[self._queue.content.encode()])
            failing_since = float(row[b"failing_since"]) if b"failing_since" in row else None
            return Job(entry_id.decode(), content, int(row[b"attempts"]), failing_since)
        except (KeyError, TypeError, ValueError):
            return Job(entry_id.decode(), None)
