"""Answers to challenges, and requests that turn the second factor on and off.

The second step of a login: login.py.
"""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.errors import InvalidTicket, MfaAlreadyOn, MfaNotOn, MfaRequired
from app.form_errors import InvalidCode, InvalidSecret
from app.web.cookies import PROVES, RENEWS_SESSION, SETS_PROOF, renew_session_cookie, set_proof_cookie
from app.web.guards import caller, client, may_take, require_proof, require_proof_or_answer, require_session, takes
from app.web.limits import NEW_FACTOR, STEP_UP, STEP_UP_USER, limited
from app.web.services import services
from app.wire.account import (
    DisableTotpSchema,
    EnableTotp,
    EnableTotpSchema,
    FinishMfa,
    FinishMfaSchema,
    RenewCodes,
    RenewCodesSchema,
)
from app.wire.contract import answers, refuses
from app.wire.fields import ProvingBody
from app.wire.responses import BackupCodesSchema, TokenSchema, TotpOnSchema

bp = Blueprint("mfa", __name__)


@bp.post("/mfa/finish")
@require_session
@takes(FinishMfaSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(TokenSchema, headers=[SETS_PROOF])
@refuses(InvalidTicket, InvalidCode)
def finish(body: FinishMfa) -> ResponseReturnValue:
    """Answer a challenge.

    The answer contains the proof as a token in the body and as a cookie.
    """
    proof = services().reauthentication.finish(caller(), body.ticket, body.mfa_type, body.data, client())
    set_proof_cookie(proof)
    return {"token": proof}


@bp.post("/users/@me/mfa/totp/enable")
@require_session
@takes(EnableTotpSchema)
@limited(STEP_UP, STEP_UP_USER, NEW_FACTOR)
@answers(TotpOnSchema, headers=[RENEWS_SESSION])
@refuses(MfaAlreadyOn, MfaRequired, InvalidSecret, InvalidCode)
def enable_totp(body: EnableTotp) -> ResponseReturnValue:
    """Turn TOTP on.

    A client may send the password alone first, to learn whether it is right before it shows a secret.
    Where another second factor is on, this needs a proof, and the backup codes stay as they are: the answer has none.
    """
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_totp_off(user)
    services().profiles.require_password(user, body.password, client())
    if user.has_mfa:
        require_proof()
    token, codes = services().second_factor.enable(caller(), user, body.secret, body.code, client())
    renew_session_cookie(token)
    return {"token": token, "backup_codes": codes_body(user.id, codes)}


@bp.post("/users/@me/mfa/totp/disable")
@require_session
@may_take(DisableTotpSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(TokenSchema, headers=[RENEWS_SESSION, PROVES])
@refuses(MfaNotOn, MfaRequired, InvalidCode)
def disable_totp(body: ProvingBody) -> ResponseReturnValue:
    """Turn TOTP off."""
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_totp_on(user)
    require_proof_or_answer(body)
    token = services().second_factor.disable(caller(), user, client())
    renew_session_cookie(token)
    return {"token": token}


@bp.post("/users/@me/mfa/codes")
@require_session
@takes(RenewCodesSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(BackupCodesSchema, headers=[PROVES])
@refuses(MfaNotOn, MfaRequired, InvalidCode)
def renew_codes(body: RenewCodes) -> ResponseReturnValue:
    """Replace the backup codes by ten new codes."""
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_on(user)
    services().profiles.require_password(user, body.password, client())  # first, so that a mistyped one spends no code
    require_proof_or_answer(body)
    return {"backup_codes": codes_body(user.id, services().second_factor.renew_codes(caller(), user, client()))}


def codes_body(user_id: str, codes: list[str]) -> list[dict[str, str | bool]]:
    """Return backup codes as a body has them."""
    return [{"user_id": user_id, "code": code, "consumed": False} for code in codes]
