"""The first layer that a request meets: it gives the request an id, counts it, and sets the headers of the answer.
It also brings the paths of the API to one form: clients ask for other versions, and may end a path with a slash.

Headers of their own have /docs and /openapi.json (routes/document.py), and what gunicorn refuses (serving/workers.py).
"""

import logging
import random
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
_ROUTE_OF_VERIFY = (verify.PATH, "any")
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
        self.cors = Cors(services.settings.allowed_origins)
        self._logs_each = services.settings.access_log

    def __call__(self, environ: Environ, start_response: "StartResponse") -> Iterable[bytes]:
        began = time.perf_counter()
        request_id = request_id_of(environ)
        if "gunicorn.socket" in environ:  # who stops to send a body, or takes no answer, must not block the thread
            environ["gunicorn.socket"].settimeout(_QUIET_S)
        is_verify = environ["PATH_INFO"] == verify.PATH
        if not is_verify:
            environ["PATH_INFO"] = canonical_path(environ["PATH_INFO"])
            environ["wsgi.input"] = _RequestBody(environ["wsgi.input"])
        standard = _FOR_GATEWAYS if is_verify else STANDARD
        if is_verify or environ["PATH_INFO"].startswith(f"{API}/"):
            standard = (*standard, *self.cors.headers(environ))
        route = _ROUTE_OF_VERIFY if is_verify else (metrics.OTHER, metrics.OTHER)
        answered = "500"

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal route, answered
            answered = status[:3]
            if not is_verify:
                route = _find_route(environ)
            return start_response(status, _complete(headers, standard, request_id), exc_info)

        before = self._begin(environ, request_id)
        try:
            return (self._verify if is_verify else self._flask)(environ, start)
        finally:
            if is_verify:
                metrics.VERIFY["thread"].inc()
            self._count(*route, answered, time.perf_counter() - began)
            context.end(before)

    def headers_for(
        self, user_id: str, id_hash: str, cors: Iterable[tuple[str, str]], request_id: str
    ) -> list[tuple[str, str]]:
        """Return the headers of the answer to a gateway's check that lets a request of this session pass.

        Args:
            cors: As Cors.headers returns them.
        """
        return _complete(verify.headers_for(user_id, id_hash), (*_FOR_GATEWAYS, *cors), request_id)

    def log_admitted(self, environ: Environ, request_id: str, seconds: float) -> None:
        """Log a gateway's check that was answered without a call of this application."""
        if self._logs_each:
            before = self._begin(environ, request_id)
            _log_request(*_ROUTE_OF_VERIFY, verify.ADMITTED[:3], seconds)
            context.end(before)

    def _begin(self, environ: Environ, request_id: str) -> Any:
        """Begin the context of a request, and return what context.end takes."""
        address = partial(self._address_of, environ)
        return context.begin(context.Context(request_id, address, lambda: network_key(address())))

    def _count(self, route: str, method: str, status: str, seconds: float) -> None:
        metrics.request_seconds(route, method, status).observe(seconds)
        if self._logs_each:
            _log_request(route, method, status, seconds)


def request_id_of(environ: Environ) -> str:
    """Return the id that the gateway has given a request, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    # os.urandom would be a call of the system, and nobody needs to be unable to guess it.
    return given if _HARMLESS_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"


def _complete(
    headers: list[tuple[str, str]], standard: Iterable[tuple[str, str]], request_id: str
) -> list[tuple[str, str]]:
    """Return the headers of an answer with the standard ones that it has not set itself."""
    set_already = {name for name, _ in headers}
    added = [header for header in standard if header[0] not in set_already]
    return [*headers, *added, ("X-Request-Id", request_id)]


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
