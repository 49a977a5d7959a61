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

from app.rules.passwords import MAX_ROUNDS, MIN_ROUNDS
from app.stores.connection import redis_url
from app.stores.connection.connect import StoreError

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}
_MIN_SECRET_LENGTH = 32
_MAIL_PORTS = {"smtp": 587, "smtps": 465}
_LONGEST_S = 100 * 365 * 24 * 60 * 60  # beyond the year 9999 nothing can tell when a session ends
_MOST_COUNTED = 1_000_000_000
_HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"


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
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError("must be a span of time above 0, 36500d at most: seconds, or with a unit as in 90s, 15m, 12h")
    return seconds


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", raw) or not least <= int(raw) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(raw)

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return raw.lower()

    return parse


def _switch(raw: str) -> bool:
    return _one_of("on", "off")(raw) == "on"


def _redis_url(raw: str) -> str:
    try:
        redis_url.parse(raw)
    except (ValueError, TypeError, OSError, StoreError):
        raise ValueError(
            "must be a URL: redis://host:port/0, unix:///path, redis+sentinel://host:port,host:port/service/0 or "
            "redis+cluster://host:port,host:port, with rediss for TLS, options of redis-py and files that can be read"
        ) from None
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
        return tuple(_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be addresses or CIDR ranges separated by commas, as in 10.0.0.0/8,::1") from None


def _network(raw: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network of IPv4 that is written within IPv6 is that of IPv4, as addresses are."""
    network = ipaddress.ip_network(raw)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return ipaddress.ip_network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


def _rate(raw: str) -> str:
    try:
        parsed = limits.parse_many(raw)
    except ValueError:
        parsed = []
    countable = [1 <= limit.amount <= _MOST_COUNTED and limit.get_expiry() <= _LONGEST_S for limit in parsed]
    if not parsed or not all(countable):
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
    path = unquote(url.path, errors="strict")
    if url.netloc or url.query or url.fragment or not path.strip("/") or "\0" in path:
        raise ValueError
    return Path(path)


def _mail_server(url: SplitResult) -> MailServer:
    user, password = (unquote(part or "", errors="strict") for part in (url.username, url.password))
    is_plain = (user + password).isascii() and (user + password).isprintable()  # as smtplib sends them
    if url.scheme not in _MAIL_PORTS or not url.hostname or url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError
    if not is_plain or bool(user) != bool(password) or ("@" in url.netloc and not user):
        raise ValueError
    is_ipv6 = ":" in url.hostname
    host = url.hostname if is_ipv6 else url.hostname.encode("idna").decode()
    if not re.fullmatch(_HOST, f"[{host}]" if is_ipv6 else host):
        raise ValueError
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
        is_origin = re.fullmatch(rf"https?://({_HOST})(:[0-9]{{1,5}})?/?", raw) and url.hostname and url.port != 0
    except ValueError:
        is_origin = False
    if not is_origin:
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

    redis_url: str = _setting(
        _redis_url,
        "where Redis or Valkey is: `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`",
        secret=True,
    )
    redis_wait_replicas: int = _setting(
        _whole(0, 100), "replicas that must have an ending or a change of credentials before it is told as done", "0"
    )
    redis_wait_ms: int = _setting(
        _whole(1, 10_000),
        "milliseconds in which they must; else the answer is 503, and the request may be repeated",
        "500",
    )
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
    metrics_secret: str | None = _setting(
        _optional(_text), "what Prometheus shows for `/metrics`; without it that is not there", "", secret=True
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
    log_format: str = _setting(
        _one_of("auto", "json", "text"), "`json`, `text`, or `auto`: text on a terminal, else JSON", "auto"
    )
    log_level: str = _setting(
        _one_of("debug", "info", "warning", "error"), "the least that is logged; audit lines always are", "info"
    )
    access_log: bool = _setting(_switch, "`on` logs each request, by its route; a gateway mostly does already", "off")
    rate_limit_forgot: str = _setting(_rate, "requests for a password reset, by address and by account", "5 per hour")
    host: str = _setting(_text, "address that gunicorn listens on", "127.0.0.1")
    port: int = _setting(_whole(1, 65535), "port that gunicorn listens on", "8000")
    web_concurrency: int | None = _setting(
        _optional(_whole(1, 1000)), "processes that gunicorn runs; without it one for each core", ""
    )
    web_threads: int = _setting(
        _whole(1, 1000), "threads in each; more than may hash passwords and wait for it, so that some are left", "32"
    )
    web_keepalive_s: int = _setting(
        _span,
        "how long a connection waits for its next request; more than the gateway waits, which hangs up first",
        "15s",
    )
    web_stop_timeout_s: int = _setting(
        _span,
        "how long a stop or a reload waits for requests under way; more than a login may wait for its turn",
        "30s",
    )


def _is_text(raw: str) -> bool:
    """Bytes that are no UTF-8 come out of the environment as lone surrogates, which nothing can write."""
    return not any("\ud800" <= char <= "\udfff" for char in raw)


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
        if not _is_text(raw):
            problems.append(f"{name} must be text in UTF-8")
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
