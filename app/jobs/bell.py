"""Calls a worker that waits for a job: one for each job that may be there."""

import threading


class Bell:
    """Shared by the workers of one process for a queue. Who rings wakes one of them, and not all."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_rung = False
        self._is_over = False

    def ring(self) -> None:
        """Let one worker look at the queue: one that waits, or the next that would."""
        with self._changed:
            self._is_rung = True
            self._changed.notify()

    def end(self) -> None:
        """Let no worker wait any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Return when the bell rings, or after some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_rung or self._is_over, timeout_s)
            self._is_rung = False
