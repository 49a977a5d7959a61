"""The devices signed in, as Discord's clients ask for them."""

from typing import Any

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from app.errors import MfaRequired, UnknownSession
from app.stores.sessions import Session
from app.times import iso
from app.tokens import id_in_url
from app.web.cookies import FORGETS_SESSION, forget_session
from app.web.guards import caller, client, require_recent_proof, require_session, takes
from app.web.services import services
from app.wire.contract import Parameter, answers, reads, refuses
from app.wire.responses import UserSessionsSchema
from app.wire.sessions import LogoutSessions, LogoutSessionsSchema

bp = Blueprint("sessions", __name__)

EXTENDED = Parameter("query", "extended", "`true` tells all that is known of each session", "true")


@bp.get("/auth/sessions")
@require_session
@reads(EXTENDED)
@answers(UserSessionsSchema)
def list_sessions() -> ResponseReturnValue:
    """List the devices signed in, most recently used first."""
    shown = _extended if request.args.get("extended") == "true" else _plain
    return {"user_sessions": [shown(session) for session in services().devices.list(caller().user_id)]}


@bp.post("/auth/sessions/logout")
@require_session
@takes(LogoutSessionsSchema)
@answers(headers=FORGETS_SESSION)
@refuses(MfaRequired, UnknownSession)
def log_out_sessions(body: LogoutSessions) -> ResponseReturnValue:
    """End some of the caller's user's sessions, the caller's own perhaps among them."""
    require_recent_proof()
    services().devices.end(caller(), body.session_id_hashes, "revoked")
    if caller().id_hash in body.session_id_hashes:
        forget_session()
    return "", 204


@bp.post("/auth/sessions/debug/notifications")
@require_session
@answers()
@refuses(NotFound)
def send_suspicious_session_notice() -> ResponseReturnValue:
    """Have the caller's user mailed the notice about a suspicious session; 404 where no mail is sent."""
    if not services().notices.are_sent:
        abort(404)
    services().notices.tell_of_suspicion(caller().user_id, client(), caller().id_hash)
    return "", 204


def _plain(session: Session) -> dict[str, Any]:
    client = session.client
    return {
        "id_hash": session.id_hash,
        "approx_last_used_time": iso(session.last_used_at),
        "client_info": {"os": client.os, "platform": client.platform, "location": client.location},
    }


def _extended(session: Session) -> dict[str, Any]:
    return _plain(session) | {
        "id": id_in_url(session.id_hash),
        "created_at": iso(session.began_at),
        "expires_at": iso(services().devices.expires_at(session)),
        "last_seen": iso(session.last_used_at),
        "last_seen_ip": session.client.ip,
        "last_seen_location": session.client.location,
        "is_current": session.id_hash == caller().id_hash,
    }
