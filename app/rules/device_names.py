"""The name of a device in English, for the API and operators, and its kind.

How a client is read from a request: callers/client_info.py. Names in the language of a page or mail, and why a session
ended: languages/words.py.
"""

from typing import Literal

from app.stores.session_records import Client, Session

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


def name_of(session: Session) -> str:
    """Return the name that a user gave to a session, else `made_up_name`."""
    return session.name or made_up_name(session.client)


def made_up_name(client: Client) -> str:
    """Return a name such as "Firefox on Linux" or "Firefox on Unknown"."""
    if client.platform is None and client.os is None:
        return _UNKNOWN
    program, system = parts_of(client)
    return f"{program or 'Unknown'} on {system or 'Unknown'}"


def parts_of(client: Client) -> tuple[str | None, str | None]:
    """Return the names of program and system as people know them; None for what nobody knows."""
    program, system = (_COMMON_NAMES.get(part, part) if part else None for part in (client.platform, client.os))
    return program, system


def kind_of(client: Client) -> DeviceKind:
    os = (client.os or "").lower()
    if client.form == "tablet" or os in _TABLETS:
        return "tablet"
    if os in _PHONES:
        return "phone"
    if os in _DESKTOPS:
        return "desktop"
    return "browser" if client.platform else "unknown"
