"""What the gateway asks beside the check of each request, which is app/verify.py's: behind a secret of its own."""

import hmac

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue

from app import tokens
from app.errors import InvalidForm, Unauthorized
from app.guards import takes
from app.schemas import Reconcile, ReconcileSchema
from app.services import services

bp = Blueprint("gateway", __name__)

_MAX_RECONCILE_BODY = 250_000  # 1000 sessions of some 100 bytes each, with room for spaces


@bp.before_request
def _require_secret() -> None:
    """Without a secret in the settings there is nothing here; with another one than it, no answer."""
    secret = services().settings.gateway_secret
    if secret is None:
        abort(404)
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), secret.encode()):
        raise Unauthorized


@bp.before_request
def _allow_many_sessions() -> None:
    request.max_content_length = _MAX_RECONCILE_BODY


@bp.post("/introspect")
def introspect() -> ResponseReturnValue:
    """Describe a token (RFC 7662); of one that is not active nothing is told but that."""
    token = request.form.get("token")
    if token is None:
        raise InvalidForm({"token": "BASE_TYPE_REQUIRED: This field is required"})
    claim = tokens.read(token)
    session = services().devices.find(claim.user_id, claim.id_hash) if claim else None
    if session is None:
        return {"active": False}
    return {
        "active": True,
        "sub": session.user_id,
        "sid": session.id_hash,
        "iat": session.began_at,
        "exp": int(services().devices.expires_at(session)),
        "auth_time": session.proved_at or session.began_at,
    }


@bp.post("/reconcile")
@takes(ReconcileSchema)
def reconcile(body: Reconcile) -> ResponseReturnValue:
    """Tell a gateway that missed events which of the sessions it knows no longer live."""
    named = [(session.user_id, session.id_hash) for session in body.sessions]
    ended = services().devices.find_ended(named)
    return {"ended": [{"user_id": user_id, "id_hash": id_hash} for user_id, id_hash in ended]}
