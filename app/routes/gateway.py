"""Questions of gateways and applications: what a token means, which sessions are over, who a user is. Incident tools
end all sessions of a user here.

They need the gateway's secret. The check whose each request is: app/web/verify.py. Events for gateways:
app/stores/lua/session.lua.
"""

from typing import Any
from urllib.parse import parse_qs

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestEntityTooLarge

from app.errors import InvalidJson, Unavailable, UnknownUser
from app.form_errors import InvalidForm
from app.routes.users import user_body
from app.rules.sign_ins import acr_of
from app.snowflakes import is_user_id
from app.stores.session_records import Session
from app.watch import context
from app.web.guards import read_body, require_secret, takes
from app.web.services import services
from app.wire.contract import Parameter, answers, known_by, reads, reads_form, refuses
from app.wire.gateway import IntrospectSchema, Reconcile, ReconcileSchema, RevokeUser, RevokeUserSchema, Subject
from app.wire.responses import ActiveTokenSchema, EndedSessionsSchema, InactiveTokenSchema, KnownUserSchema

bp = Blueprint("gateway", __name__)

_MAX_RECONCILE_BODY = 250_000  # 1000 sessions of some 100 bytes each, with room for spaces


@bp.before_request
@known_by("gateway")
def _require_secret() -> None:
    require_secret(services().settings.gateway_secret or "")


@bp.before_request
def _allow_many_sessions() -> None:
    request.max_content_length = _MAX_RECONCILE_BODY


@bp.post("/introspect")
@reads_form(IntrospectSchema)
@answers(ActiveTokenSchema, InactiveTokenSchema)
@refuses(InvalidForm, InvalidJson, RequestEntityTooLarge, Unavailable)
def introspect() -> ResponseReturnValue:
    """Describe a token (RFC 7662).

    For an inactive token the answer says only that it is inactive, and no reason.
    """
    tokens = parse_qs(read_body().decode("latin-1"), keep_blank_values=True).get("token", [])
    if len(tokens) != 1:
        raise InvalidForm({"token": "BASE_TYPE_REQUIRED: This field is required"})
    session = services().devices.find(tokens[0])
    if session is None:
        return {"active": False}
    return {
        "active": True,
        "sub": session.user_id,
        "sid": session.id_hash,
        "iat": session.began_at,
        "exp": int(services().devices.expires_at(session)),
        "auth_time": session.proved_at or session.began_at,
        **_how_opened(session),
    }


def _how_opened(session: Session) -> dict[str, Any]:
    told = {"amr": session.amr, "acr": acr_of(session)}
    return {name: value for name, value in told.items() if value}


@bp.post("/reconcile")
@takes(ReconcileSchema)
@answers(EndedSessionsSchema)
@refuses(Unavailable)
def reconcile(body: Reconcile) -> ResponseReturnValue:
    """Tell a gateway which of its sessions are over. It asks after it has missed events."""
    named = [(session.user_id, session.id_hash) for session in body.sessions]
    ended = services().devices.find_ended(named)
    return {"ended": [{"user_id": user_id, "id_hash": id_hash} for user_id, id_hash in ended]}


@bp.post("/revoke")
@takes(RevokeUserSchema)
@answers()
@refuses(InvalidForm, UnknownUser, Unavailable)
def revoke(body: RevokeUser) -> ResponseReturnValue:
    """End all sessions of a user, and stop logins under way, as the draft of global token revocation has it.

    The answer comes when nobody takes their tokens any more. Asked again, it ends what was opened meanwhile.
    """
    user_id = _id_of(body.sub_id)
    context.note_gateway()
    if not is_user_id(user_id) or not services().operators.revoke(user_id):
        raise UnknownUser
    return "", 204


def _id_of(subject: Subject) -> str:
    """Return the id of the user whom a subject names by its format; "" if no user has the e-mail address."""
    if subject.format == "email":
        user = services().accounts.find(subject.email)
        return user.id if user else ""
    if subject.format == "opaque":
        return subject.id
    if subject.iss != services().settings.issuer:
        raise InvalidForm({"sub_id": {"iss": "BASE_TYPE_CHOICES: Value must be the issuer of this service."}})
    return subject.sub


@bp.get("/users/<user_id>")
@reads(Parameter("path", "user_id", "The id of the user", "1234567890123456789"))
@answers(KnownUserSchema)
@refuses(UnknownUser, Unavailable)
def show_user(user_id: str) -> ResponseReturnValue:
    """Tell the application behind the gateway who a user is. A disabled user has no session."""
    user = services().profiles.find(user_id)
    return user_body(user) | {"disabled": user.disabled}
