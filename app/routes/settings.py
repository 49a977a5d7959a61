"""The pages of a user who is signed in: devices, password and second factor. All works without JavaScript.
Address, and leaving: settings_account.py. The settings of the service: config.py.
"""

import math
import re
from collections.abc import Sequence
from contextlib import suppress

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.errors import Unauthorized, UnknownDevice, UnknownSession
from app.languages import words
from app.languages.texts import gettext, lazy_gettext, ngettext
from app.routes.forms import HOME, Problems, lead_to_page, next_path, page_blueprint, shows_page_on_refusal
from app.rules import totp
from app.rules.profile import ProfileChange
from app.stores.passkeys import MAX_PASSKEYS, Passkey
from app.stores.session_records import Session
from app.stores.user_records import User
from app.tokens import id_from_url, id_hash
from app.web.cookies import own_remembered, renew_session_cookie
from app.web.guards import (
    caller,
    client,
    has_proof_or_login,
    prove,
    require_session,
    require_session_and,
    takes_form,
    user_record,
)
from app.web.limits import END_OTHERS, END_OTHERS_USER, NEW_FACTOR, STEP_UP, STEP_UP_USER, is_within, limited
from app.web.services import services
from app.wire.account import ChangePassword, ChangePasswordSchema, EnableTotp, EnableTotpSchema
from app.wire.passkeys import MAX_NAME, AddPasskey, AddPasskeySchema

bp = page_blueprint("settings")

_MAX_AT_ONCE = 64
_DAY_S = 24 * 60 * 60
_DONE = {
    "passkey": lazy_gettext("Your passkey is added."),
    "passkey-renamed": lazy_gettext("The passkey has its new name."),
    "passkey-removed": lazy_gettext("The passkey is removed."),
    "weak-length": lazy_gettext("Your password is shorter or longer than new ones may be. Please choose another."),
    "weak-bytes": lazy_gettext("Your password is longer than new ones may be. Please choose another."),
    "weak-nul": lazy_gettext("Your password has a character that new ones may not have. Please choose another."),
    "weak-common": lazy_gettext(
        "Your password is one of the most common, so others will guess it. Please choose another."
    ),
    "weak-is-name": lazy_gettext(
        "Your password is your name or e-mail address, so others will guess it. Please choose another."
    ),
    "weak-holds-name": lazy_gettext(
        "Your password holds your name or address, so others may guess it. Please choose another."
    ),
    "weak-breached": lazy_gettext(
        "Your password has been in a data leak, so others may try it. Please choose another."
    ),
    "password": lazy_gettext("Your password is changed. Every other session is logged out."),
    "on": lazy_gettext("Your authenticator app is added."),
    "off": lazy_gettext("Two-factor authentication is off."),
    "removed": lazy_gettext("Your authenticator app is removed."),
    "over": lazy_gettext("That was over already."),
    "alone": lazy_gettext("All other sessions were over already."),
    "forgotten": lazy_gettext("That device asks for your second factor again."),
    "all-forgotten": lazy_gettext("Every device asks for your second factor again."),
    "verified": lazy_gettext("Your email address is verified."),
    "address": lazy_gettext("Your email address is changed."),
    "address-asked": lazy_gettext("We have sent a link to your new address. It counts once you have used that link."),
    "address-kept": lazy_gettext("Your email address stays as it is."),
    "mailed": lazy_gettext("We have sent you the link once more."),
    "none": lazy_gettext("Tick the sessions to log out, then press the button below them."),
}


def _notice() -> str:
    done = request.args.get("done", "")
    if re.fullmatch("[0-9]{1,2}", done):
        return ngettext("%(num)s session is logged out.", "%(num)s sessions are logged out.", int(done))
    return str(_DONE.get(done, ""))


def _confirm_page(problems: Problems) -> str:
    user = services().accounts.get(caller().user_id)
    asked = _sessions_asked_for()
    return render_template("confirm.html", problems=problems, user=user, count=len(asked))


def security_page(problems: Problems, form: str = "") -> str:
    user = services().accounts.get(caller().user_id)
    session = _own_session()
    return render_template(
        "security.html",
        problems={form: problems},
        user=user,
        pending=services().addresses.pending_of(user),
        deletion_days=math.ceil(services().leaving.deletion_delay_s / _DAY_S),
        proved=caller().proved,
        proved_lately=has_proof_or_login(),
        notice=_notice(),
        leads_on=request.args.get("done", "").startswith("weak-") and next_path() != HOME,
        on_public_computer=session.on_public_computer,
        max_passkeys=MAX_PASSKEYS,
        new_passkey_name=_new_passkey_name(words.name_of(session), user.passkeys),
        remembers=services().remembered.ttl_s > 0,
        remembered=services().remembered.list(user.id) if user.has_mfa else [],
        remembered_until=services().remembered.ends_at,
        own_remembered=set(map(id_hash, own_remembered())),
    )


def _own_session() -> Session:
    sessions = services().devices.list(caller().user_id)
    own = next((session for session in sessions if session.id_hash == caller().id_hash), None)
    if own is None:  # it ended in this moment
        raise Unauthorized
    return own


def _new_passkey_name(device: str, passkeys: Sequence[Passkey]) -> str:
    """Return a name to propose for a passkey that is made on a device. No other passkey of the user has it."""
    taken = {passkey.name for passkey in passkeys}
    cut = device[: MAX_NAME - len(" 11")].strip()
    names = (cut, *(f"{cut} {number}" for number in range(2, MAX_PASSKEYS + 2)))
    return next(name for name in names if name not in taken)


def _totp_page(problems: Problems, secret: str) -> str:
    user = services().accounts.get(caller().user_id)
    drawn = totp.qr_code(secret, user.email, services().settings.service_name)
    picture = Markup(drawn)  # noqa: S704 - drawn by Keyrack, without text from users
    return render_template(
        "totp.html", problems=problems, secret=secret, qr_code=picture, user=user, proved=caller().proved
    )


def _sessions_asked_for() -> Sequence[str]:
    """Return the id_hash of each session that a form names: all others, a single one, or the ticked ones."""
    if "none" in request.form:
        return []
    if "all" in request.form:
        sessions = services().devices.list(caller().user_id)
        return [session.id_hash for session in sessions if session.id_hash != caller().id_hash]
    named = request.form.getlist("one") or request.form.getlist("session")
    id_hashes = (id_from_url(session_id) for session_id in named)
    return [id_hash for id_hash in id_hashes if id_hash and id_hash != caller().id_hash][:_MAX_AT_ONCE]


@limited(END_OTHERS)
def _end_others() -> None:
    services().accounts.end_others(caller(), client(), stop_logins=is_within(END_OTHERS_USER))


def _lead_back(done: str) -> ResponseReturnValue:
    return redirect(url_for("settings.show_sessions", done=done), 303)


def _lead_back_if_over(id_hashes: Sequence[str]) -> ResponseReturnValue | None:
    """Say that all named sessions are over already, as after a double click or in a second tab."""
    if "all" in request.form:
        return None if id_hashes else _lead_back("alone")
    live = {session.id_hash for session in services().devices.list(caller().user_id)}
    return _lead_back("over") if live.isdisjoint(id_hashes) else None


def _end_and_lead_back(id_hashes: Sequence[str]) -> ResponseReturnValue:
    if "all" in request.form:
        _end_others()
        return _lead_back(str(len(id_hashes)))
    try:
        ended = services().devices.end(caller(), id_hashes, "revoked")
    except UnknownSession:
        return _lead_back("over")
    return _lead_back(str(ended))


# Devices


@bp.get("/sessions")
@require_session_and(user_record)
def show_sessions(record: User | None) -> ResponseReturnValue:
    sessions = services().devices.list(caller().user_id)
    return render_template(
        "sessions.html",
        user=services().accounts.require(record),
        current=[session for session in sessions if session.id_hash == caller().id_hash],
        others=[session for session in sessions if session.id_hash != caller().id_hash],
        ended=services().devices.list_ended(caller().user_id),
        ends_at=services().devices.expires_at,
        retention_days=services().settings.retention_days,
        notice=_notice(),
    )


@bp.post("/sessions/end")
@require_session
def end_sessions() -> ResponseReturnValue:
    """End the sessions that were asked for, or ask for the password or a code first."""
    asked = _sessions_asked_for()
    if not asked and "all" not in request.form:
        return _lead_back("none")
    return _lead_back_if_over(asked) or (_end_and_lead_back(asked) if has_proof_or_login() else _confirm_page({}))


@bp.post("/sessions/confirm")
@require_session
@shows_page_on_refusal(_confirm_page)
@limited(STEP_UP, STEP_UP_USER)
def confirm_ending() -> ResponseReturnValue:
    asked = _sessions_asked_for()
    over = _lead_back_if_over(asked)
    if over:
        return over
    prove(request.form.get("answer", ""))
    return _end_and_lead_back(asked)


# Password and second factor


@bp.get("/security")
@require_session
def show_security() -> ResponseReturnValue:
    return security_page({})


@bp.post("/security/password")
@require_session
@shows_page_on_refusal(lambda problems: security_page(problems, "password"))
@takes_form(ChangePasswordSchema)
@limited(STEP_UP, STEP_UP_USER)
def change_password(body: ChangePassword) -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    change = ProfileChange(new_password=body.new_password)
    services().profiles.require_possible(user, change)
    services().profiles.require_password(user, body.password, client())
    if user.has_mfa:
        prove(request.form.get("answer", ""))
    _, token = services().profiles.change(caller(), user, change, client())
    renew_session_cookie(token)
    return redirect(url_for("settings.show_security", done="password"), 303)


@bp.post("/security/passkeys")
@require_session
@shows_page_on_refusal(lambda problems: security_page(_say_of_ticket(problems), "passkeys"))
@takes_form(AddPasskeySchema)
@limited(STEP_UP, STEP_UP_USER, NEW_FACTOR)
def add_passkey(body: AddPasskey) -> ResponseReturnValue:
    """Add the passkey that the browser has made, and show the backup codes if it is the first second factor."""
    user = services().accounts.get(caller().user_id)
    _, codes, token = services().passkeys.finish_adding(
        caller(), user, body.ticket or "", body.name, body.credential, client(), renew=True
    )
    renew_session_cookie(token)
    if codes:
        return render_template("codes.html", codes=codes, fresh=True, user=services().accounts.get(user.id))
    return redirect(url_for("settings.show_security", done="passkey"), 303)


def _say_of_ticket(problems: Problems) -> Problems:
    """Return the problems of a new passkey in words for people, who know of no ticket."""
    return {"": gettext("That took too long. Please add it again.")} if "ticket" in problems else problems


@bp.get("/security/totp")
@require_session
def show_totp() -> ResponseReturnValue:
    if "totp" in services().accounts.get(caller().user_id).factors:
        return redirect(url_for("settings.show_security"), 303)
    return _totp_page({}, totp.new_secret())


@bp.post("/security/totp")
@require_session
@shows_page_on_refusal(
    lambda problems: _totp_page(
        problems, totp.read_secret(request.form.get("secret", ""), totp.SECRET_BITS) or totp.new_secret()
    )
)
@takes_form(EnableTotpSchema)
@limited(STEP_UP, STEP_UP_USER, NEW_FACTOR)
def enable_totp(body: EnableTotp) -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_totp_off(user)
    services().profiles.require_password(user, body.password, client())
    if user.has_mfa:
        prove(request.form.get("answer", ""))
    token, codes = services().second_factor.enable(caller(), user, body.secret, body.code, client())
    renew_session_cookie(token)
    if not codes:
        return redirect(url_for("settings.show_security", done="on"), 303)
    return render_template("codes.html", codes=codes, fresh=True)


@bp.post("/security/totp/off")
@require_session
@shows_page_on_refusal(lambda problems: security_page(problems, "off"))
@limited(STEP_UP, STEP_UP_USER)
def disable_totp() -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    if "totp" not in user.factors:
        return redirect(url_for("settings.show_security", done="off"), 303)
    prove(request.form.get("answer", ""))
    renew_session_cookie(services().second_factor.disable(caller(), user, client()))
    done = "off" if user.factors == {"totp"} else "removed"
    return redirect(url_for("settings.show_security", done=done), 303)


@bp.post("/security/codes")
@require_session
@shows_page_on_refusal(lambda problems: security_page(problems, "codes"))
@limited(STEP_UP, STEP_UP_USER)
def renew_codes() -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    services().second_factor.require_on(user)
    services().profiles.require_password(user, request.form.get("password"), client())
    prove(request.form.get("answer", ""))
    codes = services().second_factor.renew_codes(caller(), user, client())
    return render_template("codes.html", codes=codes, fresh=False)


@bp.post("/security/remembered")
@require_session
def forget_remembered() -> ResponseReturnValue:
    """Forget one remembered device, or all. One that is forgotten already is no problem."""
    if "all" in request.form:
        services().remembered.forget_all(caller(), client())
        return redirect(url_for("settings.show_security", done="all-forgotten"), 303)
    with suppress(UnknownDevice):
        services().remembered.forget(caller(), request.form.get("one", ""), client())
    return redirect(url_for("settings.show_security", done="forgotten"), 303)


lead_to_page(bp, "/settings/sessions", "/sessions/end", "/sessions/confirm")
lead_to_page(
    bp,
    "/settings/security",
    "/security/password",
    "/security/totp/off",
    "/security/codes",
    "/security/passkeys",
    "/security/remembered",
)
