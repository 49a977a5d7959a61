"""The devices signed in, in the form that Discord's clients expect.

For browsers: me.py.
"""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from app.errors import MfaRequired, UnknownSession
from app.form_errors import InvalidCode
from app.stores.session_records import Place, Session
from app.times import iso
from app.tokens import id_in_url
from app.web.cookies import CLEARS_COOKIES, PROVES, clear_cookies
from app.web.guards import (
    all_sessions,
    caller,
    client,
    require_proof_or_answer,
    require_session,
    require_session_and,
    takes,
)
from app.web.limits import STEP_UP, STEP_UP_USER, limited
from app.web.services import services
from app.wire.contract import Parameter, answers, reads, refuses
from app.wire.session_responses import UserSessionsSchema
from app.wire.sessions import LogoutSessions, LogoutSessionsSchema

bp = Blueprint("sessions", __name__)

EXTENDED = Parameter("query", "extended", "`true` gives all fields of each session", "true")


@bp.get("/auth/sessions")
@require_session_and(all_sessions)
@reads(EXTENDED)
@answers(UserSessionsSchema)
def list_sessions(sessions: Sequence[Session]) -> ResponseReturnValue:
    """List the devices signed in, most recently used first."""
    body_of = _extended_body if request.args.get("extended") == "true" else _plain_body
    return {"user_sessions": [body_of(session) for session in services().devices.end_expired(sessions)]}


@bp.post("/auth/sessions/logout")
@require_session
@takes(LogoutSessionsSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(headers=[*CLEARS_COOKIES, PROVES])
@refuses(MfaRequired, InvalidCode, UnknownSession)
def log_out_sessions(body: LogoutSessions) -> ResponseReturnValue:
    """End some sessions of the caller's user.

    The caller's own session may be among them.
    """
    require_proof_or_answer(body)
    services().devices.end(caller(), body.session_id_hashes, "revoked")
    if caller().id_hash in body.session_id_hashes:
        clear_cookies()
    return "", 204


@bp.post("/auth/sessions/debug/notifications")
@require_session
@answers()
@refuses(NotFound)
def send_suspicious_session_notice() -> ResponseReturnValue:
    """Mail the caller's user the notice about a suspicious session.

    If the service sends no mail, the answer is 404.
    """
    if not services().notices.are_sent:
        abort(404)
    services().notices.tell_of_suspicion(caller().user_id, client(), caller().id_hash)
    return "", 204


def _plain_body(session: Session) -> dict[str, Any]:
    client = session.client
    return {
        "id_hash": session.id_hash,
        "approx_last_used_time": iso(session.last_used_at),
        "client_info": {"os": client.os, "platform": client.platform, "location": client.location},
    }


def _place_body(place: Place) -> dict[str, Any]:
    return {
        "country_code": place.country_code,
        "country_name": place.country,
        "region": place.region,
        "city": place.city,
    }


def _extended_body(session: Session) -> dict[str, Any]:
    return _plain_body(session) | {
        "id": id_in_url(session.id_hash),
        "created_at": iso(session.began_at),
        "expires_at": iso(services().devices.expires_at(session)),
        "last_seen": iso(session.last_used_at),
        "last_seen_ip": session.client.ip,
        "last_seen_location": session.client.location,
        "last_seen_location_info": _place_body(session.client.place or Place()),
        "amr": session.amr,
        "public_computer": session.on_public_computer,
        "is_current": session.id_hash == caller().id_hash,
    }
