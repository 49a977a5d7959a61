"""Passes on what processes that died have left in outboxes, beside what delivers. Only a Cluster has outboxes."""

import logging
import threading

from app.stores.connection.connect import StoreError
from app.stores.connection.refusals import describe
from app.stores.outbox import Outbox

log = logging.getLogger(__name__)

_EVERY_S = 300


def sweep_beside(outbox: Outbox, stop: threading.Event) -> None:
    """Sweep now, and every five minutes until `stop` is set, in a thread of its own."""
    threading.Thread(target=_sweep_until, args=(outbox, stop), daemon=True).start()


def sweep_once(outbox: Outbox) -> None:
    """Sweep now. If Redis fails, that is logged, and the next one does it."""
    try:
        count = outbox.sweep()
    except StoreError as error:
        log.warning("outboxes are not swept: %s", describe(error))
        return
    if count:
        log.info("%s jobs were passed on that a process had left", count)


def _sweep_until(outbox: Outbox, stop: threading.Event) -> None:
    while True:
        sweep_once(outbox)
        if stop.wait(_EVERY_S):
            return
