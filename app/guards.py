"""What a view asks for before it acts: a session, a recent proof, a body that fits its schema."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import orjson
from flask import g, request
from marshmallow import ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from app.devices import Caller
from app.errors import InvalidForm, InvalidJson
from app.schemas import WireSchema
from app.services import services
from app.stores.sessions import Client

View = Callable[..., Any]


def require_session(view: View) -> View:
    """Let live sessions through, by header or cookie, and note that they were used."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.caller = services().callers.identify(request.environ, request.method)
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
    return services().callers.client(request.environ)


def _load(schema: WireSchema) -> Any:
    if not request.is_json:
        raise InvalidJson
    try:
        return schema.load(orjson.loads(_read_body()))
    except orjson.JSONDecodeError:
        raise InvalidJson from None
    except ValidationError as problem:
        raise InvalidForm(problem.messages_dict) from None


def _read_body() -> bytes:
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise
    except Exception:  # chunks that are none: what the server raises for them is its own
        raise InvalidJson from None
    if len(raw) >= (request.max_content_length or 0):  # where a body in chunks is cut off instead of refused
        raise RequestEntityTooLarge
    return raw
