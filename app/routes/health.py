"""What those who run it ask: whether the process lives, whether it can serve, and its figures."""

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from app.errors import Unavailable
from app.watch import metrics
from app.web.guards import require_secret
from app.web.services import services
from app.wire.contract import answers, known_by, refuses
from app.wire.responses import StatusSchema

bp = Blueprint("health", __name__)
metrics_bp = Blueprint("metrics", __name__)


@bp.get("/healthz")
@answers(StatusSchema)
def is_alive() -> ResponseReturnValue:
    """The process answers. Redis is not asked: what is wrong there no restart of this process mends."""
    return {"status": "ok"}


@bp.get("/readyz")
@answers(StatusSchema)
@refuses(Unavailable)
def is_ready() -> ResponseReturnValue:
    """Tokens can be checked; where Redis is away or too slow the answer is 503, as for every other request."""
    services().devices.require_store()
    return {"status": "ok"}


@metrics_bp.get("/metrics")
@known_by("prometheus")
@answers({"type": "string"}, media_type=metrics.CONTENT_TYPE.partition(";")[0])
def tell_metrics() -> ResponseReturnValue:
    """The figures of all processes of this instance, for Prometheus."""
    require_secret(services().settings.metrics_secret or "")
    return Response(metrics.told(), content_type=metrics.CONTENT_TYPE)
