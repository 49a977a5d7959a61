"""A new password for whoever has forgotten it: a link by mail, and what it opens."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.errors import InvalidCode, InvalidLink, InvalidTicket
from app.routes.login import asked_for_code
from app.rules.accounts import SecondFactorAsked, SignedIn
from app.web.guards import SUPER_PROPERTIES, client, takes
from app.web.limits import FORGOT, FORGOT_ADDRESS, LOGIN_ADDRESS, RESET, RESET_USER, limited
from app.web.services import services
from app.wire.contract import answers, reads, refuses
from app.wire.recovery import Forgot, ForgotSchema, Reset, ResetSchema
from app.wire.responses import CodeAskedSchema, TokenSchema

bp = Blueprint("recovery", __name__)


@bp.post("/auth/forgot")
@takes(ForgotSchema)
@limited(FORGOT, FORGOT_ADDRESS)
@reads(SUPER_PROPERTIES)
@answers()
def forget(body: Forgot) -> ResponseReturnValue:
    """Mail a link to the account, if there is one; the answer does not tell."""
    services().recovery.forgot(body.login, client())
    return "", 204


@bp.post("/auth/reset")
@takes(ResetSchema)
@limited(RESET, RESET_USER, LOGIN_ADDRESS)
@reads(SUPER_PROPERTIES)
@answers(TokenSchema, CodeAskedSchema)
@refuses(InvalidLink, InvalidTicket, InvalidCode)
def reset(body: Reset) -> ResponseReturnValue:
    """Set a new password by the link, end every session, and sign this device in; with MFA on, ask for a code first."""
    outcome = _finish(body) if body.ticket else services().recovery.reset(body.token, body.password, client())
    return asked_for_code(outcome) if isinstance(outcome, SecondFactorAsked) else {"token": outcome.token}


def _finish(body: Reset) -> SignedIn:
    ticket = body.ticket or ""
    services().recovery.require_ticket_for(ticket, body.token, body.password)
    return services().recovery.finish_reset(ticket, body.method or "totp", body.code or "", client())
