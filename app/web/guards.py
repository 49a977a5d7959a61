"""Guards of views: a live session, a recent proof, a body that fits its schema.
Rate limits: limits.py. The reading of token and cookies: callers/identity.py.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, cast

import orjson
from flask import g, request
from marshmallow import ValidationError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.callers import identity as callers
from app.errors import Forbidden, InvalidJson, Unauthorized
from app.form_errors import InvalidForm
from app.languages.choice import note_language_of_user
from app.rules.checks import Caller
from app.stores.connection.client import Read
from app.stores.session_records import Client, Session
from app.stores.user_records import User
from app.web.cookies import set_proof_cookie
from app.web.services import services
from app.web.surfaces import is_answered_by_page
from app.wire.contract import Parameter, View, known_by, mark
from app.wire.fields import ProvingBody, WireSchema

SUPER_PROPERTIES = Parameter(
    "header",
    "X-Super-Properties",
    "The client: base64 of a JSON object with `os` and `browser`. `User-Agent` fills in what it leaves out",
    "eyJvcyI6IkFuZHJvaWQiLCJicm93c2VyIjoiRGlzY29yZCBBbmRyb2lkIn0=",
)


def require_session(view: View) -> View:
    """Require a live session, by header or cookie, and note its use."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        callers = services().callers
        if is_answered_by_page():
            g.caller, language = callers.identify_and_look_up(request.environ, request.method, language_of_user)
            note_language_of_user(language)
        else:
            g.caller = callers.identify(request.environ, request.method)
        return view(*args, **kwargs)

    return known_by("session")(guarded)


def require_session_and(beside: Callable[[str], Read[Any]]) -> Callable[[View], View]:
    """Require a live session, look up something else of its user in the same trip, and pass that to the view first.

    Args:
        beside: Returns what to look up, by the user's id.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            g.caller, found = services().callers.identify_and_look_up(request.environ, request.method, beside)
            if isinstance(found, User):
                note_language_of_user(found.language)
            return view(found, *args, **kwargs)

        return known_by("session")(guarded)

    return decorate


def all_sessions(user_id: str) -> Read[Sequence[Session]]:
    """Return the Read of a user's sessions. The view ends those that are over by time: `Devices.end_expired`."""
    return services().devices.all_of(user_id)


def user_record(user_id: str) -> Read[User | None]:
    """Return the Read of a user, for `Accounts.require`."""
    return services().accounts.record_of(user_id)


def language_of_user(user_id: str) -> Read[str | None]:
    """Return the Read of the language of a user's pages."""
    return services().profiles.language_of(user_id)


def caller() -> Caller:
    """Return the caller that `require_session` has found."""
    return cast(Caller, g.caller)


def end_own_session() -> None:
    """Log the caller out.

    Raises:
        Unauthorized: The session was over already, or the request has no token.
    """
    callers = services().callers
    try:
        own = callers.identify(request.environ, request.method)
        services().devices.end(own, [own.id_hash], "logout")
    except Unauthorized:
        # An earlier try may have ended it before enough replicas had confirmed. Ending it again waits for them.
        callers.repeat_logout(request.environ, request.method)
        raise


def require_same_origin(view: View) -> View:
    """Require that a request from a browser comes from our own pages.

    Otherwise another site could sign its visitors in to a foreign account (login CSRF).
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        callers.require_same_origin(request.environ)
        return view(*args, **kwargs)

    return mark(guarded, refusals=[Forbidden])


def require_secret(secret: str) -> None:
    """Require the secret of a program beside Keyrack, such as a gateway or Prometheus, as a bearer token.

    Raises:
        Unauthorized: The secret is wrong or missing.
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode("latin-1", "replace"), secret.encode()):
        raise Unauthorized


def require_proof_or_answer(body: ProvingBody, *, or_login: bool = False) -> None:
    """Require that the caller has proved itself in the last minutes, by a step-up, or does so by this body.

    Some clients know no challenges, and send the answer along. It is judged as any other, and earns the same cookie, so
    that a client that keeps cookies may repeat the request. If it is none to what would be asked, such as a password
    where MFA is on, the challenge is the answer.

    Args:
        or_login: A login of the last minutes counts, too.

    Raises:
        MfaRequired: The challenge.
        InvalidCode: The answer is wrong.
    """
    if not (or_login and has_proof_or_login()):
        _prove(body.password or None, body.code or None)


def require_proof() -> None:
    """Require that the caller has proved itself in the last minutes, by a step-up.

    Raises:
        MfaRequired: The challenge.
    """
    if not caller().proved:
        raise services().reauthentication.challenge(caller())


def has_proof_or_login() -> bool:
    """Tell whether the caller has proved itself in the last minutes, by a step-up or by its login."""
    return caller().proved or services().reauthentication.has_logged_in_lately(caller())


def prove(answer: str) -> None:
    """Prove the caller by the code or password of a form, unless it has proved itself in the last minutes.

    Raises:
        ApiError: As `Reauthentication.prove` does; InvalidCode if the answer is wrong.
    """
    _prove(answer, answer)


def _prove(password: str | None, code: str | None) -> None:
    if not caller().proved:
        set_proof_cookie(services().reauthentication.prove(caller(), password, code, client()))
        g.caller = replace(caller(), proved=True)


def takes(schema_type: type[WireSchema]) -> Callable[[View], View]:
    """Load the JSON body by a schema and pass it to the view as `body`."""
    refusals = [InvalidForm, InvalidJson, RequestEntityTooLarge]
    read = _load_body(schema_type, _read_json)
    return lambda view: mark(read(view), body=schema_type, refusals=refusals)


def may_take(schema_type: type[WireSchema]) -> Callable[[View], View]:
    """Load the JSON body by a schema and pass it to the view as `body`. A request without a body has an empty one."""
    refusals = [InvalidForm, InvalidJson, RequestEntityTooLarge]
    read = _load_body(schema_type, lambda: _read_json() if has_body() else {})
    return lambda view: mark(read(view), body=schema_type, may_lack_body=True, refusals=refusals)


def has_body() -> bool:
    return bool(request.content_length) or "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def takes_form(schema_type: type[WireSchema]) -> Callable[[View], View]:
    """Load the form of a page by a schema and pass it to the view as `body`. An empty field counts as absent."""
    return _load_body(schema_type, lambda: {name: text for name, text in request.form.items() if text})


def _load_body(schema_type: type[WireSchema], read: Callable[[], Any]) -> Callable[[View], View]:
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
    """Return the description of the client of this request."""
    return services().callers.client(request.environ)


def _read_json() -> Any:
    if not request.is_json:
        raise InvalidJson
    try:
        return orjson.loads(read_body())
    except orjson.JSONDecodeError:
        raise InvalidJson from None


def read_body() -> bytes:
    """Return the whole body.

    Raises:
        InvalidJson: The body is cut short.
        RequestEntityTooLarge: It is longer than the route allows.
    """
    try:
        raw = request.get_data(cache=False)
    except ClientDisconnected:
        raise InvalidJson from None
    if len(raw) >= (request.max_content_length or 0):  # a body in chunks is cut off at the limit
        raise RequestEntityTooLarge
    return raw
