"""Failing at once while a server does not answer, instead of holding up each request until its time is over."""

import logging
import threading
import time
from collections.abc import Callable

from redis import ConnectionError as ConnectionBroken

log = logging.getLogger(__name__)

_PROBE_EVERY_S = 0.02
_GRACE_S = 0.25


class NothingSent(ConnectionBroken):
    """There was no server to send it to, so it has not happened."""


class CircuitOpen(NothingSent):
    """The server did not answer lately."""


class Circuit:
    """Open while a server is known not to answer.

    It opens with whoever waited in vain. A thread of its own then asks until there is an answer, and closes it. Whoever
    comes meanwhile waits a moment for that, so that nobody is refused by a server that is back already. A server that
    refuses connections fails at once by itself and opens nothing.
    """

    def __init__(self, probe: Callable[[], None]) -> None:
        """probe: asks the server for a sign of life; raises where there is none"""
        self._probe = probe
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._closed.set()
        self._is_given_up = False
        self._problem = ""

    @property
    def is_open(self) -> bool:
        return not self._closed.is_set()

    def require_closed(self) -> None:
        """Raises: CircuitOpen"""
        if not self._closed.is_set() and not self._closed.wait(_GRACE_S):
            raise CircuitOpen(f"the server does not answer: {self._problem}")

    def open(self, problem: str) -> None:
        """problem: what whoever waited was told"""
        with self._lock:
            if self.is_open or self._is_given_up:
                return
            self._problem = problem
            self._closed.clear()
            try:
                threading.Thread(target=self._close_once_it_answers, daemon=True).start()
            except RuntimeError:  # no thread is to be had, so nobody would close it
                self._closed.set()
                return
        log.warning("redis does not answer, all that needs it is refused until it does: %s", problem)

    def give_up(self) -> None:
        """Ask no more: nobody needs this server any longer."""
        self._is_given_up = True

    def _close_once_it_answers(self) -> None:
        while not self._is_given_up:
            try:
                self._probe()
            except Exception:  # whatever it was, it was no answer
                time.sleep(_PROBE_EVERY_S)
            else:
                log.warning("redis answers again")
                break
        self._closed.set()
