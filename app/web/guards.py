"""What a view asks for before it acts: a session, a recent proof, a body that fits its schema."""

import hmac
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, cast

import orjson
from flask import g, request
from marshmallow import ValidationError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.callers import identity as callers
from app.errors import Forbidden, InvalidForm, InvalidJson, Unauthorized
from app.rules.devices import Caller
from app.stores.sessions import Client
from app.web.cookies import keep_proof
from app.web.services import services
from app.wire.contract import Parameter, View, known_by, mark
from app.wire.fields import WireSchema

SUPER_PROPERTIES = Parameter(
    "header",
    "X-Super-Properties",
    "What the client is: base64 of a JSON object with `os` and `browser`; what it leaves out is read from `User-Agent`",
    "eyJvcyI6IkFuZHJvaWQiLCJicm93c2VyIjoiRGlzY29yZCBBbmRyb2lkIn0=",
)


def require_session(view: View) -> View:
    """Let live sessions through, by header or cookie, and note that they were used."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.caller = services().callers.identify(request.environ, request.method)
        return view(*args, **kwargs)

    return known_by("session")(guarded)


def caller() -> Caller:
    """The session that a view behind `require_session` serves."""
    return cast(Caller, g.caller)


def end_own_session() -> None:
    """Log the caller out.

    Raises: errors.Unauthorized where that was so already
    """
    callers = services().callers
    try:
        own = callers.identify(request.environ, request.method)
        services().devices.end(own, [own.id_hash], "logout")
    except Unauthorized:
        callers.log_out_again(request.environ, request.method)
        raise


def require_same_origin(view: View) -> View:
    """Let a browser do this from our own pages alone: nobody's page signs its visitors in as somebody else."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        callers.require_same_origin(request.environ)
        return view(*args, **kwargs)

    return mark(guarded, refusals=[Forbidden])


def require_secret(secret: str) -> None:
    """Let those through who show a secret of their own as a bearer token: no user, but what runs beside Keyrack."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode("latin-1", "replace"), secret.encode()):
        raise Unauthorized


def require_recent_proof() -> None:
    """Raises: errors.MfaRequired, a challenge, where the caller has not proved itself in the last minutes"""
    if not caller().proved:
        raise services().reauthentication.challenge(caller())


def has_proof_or_login() -> bool:
    """Whether the caller has proved itself in the last minutes, by a step-up or by its login."""
    return caller().proved or services().reauthentication.has_logged_in_lately(caller())


def require_proof_or_login() -> None:
    """Raises: errors.MfaRequired, a challenge, where the caller has done neither"""
    if not has_proof_or_login():
        raise services().reauthentication.challenge(caller())


def prove(answer: str) -> None:
    """Let the caller prove itself with what a form brought along, unless it did so lately.

    Raises: errors.InvalidCode and the others of `Reauthentication.finish`
    """
    if not caller().proved:
        keep_proof(services().reauthentication.prove(caller(), answer, client()))
        g.caller = replace(caller(), proved=True)


def takes(schema_type: type[WireSchema]) -> Callable[[View], View]:
    """Read the JSON body through a schema and hand it to the view as `body`."""
    refusals = [InvalidForm, InvalidJson, RequestEntityTooLarge]
    read = _takes(schema_type, _json)
    return lambda view: mark(read(view), body=schema_type, refusals=refusals)


def takes_form(schema_type: type[WireSchema]) -> Callable[[View], View]:
    """Read what a page's form sent through a schema and hand it to the view as `body`; an empty field is absent."""
    return _takes(schema_type, lambda: {name: text for name, text in request.form.items() if text})


def _takes(schema_type: type[WireSchema], read: Callable[[], Any]) -> Callable[[View], View]:
    schema = schema_type()

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                g.body = schema.load(read())
            except ValidationError as problem:
                raise InvalidForm(problem.messages_dict) from None
            return view(*args, body=g.body, **kwargs)

        return guarded

    return decorate


def client() -> Client:
    """What this request tells of its client."""
    return services().callers.client(request.environ)


def _json() -> Any:
    if not request.is_json:
        raise InvalidJson
    try:
        return orjson.loads(read_body())
    except orjson.JSONDecodeError:
        raise InvalidJson from None


def read_body() -> bytes:
    """The body, whole. Raises: errors.InvalidJson where it is cut short, RequestEntityTooLarge"""
    try:
        raw = request.get_data(cache=False)
    except ClientDisconnected:
        raise InvalidJson from None
    if len(raw) >= (request.max_content_length or 0):  # where a body in chunks is cut off instead of refused
        raise RequestEntityTooLarge
    return raw
