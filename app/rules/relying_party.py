"""The relying party of passkeys: the name that they belong to, and the origins where they may be used.

Their texts and how an answer is checked: webauthn.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_ANDROID_APP = re.compile(r"android:apk-key-hash:[A-Za-z0-9_-]{43}")
_WEB_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The party that passkeys are made for.

    Attributes:
        id: The host name that passkeys belong to. A passkey made under one name is of no use under another.
        origins: Where a passkey may be used, each as browsers spell it.
        name: What browsers show beside the host.
    """

    id: str
    origins: Sequence[str]
    name: str = "Keyrack"


def relying_party(
    public_url: str | None, rp_id: str | None, origins: Sequence[str], name: str = "Keyrack"
) -> RelyingParty | None:
    """Return the relying party; None if there is none, because `public_url` has no name that passkeys can belong to.

    Args:
        rp_id: WEBAUTHN_RP_ID. None takes the host of `public_url`.
        origins: WEBAUTHN_ORIGINS, which are added to that of `public_url`.
        name: SERVICE_NAME.

    Raises:
        ValueError: The settings do not fit together. The message names the one that is wrong.
    """
    own = [origin_of(public_url)] if public_url and _can_have_passkeys(origin_of(public_url)) else []
    party = rp_id or (_host(own[0]) if own else None)
    if party is None and origins:
        raise ValueError("WEBAUTHN_ORIGINS needs WEBAUTHN_RP_ID, because PUBLIC_URL has no name for passkeys")
    if party is None:
        return None
    if not own and not origins:
        raise ValueError("WEBAUTHN_RP_ID needs WEBAUTHN_ORIGINS, or a PUBLIC_URL of https with a name")
    if not all(_belongs(origin, party) for origin in own):
        raise ValueError("WEBAUTHN_RP_ID must be the host of PUBLIC_URL, or a domain that it is in, no top-level one")
    if not all(_belongs(origin, party) for origin in origins if not _ANDROID_APP.fullmatch(origin)):
        raise ValueError("WEBAUTHN_ORIGINS must be in the domain WEBAUTHN_RP_ID, or without it that of PUBLIC_URL")
    return RelyingParty(party, tuple(dict.fromkeys([*own, *origins])), name)


def why_none(public_url: str | None) -> str:
    """Return why there is no relying party, as a sentence for operators."""
    if not public_url:
        return "PUBLIC_URL is not set."
    if _is_address(_host(public_url)):
        return "The host of PUBLIC_URL is an address, and passkeys belong to a name."
    if urlsplit(public_url.lower()).scheme != "https":
        return "PUBLIC_URL is neither of https nor http://localhost, so browsers make no passkeys there."
    return (
        "The host of PUBLIC_URL must be a name of letters, digits and hyphens for passkeys, without a dot at its end."
    )


def read_rp_id(raw: str) -> str:
    """Return WEBAUTHN_RP_ID in lower case. ValueError says what it must be."""
    name = raw.lower()
    if not _HOST.fullmatch(name) or _is_address(name):
        raise ValueError(
            "must be the name of a host or domain, no address, as in example.com; other letters than a to z in their "
            "xn-- form"
        )
    return name


def read_origins(raw: str) -> tuple[str, ...]:
    """Return WEBAUTHN_ORIGINS as browsers spell them. ValueError says what they must be."""
    return tuple(_read_origin(part.strip()) for part in raw.split(",") if part.strip())


def _read_origin(raw: str) -> str:
    if _ANDROID_APP.fullmatch(raw):
        return raw
    try:
        url = urlsplit(raw)
        is_origin = (
            bool(url.hostname) and url.port != 0 and f"{url.scheme}://{url.netloc}".lower() == raw.lower().rstrip("/")
        )
        origin = origin_of(raw) if is_origin and "@" not in url.netloc else ""
    except ValueError:
        origin = ""
    if not _can_have_passkeys(origin):
        raise ValueError(
            "must be origins, separated by commas: of https with a name, as in https://chat.example.com, of "
            "http://localhost, or of an app, as in android:apk-key-hash: with 43 letters of base64url"
        )
    return origin


def origin_of(url: str) -> str:
    """Return the origin of a URL as browsers spell it: in lower case, without the scheme's own port and a path."""
    parts = urlsplit(url.lower())
    port = "" if parts.port in (None, _WEB_PORTS.get(parts.scheme)) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def _can_have_passkeys(origin: str) -> bool:
    """Tell whether browsers make passkeys there: under a name, by https or on the own machine (WebAuthn 3, 5.1.3)."""
    url = urlsplit(origin)
    host = _host(origin)
    is_own_machine = host == "localhost" or host.endswith(".localhost")
    return (
        (url.scheme == "https" or (url.scheme == "http" and is_own_machine))
        and _HOST.fullmatch(host) is not None
        and not _is_address(host)
    )


def _belongs(origin: str, rp_id: str) -> bool:
    """Tell whether a page of this origin may use passkeys of this name. A top-level domain alone is nobody's."""
    host = _host(origin)
    return host == rp_id or ("." in rp_id and host.endswith(f".{rp_id}"))


def _host(origin: str) -> str:
    return urlsplit(origin).hostname or ""


def _is_address(host: str) -> bool:
    """Tell whether browsers read a host as an address. They do so if its last label is a number (URL Standard)."""
    return ":" in host or re.fullmatch("[0-9]+|0x[0-9a-f]*", host.rpartition(".")[2]) is not None
