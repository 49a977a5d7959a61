"""Words that code puts together for people: names of devices, how their sessions were opened, and why they ended.

In the language of the page or mail; in English where the API asks. Names for operators: rules/device_names.py.
"""

from collections.abc import Sequence

from app.languages.texts import gettext, lazy_gettext
from app.languages.times import minutes_ago
from app.rules.device_names import parts_of
from app.stores.session_records import Amr, Client, Ended, Session

_OPENED_BY = {
    "pwd": lazy_gettext("a password"),
    "otp": lazy_gettext("a code"),
    "recovery": lazy_gettext("a backup code"),
    "webauthn": lazy_gettext("a passkey"),
    "remembered": lazy_gettext("a remembered device"),
    "mail": lazy_gettext("a link by mail"),
    "adopted": lazy_gettext("a token of the service before"),
}

_WHY = {
    "logout": lazy_gettext("You logged out"),
    "revoked": lazy_gettext("You signed it out"),
    "evicted": lazy_gettext("Signed out to make room"),
    "expired": lazy_gettext("Expired"),
    "password_change": lazy_gettext("Password changed"),
    "mfa_change": lazy_gettext("Two-factor authentication changed"),
    "admin": lazy_gettext("By an operator"),
}

# With how long ago it was, as in "2 minutes ago"
_WHY_HERE = {
    "revoked": lazy_gettext("This device was logged out, %(ago)s."),
    "evicted": lazy_gettext("This device was logged out to make room for a newer one, %(ago)s."),
    "expired": lazy_gettext("Your session on this device expired %(ago)s. Please log in again."),
    "password_change": lazy_gettext("Your password was changed on another device %(ago)s, which logged this one out."),
    "mfa_change": lazy_gettext("Two-factor authentication was changed %(ago)s, which logged this device out."),
    "admin": lazy_gettext("This device was logged out by an operator, %(ago)s."),
}


def name_of(session: Session) -> str:
    """Return the name that a user gave to a session, else `made_up_name`."""
    return session.name or made_up_name(session.client)


def made_up_name(client: Client) -> str:
    """Return a name such as "Firefox on Linux", "Safari on iPhone", "Chrome on a Pixel 8" or "curl"."""
    program, device, grammar = parts_of(client)
    if program is None or device is None:
        return program or device or gettext("Unknown device")
    if grammar == "one of many":
        return gettext("%(program)s on a %(device)s", program=program, device=device)
    if grammar == "thing":
        return gettext("%(program)s on %(device)s", program=program, device=device)
    return gettext("%(program)s on %(system)s", program=program, system=device)


def how_opened(session: Session) -> str | None:
    """Return by what a session was opened, as text for the list; None if nobody knows."""
    if session.amr is None:
        return None
    if "adopted" in session.amr:
        return gettext("opened at the service before")
    return gettext("opened with %(means)s", means=means_of(session.amr))


def means_of(amr: Sequence[Amr]) -> str:
    """Return by what a session was opened, as in "a password and a code"."""
    return gettext(" and ").join(str(_OPENED_BY[name]) for name in amr)


def why_ended(ended: Ended) -> str:
    """Return why a session ended, as text for the list on other devices."""
    if ended.by == ended.session:
        return str(_WHY["logout"])
    if ended.reason == "revoked" and ended.by:
        return gettext("You signed it out from %(device)s", device=_within_a_sentence(ended.by))
    return str(_WHY[ended.reason])


def why_ended_here(ended: Ended, now: float) -> str:
    """Return why a session ended, as text for the login page of its device; "" for who logged out."""
    if ended.reason == "logout" or ended.by == ended.session:
        return ""
    ago = minutes_ago(ended.ended_at, now)
    if ended.reason == "revoked" and ended.by:
        device = _within_a_sentence(ended.by)
        return gettext("This device was logged out from %(device)s, %(ago)s.", device=device, ago=ago)
    return str(_WHY_HERE[ended.reason]) % {"ago": ago}


def _within_a_sentence(session: Session) -> str:
    is_unknown = session.name is None and not any(parts_of(session.client)[:2])
    return gettext("an unknown device") if is_unknown else name_of(session)
