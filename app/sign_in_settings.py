"""The settings of Redis, and of what a sign-in is and who may ask for one. All others: config.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app import setting_parsers as parsers
from app.rules.adoption_keys import AdoptionKeys
from app.rules.breached_passwords import read_breached
from app.rules.passwords import MAX_ROUNDS, MIN_ROUNDS
from app.rules.totp import LEAST_SECRET_BITS, SECRET_BITS
from app.setting_parsers import Networks


def setting(parse: Callable[[str], Any], meaning: str, default: str | None = None, *, secret: bool = False) -> Any:
    """Return a field of Settings. The default is written as in the environment. None makes the setting required."""
    return field(repr=not secret, metadata={"parse": parse, "meaning": meaning, "default": default})


@dataclass(frozen=True)
class SignInSettings:
    """The first part of the settings, in the order of the README's table."""

    redis_url: str = setting(
        parsers.redis,
        "URL of Redis or Valkey: `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`",
        secret=True,
    )
    redis_prefix: str = setting(
        parsers.key_prefix,
        "name that begins every key in Redis and the channel, as in `staging:auth-events`, for a second Keyrack or an "
        "application on the same server; another name is another store, which is empty",
        "",
    )
    redis_wait_replicas: int = setting(
        parsers.whole(0, 100),
        "replicas that must confirm an ended session or changed credentials before a success",
        "0",
    )
    redis_wait_ms: int = setting(
        parsers.whole(1, 10_000),
        "milliseconds to wait for them; later the answer is 503, and the client may try again",
        "500",
    )
    secret_keys: tuple[str, ...] = setting(
        parsers.secret_keys,
        "secrets of 32 characters or more, separated by commas: the first encrypts TOTP secrets, keys the hashes "
        "of backup codes and makes the links in mails; all of them can read",
        secret=True,
    )
    session_ttl_s: int = setting(parsers.span, "time without use after which a session ends", "30d")
    session_max_age_s: int = setting(parsers.span, "time after its start at which a session ends, even in use", "365d")
    public_computer_ttl_s: int = setting(
        parsers.span,
        "time after its start at which a session ends, even in use, if the user said that the computer is a public one",
        "12h",
    )
    remember_ttl_s: int = setting(
        parsers.span_or_none,
        "time for which a browser is not asked for a code again, if the user wished that at a login; 0 switches it off",
        "30d",
    )
    verify_email: str = setting(
        parsers.one_of("optional", "required"),
        "`required` lets nobody log in before the address is verified, but on the device that registered; needs "
        "`SMTP_URL`",
        "optional",
    )
    deletion_delay_s: int = setting(
        parsers.span,
        "time after which an account that its user has deleted is gone; until then they can come back",
        "14d",
    )
    max_sessions_per_user: int = setting(
        parsers.whole(1, 50), "sessions that a user can have; one more login ends the least recently used one", "50"
    )
    retention_days: int = setting(
        parsers.whole(1, 3650),
        "days for which ended sessions, the activity of an account and the addresses in both are kept and shown",
        "30",
    )
    verify_lease_s: float = setting(
        parsers.lease,
        "time for which a worker may answer checks from its memory, and the longest that an ending waits for a worker "
        "that is silent; 0 asks Redis at every check",
        "50ms",
    )
    mfa_ticket_ttl_s: int = setting(parsers.span, "time in which a challenge can be answered", "5m")
    mfa_proof_ttl_s: int = setting(parsers.span, "time for which a proof, earned by a right answer, is good", "5m")
    totp_window: int = setting(
        parsers.whole(0, 10), "steps (of 30 seconds, as a rule) that a TOTP code may be off, either way", "1"
    )
    totp_client_secret_bits: int = setting(
        parsers.whole(LEAST_SECRET_BITS, SECRET_BITS),
        "bits that a client's TOTP secret has at least; some clients make 80, RFC 4226 asks for 128",
        "128",
    )
    bcrypt_rounds: int = setting(
        parsers.whole(MIN_ROUNDS, MAX_ROUNDS),
        "cost of a password hash; hashes of another cost are renewed at login",
        "12",
    )
    bcrypt_concurrency: int = setting(parsers.whole(1, 64), "password hashes that one process computes at once", "1")
    bcrypt_queue: int = setting(
        parsers.whole(0, 1000), "password hashes that may wait for their turn in one process; more get 503", "20"
    )
    breached_passwords: Path | None = setting(
        parsers.optional(read_breached),
        "path of the sorted file of SHA-1 hashes that haveibeenpwned's downloader makes: no new password may be in it; "
        "without it data leaks are not looked at",
        "",
    )
    trusted_proxies: Networks = setting(
        parsers.networks, "addresses and CIDR ranges of the proxies whose `X-Forwarded-For` is believed", ""
    )
    allowed_origins: tuple[str, ...] = setting(
        parsers.origins,
        "origins, separated by commas, whose pages may call the API with a token in `Authorization`, as in "
        "`https://chat.example.com`; never with a cookie",
        "",
    )
    application_url: str | None = setting(
        parsers.optional(parsers.application_url),
        "where the application behind the gateway is, as in `http://127.0.0.1:9000`; its fields of a user are shown in "
        "`/users/@me` beside Keyrack's own, and changes of them are passed on",
        "",
    )
    geoip_database: Path | None = setting(
        parsers.optional(parsers.city_database),
        "path of a City database in MaxMind's format; without it no location is known",
        "",
    )
    adopt_jwt_key: AdoptionKeys | None = setting(
        parsers.optional(parsers.public_keys),
        "paths, separated by commas, of the public keys of the service before, in PEM or as a JWKS: its tokens (JWTs) "
        "go on working; without it none does",
        "",
    )
    adopt_jwt_user: str = setting(parsers.claim, "claim of such a token that has the user's id, as a text", "id")
    adopt_jwt_since: float | None = setting(
        parsers.optional(parsers.moment),
        "time, in ISO 8601, before which such a token was not issued; without it any time does",
        "",
    )
    adopt_jwt_until: float | None = setting(
        parsers.optional(parsers.moment),
        "time, in ISO 8601, from which on no such token becomes a session any more; those that are sessions by then go "
        "on",
        "",
    )
    gateway_secret: str | None = setting(
        parsers.optional(parsers.text),
        "secret that gateway and application send to `/gateway/`, for all but verify; without it those do not exist",
        "",
        secret=True,
    )
    metrics_secret: str | None = setting(
        parsers.optional(parsers.text),
        "secret that Prometheus sends to `/metrics`; without it that path does not exist",
        "",
        secret=True,
    )
