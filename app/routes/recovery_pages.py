"""The pages behind links in mails: a new password, a verified address, and "This wasn't me". A GET of them changes
nothing. The API of a reset: recovery.py; of an address: account.py.
"""

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.languages.texts import gettext
from app.routes.account import signed_in_user
from app.routes.forms import (
    Problems,
    answered_by,
    attempt_of,
    lead_to_page,
    page_blueprint,
    show_second_step,
    shows_page_on_refusal,
)
from app.routes.recovery import REVERTED
from app.routes.settings_security import lead_to_security
from app.rules.second_steps import SecondFactorAsked
from app.rules.sign_ins import SignedIn
from app.web.cookies import sign_in_browser
from app.web.guards import client, require_same_origin, takes_form
from app.web.limits import END_BY_LINK, FORGOT, FORGOT_ADDRESS, LOGIN_ADDRESS, RESET, RESET_CODE, limited
from app.web.services import services
from app.wire.account import Verify, VerifySchema
from app.wire.recovery import (
    BrowserReset,
    BrowserResetSchema,
    Forgot,
    ForgotSchema,
    NotMe,
    NotMeSchema,
    ResetCode,
    ResetCodeSchema,
    Revert,
    RevertSchema,
)

bp = page_blueprint("recovery_pages")


def _forgot_page(problems: Problems) -> str:
    return render_template("forgot.html", problems=problems)


def _reset_page(problems: Problems) -> str:
    return render_template("reset.html", problems=problems)


def _code_page(problems: Problems, asked: SecondFactorAsked | None = None) -> str:
    return show_second_step("reset_code.html", problems, asked)


def _reset_page_again() -> str:
    return _reset_page({"": gettext("That took too long, or too many tries. Please set your new password again.")})


def _revert_page(problems: Problems) -> str:
    return render_template("revert.html", problems=problems)


def _verify_page(problems: Problems) -> str:
    return render_template("verify.html", problems=problems)


def _not_me_page(problems: Problems) -> str:
    return render_template("not_me.html", problems=problems)


def _sign_in_and_go_on(signed_in: SignedIn, done: str = "password") -> ResponseReturnValue:
    sign_in_browser(signed_in)
    return lead_to_security(done)


lead_to_page(bp, "/forgot", "/forgot/form")
lead_to_page(bp, "/reset", "/reset/form", "/reset/code")
lead_to_page(bp, "/revert", "/revert/form")
lead_to_page(bp, "/verify", "/verify/form")
lead_to_page(bp, "/not-me", "/not-me/form")


@bp.get("/forgot")
def show_forgot() -> ResponseReturnValue:
    return _forgot_page({})


@bp.post("/forgot/form")
@require_same_origin
@shows_page_on_refusal(_forgot_page)
@takes_form(ForgotSchema)
@limited(FORGOT_ADDRESS, FORGOT)
def send_reset_link(body: Forgot) -> ResponseReturnValue:
    services().recovery.mail_reset_link(body.login, client())
    return render_template("forgot_sent.html")


@bp.get("/reset")
def show_reset() -> ResponseReturnValue:
    return _reset_page({})


@bp.post("/reset/form")
@require_same_origin
@shows_page_on_refusal(_reset_page)
@takes_form(BrowserResetSchema)
@limited(LOGIN_ADDRESS, RESET, RESET_CODE)
def reset(body: BrowserReset) -> ResponseReturnValue:
    outcome = services().recovery.reset(
        body.token,
        body.password,
        client(),
        on_public_computer=body.public_computer,
        attempt=attempt_of(body.token, body.password),
    )
    return _code_page({}, outcome) if isinstance(outcome, SecondFactorAsked) else _sign_in_and_go_on(outcome)


@bp.post("/reset/code")
@require_same_origin
@shows_page_on_refusal(lambda problems: _reset_page_again() if "ticket" in problems else _code_page(problems))
@takes_form(ResetCodeSchema)
@limited(LOGIN_ADDRESS, RESET, RESET_CODE)
def finish_reset(body: ResetCode) -> ResponseReturnValue:
    attempt = attempt_of(body.ticket, body.code)
    return _sign_in_and_go_on(
        services().recovery.finish_reset(body.ticket, answered_by(), body.code, client(), attempt=attempt)
    )


@bp.get("/revert")
def show_revert() -> ResponseReturnValue:
    return _revert_page({})


@bp.post("/revert/form")
@require_same_origin
@shows_page_on_refusal(_revert_page)
@takes_form(RevertSchema)
@limited(LOGIN_ADDRESS, RESET)
def revert(body: Revert) -> ResponseReturnValue:
    signed_in = services().recovery.revert(body.token, body.password, client())
    if signed_in is None:
        return render_template("login.html", problems={}, notice=gettext(REVERTED))
    return _sign_in_and_go_on(signed_in, "reverted")


@bp.get("/verify")
def show_verify() -> ResponseReturnValue:
    return _verify_page({})


@bp.post("/verify/form")
@require_same_origin
@shows_page_on_refusal(_verify_page)
@takes_form(VerifySchema)
@limited(LOGIN_ADDRESS)
def verify(body: Verify) -> ResponseReturnValue:
    """Verify the address. Nobody is signed in by it: the account may be one that a stranger made with the address."""
    own = signed_in_user()
    verified = services().addresses.verify(body.token, client())
    if verified.user_id == own:
        return lead_to_security("verified")
    return redirect(url_for("pages.show_login", done="verified"), 303)


@bp.get("/not-me")
def show_not_me() -> ResponseReturnValue:
    return _not_me_page({})


@bp.post("/not-me/form")
@require_same_origin
@shows_page_on_refusal(_not_me_page)
@takes_form(NotMeSchema)
@limited(END_BY_LINK)
def end_session(body: NotMe) -> ResponseReturnValue:
    services().recovery.end_session(body.token)
    return render_template("not_me_done.html")
