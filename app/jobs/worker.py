"""A worker of a queue. It does one job after another, and retries each until it is done or has failed for too long.

The queue: stores/jobs.py. The worker of mails: mail/delivery.py. Workers of gunicorn: serving/workers.py.
"""

import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from app.jobs.bell import Bell
from app.jobs.receiver_state import ReceiverState
from app.stores.connection.connect import StoreError
from app.stores.connection.refusals import describe
from app.stores.job_records import Job, Settled
from app.stores.jobs import JobQueue, new_worker
from app.stores.scripts import ForeignKey

log = logging.getLogger(__name__)

TAKEN_OVER_AFTER_S = 15 * 60  # longer than any attempt to send a mail, so that only jobs of dead workers are taken over

_STORE_PAUSE_S = 1.0
_SEEN_EVERY_S = 20.0  # a queue at which nobody looks for a minute counts as one for which nobody delivers

T = TypeVar("T")


class JobFailed(Exception):
    """An attempt failed.

    Attributes:
        reason: The text for the log: a class or a status, never an address or a secret.
        given_up_after_s: The job is given up at this failure if its first one was so long ago; None for the worker's.
    """

    given_up_after_s: float | None = None

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ReceiverAway(JobFailed):
    """No job of this kind can succeed now, because the receiver is down or refuses the login.

    Attributes:
        least_pause_s: The receiver is left alone for at least so long.
    """

    least_pause_s = 0.0


class JobRefused(JobFailed):
    """This job will never succeed."""


class ReceiverGone(JobFailed):
    """The receiver wants no job any more. It is switched off until an operator switches it on."""


class JobWorker(ABC, Generic[T]):
    """A worker of a queue. Several can run, on any machine; each job is held by one worker at a time.

    A job is done at least once, because it is removed from the queue only after its success.

    Attributes:
        noun, one: Used in log lines, as in "a job is given up".
        first_retry_s, last_retry_s: How long a job waits after its first failure, and at most. Each wait is twice as
            long as the one before, less a fifth at random.
        given_up_after_s: Counted from the first failed attempt; the wait for a worker does not count.
        attempt_s: How long an attempt takes at most. None is made if less is left of the hold.
        idle_s: Between two looks at a queue without jobs. A blocking read would exceed a connection's time-out.
    """

    noun = "job"
    one = "a job"
    first_retry_s = 5.0
    last_retry_s = 60.0 * 60
    given_up_after_s = 24.0 * 60 * 60
    attempt_s = 0.0
    idle_s = 0.5

    def __init__(
        self,
        queue: JobQueue[T],
        receiver: ReceiverState,
        clock: Callable[[], float] = time.time,
        hold_s: float = TAKEN_OVER_AFTER_S,
    ) -> None:
        """
        Args:
            receiver: The state that all workers of this process share for a receiver.
            hold_s: How long this worker holds a job. If it has not settled it by then, another takes the job.
        """
        self._queue = queue
        self._receiver = receiver
        self._clock = clock
        self._hold_s = hold_s
        self._name = new_worker()
        self._unsettled: list[Settled[T]] = []
        self._untold: Callable[[], None] | None = None
        self._lost_reply = False
        self._is_prepared = False
        self._store_is_well = True

    @abstractmethod
    def do(self, job: Job[T], content: T) -> None:
        """Do a job.

        Raises:
            JobRefused: The job is given up.
            JobFailed: The job is retried, as after any other error.
            ReceiverAway: The job is retried, and all jobs wait a while.
            ReceiverGone: The job is retried once the receiver is switched on again.
        """

    def why_outdated(self, content: T) -> str | None:  # noqa: ARG002 - most kinds of jobs do not become outdated
        """Return why a job need not be done any more; None if it must still be done."""
        return None

    def is_decoy(self, content: T) -> bool:  # noqa: ARG002 - most kinds of jobs have none
        """Tell whether a job was only queued so that nobody can tell it from others. It is finished without a word."""
        return False

    def prepare(self) -> None:
        """Do what must be done before the first turn. StoreError lets it be tried again."""

    @abstractmethod
    def describe(self, content: T) -> str:
        """Return the name of a job in log lines."""

    def close(self) -> None:
        """Disconnect from the receiver. This is called before a pause and at the end."""

    def retry_dead(self) -> int:
        """Queue all given-up jobs again. Return their number.

        Raises:
            StoreError: Redis failed.
        """
        return self._queue.revive()

    def run(self, stop: threading.Event, bell: Bell | None = None) -> None:
        """Work until `stop` is set. A job under way is finished first.

        Args:
            bell: Rung by who knows of a new job, so that nobody waits for the end of a pause. It ends at the stop.
        """
        is_busy = False
        while not stop.is_set():
            pause_s = self._take_turn()
            if not pause_s:
                if bell and is_busy:
                    bell.ring()  # one job came right after another, so there may be some for others
                is_busy = True
                continue
            is_busy = False
            self.close()
            if bell and pause_s == self.idle_s:
                bell.wait(pause_s)
            else:
                stop.wait(pause_s)
        self._end()

    def deliver_due(self, stop: threading.Event) -> bool:
        """Do the jobs that are due now. Return False if Redis or the receiver is away."""
        pause_s = 0.0
        while not pause_s and not stop.is_set():
            pause_s = self._take_turn()
        self._end()
        return self._store_is_well and self._receiver.is_well

    def _take_turn(self) -> float:
        """Do one job, if there is one. Return the seconds to pause before the next turn."""
        wait_s = self._receiver.wait_s()
        try:
            if not self._is_prepared:
                self.prepare()
                self._is_prepared = True
            self._tell_state()
            began = time.monotonic()
            jobs = self._turn(want=0 if wait_s else 1)  # also in a pause, so that it is seen that somebody delivers
            if not jobs and not wait_s:
                self._receiver.made_no_attempt()
            for job in jobs:
                if time.monotonic() - began + self.attempt_s > self._hold_s:
                    continue  # the answer of Redis came so late that another worker may have the job soon
                self._unsettled = [self._attempt(job)]
            self._tell_state()
            if not self._receiver.is_well:
                self._settle()
        except StoreError as error:
            self._lost_reply = True
            self._store_went_away(error)
            return _STORE_PAUSE_S
        self._store_came_back()
        return min(wait_s, _SEEN_EVERY_S) or (0.0 if jobs else self.idle_s)

    def _turn(self, want: int) -> list[Job[T]]:
        """Settle what is done, and take jobs. Until that works, no other job is taken, and no job is done again."""
        early = not self._receiver.is_well  # so that its return is noticed, however long each job would wait
        jobs = self._queue.turn(
            self._name, self._unsettled, want, self._hold_s, lost_reply=self._lost_reply, early=early
        )
        self._unsettled, self._lost_reply = [], False
        return [*jobs]

    def _settle(self) -> None:
        """Settle what is done, and take no job."""
        if self._unsettled or self._lost_reply:
            self._turn(want=0)

    def _tell_state(self) -> None:
        """Note in the queue how the receiver is. If Redis fails, only this is tried again, and not the job."""
        if self._untold:
            self._untold()
            self._untold = None

    def _attempt(self, job: Job[T]) -> Settled[T]:
        """Try to do a job. Return what became of it."""
        if job.content is None:
            return self._give_up(job, "it cannot be read")
        if self.is_decoy(job.content):
            return Settled(job, "done")
        if outdated := self.why_outdated(job.content):
            log.info("%s is dropped, %s: %s", self.one, outdated, self._describe(job))
            return Settled(job, "done")
        return self._try(job, job.content)

    def _try(self, job: Job[T], content: T) -> Settled[T]:
        try:
            self.do(job, content)
        except ForeignKey as error:  # of one user; Redis is well
            return self._after_failure(job, error)
        except StoreError:
            raise
        except ReceiverGone as gone:
            log.error("%s wants no %ss any more and is switched off: %s", self._receiver.name, self.noun, gone.reason)
            self._untold = partial(self._queue.switch_off, gone.reason)
            return self._retry_later(job, gone.reason)
        except ReceiverAway as away:
            self._note_away(away.reason, away.least_pause_s)
            return self._after_failure(job, away)
        except Exception as error:  # an error in one job must not stop the other jobs
            if self._receiver.fails_always(job.user_id):
                self._note_away(f"every {self.noun} fails, the last one by {_reason_of(error)}", 0.0)
            elif self._receiver.answered():
                self._untold = self._queue.note_back
            return self._after_failure(job, error)
        if self._receiver.succeeded():
            self._untold = self._queue.note_back
        return Settled(job, "done")

    def _note_away(self, reason: str, least_pause_s: float) -> None:
        if self._receiver.went_away(reason, least_pause_s):
            self._untold = partial(self._queue.note_away, reason)

    def _after_failure(self, job: Job[T], error: Exception) -> Settled[T]:
        failure = error if isinstance(error, JobFailed) else JobFailed(_reason_of(error))
        failing_s = 0 if job.failing_since is None else self._clock() - job.failing_since
        given_up_after_s = self.given_up_after_s if failure.given_up_after_s is None else failure.given_up_after_s
        if isinstance(failure, JobRefused) or failing_s >= given_up_after_s:
            return self._give_up(job, failure.reason)
        return self._retry_later(job, failure.reason)

    def _retry_later(self, job: Job[T], failure: str) -> Settled[T]:
        wait_s = min(self.first_retry_s * 2 ** min(job.attempts, 16), self.last_retry_s)
        wait_s *= 1 - random.random() / 5  # noqa: S311 - jobs that failed together must not all be retried at once
        log.debug("%s is tried again in %.0f s: %s, %s", self.one, wait_s, self._describe(job), failure)
        return Settled(job, "postponed", self._clock() + wait_s, failure)

    def _give_up(self, job: Job[T], failure: str) -> Settled[T]:
        log.error("%s is given up: %s, %d attempts, %s", self.one, self._describe(job), job.attempts + 1, failure)
        return Settled(job, "dead", failure=failure)

    def _describe(self, job: Job[T]) -> str:
        return f"entry {job.entry_id}" if job.content is None else self.describe(job.content)

    def _end(self) -> None:
        self.close()
        try:
            self._settle()
        except StoreError as error:
            self._store_went_away(error)

    def _store_went_away(self, error: StoreError) -> None:
        if self._store_is_well:
            log.warning("Redis is away, %ss wait: %s", self.noun, describe(error))
        self._store_is_well = False

    def _store_came_back(self) -> None:
        if not self._store_is_well:
            log.warning("Redis is back")
        self._store_is_well = True


def _reason_of(error: Exception) -> str:
    return error.reason if isinstance(error, JobFailed) else type(error).__name__
