"""Every setting: its name in the environment, its type, its default and what it means."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from email.headerregistry import Address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import limits
import maxminddb
from email_validator import EmailNotValidError, validate_email
from redis import Redis

from app.passwords import MAX_ROUNDS, MIN_ROUNDS

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}
_MIN_SECRET_LENGTH = 32
_MAIL_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed over.

    user          "" where the server asks for none
    implicit_tls  encrypted from the first byte; else as soon as the server offers it
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    implicit_tls: bool


class ConfigError(Exception):
    """The environment cannot be used as it is; the message names every bad variable, and no value."""


def _text(raw: str) -> str:
    return raw


def _span(raw: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", raw)
    if not match or int(match[1]) == 0:
        raise ValueError("must be a span of time above 0: seconds, or with a unit as in 90s, 15m, 12h, 30d")
    return int(match[1]) * _SECONDS[match[2]]


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", raw) or not least <= int(raw) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(raw)

    return parse


def _redis_url(raw: str) -> str:
    try:
        Redis.from_url(raw)
    except ValueError:
        raise ValueError("must be a URL that begins with redis://, rediss:// or unix://") from None
    return raw


def _secret_keys(raw: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in raw.split(",") if key.strip())
    if not keys or any(len(key) < _MIN_SECRET_LENGTH for key in keys):
        raise ValueError(
            f"must be one or more secrets of {_MIN_SECRET_LENGTH} characters or more, separated by commas; "
            'make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return keys


def _networks(raw: str) -> Networks:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be addresses or CIDR ranges separated by commas, as in 10.0.0.0/8,::1") from None


def _rate(raw: str) -> str:
    try:
        counts = [limit.amount for limit in limits.parse_many(raw)]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise ValueError('must be a limit in Flask-Limiter\'s notation, as in "10 per minute"')
    return raw


def _city_database(raw: str) -> Path:
    try:
        maxminddb.open_database(raw).close()
    except (OSError, maxminddb.InvalidDatabaseError):
        raise ValueError("must be the path of a readable database in MaxMind's format") from None
    return Path(raw)


def _mail_route(raw: str) -> MailServer | Path:
    """Where mails go: a server, or the folder that takes them as files."""
    try:
        url = urlsplit(raw)
        return _mail_folder(url) if url.scheme == "file" else _mail_server(url)
    except ValueError:  # of the parts too, UnicodeError among them
        raise ValueError(
            "must be smtp://user:password@host:587, smtps://user:password@host:465 or file:folder; "
            "the user and the password, of ASCII alone, can be left out together, and are percent-encoded"
        ) from None


def _mail_folder(url: SplitResult) -> Path:
    if url.netloc or url.query or url.fragment or not url.path.strip("/"):
        raise ValueError
    return Path(unquote(url.path))


def _mail_server(url: SplitResult) -> MailServer:
    user, password = (unquote(part or "", errors="strict") for part in (url.username, url.password))
    is_plain = (user + password).isascii() and (user + password).isprintable()  # as smtplib sends them
    if url.scheme not in _MAIL_PORTS or not url.hostname or url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError
    if not is_plain or bool(user) != bool(password) or ("@" in url.netloc and not user):
        raise ValueError
    host = url.hostname if ":" in url.hostname else url.hostname.encode("idna").decode()
    port = _MAIL_PORTS[url.scheme] if url.port is None else _whole(1, 65535)(str(url.port))
    return MailServer(host, port, user, password, implicit_tls=url.scheme == "smtps")


def _mail_address(raw: str) -> Address:
    try:
        # An address that mails are sent from may be of a host that only this network knows.
        checked = validate_email(
            raw, check_deliverability=False, allow_display_name=True, allow_smtputf8=False, globally_deliverable=False
        )
        return Address(checked.display_name or "", checked.local_part, checked.ascii_domain)
    except (EmailNotValidError, ValueError):
        raise ValueError('must be an address, as in no-reply@example.com or "Keyrack <no-reply@example.com>"') from None


def _origin(raw: str) -> str:
    try:
        url = urlsplit(raw)
        is_origin = url.scheme in ("http", "https") and url.hostname and url.port != 0 and "@" not in raw
    except ValueError:
        is_origin = False
    if not is_origin or raw.rstrip("/") != f"{url.scheme}://{url.netloc}" or not re.fullmatch(r"[!-?A-~]+", raw):
        raise ValueError("must be where people reach this service, without a path, as in https://accounts.example.com")
    return raw.rstrip("/")


def _setting(parse: Callable[[str], Any], meaning: str, default: str | None = None, *, secret: bool = False) -> Any:
    """A field of Settings. default: as it would stand in the environment; None makes it required."""
    return field(repr=not secret, metadata={"parse": parse, "meaning": meaning, "default": default})


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda raw: parse(raw) if raw else None


@dataclass(frozen=True)
class Settings:
    """What the environment says. A field is named as its variable, in small letters; `_s` marks seconds."""

    redis_url: str = _setting(_redis_url, "where Redis or Valkey is: `redis://`, `rediss://` or `unix://`", secret=True)
    secret_keys: tuple[str, ...] = _setting(
        _secret_keys,
        "secrets of 32 characters or more, separated by commas: the first encrypts TOTP secrets and keys the hashes "
        "of backup codes, all of them read",
        secret=True,
    )
    session_ttl_s: int = _setting(_span, "how long after its last use a session ends", "30d")
    session_max_age_s: int = _setting(_span, "how long after its beginning a session ends, whatever its use", "365d")
    max_sessions_per_user: int = _setting(
        _whole(1, 50), "how many sessions a user has at most; the next login ends the least recently used one", "50"
    )
    mfa_ticket_ttl_s: int = _setting(_span, "how long a challenge can be answered", "5m")
    mfa_proof_ttl_s: int = _setting(_span, "how long a right answer lets its session do guarded things", "5m")
    retention_days: int = _setting(
        _whole(1, 3650), "days for which ended sessions and their addresses are kept and shown", "30"
    )
    totp_window: int = _setting(_whole(0, 10), "steps of 30 seconds that a TOTP code may be off, either way", "1")
    bcrypt_rounds: int = _setting(
        _whole(MIN_ROUNDS, MAX_ROUNDS), "cost of a password hash; lower ones are renewed at login", "12"
    )
    bcrypt_concurrency: int = _setting(_whole(1, 64), "password hashes computed at once in one process", "1")
    bcrypt_queue: int = _setting(
        _whole(0, 1000), "password hashes that may wait for their turn in one process; more get 503", "20"
    )
    trusted_proxies: Networks = _setting(
        _networks, "addresses and CIDR ranges of the proxies whose `X-Forwarded-For` is believed", ""
    )
    geoip_database: Path | None = _setting(
        _optional(_city_database), "path of a MaxMind-format City database; without it no location is known", ""
    )
    gateway_secret: str | None = _setting(
        _optional(_text),
        "what the gateway shows for introspect and reconcile; without it they are not there",
        "",
        secret=True,
    )
    smtp_url: MailServer | Path | None = _setting(
        _optional(_mail_route),
        "where mails go: `smtp://user:password@host:587` (encrypted as soon as the server offers it, and never without "
        "where there is a password), `smtps://…`, or `file:folder`; without it nobody is mailed anything",
        "",
        secret=True,
    )
    mail_from: Address | None = _setting(
        _optional(_mail_address),
        "what mails are from: an address, or `Keyrack <no-reply@example.com>`; needed with `SMTP_URL`",
        "",
    )
    public_url: str | None = _setting(
        _optional(_origin),
        "where people reach this service, for links in mails: `https://accounts.example.com`; needed with `SMTP_URL`",
        "",
    )
    rate_limit_login: str = _setting(_rate, "logins and their MFA answers, by address and account", "10 per minute")
    rate_limit_login_address: str = _setting(_rate, "logins and their MFA answers, by address", "30 per minute")
    rate_limit_register: str = _setting(_rate, "registrations, by address", "10 per hour")
    rate_limit_step_up: str = _setting(
        _rate, "answers to a challenge and passwords given again, by session", "10 per 15 minutes"
    )
    rate_limit_step_up_user: str = _setting(_rate, "the same, by user over all sessions", "50 per hour")
    rate_limit_forgot: str = _setting(_rate, "requests for a password reset, by address and by account", "5 per hour")
    host: str = _setting(_text, "address that gunicorn listens on", "127.0.0.1")
    port: int = _setting(_whole(1, 65535), "port that gunicorn listens on", "8000")
    web_concurrency: int | None = _setting(
        _optional(_whole(1, 1000)), "processes that gunicorn runs; without it one for each core", ""
    )
    web_threads: int = _setting(
        _whole(1, 1000), "threads in each; more than may hash passwords and wait for it, so that some are left", "32"
    )


def variable(name: str) -> str:
    """The environment's name for a field of Settings."""
    return name.removesuffix("_s").upper()


def load_settings(env: Mapping[str, str]) -> Settings:
    """Read the environment; a variable that is empty counts as not set.

    Raises: ConfigError naming every bad variable, so that one restart fixes them all
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        name = variable(setting.name)
        raw = env.get(name, "").strip() or setting.metadata["default"]
        if raw is None:
            problems.append(f"{name} is not set: {setting.metadata['meaning']}")
            continue
        try:
            values[setting.name] = setting.metadata["parse"](raw)
        except ValueError as problem:
            problems.append(f"{name} {problem}")
    if env.get("SMTP_URL", "").strip():
        needed = [name for name in ("MAIL_FROM", "PUBLIC_URL") if not env.get(name, "").strip()]
        problems += [f"{name} is not set, and SMTP_URL needs it" for name in needed]
    if not problems and values["web_threads"] <= values["bcrypt_concurrency"] + values["bcrypt_queue"]:
        problems.append("WEB_THREADS must be more than BCRYPT_CONCURRENCY and BCRYPT_QUEUE together")
    if problems:
        raise ConfigError("Keyrack cannot start:\n" + "\n".join(f"- {problem}" for problem in problems))
    return Settings(**values)
