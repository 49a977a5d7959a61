"""A circuit breaker: while a server does not answer, requests fail at once instead of waiting until they time out."""

import logging
import threading
import time
from collections.abc import Callable

from redis import ConnectionError as ConnectionBroken

log = logging.getLogger(__name__)

_PROBE_EVERY_S = 0.02
_GRACE_S = 0.25


class NothingSent(ConnectionBroken):
    """No server could be reached, so the command was not sent."""


class CircuitOpen(NothingSent):
    """Nothing was sent, because the server did not answer lately."""


class Circuit:
    """A circuit that is open while a server does not answer.

    A request that waited in vain opens the circuit. A thread then asks the server until it answers, and closes the
    circuit. While it is open, a request waits briefly for it to close, in case the server has just come back. A refused
    connection fails at once, so it need not open the circuit.
    """

    def __init__(self, probe: Callable[[], None]) -> None:
        """
        Args:
            probe: Asks the server for any answer; raises if there is no answer.
        """
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
        """Raise CircuitOpen if the circuit is open and does not close within a short time."""
        if not self._closed.is_set() and not self._closed.wait(_GRACE_S):
            raise CircuitOpen(f"the server does not answer: {self._problem}")

    def open(self, problem: str) -> None:
        """Open the circuit, and start the thread that closes it.

        Args:
            problem: The error of the request, for messages.
        """
        with self._lock:
            if self.is_open or self._is_given_up:
                return
            self._problem = problem
            self._closed.clear()
            try:
                threading.Thread(target=self._close_once_it_answers, daemon=True).start()
            except RuntimeError:  # no thread can be started, so nothing would close the circuit
                self._closed.set()
                return
        log.warning("redis does not answer, all that needs it is refused until it does: %s", problem)

    def give_up(self) -> None:
        """Stop asking, because this server is no longer needed."""
        self._is_given_up = True

    def _close_once_it_answers(self) -> None:
        while not self._is_given_up:
            try:
                self._probe()
            except Exception:  # any error counts as no answer
                time.sleep(_PROBE_EVERY_S)
            else:
                log.warning("redis answers again")
                break
        self._closed.set()
