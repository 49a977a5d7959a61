"""What happened to an account, in words: see rules/activities.py."""

from collections.abc import Mapping

from app.languages import words
from app.languages.texts import LazyText, gettext, lazy_gettext, ngettext
from app.rules.activities import Endings, Happened
from app.stores.activities import Activity, ActivityKind

_WHAT: Mapping[ActivityKind, LazyText] = {
    "signed_in": lazy_gettext("Logged in"),
    "sign_in_refused": lazy_gettext("Login refused"),
    "reset_asked": lazy_gettext("A link for a new password was asked for"),
    "step_up": lazy_gettext("Confirmed"),
    "step_up_refused": lazy_gettext("Confirmation refused"),
    "password_changed": lazy_gettext("Password changed"),
    "password_warned": lazy_gettext("Your password from another service was found to be weak"),
    "renamed": lazy_gettext("Name changed"),
    "totp_on": lazy_gettext("Authenticator app added"),
    "totp_off": lazy_gettext("Authenticator app removed"),
    "passkey_added": lazy_gettext("Passkey added"),
    "passkey_removed": lazy_gettext("Passkey removed"),
    "passkey_renamed": lazy_gettext("Passkey renamed"),
    "backup_codes_renewed": lazy_gettext("New backup codes made"),
    "device_remembered": lazy_gettext("Device remembered: no code at its next logins"),
    "devices_forgotten": lazy_gettext("Remembered devices forgotten"),
    "address_verified": lazy_gettext("Email address verified"),
    "address_asked": lazy_gettext("Another email address was asked for"),
    "address_changed": lazy_gettext("Email address changed"),
    "address_put_back": lazy_gettext("The former email address is back"),
    "left_disabled": lazy_gettext("You disabled the account"),
    "left_deleted": lazy_gettext("You deleted the account"),
    "came_back": lazy_gettext("You took the account back"),
    "disabled": lazy_gettext("Account disabled"),
    "data_copied": lazy_gettext("A copy of your data was made"),
    "enabled": lazy_gettext("Account enabled again"),
}
_DETAILS: Mapping[str, LazyText] = {
    "wrong_password": lazy_gettext("wrong password"),
    "wrong_code": lazy_gettext("right password, wrong code"),
    "wrong_passkey": lazy_gettext("passkey not accepted"),
    "unverified": lazy_gettext("right password, address not verified"),
    "disabled": lazy_gettext("the account is disabled"),
    "credentials_changed": lazy_gettext("the account was changed meanwhile"),
    "password": lazy_gettext("by password"),
    "totp": lazy_gettext("by code"),
    "backup": lazy_gettext("by backup code"),
    "webauthn": lazy_gettext("by passkey"),
    "mail": lazy_gettext("by a link from a mail"),
}

# Their detail is a name that the user chose.
_NAMED: frozenset[ActivityKind] = frozenset(("passkey_added", "passkey_removed", "passkey_renamed"))


def words_of(happened: Happened) -> str:
    """Return what happened, as in "Login refused: wrong password"."""
    if isinstance(happened, Endings):
        return words.why_ended(happened.ended[0])
    if happened.kind == "signed_in" and happened.amr:
        return gettext("Logged in with %(means)s", means=words.means_of(happened.amr))
    what = str(_WHAT[happened.kind])
    details = _details_of(happened)
    return gettext("%(what)s: %(details)s", what=what, details=details) if details else what


def device_in(happened: Happened) -> str | None:
    """Return the name of the device that did it, or which ended; None if an operator did it."""
    if isinstance(happened, Endings):
        count = len(happened.ended)
        return (
            words.name_of(happened.ended[0].session)
            if count == 1
            else ngettext("%(num)s device", "%(num)s devices", count)
        )
    return None if happened.is_operators else words.made_up_name(happened.client)


def _details_of(happened: Activity) -> str:
    if happened.is_operators:
        return gettext("by an operator")
    if happened.kind in _NAMED and happened.detail != "mail":
        return happened.detail
    return str(_DETAILS.get(happened.detail, happened.detail))
