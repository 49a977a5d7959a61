"""The caller's own user: its record, and changes of it, beside what the application behind the gateway has of it.

The second factor: mfa.py. A forgotten password: recovery.py.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson
from flask import Blueprint
from flask.typing import ResponseReturnValue

from app import tokens
from app.errors import ApplicationFailed, InvalidJson, MfaRequired
from app.form_errors import EmailTaken, InvalidCode
from app.routes.account import count_mail_to
from app.routes.login import USER_SETTINGS
from app.stores.user_records import User
from app.web.application import Method, Outcome, Reply
from app.web.cookies import PROVES, RENEWS_SESSION, renew_session_cookie
from app.web.front import API
from app.web.guards import (
    caller,
    client,
    require_proof_or_answer,
    require_session,
    require_session_and,
    takes,
    user_record,
)
from app.web.limits import STEP_UP, STEP_UP_USER, VERIFY, VERIFY_MAILBOX, counts_itself, limited
from app.web.services import services
from app.wire.account import OWN_FIELDS, ChangeUser, ChangeUserSchema
from app.wire.contract import answers, refuses
from app.wire.responses import ChangedUserSchema, UserSchema

bp = Blueprint("users", __name__)

# Clients fail without these. Only an application behind the gateway has what they tell.
_UNKNOWN = {
    "discriminator": "0",
    "avatar": None,
    "locale": USER_SETTINGS["locale"],
    "flags": 0,
    "premium_type": 0,
    "bio": "",
    "banner": None,
    "accent_color": None,
}
_PATH = "/users/@me"
_MAYBE = "The application gave no whole answer, and may or may not have changed the rest."
_NOT_TAKEN: Mapping[Outcome, str] = {
    "refused": "The application has refused the rest.",
    "away": "The application is away, and has not changed the rest.",
    "busy": "The application is too busy, and has not changed the rest.",
    "late": _MAYBE,
    "broken": _MAYBE,
}


@bp.get(_PATH)
@require_session_and(user_record)
@answers(UserSchema)
def show_me(record: User | None) -> ResponseReturnValue:
    """Show the caller's user, with what the application behind the gateway has of it.

    If the application is away or slow, its fields are missing.
    """
    user = services().accounts.require(record)
    return user_body(user, _ask_application("GET", user, caller().id_hash).fields)


@bp.patch(_PATH)
@require_session
@takes(ChangeUserSchema)
@limited(STEP_UP, STEP_UP_USER)
@counts_itself(VERIFY, VERIFY_MAILBOX)
@answers(ChangedUserSchema, headers=[RENEWS_SESSION, PROVES])
@refuses(EmailTaken, MfaRequired, InvalidCode, ApplicationFailed)
def change_me(body: ChangeUser) -> ResponseReturnValue:
    """Change the password, the address, the username and the name that others see: all that is asked for, or nothing.

    Another address is `pending_email` until the link that is mailed to it was used. With a new password, every other
    session ends, and the caller's own goes on with a new token. After that, the fields that Keyrack does not have are
    passed on to the application behind the gateway.
    """
    user = services().accounts.get(caller().user_id)
    others = _read_others(body)
    services().profiles.require_possible(user, body)
    if body.needs_password:
        services().profiles.require_password(
            user, body.password, client()
        )  # first, so that a mistyped one spends no code
        services().profiles.require_names_apart(user, body, body.password or "")
        if user.has_mfa:
            require_proof_or_answer(body)
    changed = body.changed
    if body.email is not None and services().addresses.is_another(user, body.email):
        count_mail_to(body.email)
        changed.append("email")
    user, token = services().profiles.change(caller(), user, body, client())
    renew_session_cookie(token)
    renewed = {"token": token} if token else {}
    id_hash = tokens.id_hash(token) if token else caller().id_hash
    reply = _ask_application("PATCH", user, id_hash, others) if others else None
    if reply and reply.outcome != "answered":
        problems = {"errors": reply.errors} if reply.errors else {}
        raise ApplicationFailed(changed, _NOT_TAKEN[reply.outcome], **renewed, **problems)
    fields = (reply and reply.fields) or _ask_application("GET", user, id_hash).fields
    return user_body(user, fields) | renewed


def user_body(user: User, fields: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Return what the user is told of the user. The application behind the gateway is told the same.

    Args:
        fields: What the application has. Keyrack's own fields are never its to tell.
    """
    own = {
        "id": user.id,
        "username": user.username,
        "global_name": user.global_name,
        "email": user.email,
        "pending_email": services().addresses.pending_of(user),
        "verified": not user.unverified,
        "mfa_enabled": user.has_mfa,
        "authenticator_types": services().second_factor.authenticator_types(user),
    }
    return _UNKNOWN | {name: value for name, value in fields.items() if name not in OWN_FIELDS} | own


def _ask_application(method: Method, user: User, id_hash: str, body: bytes = b"") -> Reply:
    application = services().application
    return application.ask(method, API + _PATH, user.id, id_hash, body) if application else Reply("answered")


def _read_others(body: ChangeUser) -> bytes:
    """Return the fields for the application as JSON; nothing if there is no application, or nothing for it.

    Raises:
        InvalidJson: They are nested too deeply.
    """
    if not body.others or services().application is None:
        return b""
    try:
        return orjson.dumps(body.others)
    except TypeError:
        raise InvalidJson from None
