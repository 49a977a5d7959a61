"""Who calls, from where and how recently proved; and a body's way through its schema."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
from flask import g, request
from marshmallow import ValidationError

from app.addresses import Address, caller_address
from app.client_info import read_client
from app.devices import Caller
from app.errors import Forbidden, InvalidForm, InvalidJson, Unauthorized
from app.schemas import WireSchema
from app.services import services
from app.stores.sessions import Client

SESSION_COOKIE = "__Host-session"
PROOF_COOKIE = "__Secure-recent_mfa"
PROOF_HEADER = "X-Discord-MFA-Authorization"

View = Callable[..., Any]


def require_session(view: View) -> View:
    """Let live sessions through, by header or cookie, and note that they were used."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.caller = _identify()
        if services().devices.is_touch_due(g.caller):
            services().devices.touch(g.caller, client())
        return view(*args, **kwargs)

    return guarded


def caller() -> Caller:
    """The session that a view behind `require_session` serves."""
    return cast(Caller, g.caller)


def require_recent_proof() -> None:
    """Raises: errors.MfaRequired, a challenge, where the caller has not proved itself in the last minutes"""
    if not caller().proved:
        raise services().reauthentication.challenge(caller())


def takes(schema_type: type[WireSchema]) -> Callable[[View], View]:
    """Read the JSON body through a schema and hand it to the view as `body`."""
    schema = schema_type()

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            g.body = _load(schema)
            return view(*args, body=g.body, **kwargs)

        return guarded

    return decorate


def client() -> Client:
    """What this request tells of its client."""
    properties = request.headers.get("X-Super-Properties", "")
    return read_client(properties, request.headers.get("User-Agent", ""), address(), services().locations)


def address() -> Address | None:
    forwarded_for = request.headers.get("X-Forwarded-For", "")
    return caller_address(request.remote_addr, forwarded_for, services().settings.trusted_proxies)


def _identify() -> Caller:
    authorization = request.headers.get("Authorization")
    if authorization is None and request.method not in ("GET", "HEAD", "OPTIONS"):
        _require_same_origin()
    token = request.cookies.get(SESSION_COOKIE, "") if authorization is None else authorization.removeprefix("Bearer ")
    if not token:
        raise Unauthorized
    proof = request.headers.get(PROOF_HEADER) or request.cookies.get(PROOF_COOKIE, "")
    return services().devices.identify(token, proof)


def _require_same_origin() -> None:
    """A browser names the origin of what it sends: another's page may not act with this one's cookie.

    What names none is no browser, and no other page can have sent it.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        same = site in ("same-origin", "none")
    else:
        same = origin is None or urlsplit(origin).netloc == request.host
    if not same:
        raise Forbidden


def _load(schema: WireSchema) -> Any:
    if not request.is_json:
        raise InvalidJson
    try:
        return schema.load(orjson.loads(request.get_data(cache=False)))
    except orjson.JSONDecodeError:
        raise InvalidJson from None
    except ValidationError as problem:
        raise InvalidForm(problem.messages_dict) from None
