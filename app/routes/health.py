"""Health checks and metrics for operators.

The checks before the start: app/serving/checkup.py.
"""

import logging
from contextlib import suppress

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from app.errors import Unavailable
from app.stores.connection.connect import StoreError
from app.stores.factors import USUAL_TOTP
from app.watch import metrics
from app.web.guards import require_secret
from app.web.services import services
from app.wire.contract import answers, known_by, refuses
from app.wire.responses import StatusSchema

log = logging.getLogger(__name__)

bp = Blueprint("health", __name__)
metrics_bp = Blueprint("metrics", __name__)


@bp.get("/healthz")
@answers(StatusSchema)
def is_alive() -> ResponseReturnValue:
    """Tell that the process answers.

    Redis is not asked, because if Redis is down, restarting this process would not help.
    """
    return {"status": "ok"}


@bp.get("/readyz")
@answers(StatusSchema)
@refuses(Unavailable)
def is_ready() -> ResponseReturnValue:
    """Tell that tokens can be checked.

    If Redis is away or too slow, or does not give Keyrack a right that it needs, the answer is 503. So it is if the
    clocks of this process and of Redis are further apart than TOTP codes may be.
    """
    services().devices.require_reachable_store()
    if missing := services().find_missing_rights():
        log.error("redis: Keyrack's user lacks rights: %s", " ".join(missing))
        raise Unavailable
    off_s = services().clock() - services().redis_clock()
    if abs(off_s) > USUAL_TOTP.period_s * max(1, services().settings.totp_window):
        log.error(
            "the clock is %+.0f s off from that of Redis: set both by NTP. Until then TOTP codes are refused", off_s
        )
        raise Unavailable
    return {"status": "ok"}


@metrics_bp.get("/metrics")
@known_by("prometheus")
@answers({"type": "string"}, media_type=metrics.CONTENT_TYPE.partition(";")[0])
def tell_metrics() -> ResponseReturnValue:
    """Return the metrics of all processes of this instance, for Prometheus."""
    require_secret(services().settings.metrics_secret or "")
    with suppress(StoreError):  # the others are told without Redis, too
        metrics.DELETIONS_OVERDUE.set(services().leaving.overdue().users)
        for queue in services().queues:
            metrics.set_queue(queue.queue.name, queue.status(), services().clock())
    return Response(metrics.render(), content_type=metrics.CONTENT_TYPE)
