"""Passwords: which are accepted, and their hashes, never more than a set few computed at once.

bcrypt takes a quarter of a second of a core. It lets go of Python's lock, so here it runs in threads of its own
that the system serves after the others: a flood of logins waits in a short queue and the other requests overtake it.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import bcrypt

from app.errors import Unavailable
from app.watch import metrics

MIN_LENGTH = 8
MAX_BYTES = 72  # bcrypt reads no further
MIN_ROUNDS, MAX_ROUNDS = 4, 16  # the costs of a hash; each more takes twice as long, and 16 takes seconds
_NICENESS = 5  # behind whoever is signed in, but not so far that they can starve a sign-in
_LONGEST_WAIT_S = 15
_ANY_HASH = "." * 53  # what a hash has behind its cost; no password is known to give it

T = TypeVar("T")


def _load_common() -> frozenset[str]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


_COMMON = _load_common()


def is_common(password: str) -> bool:
    """Among the 3,000 most common of 8 characters or more, in whatever case."""
    return password.lower() in _COMMON


class Passwords:
    """Hashes and verifies; raises errors.Unavailable where the queue is full or a turn does not come in time."""

    def __init__(self, rounds: int, concurrency: int, queue: int) -> None:
        self._rounds = rounds
        self._places = threading.BoundedSemaphore(concurrency + queue)
        self._threads = ThreadPoolExecutor(concurrency, "bcrypt", initializer=_yield_to_others)
        self._dummy = f"$2b${rounds:02}${_ANY_HASH}"

    def hash(self, password: str) -> str:
        """password: at most 72 bytes in UTF-8."""
        return self._run_in_turn(lambda: bcrypt.hashpw(password.encode(), bcrypt.gensalt(self._rounds))).decode()

    def verify(self, password: str, hashed: str | None) -> bool:
        """Check against a hash. None, for an account that does not exist, takes the same work and says no."""
        raw = password.encode()
        acceptable = hashed is not None and len(raw) <= MAX_BYTES
        target = hashed if hashed is not None and acceptable else self._dummy
        matches = self._run_in_turn(lambda: bcrypt.checkpw(raw[:MAX_BYTES], target.encode()))
        return matches and acceptable

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash has another cost than is set now, which its time tells: $2b$<cost>$<salt and hash>."""
        return int(hashed.split("$")[2]) != self._rounds

    def _run_in_turn(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            metrics.BCRYPT_REFUSED.inc()
            raise Unavailable
        try:
            turn = self._submit(work)
            try:
                return turn.result(_LONGEST_WAIT_S)
            except TimeoutError:
                if turn.cancel():
                    metrics.BCRYPT_WAITING.dec()
                    metrics.BCRYPT_REFUSED.inc()
                    raise Unavailable from None
                return turn.result()
        finally:
            self._places.release()

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        metrics.BCRYPT_WAITING.inc()
        try:
            return self._threads.submit(_run_measured, work, time.perf_counter())
        except RuntimeError:  # the process ends, and takes no more work
            metrics.BCRYPT_WAITING.dec()
            raise Unavailable from None


def _run_measured(work: Callable[[], T], asked_at: float) -> T:
    metrics.BCRYPT_WAITING.dec()
    metrics.BCRYPT_WAIT_SECONDS.observe(time.perf_counter() - asked_at)
    with metrics.BCRYPT_RUNNING.track_inprogress(), metrics.BCRYPT_SECONDS.time():
        return work()


def _yield_to_others() -> None:
    # On Linux a nice value belongs to a thread, elsewhere to the whole process: only there may it be raised.
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
