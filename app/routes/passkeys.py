"""Passkeys of the caller's user, and signing in by a passkey alone, for clients with a token and for browsers.

A passkey as a second factor: login.py and mfa.py. The pages: settings_security.py and pages.py.
"""

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.errors import InvalidTicket, MfaRequired, NotFound
from app.form_errors import InvalidCode, InvalidCredential, LastWayIn, TooManyPasskeys, VerificationRequired
from app.routes.login import USER_SETTINGS
from app.routes.mfa import codes_body
from app.stores.passkeys import Passkey
from app.times import iso
from app.web.cookies import (
    PROVES,
    RENEWS_SESSION,
    SETS_SESSION,
    is_known_by_cookie,
    renew_session_cookie,
    sign_in_browser,
)
from app.web.guards import (
    SUPER_PROPERTIES,
    caller,
    client,
    may_take,
    require_proof_or_answer,
    require_same_origin,
    require_session,
    takes,
)
from app.web.limits import LOGIN_ADDRESS, NEW_FACTOR, STEP_UP, STEP_UP_USER, limited
from app.web.services import services
from app.web.surfaces import CookieBlueprint
from app.wire.contract import Parameter, answers, reads, refuses
from app.wire.fields import ProvingBody
from app.wire.passkeys import (
    AddPasskey,
    AddPasskeySchema,
    FinishBrowserSignIn,
    FinishBrowserSignInSchema,
    FinishSignIn,
    FinishSignInSchema,
    RemovePasskeySchema,
    RenamePasskey,
    RenamePasskeySchema,
    StartSignIn,
    StartSignInSchema,
)
from app.wire.responses import (
    AuthenticatorSchema,
    NewAuthenticatorSchema,
    NewPasskeyAskedSchema,
    PasskeyAskedSchema,
    SignedInByCookieSchema,
    SignedInSchema,
)

bp = Blueprint("passkeys", __name__)
cookie_bp = CookieBlueprint("passkey_sign_in", __name__)

_TYPE = 1  # Discord's number of passkeys among authenticators
_CREDENTIALS = "/users/@me/mfa/webauthn/credentials"
_ID = Parameter("path", "passkey_id", "`id` of a passkey", "1234567890123456789")


@bp.get(_CREDENTIALS)
@require_session
@answers(AuthenticatorSchema(many=True))
def list_passkeys() -> ResponseReturnValue:
    """List the passkeys of the caller's user, the oldest first."""
    user = services().accounts.get(caller().user_id)
    return [
        _passkey_body(passkey)
        | {
            "cred_id": passkey.cred_id,
            "last_used": None if passkey.last_used_at is None else iso(passkey.last_used_at),
        }
        for passkey in user.passkeys
    ]


@bp.post(_CREDENTIALS)
@require_session
@may_take(AddPasskeySchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(NewPasskeyAskedSchema, NewAuthenticatorSchema, headers=[PROVES, RENEWS_SESSION])
@refuses(InvalidTicket, InvalidCredential, TooManyPasskeys, MfaRequired, InvalidCode, NotFound)
def add_passkey(body: AddPasskey) -> ResponseReturnValue:
    """Add a passkey, in two requests.

    The first one needs a proof. Its answer has a ticket, and what to ask the browser for. The second one has the ticket
    and what the browser made. Its answer has backup codes if this is the first second factor. A user may add
    `RATE_LIMIT_NEW_FACTOR`.
    """
    if body.ticket:
        added: ResponseReturnValue = _finish_adding(body)
        return added
    user = services().accounts.get(caller().user_id)
    services().passkeys.require_room(user)
    require_proof_or_answer(body)
    ticket, asked = services().passkeys.begin_adding(caller(), user)
    return {"ticket": ticket, "challenge": asked}


@bp.patch(f"{_CREDENTIALS}/<passkey_id>")
@require_session
@reads(_ID)
@may_take(RenamePasskeySchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(AuthenticatorSchema, headers=[PROVES])
@refuses(NotFound, MfaRequired, InvalidCode)
def rename_passkey(passkey_id: str, body: RenamePasskey) -> ResponseReturnValue:
    """Give a passkey another name."""
    user = services().accounts.get(caller().user_id)
    passkey = services().passkeys.find(user, passkey_id)
    require_proof_or_answer(body)
    if body.name is not None:
        services().passkeys.rename(caller(), user, passkey_id, body.name, client())
    return _passkey_body(passkey) | ({"name": body.name} if body.name is not None else {})


@bp.delete(f"{_CREDENTIALS}/<passkey_id>")
@require_session
@reads(_ID)
@may_take(RemovePasskeySchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(headers=[PROVES, RENEWS_SESSION])
@refuses(NotFound, LastWayIn, MfaRequired, InvalidCode)
def remove_passkey(passkey_id: str, body: ProvingBody) -> ResponseReturnValue:
    """Remove a passkey.

    MFA is off when the last second factor is gone, and its backup codes go with it.
    """
    user = services().accounts.get(caller().user_id)
    services().passkeys.find(user, passkey_id)
    require_proof_or_answer(body)
    token = services().passkeys.remove(caller(), user, passkey_id, client(), renew=is_known_by_cookie())
    renew_session_cookie(token)
    return "", 204


@bp.post("/auth/passwordless/start")
@answers(PasskeyAskedSchema)
@refuses(NotFound)
def start_by_button() -> ResponseReturnValue:
    """Begin a sign-in by a passkey alone."""
    return _start(conditional=False)


@bp.post("/auth/conditional/start")
@answers(PasskeyAskedSchema)
@refuses(NotFound)
def start_by_autofill() -> ResponseReturnValue:
    """Begin a sign-in by a passkey that the browser offers as it fills in the form of a login."""
    return _start(conditional=True)


@bp.post("/auth/conditional/finish")
@takes(FinishSignInSchema)
@limited(LOGIN_ADDRESS)
@reads(SUPER_PROPERTIES)
@answers(SignedInSchema)
@refuses(InvalidTicket, InvalidCode, VerificationRequired, NotFound)
def finish(body: FinishSignIn) -> ResponseReturnValue:
    """Sign a device in by a passkey alone, however that began.

    The passkey must have verified its user. Then it is both factors in one.
    """
    signed_in = services().passkeys.finish_sign_in(body.ticket, body.credential, client(), comes_back=body.undelete)
    return {"user_id": signed_in.user_id, "token": signed_in.token, "user_settings": USER_SETTINGS}


@cookie_bp.post("/login/passkey/start")
@require_same_origin
@may_take(StartSignInSchema)
@answers(PasskeyAskedSchema)
@refuses(NotFound)
def start_in_browser(body: StartSignIn) -> ResponseReturnValue:
    """Begin a sign-in by a passkey alone."""
    return _start(conditional=body.conditional)


@cookie_bp.post("/login/passkey")
@require_same_origin
@takes(FinishBrowserSignInSchema)
@limited(LOGIN_ADDRESS)
@reads(SUPER_PROPERTIES)
@answers(SignedInByCookieSchema, headers=[SETS_SESSION])
@refuses(InvalidTicket, InvalidCode, VerificationRequired, NotFound)
def finish_in_browser(body: FinishBrowserSignIn) -> ResponseReturnValue:
    """Sign a browser in by a passkey alone.

    The passkey must have verified its user. Then it is both factors in one.
    """
    signed_in = services().passkeys.finish_sign_in(
        body.ticket,
        body.credential,
        client(),
        on_public_computer=body.public_computer,
        comes_back=body.undelete,
    )
    sign_in_browser(signed_in)
    return {"user_id": signed_in.user_id, "user_settings": USER_SETTINGS}


def _start(*, conditional: bool) -> ResponseReturnValue:
    ticket, asked = services().passkeys.start_sign_in(conditional=conditional)
    return {"ticket": ticket, "challenge": asked}


@limited(NEW_FACTOR)
def _finish_adding(body: AddPasskey) -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    passkey, codes, token = services().passkeys.finish_adding(
        caller(),
        user,
        body.ticket or "",
        body.name,
        body.credential,
        client(),
        renew=is_known_by_cookie(),
    )
    renew_session_cookie(token)
    return _passkey_body(passkey) | {"backup_codes": codes_body(user.id, codes)}


def _passkey_body(passkey: Passkey) -> dict[str, Any]:
    return {"id": passkey.id, "type": _TYPE, "name": passkey.name}
