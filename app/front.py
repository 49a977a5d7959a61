"""The first thing that a request meets: it gets an id, and its answer the headers that every answer has."""

import os
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from app import metrics, verify
from app.callers import Environ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

_QUIET_S = 5
_HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FOR_GATEWAYS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
_FOR_ALL = (
    *_FOR_GATEWAYS,
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),  # with none at all browsers hide the Origin of our own forms
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
)


class Front:
    """Hands the gateway's check to its fast lane and the rest to Flask. What either sets itself is left as it is."""

    def __init__(self, flask: "WSGIApplication", verify: "WSGIApplication") -> None:
        self._flask = flask
        self._verify = verify

    def __call__(self, environ: Environ, start_response: "StartResponse") -> Iterable[bytes]:
        began = time.perf_counter()
        given_id = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given_id if _HARMLESS_ID.fullmatch(given_id) else os.urandom(8).hex()
        is_verify = environ["PATH_INFO"] == verify.PATH
        if not is_verify and "gunicorn.socket" in environ:  # whoever goes quiet within a body lets the thread go
            environ["gunicorn.socket"].settimeout(_QUIET_S)
        standard = _FOR_GATEWAYS if is_verify else _FOR_ALL
        route = (verify.PATH, "any") if is_verify else (metrics.OTHER, metrics.OTHER)
        answered = "500"

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal route, answered
            answered = status[:3]
            if not is_verify:
                route = _route(environ)
            set_already = {name for name, _ in headers}
            added = [header for header in standard if header[0] not in set_already]
            return start_response(status, [*headers, *added, ("X-Request-Id", request_id)], exc_info)

        try:
            return (self._verify if is_verify else self._flask)(environ, start)
        finally:
            metrics.request_seconds(*route, answered).observe(time.perf_counter() - began)


def _route(environ: Environ) -> tuple[str, str]:
    """The path's template and the method, as Flask found them; whatever is no route of ours is one and the same."""
    request = environ.get("werkzeug.request")  # until Flask has answered
    rule = request.url_rule if request else None
    return (rule.rule, environ["REQUEST_METHOD"]) if rule else (metrics.OTHER, metrics.OTHER)
