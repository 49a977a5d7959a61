"""Counts jobs that are lost, because a queue is too long or cannot be written, and says so once in a minute."""

import logging
import time
from collections import Counter
from threading import Lock

from app.watch import metrics

log = logging.getLogger(__name__)

_EVERY_S = 60

_lock = Lock()
_untold: Counter[str] = Counter()
_told_at = -float(_EVERY_S)


def note(queue: str, count: int) -> None:
    """Count jobs of a queue that are lost.

    Args:
        queue: "mail", or the id of a receiver of events.
    """
    global _told_at
    metrics.JOBS_LOST.labels(queue).inc(count)
    with _lock:
        _untold[queue] += count
        now = time.monotonic()
        if now - _told_at < _EVERY_S:
            return
        told, _told_at = dict(_untold), now
        _untold.clear()
    for name, lost in sorted(told.items()):
        log.error("jobs for %s are lost: %s. Nobody is told of them", name, lost)
