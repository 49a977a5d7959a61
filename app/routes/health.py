"""What those who run it ask: whether the process lives, whether it can serve."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.services import services

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def is_alive() -> ResponseReturnValue:
    """The process answers. Redis is not asked: what is wrong there no restart of this process mends."""
    return {"status": "ok"}


@bp.get("/readyz")
def is_ready() -> ResponseReturnValue:
    """Tokens can be checked; where Redis is away or too slow the answer is 503, as for every other request."""
    services().devices.require_store()
    return {"status": "ok"}
