"""The pages of login, registration and logout. Every form works without JavaScript.
Pages behind links in mails: recovery_pages.py. Pages of a user who is signed in: settings_security.py,
settings_sessions.py, activity.py.
"""

from contextlib import suppress

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import Unauthorized
from app.languages import words
from app.languages.choice import COOKIE, language_asked_for
from app.languages.texts import gettext, lazy_gettext
from app.routes.forms import (
    HOME,
    Problems,
    answered_by,
    attempt_of,
    lead_to_page,
    next_path,
    page_blueprint,
    show_second_step,
    shows_page_on_refusal,
)
from app.rules.second_steps import SecondFactorAsked
from app.rules.sign_ins import SignedIn
from app.translations import LANGUAGES
from app.web.cookies import clear_cookies, own_remembered, sign_in_browser
from app.web.guards import client, end_own_session, require_same_origin, takes_form
from app.web.limits import CODE_ACCOUNT, LOGIN, LOGIN_ACCOUNT, LOGIN_ADDRESS, REGISTER, limited
from app.web.services import services
from app.wire.contract import known_by
from app.wire.sign_in import (
    BrowserLogin,
    BrowserLoginSchema,
    BrowserRegister,
    BrowserRegisterSchema,
    PageLoginCode,
    PageLoginCodeSchema,
)

bp = page_blueprint("pages")

_LANGUAGE_KEPT_S = 400 * 24 * 60 * 60  # browsers keep no cookie longer (RFC 6265bis, 5.5)
_DONE = {
    "verified": lazy_gettext("Your email address is verified."),
    "disabled": lazy_gettext("Your account is disabled. Tick the box below when you log in, and it is back."),
    "deleted": lazy_gettext(
        "Your account will be deleted. Until then, tick the box below when you log in, and it is back."
    ),
}


# Pages that are shown from more than one place


def _login_page(problems: Problems, notice: str = "") -> str:
    return render_template("login.html", problems=problems, notice=notice)


def _code_page(problems: Problems, asked: SecondFactorAsked | None = None) -> str:
    return show_second_step("login_code.html", problems, asked)


def _register_page(problems: Problems) -> str:
    return render_template("register.html", problems=problems)


# Helpers of the views


def _sign_in_and_go_on(signed_in: SignedIn) -> ResponseReturnValue:
    """Lead a visitor on who has signed in, or to the form for a new password if theirs should go."""
    sign_in_browser(signed_in)
    if signed_in.password_warning:
        done = f"weak-{signed_in.password_warning.replace('_', '-')}"
        return redirect(url_for("settings_security.show_security", done=done, next=next_path()), 303)
    return redirect(next_path(), 303)


def _is_live(token: str) -> bool:
    try:
        services().devices.identify(token)
    except Unauthorized:
        return False
    return True


# Ways to a page


@bp.get("/")
def show_home() -> ResponseReturnValue:
    return redirect(HOME)


lead_to_page(bp, "/login", "/login/form", "/login/code", "/logout/form")
lead_to_page(bp, "/register", "/register/form")
lead_to_page(bp, "/", "/keyrack/language")


# Language


@bp.post("/keyrack/language")
@require_same_origin
def choose_language() -> ResponseReturnValue:
    """Let the pages be in another language: in this browser, and of a user who is signed in everywhere, mails too."""
    language = request.form.get("language", "")
    answer = redirect(next_path(), 303)
    if language not in LANGUAGES:
        return answer
    with suppress(Unauthorized):
        caller = services().callers.identify(request.environ, request.method)
        services().profiles.choose_language(caller, language)
    answer.set_cookie(COOKIE, language, max_age=_LANGUAGE_KEPT_S, path="/", secure=True, httponly=True, samesite="Lax")
    return answer


# Sign in


@bp.get("/login")
def show_login() -> ResponseReturnValue:
    """Show the login page. If the visitor's session has ended, show why. Redirect a visitor who is signed in."""
    token = services().callers.read_token(request.environ, request.method)
    if token and _is_live(token):
        return redirect(next_path(), 303)
    ended = services().devices.how_it_ended(token)
    notice = gettext("Your session is over. Please log in again.") if token else ""
    notice = words.why_ended_here(ended, services().clock()) if ended else notice
    return _login_page({}, str(_DONE.get(request.args.get("done", ""), notice)))


@bp.post("/login/form")
@require_same_origin
@shows_page_on_refusal(_login_page)
@takes_form(BrowserLoginSchema)
@limited(LOGIN_ADDRESS, LOGIN, LOGIN_ACCOUNT)
def log_in(body: BrowserLogin) -> ResponseReturnValue:
    outcome = services().accounts.log_in(
        body.login,
        body.password,
        client(),
        remembered=own_remembered(),
        on_public_computer=body.public_computer,
        attempt=attempt_of(request.form.get("nonce", "")),
        comes_back=body.undelete,
    )
    if isinstance(outcome, SecondFactorAsked):
        return _code_page({}, outcome)
    return _sign_in_and_go_on(outcome)


@bp.post("/login/code")
@require_same_origin
@shows_page_on_refusal(lambda problems: _login_page(problems) if "ticket" in problems else _code_page(problems))
@takes_form(PageLoginCodeSchema)
@limited(LOGIN_ADDRESS, LOGIN, CODE_ACCOUNT)
def log_in_with_code(body: PageLoginCode) -> ResponseReturnValue:
    signed_in = services().second_steps.finish_login(
        body.ticket,
        answered_by(),
        body.code,
        None,
        client(),
        remember=body.remember,
        attempt=attempt_of(body.ticket, body.code),
    )
    return _sign_in_and_go_on(signed_in)


@bp.get("/register")
def show_register() -> ResponseReturnValue:
    return _register_page({})


@bp.post("/register/form")
@require_same_origin
@shows_page_on_refusal(_register_page)
@takes_form(BrowserRegisterSchema)
@limited(REGISTER)
def register(body: BrowserRegister) -> ResponseReturnValue:
    return _sign_in_and_go_on(
        services().accounts.register(
            body.email,
            body.username,
            None,
            body.password,
            client(),
            on_public_computer=body.public_computer,
            attempt=attempt_of(request.form.get("nonce", "")),
            language=language_asked_for(),
        )
    )


@bp.post("/logout/form")
@known_by("session")
def log_out() -> ResponseReturnValue:
    """End the caller's own session. If it is over already, the cookies are cleared nevertheless."""
    with suppress(Unauthorized):
        end_own_session()
    clear_cookies()
    return redirect("/login", 303)
