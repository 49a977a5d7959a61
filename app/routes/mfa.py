"""Proving oneself again, and the second factor turned on and off."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.errors import InvalidCode, InvalidSecret, InvalidTicket, MfaAlreadyOn, MfaNotOn, MfaRequired
from app.web.cookies import KEEPS_PROOF, KEEPS_SESSION, keep_proof, keep_session
from app.web.guards import caller, client, require_recent_proof, require_session, takes
from app.web.limits import STEP_UP, STEP_UP_USER, limited
from app.web.services import services
from app.wire.account import EnableTotp, EnableTotpSchema, FinishMfa, FinishMfaSchema, RenewCodes, RenewCodesSchema
from app.wire.contract import answers, refuses
from app.wire.responses import BackupCodesSchema, TokenSchema, TotpOnSchema

bp = Blueprint("mfa", __name__)


@bp.post("/mfa/finish")
@require_session
@takes(FinishMfaSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(TokenSchema, headers=[KEEPS_PROOF])
@refuses(InvalidTicket, InvalidCode)
def finish(body: FinishMfa) -> ResponseReturnValue:
    """Answer a challenge; the proof is handed over as a token and as a cookie."""
    proof = services().reauthentication.finish(caller(), body.ticket, body.mfa_type, body.data, client())
    keep_proof(proof)
    return {"token": proof}


@bp.post("/users/@me/mfa/totp/enable")
@require_session
@takes(EnableTotpSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(TotpOnSchema, headers=[KEEPS_SESSION])
@refuses(MfaAlreadyOn, InvalidSecret, InvalidCode)
def enable_totp(body: EnableTotp) -> ResponseReturnValue:
    """Turn TOTP on; the password alone is the client's way to ask whether to show a secret."""
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_off(user)
    services().accounts.require_password(user, body.password)
    token, codes = services().second_factor.enable(caller(), user, body.secret, body.code, client())
    keep_session(token)
    return {"token": token, "backup_codes": _shown(user.id, codes)}


@bp.post("/users/@me/mfa/totp/disable")
@require_session
@answers(TokenSchema, headers=[KEEPS_SESSION])
@refuses(MfaNotOn, MfaRequired)
def disable_totp() -> ResponseReturnValue:
    """Turn TOTP off."""
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_on(user)
    require_recent_proof()
    token = services().second_factor.disable(caller(), user, client())
    keep_session(token)
    return {"token": token}


@bp.post("/users/@me/mfa/codes")
@require_session
@takes(RenewCodesSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(BackupCodesSchema)
@refuses(MfaNotOn, MfaRequired)
def renew_codes(body: RenewCodes) -> ResponseReturnValue:
    """Ten new backup codes in place of the old ones."""
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_on(user)
    require_recent_proof()
    services().accounts.require_password(user, body.password)
    return {"backup_codes": _shown(user.id, services().second_factor.renew_codes(caller(), user, client()))}


def _shown(user_id: str, codes: list[str]) -> list[dict[str, str | bool]]:
    return [{"user_id": user_id, "code": code, "consumed": False} for code in codes]
