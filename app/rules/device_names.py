"""Words for people: the name of a device, its kind, and why its session ended.

How a client is read from a request: callers/client_info.py. Words of mails: mail/letters.py.
"""

from typing import Literal

from app.stores.session_records import Client, Ended, Session

DeviceKind = Literal["desktop", "phone", "tablet", "browser", "unknown"]

_PHONES = {"android", "ios", "windows phone", "kaios", "blackberry os"}
_TABLETS = {"ipados"}
_DESKTOPS = {
    "windows",
    "macos",
    "mac os x",
    "linux",
    "chrome os",
    "freebsd",
    "openbsd",
    "netbsd",
    "solaris",
    "ubuntu",
    "debian",
    "fedora",
    "arch linux",
    "red hat",
    "suse",
    "gentoo",
    "mint",
}
_COMMON_NAMES = {
    "Mac OS X": "macOS",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "Safari",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Chrome",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge Mobile": "Edge",
}
_UNKNOWN = "Unknown device"
_OPENED_BY = {
    "pwd": "a password",
    "otp": "a code",
    "recovery": "a backup code",
    "webauthn": "a passkey",
    "remembered": "a remembered device",
    "mail": "a link by mail",
}

_WHY = {
    "logout": "You logged out",
    "revoked": "You signed it out",
    "evicted": "Signed out to make room",
    "expired": "Expired",
    "password_change": "Password changed",
    "mfa_change": "Two-factor authentication changed",
    "admin": "By an operator",
}


_WHY_HERE = {
    "logout": "You logged out on this device.",
    "revoked": "This device was logged out.",
    "evicted": "This device was logged out to make room for a newer one.",
    "expired": "Your session on this device expired. Please log in again.",
    "password_change": "Your password was changed on another device, which logged this one out.",
    "mfa_change": "Two-factor authentication was changed, which logged this device out.",
    "admin": "This device was logged out by an operator.",
}


def name_of(session: Session) -> str:
    """Return the name that a user gave to a session, else `made_up_name`."""
    return session.name or made_up_name(session.client)


def made_up_name(client: Client) -> str:
    """Return a name such as "Firefox on Linux" or "Firefox on Unknown"."""
    if client.platform is None and client.os is None:
        return _UNKNOWN
    platform, os = (_COMMON_NAMES.get(part, part) if part else "Unknown" for part in (client.platform, client.os))
    return f"{platform} on {os}"


def kind_of(client: Client) -> DeviceKind:
    os = (client.os or "").lower()
    if client.form == "tablet" or os in _TABLETS:
        return "tablet"
    if os in _PHONES:
        return "phone"
    if os in _DESKTOPS:
        return "desktop"
    return "browser" if client.platform else "unknown"


def how_opened(session: Session) -> str | None:
    """Return by what a session was opened, as text for the list; None if nobody knows."""
    if session.amr is None:
        return None
    if "adopted" in session.amr:
        return "opened at the service before"
    return "opened with " + " and ".join(_OPENED_BY[name] for name in session.amr)


def why_ended(ended: Ended) -> str:
    """Return why a session ended, as text for the list on other devices."""
    if ended.by == ended.session:
        return _WHY["logout"]
    if ended.reason == "revoked" and ended.by:
        return f"{_WHY['revoked']} from {_within_a_sentence(ended.by)}"
    return _WHY[ended.reason]


def why_ended_here(ended: Ended) -> str:
    """Return why a session ended, as text for the login page of the device whose session ended."""
    if ended.by == ended.session:
        return _WHY_HERE["logout"]
    if ended.reason == "revoked" and ended.by:
        return f"This device was logged out from {_within_a_sentence(ended.by)}."
    return _WHY_HERE[ended.reason]


def _within_a_sentence(session: Session) -> str:
    name = name_of(session)
    return "an unknown device" if name == _UNKNOWN else name
