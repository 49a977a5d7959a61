"""The forms of the Security page about the account as a whole: its address, and disabling or deleting it.

The page itself: settings_security.py. The API: account.py, users.py.
"""

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.routes.account import count_mail_to, mail_link
from app.routes.forms import Problems, lead_to_page, page_blueprint, shows_page_on_refusal
from app.routes.settings_security import lead_to_security, security_page
from app.rules.profile import ProfileChange
from app.watch.audit import Left
from app.web.cookies import clear_cookies
from app.web.guards import caller, client, prove, require_session, takes_form
from app.web.limits import STEP_UP, STEP_UP_USER, limited
from app.web.services import services
from app.wire.account import AskForAddress, AskForAddressSchema

bp = page_blueprint("settings_account")


def _address_page(problems: Problems) -> str:
    return security_page(problems, "address")


def _leave_page(problems: Problems) -> str:
    return security_page(problems, "leave")


@bp.post("/security/address")
@require_session
@shows_page_on_refusal(_address_page)
@takes_form(AskForAddressSchema)
@limited(STEP_UP, STEP_UP_USER)
def change_address(body: AskForAddress) -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    change = ProfileChange(email=body.email)
    services().profiles.require_possible(user, change)
    services().profiles.require_password(user, body.password, client())
    services().profiles.require_names_apart(user, change, body.password or "")
    if not services().addresses.is_another(user, body.email):
        return lead_to_security("address-kept")
    if user.has_mfa:
        prove(request.form.get("answer", ""))
    count_mail_to(body.email)
    services().profiles.change(caller(), user, change, client())
    return lead_to_security("address-asked" if services().addresses.can_be_verified else "address")


@bp.post("/security/address/cancel")
@require_session
def keep_address() -> ResponseReturnValue:
    services().addresses.cancel(services().accounts.get(caller().user_id))
    return lead_to_security("address-kept")


@bp.post("/security/address/resend")
@require_session
@shows_page_on_refusal(_address_page)
def resend() -> ResponseReturnValue:
    mail_link()
    return lead_to_security("mailed")


@bp.post("/security/disable")
@require_session
@shows_page_on_refusal(_leave_page)
@limited(STEP_UP, STEP_UP_USER)
def disable() -> ResponseReturnValue:
    return _leave("disabled")


@bp.post("/security/delete")
@require_session
@shows_page_on_refusal(_leave_page)
@limited(STEP_UP, STEP_UP_USER)
def delete() -> ResponseReturnValue:
    return _leave("deleted")


def _leave(how: Left) -> ResponseReturnValue:
    user = services().accounts.get(caller().user_id)
    services().profiles.require_password(user, request.form.get("password") or None, client())
    if user.has_mfa:
        prove(request.form.get("answer", ""))
    services().leaving.leave(caller(), user, how, client())
    clear_cookies()
    return redirect(url_for("pages.show_login", undelete=1, done=how), 303)


lead_to_page(
    bp,
    "/settings/security",
    *("/security/address", "/security/address/cancel", "/security/address/resend"),
    *("/security/disable", "/security/delete"),
)
