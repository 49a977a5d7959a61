"""The cookie API: sign-in and the devices signed in, for browsers and for programs that keep cookies.

For clients with a token: login.py and sessions.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from werkzeug.routing import BaseConverter

from app.errors import InvalidTicket, IsCurrentSession, MfaRequired, Unauthorized, UnknownSession
from app.form_errors import InvalidCode, InvalidLogin, VerificationRequired
from app.languages.choice import language_asked_for
from app.languages.words import why_ended
from app.routes.login import code_asked_body, signed_in_body
from app.rules.device_names import name_of
from app.rules.second_steps import SecondFactorAsked
from app.stores.session_records import Ended, Session
from app.times import iso
from app.tokens import id_from_url, id_in_url
from app.web.cookies import (
    CLEARS_COOKIES,
    PROVES,
    SETS_REMEMBERED,
    SETS_SESSION,
    clear_cookies,
    has_session_cookie,
    own_remembered,
    sign_in_browser,
)
from app.web.guards import (
    SUPER_PROPERTIES,
    all_sessions,
    caller,
    client,
    end_own_session,
    may_take,
    require_proof_or_answer,
    require_same_origin,
    require_session,
    require_session_and,
    takes,
)
from app.web.limits import (
    CODE_ACCOUNT,
    END_OTHERS,
    END_OTHERS_USER,
    LOGIN,
    LOGIN_ACCOUNT,
    LOGIN_ADDRESS,
    REGISTER,
    STEP_UP,
    STEP_UP_USER,
    is_within,
    limited,
)
from app.web.services import services
from app.web.surfaces import CookieBlueprint
from app.wire.contract import Parameter, answers, known_by, reads, refuses
from app.wire.fields import ProvingBody
from app.wire.responses import CodeAskedSchema, MessageSchema, RegisteredSchema, SignedInByCookieSchema
from app.wire.session_responses import OwnEndedSessionSchema, OwnSessionSchema
from app.wire.sessions import (
    RenameSession,
    RenameSessionSchema,
    RevokeSchema,
    RevokeSessions,
    RevokeSessionsSchema,
)
from app.wire.sign_in import (
    BrowserLogin,
    BrowserLoginCode,
    BrowserLoginCodeSchema,
    BrowserLoginSchema,
    BrowserRegister,
    BrowserRegisterSchema,
)

bp = CookieBlueprint("me", __name__)

SESSION_ID = Parameter(
    "path",
    "session_id",
    "`id` or `id_hash` of a session: base64 of 32 bytes, in either alphabet, with or without padding",
    "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k",
)


class AnyText(BaseConverter):
    """The rest of a path, with all slashes. Standard base64 may have slashes, even two together or one at the start."""

    regex = ".+"
    part_isolating = False


@bp.record_once
def _register_any_text(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["any_text"] = AnyText


@bp.post("/register")
@require_same_origin
@takes(BrowserRegisterSchema)
@limited(REGISTER)
@reads(SUPER_PROPERTIES)
@answers(RegisteredSchema, status=201, headers=[SETS_SESSION])
def register(body: BrowserRegister) -> ResponseReturnValue:
    """Make an account, and sign the browser in as its first device."""
    signed_in = services().accounts.register(
        body.email,
        body.username,
        body.global_name,
        body.password,
        client(),
        on_public_computer=body.public_computer,
        language=language_asked_for(),
    )
    sign_in_browser(signed_in)
    return {"user_id": signed_in.user_id}, 201


@bp.post("/login")
@require_same_origin
@takes(BrowserLoginSchema)
@limited(LOGIN_ADDRESS, LOGIN, LOGIN_ACCOUNT)
@reads(SUPER_PROPERTIES)
@answers(SignedInByCookieSchema, CodeAskedSchema, headers=[replace(SETS_SESSION, always=False), SETS_REMEMBERED])
@refuses(InvalidLogin, VerificationRequired)
def log_in(body: BrowserLogin) -> ResponseReturnValue:
    """Sign a browser in, or ask for a second factor if one is on.

    A browser that is remembered is not asked. The session that it gets so has proved nothing but the password.
    """
    outcome = services().accounts.log_in(
        body.login,
        body.password,
        client(),
        remembered=own_remembered(),
        on_public_computer=body.public_computer,
        comes_back=body.undelete,
    )
    if isinstance(outcome, SecondFactorAsked):
        return code_asked_body(outcome)
    sign_in_browser(outcome)
    return {"user_id": outcome.user_id} | signed_in_body(outcome)


@bp.post("/login/mfa")
@require_same_origin
@takes(BrowserLoginCodeSchema)
@limited(LOGIN_ADDRESS, LOGIN, CODE_ACCOUNT)
@reads(SUPER_PROPERTIES)
@answers(SignedInByCookieSchema, headers=[SETS_SESSION, SETS_REMEMBERED])
@refuses(InvalidTicket, InvalidCode)
def log_in_with_code(body: BrowserLoginCode) -> ResponseReturnValue:
    """Finish a login with a TOTP code, a backup code or a passkey."""
    signed_in = services().second_steps.finish_login(
        body.ticket, body.method, body.code, body.login_instance_id, client(), remember=body.remember
    )
    sign_in_browser(signed_in)
    return {"user_id": signed_in.user_id} | signed_in_body(signed_in)


@bp.post("/logout")
@known_by("session")
@answers(headers=CLEARS_COOKIES)
@refuses(UnknownSession)
def log_out() -> ResponseReturnValue:
    """End the caller's own session.

    If the session is over already, the cookies are cleared nevertheless.
    """
    try:
        end_own_session()
    except Unauthorized:
        if not has_session_cookie():
            raise
    clear_cookies()
    return "", 204


@bp.get("/me/sessions")
@require_session_and(all_sessions)
@answers(OwnSessionSchema(many=True))
def list_sessions(sessions: Sequence[Session]) -> ResponseReturnValue:
    """List the devices signed in, most recently used first."""
    return [_session_body(session) for session in services().devices.end_expired(sessions)]


@bp.get("/me/sessions/ended")
@require_session
@answers(OwnEndedSessionSchema(many=True))
def list_ended() -> ResponseReturnValue:
    """List the sessions that ended lately, newest first.

    The operator sets for how many days they are kept.
    """
    return [_ended_session_body(ended) for ended in services().devices.list_ended(caller().user_id)]


@bp.post("/me/sessions/revoke")
@require_session
@takes(RevokeSessionsSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(MessageSchema, headers=[PROVES])
@refuses(IsCurrentSession, UnknownSession, MfaRequired, InvalidCode)
def revoke_sessions(body: RevokeSessions) -> ResponseReturnValue:
    """End several other sessions in one step."""
    id_hashes = [_parse_other_session_id(session_id) for session_id in body.ids]
    require_proof_or_answer(body, or_login=True)
    services().devices.end(caller(), id_hashes, "revoked")
    return {"message": "Sessions revoked."}


@bp.post("/me/sessions/revoke-all")
@require_session
@limited(END_OTHERS)
@may_take(RevokeSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(MessageSchema, headers=[PROVES])
@refuses(MfaRequired, InvalidCode)
def revoke_all(body: ProvingBody) -> ResponseReturnValue:
    """End every session but the caller's."""
    require_proof_or_answer(body, or_login=True)
    services().accounts.end_others(caller(), client(), stop_logins=is_within(END_OTHERS_USER))
    return {"message": "All other sessions have been revoked."}


@bp.post("/me/proof")
@require_session
@may_take(RevokeSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(headers=[PROVES])
@refuses(MfaRequired, InvalidCode)
def require_recent_proof(body: ProvingBody) -> ResponseReturnValue:
    """Ask for a proof before something that needs one, such as a form of a page.

    A caller with a recent proof gets 204, and nothing happens.
    """
    require_proof_or_answer(body)
    return "", 204


@bp.delete("/me/sessions/<any_text:session_id>")
@require_session
@reads(SESSION_ID)
@may_take(RevokeSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(MessageSchema, headers=[PROVES])
@refuses(IsCurrentSession, UnknownSession, MfaRequired, InvalidCode)
def revoke_session(session_id: str, body: ProvingBody) -> ResponseReturnValue:
    """End one other session."""
    id_hash = _parse_other_session_id(session_id)
    require_proof_or_answer(body, or_login=True)
    services().devices.end(caller(), [id_hash], "revoked")
    return {"message": "Session revoked."}


@bp.patch("/me/sessions/<any_text:session_id>")
@require_session
@reads(SESSION_ID)
@takes(RenameSessionSchema)
@answers(MessageSchema)
@refuses(UnknownSession)
def rename_session(session_id: str, body: RenameSession) -> ResponseReturnValue:
    """Give a device a name.

    `null` removes the name.
    """
    services().devices.rename(caller(), _parse_session_id(session_id), body.name)
    return {"message": "Session renamed."}


def _parse_session_id(session_id: str) -> str:
    id_hash = id_from_url(session_id)
    if id_hash is None:
        raise UnknownSession
    return id_hash


def _parse_other_session_id(session_id: str) -> str:
    id_hash = _parse_session_id(session_id)
    if id_hash == caller().id_hash:
        raise IsCurrentSession
    return id_hash


def _session_body(session: Session) -> dict[str, Any]:
    return {
        "id": id_in_url(session.id_hash),
        "deviceName": name_of(session),
        "ip": session.client.ip,
        "location": session.client.location,
        "lastActiveAt": iso(session.last_used_at),
        "createdAt": iso(session.began_at),
        "isCurrent": session.id_hash == caller().id_hash,
        "endsAt": iso(services().devices.expires_at(session)),
        "publicComputer": session.on_public_computer,
    }


def _ended_session_body(ended: Ended) -> dict[str, Any]:
    return {
        "id": id_in_url(ended.session.id_hash),
        "deviceName": name_of(ended.session),
        "ip": ended.session.client.ip,
        "location": ended.session.client.location,
        "createdAt": iso(ended.session.began_at),
        "endedAt": iso(ended.ended_at),
        "reason": ended.reason,
        "explanation": why_ended(ended),
    }
