"""What the settings of mail must be: the mail server, the sender, and the name that the server is greeted with.

The mail server is spoken with in mail/transport.py.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from email.headerregistry import Address
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email

from app.setting_parsers import HOST, whole

_PORTS = {"smtp": 587, "smtps": 465}
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class MailServer:
    """The mail server.

    Attributes:
        user: "" if the server asks for no login.
        implicit_tls: True encrypts from the first byte. False encrypts as soon as the server offers it.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    implicit_tls: bool


def read_mail_route(raw: str) -> MailServer | Path:
    """Return the mail server, or the folder for mails as files."""
    try:
        url = urlsplit(raw)
        return _mail_folder(url) if url.scheme == "file" else _mail_server(url)
    except ValueError:  # UnicodeError is a ValueError, too
        raise ValueError(
            "must be smtp://user:password@host:587, smtps://user:password@host:465 or file:folder; "
            "the user and the password, of ASCII alone, can be left out together, and are percent-encoded"
        ) from None


def _mail_folder(url: SplitResult) -> Path:
    path = unquote(url.path, errors="strict")
    if url.netloc or url.query or url.fragment or not path.strip("/") or "\0" in path:
        raise ValueError
    return Path(path)


def _mail_server(url: SplitResult) -> MailServer:
    user, password = (unquote(part or "", errors="strict") for part in (url.username, url.password))
    is_plain = (user + password).isascii() and (user + password).isprintable()  # smtplib sends no other characters
    if url.scheme not in _PORTS or not url.hostname or url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError
    if not is_plain or bool(user) != bool(password) or ("@" in url.netloc and not user):
        raise ValueError
    is_ipv6 = ":" in url.hostname
    host = url.hostname if is_ipv6 else url.hostname.encode("idna").decode()
    if not re.fullmatch(HOST, f"[{host}]" if is_ipv6 else host):
        raise ValueError
    port = _PORTS[url.scheme] if url.port is None else whole(1, 65535)(str(url.port))
    return MailServer(host, port, user, password, implicit_tls=url.scheme == "smtps")


def read_mail_address(raw: str) -> Address:
    try:
        # The host may be known in this network only, so no public name is required.
        checked = validate_email(
            raw, check_deliverability=False, allow_display_name=True, allow_smtputf8=False, globally_deliverable=False
        )
        return Address(checked.display_name or "", checked.local_part, checked.ascii_domain)
    except (EmailNotValidError, ValueError):
        raise ValueError('must be an address, as in no-reply@example.com or "Keyrack <no-reply@example.com>"') from None


def read_ehlo_name(raw: str) -> str:
    """Return the name of this client for mail servers: a host name, or the literal of an address."""
    literal = re.fullmatch(r"\[(IPv6:)?([0-9A-Fa-f:.]+)\]", raw)
    try:
        is_literal = literal is not None and ipaddress.ip_address(literal[2]).version == (6 if literal[1] else 4)
    except ValueError:
        is_literal = False
    if not is_literal and not (len(raw) <= _LONGEST_NAME and re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", raw)):
        raise ValueError(
            "must be the name of a host, of letters, digits, dots and hyphens, or the literal of an address, as in "
            "accounts.example.com or [192.0.2.1]"
        )
    return raw


def ehlo_name_of(public_url: str) -> str:
    """Return the host of a URL as the name of this client for mail servers. ValueError says what it must be."""
    host = (urlsplit(public_url).hostname or "").rstrip(".")
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return read_ehlo_name(host)
    return f"[IPv6:{host}]" if version == 6 else f"[{host}]"
