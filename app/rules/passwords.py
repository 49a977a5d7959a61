"""Passwords: the limits on new passwords, and bcrypt hashes. Only a few hashes are computed at once.

One hash takes a quarter of a second of a core. bcrypt releases Python's lock meanwhile, so it runs in threads of its
own, with a lower priority. If many logins come, they wait in a short queue, and other requests go first.
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
MAX_BYTES = 72  # bcrypt reads only so many bytes
MIN_ROUNDS, MAX_ROUNDS = 4, 16  # the costs of a hash; each step doubles the time, and 16 takes seconds
_NICENESS = 5  # lower than for other requests, but not so low that these could block a sign-in
_LONGEST_WAIT_S = 15
_ANY_HASH = "." * 53  # the salt and hash of a dummy, for which no password is known

T = TypeVar("T")


def _load_common() -> frozenset[str]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


_COMMON = _load_common()


def is_common(password: str) -> bool:
    """Tell whether a password is among the 3,000 most common of 8 characters or more. Case is ignored."""
    return password.lower() in _COMMON


class Passwords:
    """Hashes and verifies passwords.

    `hash` and `verify` raise errors.Unavailable if the queue is full, or if their turn does not come within 15 seconds.
    """

    def __init__(self, rounds: int, concurrency: int, queue: int) -> None:
        self._rounds = rounds
        self._places = threading.BoundedSemaphore(concurrency + queue)
        self._threads = ThreadPoolExecutor(concurrency, "bcrypt", initializer=_yield_to_others)
        self._dummy = f"$2b${rounds:02}${_ANY_HASH}"

    def hash(self, password: str) -> str:
        """Hash a password.

        Args:
            password: At most 72 bytes in UTF-8.
        """
        return self._run_in_turn(lambda: bcrypt.hashpw(password.encode(), bcrypt.gensalt(self._rounds))).decode()

    def verify(self, password: str, hashed: str | None) -> bool:
        """Tell whether a password belongs to a hash.

        Args:
            hashed: None for an account that does not exist. Then the check takes equal work, and fails.
        """
        raw = password.encode()
        acceptable = hashed is not None and len(raw) <= MAX_BYTES
        target = hashed if hashed is not None and acceptable else self._dummy
        matches = self._run_in_turn(lambda: bcrypt.checkpw(raw[:MAX_BYTES], target.encode()))
        return matches and acceptable

    def is_outdated(self, hashed: str) -> bool:
        """Tell whether a hash has another cost than new hashes.

        Verifying it takes longer or shorter than for an unknown account, which would reveal that the account exists. So
        it is renewed.
        """
        # The form of a hash is $2b$<cost>$<salt and hash>.
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
        except RuntimeError:  # the process is ending and accepts no more work
            metrics.BCRYPT_WAITING.dec()
            raise Unavailable from None


def _run_measured(work: Callable[[], T], asked_at: float) -> T:
    metrics.BCRYPT_WAITING.dec()
    metrics.BCRYPT_WAIT_SECONDS.observe(time.perf_counter() - asked_at)
    with metrics.BCRYPT_RUNNING.track_inprogress(), metrics.BCRYPT_SECONDS.time():
        return work()


def _yield_to_others() -> None:
    # On Linux a nice value belongs to a thread. Elsewhere it belongs to the process, and would slow down all threads.
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
