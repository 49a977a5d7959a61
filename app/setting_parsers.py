"""The parsers of settings: each takes a text and returns its value. ValueError says what the text must be.

The settings themselves: config.py. Parsers of mail: mail_settings.py; of name, logo and colour: brand.py.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import limits
import maxminddb

from app.rules.adoption_keys import MOST_KEYS, AdoptionKey, AdoptionKeys, BadKeys, read_keys
from app.rules.relying_party import origin_of
from app.stores.connection import redis_url
from app.stores.connection.connect import StoreError
from app.stores.keys import OWN_NAMES
from app.times import iso_seconds

HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}
_MIN_SECRET_LENGTH = 32
_LONGEST_S = 100 * 365 * 24 * 60 * 60  # no session may end after the year 9999, because datetime has no later year
_MOST_COUNTED = 1_000_000_000


def text(raw: str) -> str:
    return raw


def host(raw: str) -> str:
    """Return an address to listen on. IPv6 may be in brackets, as in a URL."""
    return raw[1:-1] if re.fullmatch(r"\[[0-9A-Fa-f:.%]+\]", raw) else raw


def span(raw: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", raw)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError("must be a span of time above 0, 36500d at most: seconds, or with a unit as in 90s, 15m, 12h")
    return seconds


def span_or_none(raw: str) -> int:
    return 0 if raw == "0" else span(raw)


def lease(raw: str) -> float:
    """Return a lease in seconds; 0 stands for none."""
    match = re.fullmatch(r"([0-9]{1,4})(ms|s)", raw)
    lease_s = int(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0
    if raw != "0" and not 0.01 <= lease_s <= 1:
        raise ValueError("must be 0, or from 10ms to 1s: with its unit, as in 50ms")
    return lease_s


def whole(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", raw) or not least <= int(raw) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(raw)

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return raw.lower()

    return parse


def switch(raw: str) -> bool:
    return one_of("on", "off")(raw) == "on"


def redis(raw: str) -> str:
    try:
        redis_url.parse(raw)
    except (ValueError, TypeError, OSError, StoreError):
        raise ValueError(
            "must be a URL: redis://host:port/0, unix:///path, redis+sentinel://host:port,host:port/service/0 or "
            "redis+cluster://host:port,host:port, with rediss for TLS, options of redis-py and files that can be read"
        ) from None
    return raw


def key_prefix(raw: str) -> str:
    """Return a name for keys. It has no colon, so that no key is under two prefixes, and no character of a pattern."""
    if raw and (not re.fullmatch(r"[A-Za-z0-9._-]{1,32}", raw) or raw in OWN_NAMES):
        raise ValueError(
            f"must be a name of 1 to 32 letters, digits, dots, hyphens and underscores, "
            f"and none of {', '.join(OWN_NAMES)}"
        )
    return raw


def secret_keys(raw: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in raw.split(",") if key.strip())
    if any(key[0] == key[-1] and key[0] in "\"'" for key in keys):
        raise ValueError("has a secret in quotes, which would be part of it")
    if not keys or any(len(key) < _MIN_SECRET_LENGTH for key in keys):
        raise ValueError(
            f"must be one or more secrets of {_MIN_SECRET_LENGTH} characters or more, separated by commas; "
            'make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return keys


def networks(raw: str) -> Networks:
    try:
        return tuple(_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be addresses or CIDR ranges separated by commas, as in 10.0.0.0/8,::1") from None


def _network(raw: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return a network. IPv4-mapped IPv6 becomes IPv4, as in the addresses of callers."""
    network = ipaddress.ip_network(raw)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return ipaddress.ip_network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


def rate(raw: str) -> str:
    try:
        parsed = limits.parse_many(raw)
    except ValueError:
        parsed = []
    countable = [1 <= limit.amount <= _MOST_COUNTED and limit.get_expiry() <= _LONGEST_S for limit in parsed]
    if not parsed or not all(countable):
        raise ValueError('must be a limit in Flask-Limiter\'s notation, as in "10 per minute"')
    return raw


def city_database(raw: str) -> Path:
    try:
        maxminddb.open_database(raw).close()
    except (OSError, maxminddb.InvalidDatabaseError):
        raise ValueError("must be the path of a readable database in MaxMind's format") from None
    return Path(raw)


def public_keys(raw: str) -> AdoptionKeys:
    """Return the keys of one or more files, whose paths are separated by commas."""
    paths = [Path(part.strip()) for part in raw.split(",") if part.strip()]
    keys: list[AdoptionKey] = []
    passed_over: list[str] = []
    for number, path in enumerate(paths, 1):
        which = f"file {number}" if len(paths) > 1 else "the file"
        try:
            found = read_keys(path.read_bytes())
        except (OSError, ValueError) as problem:
            reason = f"has {problem}" if isinstance(problem, BadKeys) else "cannot be read"
            raise ValueError(f"must name public keys, in PEM or as a JWKS: {which} {reason}") from None
        place = f"{which}, " if len(paths) > 1 else ""
        keys += [replace(key, name=place + key.name) for key in found.keys]
        passed_over += [place + sentence for sentence in found.passed_over]
    if not keys:
        raise ValueError("must name public keys, in PEM or as a JWKS")
    if len(keys) > MOST_KEYS:
        raise ValueError(f"must name {MOST_KEYS} public keys at most")
    return AdoptionKeys(tuple(keys), tuple(passed_over))


def claim(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.:/-]{1,64}", raw):
        raise ValueError("must be the name of a claim, as in id or sub")
    return raw


def moment(raw: str) -> float:
    """Return a time in Unix seconds."""
    try:
        at = iso_seconds(raw)
    except (ValueError, OverflowError):
        at = -1
    if not 0 <= at < 2**32:
        raise ValueError("must be a date or time in ISO 8601, as in 2026-12-01 or 2026-12-01T08:00:00Z")
    return at


def origin(raw: str) -> str:
    try:
        url = urlsplit(raw)
        is_origin = re.fullmatch(rf"https?://({HOST})(:[0-9]{{1,5}})?/?", raw) and url.hostname and url.port != 0
    except ValueError:
        is_origin = False
    if not is_origin:
        raise ValueError(
            "must be the URL of this service for people, without a path, as in https://accounts.example.com"
        )
    return raw.rstrip("/")


def application_url(raw: str) -> str:
    """Return the URL under which the application has its API, without a slash at the end."""
    try:
        url = urlsplit(raw)
        is_one = re.fullmatch(rf"https?://({HOST})(:[0-9]{{1,5}})?(/[A-Za-z0-9._~-]+)*/?", raw) and url.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError(
            "must be where the application is: http or https, host, port and a path if it has one, without user, "
            "password and query, as in http://127.0.0.1:9000"
        )
    return raw.rstrip("/")


def origins(raw: str) -> tuple[str, ...]:
    """Read origins as browsers send them: in lower case, without the scheme's own port and without a path."""
    return tuple(_browser_origin(part.strip()) for part in raw.split(",") if part.strip())


def _browser_origin(raw: str) -> str:
    # Programs that show web pages as their window have a scheme of their own: tauri://localhost, capacitor://localhost.
    if re.fullmatch(rf"(?!https?:)[A-Za-z][A-Za-z0-9+.-]*://({HOST})(:[0-9]{{1,5}})?", raw):
        return raw.lower()
    try:
        return origin_of(origin(raw))
    except ValueError:
        raise ValueError("must be origins, separated by commas, as in https://chat.example.com") from None


def optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda raw: parse(raw) if raw else None
