"""The check of each request for a gateway: a WSGI application beside Flask, for this one path.
The other questions of gateways: routes/gateway.py.

Flask's dispatch would take longer than the check itself. The caller is read as for every route (callers/identity.py),
and a refusal has the form of the API. Routing, body, rate limits and the user's record are left out, because the answer
does not need them.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import orjson
from redis import RedisError

from app.callers.identity import SAFE_METHODS, Environ
from app.errors import ApiError, Forbidden, MfaRequired, Unavailable
from app.rules.checks import Caller
from app.web.error_handlers import report_redis_error
from app.web.services import Services
from app.wire.contract import Header, Parameter, answers, known_by, reads, refuses

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

PATH = "/gateway/verify"
ADMITTED = "200 OK"

REQUIRE = Parameter("query", "require", "`mfa` asks for a recent proof too", "mfa")
FORWARDED_METHOD = Parameter(
    "header", "X-Forwarded-Method", "The method of the original request, if the gateway asks with GET", "POST"
)
_FORWARDED_METHOD = "HTTP_X_FORWARDED_METHOD"
USER_ID = Header("X-Auth-User-Id", "The id of the user")
ID_HASH = Header("X-Auth-Session-Id-Hash", "The id_hash of the session")
_REFUSAL = "X-Keyrack-Refusal"

log = logging.getLogger(__name__)


class Verify:
    def __init__(self, services: Services) -> None:
        self._callers = services.callers
        self._reauthentication = services.reauthentication

    @known_by("session")
    @reads(REQUIRE, FORWARDED_METHOD)
    @answers(status=200, headers=[USER_ID, ID_HASH])
    @refuses(Forbidden, MfaRequired)
    def __call__(self, environ: Environ, start_response: "StartResponse") -> Iterable[bytes]:
        """Tell a gateway in front of other services who sends a request.

        The gateway sends the headers of the original request. Every method is answered alike. The gateway can pass a
        challenge on to the client unchanged. A refusal of HEAD has its body in `X-Keyrack-Refusal`, for nginx.
        """
        try:
            caller = self._verify(environ)
        except ApiError as refusal:
            return _refuse(refusal, environ, start_response)
        except RedisError as error:
            return _refuse(report_redis_error(error), environ, start_response)
        except Exception:  # an error must never let a request through
            log.exception("verify failed")
        else:
            start_response(ADMITTED, headers_for(caller.user_id, caller.id_hash))
            return []
        return _refuse(Unavailable(), environ, start_response)

    def _verify(self, environ: Environ) -> Caller:
        """Return the caller of a request.

        Raises:
            Unauthorized: There is no live session.
            Forbidden: The cookie comes from a page of another origin.
            MfaRequired: A recent proof is required, but missing.
        """
        # Any value of `require` requires the proof, so that a misspelt value in a gateway's settings admits nobody.
        query = environ.get("QUERY_STRING")
        needs_proof = bool(query) and "require" in parse_qs(query, keep_blank_values=True)
        caller = self._callers.identify(environ, original_method(environ), with_proof=needs_proof)
        if needs_proof and not caller.proved:
            raise self._reauthentication.challenge(caller)
        return caller


def original_method(environ: Environ) -> str:
    """Return the method of the request that a gateway asks about. Gateways that ask with GET send it in a header."""
    method: str = environ["REQUEST_METHOD"]
    return (environ.get(_FORWARDED_METHOD) or method) if method in SAFE_METHODS else method


def headers_for(user_id: str, id_hash: str) -> list[tuple[str, str]]:
    """Return the headers of the answer that lets a request of this session pass."""
    return [("Content-Length", "0"), (USER_ID.name, user_id), (ID_HASH.name, id_hash)]


def _refuse(refusal: ApiError, environ: Environ, start_response: "StartResponse") -> list[bytes]:
    body = orjson.dumps(refusal.body())
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *refusal.headers().items()]
    is_head = environ["REQUEST_METHOD"] == "HEAD"
    if is_head:
        headers.append((_REFUSAL, body.decode("ascii")))
    start_response(refusal.status_line, headers)
    return [] if is_head else [body]
