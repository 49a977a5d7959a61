"""How answers look on the wire: JSON, and refusals in the contract's shape."""

import logging
import time
from hashlib import sha256
from typing import Any, cast

from flask import Flask, Response, current_app, render_template
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded, RequestLimit
from redis import ConnectionError, RedisError, TimeoutError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.errors import ApiError, Unavailable, Unconfirmed, status_message
from app.watch import context, metrics
from app.web.limits import limiter
from app.web.surfaces import Surface, surface_of_request

log = logging.getLogger(__name__)

_BODY_TOO_LARGE = 40005
_KINDS = {TimeoutError: "late", ConnectionError: "away"}  # of errors of Redis; all others are refusals
for _kind in (*_KINDS.values(), "refused", "unconfirmed"):  # what never happened is 0, not absent
    metrics.REDIS_ERRORS.labels(_kind)


def init_answers(app: Flask) -> None:
    app.register_error_handler(ApiError, _refuse)
    app.register_error_handler(RateLimitExceeded, _refuse_for_now)
    app.register_error_handler(RedisError, _refuse_without_redis)
    app.register_error_handler(HTTPException, _refuse_plainly)
    app.after_request(_only_what_lasts)


def without_redis(error: RedisError) -> Unavailable:
    """The refusal of a request that Redis could not serve; what went wrong is counted and logged.

    Logged without the command: that may hold an e-mail address.
    """
    kind = next((kind for error_type, kind in _KINDS.items() if isinstance(error, error_type)), "refused")
    metrics.REDIS_ERRORS.labels(kind).inc()
    told = str(error).partition(" ")[0] if kind == "refused" else str(error)
    log.warning("redis: %s: %s", type(error).__name__, told)
    return Unavailable()


def _only_what_lasts(answer: Response) -> Response:
    """Nobody is told as done what a failover could undo."""
    if not context.is_unconfirmed() or answer.status_code >= 500:
        return answer
    metrics.REDIS_ERRORS.labels("unconfirmed").inc()
    log.warning("too few replicas have confirmed what was done")
    return current_app.make_response(_refuse(Unconfirmed()))


def _refuse(error: ApiError) -> ResponseReturnValue:
    return _shaped(error.body(), error.plainly(), error.status), error.status, error.headers()


def _refuse_without_redis(error: RedisError) -> ResponseReturnValue:
    return _refuse(without_redis(error))


def _refuse_plainly(error: HTTPException) -> ResponseReturnValue:
    """What Flask itself refuses, and every exception that nothing expected."""
    status = error.code or 500
    body = plain_body(status)
    valid_methods = error.valid_methods if isinstance(error, MethodNotAllowed) else None
    headers = {"Allow": ", ".join(sorted(valid_methods))} if valid_methods else {}
    return _shaped(body, str(body["message"]), status), status, headers


def plain_body(status: int) -> dict[str, Any]:
    if status == 413:
        return {"code": _BODY_TOO_LARGE, "message": "Request entity too large"}
    return {"code": 0, "message": status_message(status)}


def _refuse_for_now(_: RateLimitExceeded) -> ResponseReturnValue:
    current = cast(RequestLimit, limiter.current_limit)
    reset_at, remaining = current.window
    retry_after = max(0.001, round(reset_at - time.time(), 3))
    headers = {
        "Retry-After": str(int(retry_after) + 1),
        "X-RateLimit-Limit": str(current.limit.amount),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": f"{reset_at:.3f}",
        "X-RateLimit-Reset-After": f"{retry_after:.3f}",
        "X-RateLimit-Bucket": sha256(current.request_args[-1].encode()).hexdigest()[:32],
        "X-RateLimit-Scope": "user",
    }
    body = rate_limited_body(retry_after)
    return _shaped(body, str(body["message"]), 429), 429, headers


def rate_limited_body(retry_after: float) -> dict[str, Any]:
    return {"message": "You are being rate limited.", "retry_after": retry_after, "global": False}


def _shaped(body: dict[str, Any], sentence: str, status: int) -> dict[str, Any] | str:
    """Return a refusal in the form of the surface that was asked: code and message, one sentence, or a page."""
    surface = surface_of_request()
    if surface is Surface.PAGES:
        return render_template("refusal.html", status=status, sentence=sentence)
    return cookie_body(body, sentence) if surface is Surface.COOKIE_API else body


def cookie_body(body: dict[str, Any], sentence: str) -> dict[str, Any]:
    """The one sentence that the cookie surface says, and what a client needs to answer a challenge."""
    challenge = {name: body[name] for name in ("code", "mfa")} if "mfa" in body else {}
    return {"error": sentence} | challenge
