"""The Security page of a user who is signed in: password, passkeys, second factor and remembered devices.

Its forms for address and leaving: settings_account.py. The page of devices: settings_sessions.py. All works without
JavaScript, but for passkeys.
"""

import math
from collections.abc import Sequence
from contextlib import suppress

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.errors import Unauthorized, UnknownDevice
from app.languages import words
from app.languages.texts import gettext, lazy_gettext
from app.routes.forms import HOME, Problems, lead_to_page, next_path, page_blueprint, shows_page_on_refusal
from app.rules import totp
from app.rules.profile import ProfileChange
from app.stores.passkeys import MAX_PASSKEYS, Passkey
from app.stores.session_records import Session
from app.tokens import id_hash
from app.web.cookies import own_remembered, renew_session_cookie
from app.web.guards import (
    caller,
    client,
    has_proof_or_login,
    prove,
    require_session,
    takes_form,
)
from app.web.limits import NEW_FACTOR, STEP_UP, STEP_UP_USER, limited
from app.web.services import services
from app.wire.account import ChangePassword, ChangePasswordSchema, EnableTotp, EnableTotpSchema
from app.wire.passkeys import MAX_NAME, AddPasskey, AddPasskeySchema

bp = page_blueprint("settings_security")

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
    "reverted": lazy_gettext(
        "What our mail told of is undone, and your new password is set. Every other session is logged out."
    ),
    "on": lazy_gettext("Your authenticator app is added."),
    "off": lazy_gettext("Two-factor authentication is off."),
    "removed": lazy_gettext("Your authenticator app is removed."),
    "forgotten": lazy_gettext("That device asks for your second factor again."),
    "all-forgotten": lazy_gettext("Every device asks for your second factor again."),
    "verified": lazy_gettext("Your email address is verified."),
    "address": lazy_gettext("Your email address is changed."),
    "address-asked": lazy_gettext("We have sent a link to your new address. It counts once you have used that link."),
    "address-kept": lazy_gettext("Your email address stays as it is."),
    "mailed": lazy_gettext("We have sent you the link once more."),
}


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
        notice=str(_DONE.get(request.args.get("done", ""), "")),
        leads_on=request.args.get("done", "").startswith("weak-") and next_path() != HOME,
        on_public_computer=session.on_public_computer,
        max_passkeys=MAX_PASSKEYS,
        new_passkey_name=_new_passkey_name(words.name_of(session), user.passkeys),
        remembers=services().remembered.ttl_s > 0,
        remembered=services().remembered.list(user.id) if user.has_mfa else [],
        remembered_until=services().remembered.ends_at,
        own_remembered=set(map(id_hash, own_remembered())),
    )


def lead_to_security(done: str) -> ResponseReturnValue:
    """Redirect to the Security page, which says what was done."""
    return redirect(url_for("settings_security.show_security", done=done), 303)


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
    return lead_to_security("password")


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
    return lead_to_security("passkey")


def _say_of_ticket(problems: Problems) -> Problems:
    """Return the problems of a new passkey in words for people, who know of no ticket."""
    return {"": gettext("That took too long. Please add it again.")} if "ticket" in problems else problems


@bp.get("/security/totp")
@require_session
def show_totp() -> ResponseReturnValue:
    if "totp" in services().accounts.get(caller().user_id).factors:
        return redirect(url_for("settings_security.show_security"), 303)
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
        return lead_to_security("on")
    return render_template("codes.html", codes=codes, fresh=True)


@bp.post("/security/totp/off")
@require_session
@shows_page_on_refusal(lambda problems: security_page(problems, "off"))
@limited(STEP_UP, STEP_UP_USER)
def disable_totp() -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    if "totp" not in user.factors:
        return lead_to_security("off")
    prove(request.form.get("answer", ""))
    renew_session_cookie(services().second_factor.disable(caller(), user, client()))
    done = "off" if user.factors == {"totp"} else "removed"
    return lead_to_security(done)


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
        return lead_to_security("all-forgotten")
    with suppress(UnknownDevice):
        services().remembered.forget(caller(), request.form.get("one", ""), client())
    return lead_to_security("forgotten")


lead_to_page(
    bp,
    "/settings/security",
    "/security/password",
    "/security/totp/off",
    "/security/codes",
    "/security/passkeys",
    "/security/remembered",
)
