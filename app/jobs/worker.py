"""A worker of a queue. It does one job after another, and retries each until it is done or has failed for a day.

The queue: stores/jobs.py. The only kind of worker so far: mail/delivery.py. Workers of gunicorn: serving/workers.py.
"""

import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from app.stores.connection.connect import StoreError
from app.stores.connection.refusals import describe
from app.stores.jobs import Job, JobQueue
from app.stores.scripts import ForeignKey

log = logging.getLogger(__name__)

FIRST_RETRY_S = 5
LAST_RETRY_S = 60 * 60
GIVEN_UP_AFTER_S = 24 * 60 * 60  # counted from the first failed attempt; the wait for a worker does not count
TAKEN_OVER_AFTER_S = 15 * 60  # longer than any attempt, so that only jobs of dead workers are taken over

_IDLE_S = 0.5  # between two polls; a blocking read would exceed the read time-out of a connection
_STORE_PAUSE_S = 1.0
_FIRST_RECEIVER_PAUSE_S = 1.0  # short, because usually the receiver is just restarting
_MAX_RECEIVER_PAUSE_S = 60.0

T = TypeVar("T")


class JobFailed(Exception):
    """An attempt failed.

    Attributes:
        reason: The text for the log: a class or a status, never an address or a secret.
        given_up_after_s: The job is given up at this failure if its first one was so long ago.
    """

    given_up_after_s = GIVEN_UP_AFTER_S

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


class JobWorker(ABC, Generic[T]):
    """A worker of a queue. Several can run, on any machine; each job is held by one worker at a time.

    A job is done at least once, because it is removed from the queue only after its success.
    """

    noun = "job"  # used in log lines, as in "a job is given up"
    receiver = "the receiver"

    def __init__(
        self,
        queue: JobQueue[T],
        clock: Callable[[], float] = time.time,
        taken_over_after_s: float = TAKEN_OVER_AFTER_S,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._taken_over_after_s = taken_over_after_s
        self._name = queue.new_worker()
        self._unsettled: Callable[[], None] | None = None
        self._store_state = _State("Redis", self.noun)
        self._receiver_state = _State(self.receiver, self.noun)
        self._receiver_pause_s = 0.0

    @abstractmethod
    def do(self, content: T) -> None:
        """Do a job.

        Raises:
            JobRefused: The job is given up.
            JobFailed: The job is retried, as after any other error.
            ReceiverAway: The job is retried, and all jobs wait a while.
        """

    def why_outdated(self, content: T) -> str | None:  # noqa: ARG002 - most kinds of jobs do not become outdated
        """Return why a job need not be done any more; None if it must still be done."""
        return None

    def is_decoy(self, content: T) -> bool:  # noqa: ARG002 - most kinds of jobs have none
        """Tell whether a job was only queued so that nobody can tell it from others. It is finished without a word."""
        return False

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

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. A job under way is finished first."""
        log.info("%ss are delivered from now on", self.noun)
        while not stop.is_set():
            pause_s = self._take_turn()
            if pause_s:
                self.close()
                stop.wait(pause_s)
        self._retire()
        log.info("the delivery of %ss has ended", self.noun)

    def deliver_due(self, stop: threading.Event) -> bool:
        """Do the jobs that are due now. Return False if Redis or the receiver is away."""
        pause_s = 0.0
        while not pause_s and not stop.is_set():
            pause_s = self._take_turn()
        self._retire()
        return self._store_state.is_well and self._receiver_state.is_well

    def _take_turn(self) -> float:
        """Do one job, if there is one. Return the seconds to pause before the next turn."""
        try:
            self._settle()
            self._queue.requeue_due()
            job = self._queue.take(self._name, self._taken_over_after_s)
            self._unsettled = self._attempt(job) if job else None
            self._settle()
        except StoreError as error:
            self._store_state.went_away(describe(error))
            return _STORE_PAUSE_S
        self._store_state.came_back()
        if not self._receiver_state.is_well:
            return self._receiver_pause_s
        return 0.0 if job else _IDLE_S

    def _settle(self) -> None:
        """Write the outcome of the last job to Redis.

        Until that works, no other job is taken, and this one is not done again.
        """
        if self._unsettled:
            self._unsettled()
            self._unsettled = None

    def _attempt(self, job: Job[T]) -> Callable[[], None]:
        """Try to do a job. Return a function that writes the outcome to Redis."""
        if job.content is None:
            return self._give_up(job, "it cannot be read")
        if self.is_decoy(job.content):
            return partial(self._queue.finish, job)
        if outdated := self.why_outdated(job.content):
            log.info("a %s is dropped, %s: %s", self.noun, outdated, self._describe(job))
            return partial(self._queue.finish, job)
        try:
            self.do(job.content)
        except ForeignKey as error:  # of one user; Redis is well
            return self._after_failure(job, error)
        except StoreError:
            raise
        except ReceiverAway as away:
            self._receiver_state.went_away(away.reason)
            pause_s = min(self._receiver_pause_s * 2 or _FIRST_RECEIVER_PAUSE_S, _MAX_RECEIVER_PAUSE_S)
            self._receiver_pause_s = max(pause_s, away.least_pause_s)
            return self._after_failure(job, away)
        except Exception as error:  # an error in one job must not stop the other jobs
            settle = self._after_failure(job, error)
        else:
            settle = partial(self._queue.finish, job)
        self._receiver_state.came_back()
        self._receiver_pause_s = 0.0
        return settle

    def _after_failure(self, job: Job[T], error: Exception) -> Callable[[], None]:
        failure = error if isinstance(error, JobFailed) else JobFailed(type(error).__name__)
        failing_s = 0 if job.failing_since is None else self._clock() - job.failing_since
        if isinstance(failure, JobRefused) or failing_s >= failure.given_up_after_s:
            return self._give_up(job, failure.reason)
        return self._retry_later(job, failure.reason)

    def _retry_later(self, job: Job[T], failure: str) -> Callable[[], None]:
        wait_s = min(FIRST_RETRY_S * 2 ** min(job.attempts, 16), LAST_RETRY_S)
        wait_s *= 1 - random.random() / 5  # noqa: S311 - jobs that failed together must not all be retried at once
        log.debug("a %s is tried again in %.0f s: %s, %s", self.noun, wait_s, self._describe(job), failure)
        return partial(self._queue.postpone, job, self._clock() + wait_s)

    def _give_up(self, job: Job[T], failure: str) -> Callable[[], None]:
        log.error("a %s is given up: %s, %d attempts, %s", self.noun, self._describe(job), job.attempts + 1, failure)
        return partial(self._queue.give_up, job, failure)

    def _describe(self, job: Job[T]) -> str:
        return f"entry {job.entry_id}" if job.content is None else self.describe(job.content)

    def _retire(self) -> None:
        self.close()
        try:
            self._settle()
            self._queue.retire(self._name)
        except StoreError as error:
            self._store_state.went_away(describe(error))


class _State:
    """The state of Redis or of a receiver: well or away. Only changes of the state are logged, not each failure."""

    def __init__(self, name: str, noun: str) -> None:
        self._name = name
        self._noun = noun
        self.is_well = True

    def went_away(self, reason: str) -> None:
        if self.is_well:
            log.warning("%s is away, %ss wait: %s", self._name, self._noun, reason)
        self.is_well = False

    def came_back(self) -> None:
        if not self.is_well:
            log.warning("%s is back", self._name)
        self.is_well = True
