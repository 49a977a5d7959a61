"""Refusals as HTTP answers, in the form of the surface that got the request.
All refusals but 413 and 429: errors.py, form_errors.py. Their description for the document: document/refusals.py.
"""

import logging
import time
from hashlib import sha256
from typing import Any, cast

from flask import Flask, Response, current_app, render_template
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded, RequestLimit
from redis import RedisError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.errors import ApiError, Unavailable, Unconfirmed, status_message
from app.languages.refusals import in_words
from app.stores.connection.refusals import KINDS, describe, kind_of
from app.watch import context, metrics
from app.web.limits import limiter
from app.web.surfaces import Surface, surface_of_request

log = logging.getLogger(__name__)

_BODY_TOO_LARGE = 40005
for _kind in (*KINDS, "unconfirmed"):  # so that each series starts at 0, not at the first error
    metrics.REDIS_ERRORS.labels(_kind)


def init_error_handlers(app: Flask) -> None:
    app.register_error_handler(ApiError, _refuse)
    app.register_error_handler(RateLimitExceeded, _refuse_over_limit)
    app.register_error_handler(RedisError, _refuse_after_redis_error)
    app.register_error_handler(HTTPException, _refuse_http_error)
    app.after_request(_refuse_if_unconfirmed)


def report_redis_error(error: RedisError) -> Unavailable:
    """Count and log an error of Redis. Return the refusal for the request."""
    metrics.REDIS_ERRORS.labels(kind_of(error)).inc()
    log.warning("redis: %s", describe(error))
    return Unavailable()


def _refuse_if_unconfirmed(answer: Response) -> Response:
    """Replace an answer by a refusal, if too few replicas have confirmed a change of this request."""
    if not context.is_unconfirmed() or answer.status_code >= 500:
        return answer
    metrics.REDIS_ERRORS.labels("unconfirmed").inc()
    log.warning("too few replicas have confirmed what was done")
    return current_app.make_response(_refuse(Unconfirmed()))


def _refuse(error: ApiError) -> ResponseReturnValue:
    return _render(error.body(), error.plainly(), error.status), error.status, error.headers()


def _refuse_after_redis_error(error: RedisError) -> ResponseReturnValue:
    return _refuse(report_redis_error(error))


def _refuse_http_error(error: HTTPException) -> ResponseReturnValue:
    """Answer Flask's own refusals, such as 404 and 413. An unexpected exception comes here as a 500."""
    status = error.code or 500
    body = plain_body(status)
    valid_methods = error.valid_methods if isinstance(error, MethodNotAllowed) else None
    headers = {"Allow": ", ".join(sorted(valid_methods))} if valid_methods else {}
    return _render(body, str(body["message"]), status), status, headers


def plain_body(status: int) -> dict[str, Any]:
    if status == 413:
        return {"code": _BODY_TOO_LARGE, "message": "Request entity too large"}
    return {"code": 0, "message": status_message(status)}


def _refuse_over_limit(_: RateLimitExceeded) -> ResponseReturnValue:
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
    return _render(body, str(body["message"]), 429), 429, headers


def rate_limited_body(retry_after: float) -> dict[str, Any]:
    return {"message": "You are being rate limited.", "retry_after": retry_after, "global": False}


def _render(body: dict[str, Any], sentence: str, status: int) -> dict[str, Any] | str:
    """Return a refusal in the form of the request's surface: code and message, one sentence, or a page."""
    surface = surface_of_request()
    if surface is Surface.PAGES:
        return render_template("refusal.html", status=status, sentence=in_words(sentence).rstrip("."))
    return cookie_body(body, sentence) if surface is Surface.COOKIE_API else body


def cookie_body(body: dict[str, Any], sentence: str) -> dict[str, Any]:
    """Return the body of the cookie API: one sentence, and for a challenge the fields that its answer needs."""
    challenge = {name: body[name] for name in ("code", "mfa")} if "mfa" in body else {}
    return {"error": sentence} | challenge
