"""Every setting, with its name in the environment, type, default and meaning, and the checks of their values."""

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
_LONGEST_S = 100 * 365 * 24 * 60 * 60  # the end of a session must not come after the year 9999, the last in datetime
_MOST_COUNTED = 1_000_000_000
_HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server that takes mails.

    Attributes:
        user: "" if the server asks for no login.
        implicit_tls: True encrypts from the first byte. False encrypts as soon as the server offers it.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    implicit_tls: bool


class ConfigError(Exception):
    """An environment that cannot be used. The message names every bad variable, and no value."""


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
    """Return a network. IPv4 within IPv6 becomes IPv4, because the addresses of callers do, too."""
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
    """Return the mail server, or the folder for mails as files."""
    try:
        url = urlsplit(raw)
        return _mail_folder(url) if url.scheme == "file" else _mail_server(url)
    except ValueError:  # UnicodeError is one, too
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
    is_plain = (user + password).isascii() and (user + password).isprintable()  # smtplib sends nothing else
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
        # The host may be known in this network only, so no public name is required.
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
        raise ValueError(
            "must be the URL of this service for people, without a path, as in https://accounts.example.com"
        )
    return raw.rstrip("/")


def _setting(parse: Callable[[str], Any], meaning: str, default: str | None = None, *, secret: bool = False) -> Any:
    """Return a field of Settings. The default is a text as in the environment; None makes the setting required."""
    return field(repr=not secret, metadata={"parse": parse, "meaning": meaning, "default": default})


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda raw: parse(raw) if raw else None


@dataclass(frozen=True)
class Settings:
    """The settings, in the order of the README's table. A field is named as its variable; `_s` marks seconds."""

    redis_url: str = _setting(
        _redis_url,
        "URL of Redis or Valkey: `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`",
        secret=True,
    )
    redis_wait_replicas: int = _setting(
        _whole(0, 100), "replicas that must confirm an ended session or changed credentials before a success", "0"
    )
    redis_wait_ms: int = _setting(
        _whole(1, 10_000), "milliseconds to wait for them; later the answer is 503, and the client may try again", "500"
    )
    secret_keys: tuple[str, ...] = _setting(
        _secret_keys,
        "secrets of 32 characters or more, separated by commas: the first encrypts TOTP secrets and keys the hashes "
        "of backup codes, all of them can read",
        secret=True,
    )
    session_ttl_s: int = _setting(_span, "time without use after which a session ends", "30d")
    session_max_age_s: int = _setting(_span, "time after its start at which a session ends, even in use", "365d")
    max_sessions_per_user: int = _setting(
        _whole(1, 50), "sessions that a user can have; one more login ends the least recently used one", "50"
    )
    retention_days: int = _setting(
        _whole(1, 3650), "days for which ended sessions and their addresses are kept and shown", "30"
    )
    mfa_ticket_ttl_s: int = _setting(_span, "time in which a challenge can be answered", "5m")
    mfa_proof_ttl_s: int = _setting(_span, "time for which a proof, earned by a right answer, is good", "5m")
    totp_window: int = _setting(_whole(0, 10), "steps of 30 seconds that a TOTP code may be off, either way", "1")
    bcrypt_rounds: int = _setting(
        _whole(MIN_ROUNDS, MAX_ROUNDS), "cost of a password hash; hashes of another cost are renewed at login", "12"
    )
    bcrypt_concurrency: int = _setting(_whole(1, 64), "password hashes that one process computes at once", "1")
    bcrypt_queue: int = _setting(
        _whole(0, 1000), "password hashes that may wait for their turn in one process; more get 503", "20"
    )
    trusted_proxies: Networks = _setting(
        _networks, "addresses and CIDR ranges of the proxies whose `X-Forwarded-For` is believed", ""
    )
    geoip_database: Path | None = _setting(
        _optional(_city_database), "path of a City database in MaxMind's format; without it no location is known", ""
    )
    gateway_secret: str | None = _setting(
        _optional(_text),
        "secret that the gateway sends to introspect and reconcile; without it these paths do not exist",
        "",
        secret=True,
    )
    metrics_secret: str | None = _setting(
        _optional(_text),
        "secret that Prometheus sends to `/metrics`; without it that path does not exist",
        "",
        secret=True,
    )
    smtp_url: MailServer | Path | None = _setting(
        _optional(_mail_route),
        "mail server: `smtp://user:password@host:587` (encrypted as soon as the server offers it; a password is never "
        "sent without encryption), `smtps://…`, or `file:folder` for files; without it no mail is sent",
        "",
        secret=True,
    )
    mail_from: Address | None = _setting(
        _optional(_mail_address),
        "sender of mails: an address, or `Keyrack <no-reply@example.com>`; needed with `SMTP_URL`",
        "",
    )
    public_url: str | None = _setting(
        _optional(_origin),
        "URL of this service for people, for links in mails: `https://accounts.example.com`; needed with `SMTP_URL`",
        "",
    )
    rate_limit_login: str = _setting(_rate, "logins and their MFA answers, by address and account", "10 per minute")
    rate_limit_login_address: str = _setting(_rate, "logins and their MFA answers, by address", "30 per minute")
    rate_limit_register: str = _setting(_rate, "registrations, by address", "10 per hour")
    rate_limit_forgot: str = _setting(_rate, "requests for a password reset, by address and by account", "5 per hour")
    rate_limit_step_up: str = _setting(
        _rate, "answers to a challenge and passwords given again, by session", "10 per 15 minutes"
    )
    rate_limit_step_up_user: str = _setting(
        _rate, "answers to a challenge and passwords given again, by user over all sessions", "50 per hour"
    )
    log_format: str = _setting(
        _one_of("auto", "json", "text"), "`json`, `text`, or `auto`: text on a terminal, else JSON", "auto"
    )
    log_level: str = _setting(
        _one_of("debug", "info", "warning", "error"), "lowest level that is logged; audit lines always are", "info"
    )
    access_log: bool = _setting(_switch, "`on` logs each request by its route; most gateways do so already", "off")
    host: str = _setting(_text, "address that gunicorn listens on", "127.0.0.1")
    port: int = _setting(_whole(1, 65535), "port that gunicorn listens on", "8000")
    web_concurrency: int | None = _setting(
        _optional(_whole(1, 1000)), "processes that gunicorn runs; without it one for each core", ""
    )
    web_threads: int = _setting(
        _whole(1, 1000),
        "threads in each process; more than `BCRYPT_CONCURRENCY` and `BCRYPT_QUEUE` together, so that some are left",
        "32",
    )
    web_keepalive_s: int = _setting(
        _span, "time that a connection waits for a request; more than the gateway waits, which closes it first", "15s"
    )
    web_stop_timeout_s: int = _setting(
        _span, "time for requests under way at a stop or a reload; more than a login may wait for its turn", "30s"
    )


def _is_text(raw: str) -> bool:
    """Tell whether a value is text. Python reads bytes that are no UTF-8 as lone surrogates, which UTF-8 refuses."""
    return not any("\ud800" <= char <= "\udfff" for char in raw)


def variable(name: str) -> str:
    """Return the name in the environment of a field of Settings."""
    return name.removesuffix("_s").upper()


def load_settings(env: Mapping[str, str]) -> Settings:
    """Read the environment. A variable that is empty counts as not set.

    Raises:
        ConfigError: Some variables are bad. It names all of them, so that one restart fixes them all.
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
