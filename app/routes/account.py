"""The caller's account as a whole: its address is verified, and it is disabled or deleted.

How the address is changed: users.py. The pages for it: settings_account.py, recovery_pages.py.
"""

from contextlib import suppress

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

from app.errors import MfaRequired, Unauthorized
from app.form_errors import EmailTaken, InvalidCode, InvalidLink
from app.watch.audit import Left
from app.web.cookies import CLEARS_COOKIES, clear_cookies
from app.web.guards import (
    SUPER_PROPERTIES,
    caller,
    client,
    require_proof_or_answer,
    require_session,
    takes,
)
from app.web.limits import (
    LOGIN_ADDRESS,
    STEP_UP,
    STEP_UP_USER,
    VERIFY,
    VERIFY_MAILBOX,
    counts_itself,
    limited,
)
from app.web.services import services
from app.wire.account import Leave, LeaveSchema, Verify, VerifySchema
from app.wire.contract import answers, reads, refuses
from app.wire.responses import VerifiedSchema

bp = Blueprint("account", __name__)


@bp.post("/auth/verify")
@takes(VerifySchema)
@limited(LOGIN_ADDRESS)
@reads(SUPER_PROPERTIES)
@answers(VerifiedSchema)
@refuses(InvalidLink, EmailTaken)
def verify(body: Verify) -> ResponseReturnValue:
    """Verify the e-mail address by the link that was mailed to it. From then on a new address counts.

    Whoever is not signed in to this account is signed in, if it has no second factor.
    """
    verified = services().addresses.verify(body.token, client(), signed_in_as=signed_in_user(), opens=True)
    return {"user_id": verified.user_id, "token": verified.token}


@bp.post("/auth/verify/resend")
@require_session
@counts_itself(VERIFY, VERIFY_MAILBOX)
@answers()
def resend() -> ResponseReturnValue:
    """Mail the link that verifies the address once more: the new one, if another was asked for.

    If there is nothing to verify, nothing is mailed.
    """
    mail_link()
    return "", 204


@bp.post("/users/@me/disable")
@require_session
@takes(LeaveSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(headers=CLEARS_COOKIES)
@refuses(MfaRequired, InvalidCode)
def disable(body: Leave) -> ResponseReturnValue:
    """Disable the caller's account: every session ends, and nobody logs in.

    A login with `undelete` takes it back.
    """
    return _leave("disabled", body)


@bp.post("/users/@me/delete")
@require_session
@takes(LeaveSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(headers=CLEARS_COOKIES)
@refuses(MfaRequired, InvalidCode)
def delete(body: Leave) -> ResponseReturnValue:
    """Delete the caller's account: every session ends, and after some days nothing is left.

    Until then a login with `undelete` takes it back.
    """
    return _leave("deleted", body)


def _leave(how: Left, body: Leave) -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    services().profiles.require_password(user, body.password, client())  # first, so that a mistyped one spends no code
    if user.has_mfa:
        require_proof_or_answer(body)
    services().leaving.leave(caller(), user, how, client())
    clear_cookies()
    return "", 204


def signed_in_user() -> str | None:
    """Return the id of the user who is signed in at the caller; None if nobody is."""
    with suppress(Unauthorized):
        return services().callers.identify(request.environ, request.method).user_id
    return None


def mail_link() -> None:
    """Mail the caller the link that verifies an address, if there is one to verify.

    Raises:
        RateLimitExceeded: There were too many such mails.
    """
    user = services().accounts.get(caller().user_id)
    email = services().addresses.to_verify(user)
    if email and services().addresses.can_be_verified:
        count_mail_to(email)
        services().addresses.mail_link(user, client())


def count_mail_to(email: str) -> None:
    """Count a mail with a link that verifies an address.

    Raises:
        RateLimitExceeded: There were too many, to this address or for this user.
    """
    g.mailbox = services().addresses.digest_of(email)
    _count_mail()


@limited(VERIFY, VERIFY_MAILBOX)
def _count_mail() -> None:
    """Do nothing but count."""
