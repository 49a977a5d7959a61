"""A new password for a user who has forgotten theirs: a link by mail, and the reset by that link.

The pages for it: recovery_pages.py. A change of a known password: users.py.
"""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.errors import InvalidTicket
from app.form_errors import InvalidCode, InvalidLink
from app.languages.texts import marked
from app.routes.login import code_asked_body
from app.rules.second_steps import SecondFactorAsked
from app.rules.sign_ins import SignedIn
from app.web.guards import SUPER_PROPERTIES, client, takes
from app.web.limits import FORGOT, FORGOT_ADDRESS, LOGIN_ADDRESS, RESET, RESET_CODE, limited
from app.web.services import services
from app.wire.contract import answers, reads, refuses
from app.wire.recovery import Forgot, ForgotSchema, Reset, ResetSchema, Revert, RevertSchema
from app.wire.responses import CodeAskedSchema, MessageSchema, NothingSchema, TokenSchema

bp = Blueprint("recovery", __name__)

REVERTED = marked(
    "Your new password is set. Log in with it. If a second factor is asked for that is not yours, take the link in our "
    "mail about that one, too."
)


@bp.post("/auth/forgot")
@takes(ForgotSchema)
@limited(FORGOT_ADDRESS, FORGOT)
@reads(SUPER_PROPERTIES)
@answers(NothingSchema)
def forget(body: Forgot) -> ResponseReturnValue:
    """Mail a link to the account, if the account exists.

    The answer does not tell whether it exists.
    """
    services().recovery.mail_reset_link(body.login, client())
    return {}


@bp.post("/auth/reset")
@takes(ResetSchema)
@limited(LOGIN_ADDRESS, RESET, RESET_CODE)
@reads(SUPER_PROPERTIES)
@answers(TokenSchema, CodeAskedSchema)
@refuses(InvalidLink, InvalidTicket, InvalidCode)
def reset(body: Reset) -> ResponseReturnValue:
    """Set a new password by the link, end every session and sign this device in.

    If a second factor is on, the first answer asks for it.
    """
    outcome = _finish_reset(body) if body.ticket else services().recovery.reset(body.token, body.password, client())
    return code_asked_body(outcome) if isinstance(outcome, SecondFactorAsked) else {"token": outcome.token}


@bp.post("/auth/revert")
@takes(RevertSchema)
@limited(LOGIN_ADDRESS, RESET)
@reads(SUPER_PROPERTIES)
@answers(TokenSchema, MessageSchema)
@refuses(InvalidLink)
def revert(body: Revert) -> ResponseReturnValue:
    """Undo what a mail tells of and the owner did not do: take a second factor off by the link in that mail.

    Each factor that was set since goes too. This sets a new password, ends every session and signs this device in. It
    asks for no code. If an older factor is left, it signs nobody in: log in with the new password.
    """
    signed_in = services().recovery.revert(body.token, body.password, client())
    return {"token": signed_in.token} if signed_in else {"message": REVERTED}


def _finish_reset(body: Reset) -> SignedIn:
    ticket = body.ticket or ""
    services().recovery.require_ticket_for(ticket, body.token, body.password)
    return services().recovery.finish_reset(ticket, body.method or "totp", body.code or "", client())
