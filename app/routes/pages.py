"""The pages: sign in, the devices signed in, what one signs in with. Every form works without JavaScript."""

import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded
from markupsafe import Markup

from app import device_names, guards, times, totp
from app.accounts import SecondFactorAsked, SignedIn
from app.callers import SESSION_COOKIE
from app.cookies import begin_session, forget_session, keep_session
from app.errors import ApiError, InvalidCode, InvalidForm, InvalidLogin, InvalidTicket, Unauthorized, Unavailable
from app.guards import caller, client, has_proof_or_login, prove, require_same_origin, require_session, takes_form
from app.limits import LOGIN, LOGIN_ADDRESS, REGISTER, STEP_UP, STEP_UP_USER, limited
from app.schemas import (
    ChangePassword,
    ChangePasswordSchema,
    EnableTotp,
    EnableTotpSchema,
    Login,
    LoginCode,
    LoginCodeSchema,
    LoginSchema,
    Register,
    RegisterSchema,
)
from app.services import services
from app.tokens import id_from_url, id_in_url

bp = Blueprint("pages", __name__)

Problems = dict[str, str]
Page = Callable[[Problems], str]

_HOME = "/settings/sessions"
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # a browser reads \ as / and passes over tabs and line ends
_WRONG_CODE = "That code is wrong or was used already. Try the next one."
_DONE = {
    "password": "Your password is changed. Every other session is logged out.",
    "off": "Two-factor authentication is off.",
    "none": "Tick the sessions to log out, then press the button below them.",
}


def shows_again(page: Page) -> Callable[[guards.View], guards.View]:
    """Where a form is refused, show its page again, with what is wrong with it."""

    def decorate(view: guards.View) -> guards.View:
        @wraps(view)
        def shown(*args: Any, **kwargs: Any) -> Any:
            try:
                return view(*args, **kwargs)
            except Unauthorized:
                raise
            except ApiError as refusal:
                return page(_problems(refusal)), refusal.status
            except RateLimitExceeded:
                return page({"": "Too many tries. Wait a few minutes, then try again."}), 429

        return shown

    return decorate


@bp.context_processor
def _words() -> dict[str, Any]:
    now = services().clock()
    return {
        "ago": lambda at: times.ago(at, now),
        "day": lambda at: times.day(at, now),
        "exactly": times.exactly,
        "iso": times.iso,
        "id_in_url": id_in_url,
        "name_of": device_names.name_of,
        "made_up_name": device_names.made_up_name,
        "kind_of": device_names.kind_of,
        "why": device_names.why,
        "next_path": _next_path(),
    }


@bp.errorhandler(Unauthorized)
def _lead_to_login(_: Unauthorized) -> ResponseReturnValue:
    return redirect(url_for("pages.show_login", next=request.path), 303)


# Pages that are shown from more than one place


def _login_page(problems: Problems, notice: str = "") -> str:
    return render_template("login.html", problems=problems, notice=notice)


def _code_page(problems: Problems, ticket: str = "") -> str:
    return render_template("login_code.html", problems=problems, ticket=ticket or request.form.get("ticket", ""))


def _register_page(problems: Problems) -> str:
    return render_template("register.html", problems=problems)


def _confirm_page(problems: Problems) -> str:
    user = services().accounts.get(caller().user_id)
    asked = _sessions_asked_for()
    return render_template("confirm.html", problems=problems, has_mfa=user.has_mfa, count=len(asked))


def _security_page(problems: Problems, form: str = "") -> str:
    user = services().accounts.get(caller().user_id)
    return render_template(
        "security.html", problems={form: problems}, user=user, proved=caller().proved, notice=_notice()
    )


def _totp_page(problems: Problems, secret: str) -> str:
    user = services().accounts.get(caller().user_id)
    picture = Markup(totp.qr_code(secret, user.email))  # noqa: S704 - drawn by us, no text in it
    return render_template("totp.html", problems=problems, secret=secret, qr_code=picture, user=user)


# What forms say


def _enter(signed_in: SignedIn) -> ResponseReturnValue:
    begin_session(signed_in.token)
    return redirect(_next_path(), 303)


def _next_path() -> str:
    """Where the visitor wanted to go: a path of our own, never another's page."""
    wanted = request.values.get("next", "")
    return wanted if _OWN_PATH.fullmatch(wanted) else _HOME


def _is_live(token: str) -> bool:
    try:
        services().devices.identify(token)
    except Unauthorized:
        return False
    return True


def _notice() -> str:
    done = request.args.get("done", "")
    if re.fullmatch("[0-9]{1,2}", done):
        return "1 session is logged out." if done == "1" else f"{done} sessions are logged out."
    return _DONE.get(done, "")


def _sessions_asked_for() -> Sequence[str]:
    """The id_hash of each session that a form names: all others, one by its button, or those that are ticked."""
    if "none" in request.form:
        return []
    if "all" in request.form:
        sessions = services().devices.list(caller().user_id)
        return [session.id_hash for session in sessions if session.id_hash != caller().id_hash]
    named = request.form.getlist("one") or request.form.getlist("session")
    id_hashes = (id_from_url(session_id) for session_id in named)
    return [id_hash for id_hash in id_hashes if id_hash and id_hash != caller().id_hash]


def _end(id_hashes: Sequence[str]) -> ResponseReturnValue:
    if "all" in request.form:
        services().accounts.end_others(caller())
    else:
        services().devices.end(caller(), id_hashes, "revoked")
    return redirect(url_for("pages.show_sessions", done=len(id_hashes)), 303)


def _problems(refusal: ApiError) -> Problems:
    """What is wrong, by field; under "" what is wrong with the whole."""
    if isinstance(refusal, InvalidLogin | Unavailable):
        return {"": "Busy right now. Please try again." if refusal.status == 503 else refusal.plainly()}
    if isinstance(refusal, InvalidForm):
        return refusal.by_field()
    if isinstance(refusal, InvalidCode):
        text = _WRONG_CODE if refusal.message == InvalidCode.message else refusal.message
        return {"code": text, "answer": text}
    if isinstance(refusal, InvalidTicket):
        return {"": "That took too long, or too many tries. Please log in again.", "ticket": ""}
    return {"": refusal.plainly()}


# The way to a page


@bp.get("/")
def show_home() -> ResponseReturnValue:
    return redirect(_HOME)


@bp.get("/login/form")
@bp.get("/login/code")
@bp.get("/register/form")
@bp.get("/settings/sessions/end")
@bp.get("/settings/sessions/confirm")
@bp.get("/settings/security/password")
@bp.get("/settings/security/totp/off")
@bp.get("/settings/security/codes")
@bp.get("/logout/form")
def show_page_of_form() -> ResponseReturnValue:
    """The address of a form, opened by hand: lead to the page that has it."""
    page = "/".join(request.path.split("/")[: 3 if request.path.startswith("/settings") else 2])
    return redirect("/login" if page == "/logout" else page)


# Sign in


@bp.get("/login")
def show_login() -> ResponseReturnValue:
    """The way in; whoever is in already goes on, and whose session was ended hears why."""
    token = request.cookies.get(SESSION_COOKIE, "")
    if token and _is_live(token):
        return redirect(_next_path(), 303)
    ended = services().devices.end_of(token)
    notice = device_names.why_here(ended) if ended else "Your session is over. Please log in again." if token else ""
    return _login_page({}, notice)


@bp.post("/login/form")
@require_same_origin
@shows_again(_login_page)
@takes_form(LoginSchema)
@limited(LOGIN, LOGIN_ADDRESS)
def log_in(body: Login) -> ResponseReturnValue:
    outcome = services().accounts.log_in(body.login, body.password, client())
    if isinstance(outcome, SecondFactorAsked):
        return _code_page({}, outcome.ticket)
    return _enter(outcome)


@bp.post("/login/code")
@require_same_origin
@shows_again(lambda problems: _login_page(problems) if "ticket" in problems else _code_page(problems))
@takes_form(LoginCodeSchema)
@limited(LOGIN, LOGIN_ADDRESS)
def log_in_with_code(body: LoginCode) -> ResponseReturnValue:
    return _enter(services().accounts.finish_login(body.ticket, "totp", body.code, None, client()))


@bp.get("/register")
def show_register() -> ResponseReturnValue:
    return _register_page({})


@bp.post("/register/form")
@require_same_origin
@shows_again(_register_page)
@takes_form(RegisterSchema)
@limited(REGISTER)
def register(body: Register) -> ResponseReturnValue:
    return _enter(services().accounts.register(body.email, body.username, None, body.password, client()))


@bp.post("/logout/form")
@require_session
def log_out() -> ResponseReturnValue:
    services().devices.end(caller(), [caller().id_hash], "logout")
    forget_session()
    return redirect("/login", 303)


# Devices


@bp.get("/settings/sessions")
@require_session
def show_sessions() -> ResponseReturnValue:
    sessions = services().devices.list(caller().user_id)
    return render_template(
        "sessions.html",
        current=[session for session in sessions if session.id_hash == caller().id_hash],
        others=[session for session in sessions if session.id_hash != caller().id_hash],
        ended=services().devices.ended(caller().user_id),
        notice=_notice(),
    )


@bp.post("/settings/sessions/end")
@require_session
def end_sessions() -> ResponseReturnValue:
    """End what was asked for, or ask for the password or a code first."""
    asked = _sessions_asked_for()
    if not asked:
        return redirect(url_for("pages.show_sessions", done="none"), 303)
    return _end(asked) if has_proof_or_login() else _confirm_page({})


@bp.post("/settings/sessions/confirm")
@require_session
@shows_again(_confirm_page)
@limited(STEP_UP, STEP_UP_USER)
def confirm_ending() -> ResponseReturnValue:
    prove(request.form.get("answer", ""))
    return _end(_sessions_asked_for())


# What one signs in with


@bp.get("/settings/security")
@require_session
def show_security() -> ResponseReturnValue:
    return _security_page({})


@bp.post("/settings/security/password")
@require_session
@shows_again(lambda problems: _security_page(problems, "password"))
@takes_form(ChangePasswordSchema)
@limited(STEP_UP, STEP_UP_USER)
def change_password(body: ChangePassword) -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    if user.has_mfa:
        prove(request.form.get("answer", ""))
    keep_session(services().accounts.change_password(caller(), user, body.password, body.new_password))
    return redirect(url_for("pages.show_security", done="password"), 303)


@bp.get("/settings/security/totp")
@require_session
def show_totp() -> ResponseReturnValue:
    if services().accounts.get(caller().user_id).has_mfa:
        return redirect(url_for("pages.show_security"), 303)
    return _totp_page({}, totp.new_secret())


@bp.post("/settings/security/totp")
@require_session
@shows_again(
    lambda problems: _totp_page(problems, totp.normalise_secret(request.form.get("secret", "")) or totp.new_secret())
)
@takes_form(EnableTotpSchema)
@limited(STEP_UP, STEP_UP_USER)
def enable_totp(body: EnableTotp) -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    services().accounts.require_password(user, body.password)
    token, codes = services().second_factor.enable(caller(), user, body.secret, body.code)
    keep_session(token)
    return render_template("codes.html", codes=codes, fresh=True)


@bp.post("/settings/security/totp/off")
@require_session
@shows_again(lambda problems: _security_page(problems, "off"))
@limited(STEP_UP, STEP_UP_USER)
def disable_totp() -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_on(user)
    prove(request.form.get("answer", ""))
    keep_session(services().second_factor.disable(caller(), user))
    return redirect(url_for("pages.show_security", done="off"), 303)


@bp.post("/settings/security/codes")
@require_session
@shows_again(lambda problems: _security_page(problems, "codes"))
@limited(STEP_UP, STEP_UP_USER)
def renew_codes() -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_on(user)
    prove(request.form.get("answer", ""))
    services().accounts.require_password(user, request.form.get("password", ""))
    return render_template("codes.html", codes=services().second_factor.renew_codes(caller(), user), fresh=False)
