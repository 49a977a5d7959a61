"""Whether the receiver of a queue is well or away, as the workers of one process see it."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 1.0  # short, because usually the receiver is just restarting
_LONGEST_PAUSE_S = 60.0


class ReceiverState:
    """While the receiver is away, one attempt is made after each pause, by one worker.

    Only changes of the state are logged, not each failure.
    """

    def __init__(
        self, name: str, noun: str, clock: Callable[[], float], failures_that_are_all: int | None = None
    ) -> None:
        """
        Args:
            name, noun: For log lines, as in "the mail server is away, mails wait".
            failures_that_are_all: If the jobs of so many users fail in a row, it is the receiver, not a job. None for
                no such number.
        """
        self.name, self._noun = name, noun
        self._clock = clock
        self._lock = threading.Lock()
        self._failures_that_are_all = failures_that_are_all
        self._failed_in_row: set[str] = set()
        self._pause_s = 0.0
        self._next_attempt_at = 0.0
        self.is_well = True

    def wait_s(self) -> float:
        """Return for how long the calling worker must leave the receiver alone; 0 lets it make an attempt now."""
        with self._lock:
            wait_s = self._next_attempt_at - self._clock()
            if self.is_well or not 0 < wait_s <= self._pause_s:  # more than the pause if the clock was set back
                self._next_attempt_at = self._clock() + self._pause_s  # for all others, until this one has an answer
                return 0.0
            return wait_s

    def made_no_attempt(self) -> None:
        """Note that the worker that might have made an attempt had no job for it, so that the next worker may."""
        with self._lock:
            self._next_attempt_at = self._clock()

    def went_away(self, reason: str, least_pause_s: float = 0.0) -> bool:
        """Note that the receiver is away. Return True if it was well before."""
        with self._lock:
            was_well, self.is_well = self.is_well, False
            longer_s = min(self._pause_s * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
            self._pause_s = max(longer_s, least_pause_s)
            self._next_attempt_at = self._clock() + self._pause_s
        if was_well:
            log.warning("%s is away, %ss wait: %s", self.name, self._noun, reason)
        return was_well

    def fails_always(self, user_id: str) -> bool:
        """Note that a job of this user failed. Return True if so many failed in a row that it is the receiver."""
        with self._lock:
            most = self._failures_that_are_all
            if most is None:
                return False
            self._failed_in_row.add(user_id)
            return len(self._failed_in_row) >= most

    def succeeded(self) -> bool:
        """Note that a job was done. Return True if the receiver was away before."""
        with self._lock:
            self._failed_in_row.clear()
        return self.answered()

    def answered(self) -> bool:
        """Note that the receiver is there, even if a job failed. Return True if it was away before."""
        with self._lock:
            was_well, self.is_well = self.is_well, True
            self._pause_s = 0.0
        if not was_well:
            log.warning("%s is back", self.name)
        return not was_well
