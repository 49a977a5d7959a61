"""Registration, login, its second step, and logout.

For browsers: me.py. Pages: pages.py. A forgotten password: recovery.py.
"""

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.errors import InvalidTicket, NothingToSwap, UnknownSession
from app.form_errors import InvalidCode, InvalidLogin, VerificationRequired
from app.languages.choice import language_asked_for
from app.rules.second_steps import SecondFactorAsked
from app.rules.sign_ins import SignedIn
from app.stores.factors import MfaType
from app.web.cookies import CLEARS_COOKIES, clear_cookies
from app.web.guards import SUPER_PROPERTIES, caller, client, end_own_session, require_session, takes
from app.web.limits import CODE_ACCOUNT, LOGIN, LOGIN_ACCOUNT, LOGIN_ADDRESS, REGISTER, limited
from app.web.services import services
from app.wire.contract import answers, known_by, reads, refuses
from app.wire.responses import CodeAskedSchema, FinishedLoginSchema, SignedInSchema, TokenSchema
from app.wire.sign_in import (
    Login,
    LoginCode,
    LoginCodeSchema,
    LoginPasskeySchema,
    LoginSchema,
    Register,
    RegisterSchema,
)

bp = Blueprint("login", __name__)

USER_SETTINGS = {"locale": "en-US", "theme": "dark"}


@bp.post("/auth/register")
@takes(RegisterSchema)
@limited(REGISTER)
@reads(SUPER_PROPERTIES)
@answers(TokenSchema, status=201)
def register(body: Register) -> ResponseReturnValue:
    """Make an account, and sign its first device in."""
    signed_in = services().accounts.register(
        body.email, body.username, body.global_name, body.password, client(), language=language_asked_for()
    )
    return {"token": signed_in.token}, 201


@bp.post("/auth/login")
@takes(LoginSchema)
@limited(LOGIN_ADDRESS, LOGIN, LOGIN_ACCOUNT)
@reads(SUPER_PROPERTIES)
@answers(SignedInSchema, CodeAskedSchema)
@refuses(InvalidLogin, VerificationRequired)
def log_in(body: Login) -> ResponseReturnValue:
    """Sign a device in, or ask for a second factor if one is on."""
    outcome = services().accounts.log_in(body.login, body.password, client(), comes_back=body.undelete)
    if isinstance(outcome, SecondFactorAsked):
        return code_asked_body(outcome)
    return {"user_id": outcome.user_id, "token": outcome.token} | signed_in_body(outcome)


@bp.post("/auth/mfa/totp")
@takes(LoginCodeSchema)
@limited(LOGIN_ADDRESS, LOGIN, CODE_ACCOUNT)
@reads(SUPER_PROPERTIES)
@answers(FinishedLoginSchema)
@refuses(InvalidTicket, InvalidCode)
def log_in_with_totp(body: LoginCode) -> ResponseReturnValue:
    """Finish a login with a TOTP code or a backup code."""
    return _finish_login(body, "totp")


@bp.post("/auth/mfa/webauthn")
@takes(LoginPasskeySchema)
@limited(LOGIN_ADDRESS, LOGIN, CODE_ACCOUNT)
@reads(SUPER_PROPERTIES)
@answers(FinishedLoginSchema)
@refuses(InvalidTicket, InvalidCode)
def log_in_with_passkey(body: LoginCode) -> ResponseReturnValue:
    """Finish a login with a passkey."""
    return _finish_login(body, "webauthn")


@bp.post("/auth/mfa/backup")
@takes(LoginCodeSchema)
@limited(LOGIN_ADDRESS, LOGIN, CODE_ACCOUNT)
@reads(SUPER_PROPERTIES)
@answers(FinishedLoginSchema)
@refuses(InvalidTicket, InvalidCode)
def log_in_with_backup_code(body: LoginCode) -> ResponseReturnValue:
    """Finish a login with a backup code."""
    return _finish_login(body, "backup")


@bp.post("/auth/logout")
@known_by("session")
@answers(headers=CLEARS_COOKIES)
@refuses(UnknownSession)
def log_out() -> ResponseReturnValue:
    """End the caller's own session."""
    end_own_session()
    clear_cookies()
    return "", 204


@bp.post("/auth/swap")
@require_session
@answers(TokenSchema)
@refuses(NothingToSwap)
def swap() -> ResponseReturnValue:
    """Swap a token of the service before for one of Keyrack's.

    The session goes on, and the former token is dead at once. A caller whose token is Keyrack's own is refused.
    """
    return {"token": services().devices.swap(caller())}


def _finish_login(body: LoginCode, mfa_type: MfaType) -> ResponseReturnValue:
    signed_in = services().second_steps.finish_login(body.ticket, mfa_type, body.code, body.login_instance_id, client())
    return {"token": signed_in.token} | signed_in_body(signed_in)


def signed_in_body(signed_in: SignedIn) -> dict[str, Any]:
    """Return what each answer to a login has: settings for the client, and what the user should do first."""
    actions = {"required_actions": ["update_password"]} if signed_in.password_warning else {}
    return {"user_settings": USER_SETTINGS} | actions


def code_asked_body(asked: SecondFactorAsked) -> dict[str, Any]:
    """Return the body that asks for a second factor after a right password."""
    return {
        "user_id": asked.user_id,
        "mfa": True,
        "ticket": asked.ticket,
        "login_instance_id": asked.instance,
        "totp": "totp" in asked.offered,
        "backup": "backup" in asked.offered,
        "sms": False,
        "webauthn": asked.webauthn,
    }
