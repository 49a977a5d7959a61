"""The first layer that a request meets: it gives the request an id, counts it, and sets the headers of the answer.
It also brings the paths of the API to one form: clients ask for other versions, and may end a path with a slash.

Headers of their own have /docs and /openapi.json (routes/document.py), and what gunicorn refuses (serving/workers.py).
"""

import logging
import os
import re
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from app.callers.addresses import network_key
from app.callers.identity import Environ
from app.watch import context, metrics
from app.web import verify
from app.web.cors import Cors
from app.web.services import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

access = logging.getLogger("keyrack.access")

API = "/api/v9"  # the prefix of the API's routes

_QUIET_S = 5
_API_PATH = re.compile(r"/api(?:/v(?:[6-9]|10))?(/.*?)/?")
_HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FOR_GATEWAYS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
STANDARD = (
    *_FOR_GATEWAYS,
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),  # "no-referrer" would make browsers hide the Origin of our own forms
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
)


class _RequestBody:
    """The body of a request. A failed read raises OSError, which Flask can answer.

    The server raises errors of its own for malformed chunks. After a failure the body is not read again. Otherwise a
    client that has stopped sending would be waited for twice.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._has_failed = False

    def read(self, size: int = -1) -> bytes:
        if self._has_failed:
            raise OSError
        try:
            raw: bytes = self._stream.read(size)
        except Exception as problem:
            self._has_failed = True
            raise OSError from problem
        return raw


class Front:
    """The WSGI application. It passes the gateway's check to `Verify`, and all other requests to Flask.

    A header that Verify or Flask has set is kept.
    """

    def __init__(self, flask: "WSGIApplication", verify: "WSGIApplication", services: Services) -> None:
        self._flask = flask
        self._verify = verify
        self._address_of = services.callers.address
        self._cors = Cors(services.settings.allowed_origins)
        self._logs_each = services.settings.access_log

    def __call__(self, environ: Environ, start_response: "StartResponse") -> Iterable[bytes]:
        began = time.perf_counter()
        given_id = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given_id if _HARMLESS_ID.fullmatch(given_id) else os.urandom(8).hex()
        is_verify = environ["PATH_INFO"] == verify.PATH
        if not is_verify:
            environ["PATH_INFO"] = canonical_path(environ["PATH_INFO"])
            environ["wsgi.input"] = _RequestBody(environ["wsgi.input"])
            if "gunicorn.socket" in environ:  # a client that stops sending within a body must not block the thread
                environ["gunicorn.socket"].settimeout(_QUIET_S)
        standard = _FOR_GATEWAYS if is_verify else STANDARD
        if is_verify or environ["PATH_INFO"].startswith(f"{API}/"):
            standard = (*standard, *self._cors.headers(environ))
        route = (verify.PATH, "any") if is_verify else (metrics.OTHER, metrics.OTHER)
        answered = "500"

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal route, answered
            answered = status[:3]
            if not is_verify:
                route = _find_route(environ)
            set_already = {name for name, _ in headers}
            added = [header for header in standard if header[0] not in set_already]
            return start_response(status, [*headers, *added, ("X-Request-Id", request_id)], exc_info)

        address = partial(self._address_of, environ)
        before = context.begin(context.Context(request_id, address, lambda: network_key(address())))
        try:
            return (self._verify if is_verify else self._flask)(environ, start)
        finally:
            seconds = time.perf_counter() - began
            metrics.request_seconds(*route, answered).observe(seconds)
            if self._logs_each:
                _log_request(*route, answered, seconds)
            context.end(before)


def canonical_path(path: str) -> str:
    """Return the path of an API's route under `API`, without a slash at its end; any other path as it is."""
    match = _API_PATH.fullmatch(path)
    return API + match[1] if match else path


def _log_request(route: str, method: str, status: str, seconds: float) -> None:
    fields = {"route": route, "method": method, "status": int(status), "ms": round(seconds * 1000, 1)}
    access.info("%s %s %s", method, route, status, extra={"fields": fields})


def _find_route(environ: Environ) -> tuple[str, str]:
    """Return rule and method of the route that Flask found. Requests without a route share one label."""
    request = environ.get("werkzeug.request")  # Flask removes it after the answer
    rule = request.url_rule if request else None
    return (rule.rule, environ["REQUEST_METHOD"]) if rule else (metrics.OTHER, metrics.OTHER)
