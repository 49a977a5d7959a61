"""Every setting, with its name in the environment, type, default, meaning and parser.

How they are read, and what does not fit together: setting_reader.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from email.headerregistry import Address
from pathlib import Path
from typing import Any

from app import setting_parsers as parsers
from app.brand import Colour, Picture, read_colour, read_name, read_picture
from app.mail_settings import MailServer, read_ehlo_name, read_mail_address, read_mail_route
from app.rules.adoption_keys import AdoptionKeys
from app.rules.breached_passwords import read_breached
from app.rules.passwords import MAX_ROUNDS, MIN_ROUNDS
from app.rules.relying_party import read_origins, read_rp_id
from app.rules.totp import LEAST_SECRET_BITS, SECRET_BITS
from app.setting_parsers import Networks
from app.setting_reader import read_values
from app.translations import LANGUAGES, SOURCE


class ConfigError(Exception):
    """An environment that cannot be used. The message names every bad variable, but not its value."""


def _setting(parse: Callable[[str], Any], meaning: str, default: str | None = None, *, secret: bool = False) -> Any:
    """Return a field of Settings. The default is written as in the environment. None makes the setting required."""
    return field(repr=not secret, metadata={"parse": parse, "meaning": meaning, "default": default})


@dataclass(frozen=True)
class Settings:
    """The settings, in the order of the README's table. A field is named as its variable; `_s` marks seconds."""

    redis_url: str = _setting(
        parsers.redis,
        "URL of Redis or Valkey: `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`",
        secret=True,
    )
    redis_prefix: str = _setting(
        parsers.key_prefix,
        "name that begins every key in Redis and the channel, as in `staging:auth-events`, for a second Keyrack or an "
        "application on the same server; another name is another store, which is empty",
        "",
    )
    redis_wait_replicas: int = _setting(
        parsers.whole(0, 100),
        "replicas that must confirm an ended session or changed credentials before a success",
        "0",
    )
    redis_wait_ms: int = _setting(
        parsers.whole(1, 10_000),
        "milliseconds to wait for them; later the answer is 503, and the client may try again",
        "500",
    )
    secret_keys: tuple[str, ...] = _setting(
        parsers.secret_keys,
        "secrets of 32 characters or more, separated by commas: the first encrypts TOTP secrets, keys the hashes "
        "of backup codes and makes the links in mails; all of them can read",
        secret=True,
    )
    session_ttl_s: int = _setting(parsers.span, "time without use after which a session ends", "30d")
    session_max_age_s: int = _setting(parsers.span, "time after its start at which a session ends, even in use", "365d")
    public_computer_ttl_s: int = _setting(
        parsers.span,
        "time after its start at which a session ends, even in use, if the user said that the computer is a public one",
        "12h",
    )
    remember_ttl_s: int = _setting(
        parsers.span_or_none,
        "time for which a browser is not asked for a code again, if the user wished that at a login; 0 switches it off",
        "30d",
    )
    verify_email: str = _setting(
        parsers.one_of("optional", "required"),
        "`required` lets nobody log in before the address is verified, but on the device that registered; needs "
        "`SMTP_URL`",
        "optional",
    )
    deletion_delay_s: int = _setting(
        parsers.span,
        "time after which an account that its user has deleted is gone; until then they can come back",
        "14d",
    )
    max_sessions_per_user: int = _setting(
        parsers.whole(1, 50), "sessions that a user can have; one more login ends the least recently used one", "50"
    )
    retention_days: int = _setting(
        parsers.whole(1, 3650),
        "days for which ended sessions, the activity of an account and the addresses in both are kept and shown",
        "30",
    )
    verify_lease_s: float = _setting(
        parsers.lease,
        "time for which a worker may answer checks from its memory, and the longest that an ending waits for a worker "
        "that is silent; 0 asks Redis at every check",
        "50ms",
    )
    mfa_ticket_ttl_s: int = _setting(parsers.span, "time in which a challenge can be answered", "5m")
    mfa_proof_ttl_s: int = _setting(parsers.span, "time for which a proof, earned by a right answer, is good", "5m")
    totp_window: int = _setting(
        parsers.whole(0, 10), "steps (of 30 seconds, as a rule) that a TOTP code may be off, either way", "1"
    )
    totp_client_secret_bits: int = _setting(
        parsers.whole(LEAST_SECRET_BITS, SECRET_BITS),
        "bits that a client's TOTP secret has at least; some clients make 80, RFC 4226 asks for 128",
        "128",
    )
    bcrypt_rounds: int = _setting(
        parsers.whole(MIN_ROUNDS, MAX_ROUNDS),
        "cost of a password hash; hashes of another cost are renewed at login",
        "12",
    )
    bcrypt_concurrency: int = _setting(parsers.whole(1, 64), "password hashes that one process computes at once", "1")
    bcrypt_queue: int = _setting(
        parsers.whole(0, 1000), "password hashes that may wait for their turn in one process; more get 503", "20"
    )
    breached_passwords: Path | None = _setting(
        parsers.optional(read_breached),
        "path of the sorted file of SHA-1 hashes that haveibeenpwned's downloader makes: no new password may be in it; "
        "without it data leaks are not looked at",
        "",
    )
    trusted_proxies: Networks = _setting(
        parsers.networks, "addresses and CIDR ranges of the proxies whose `X-Forwarded-For` is believed", ""
    )
    allowed_origins: tuple[str, ...] = _setting(
        parsers.origins,
        "origins, separated by commas, whose pages may call the API with a token in `Authorization`, as in "
        "`https://chat.example.com`; never with a cookie",
        "",
    )
    application_url: str | None = _setting(
        parsers.optional(parsers.application_url),
        "where the application behind the gateway is, as in `http://127.0.0.1:9000`; its fields of a user are shown in "
        "`/users/@me` beside Keyrack's own, and changes of them are passed on",
        "",
    )
    geoip_database: Path | None = _setting(
        parsers.optional(parsers.city_database),
        "path of a City database in MaxMind's format; without it no location is known",
        "",
    )
    adopt_jwt_key: AdoptionKeys | None = _setting(
        parsers.optional(parsers.public_keys),
        "paths, separated by commas, of the public keys of the service before, in PEM or as a JWKS: its tokens (JWTs) "
        "go on working; without it none does",
        "",
    )
    adopt_jwt_user: str = _setting(parsers.claim, "claim of such a token that has the user's id, as a text", "id")
    adopt_jwt_since: float | None = _setting(
        parsers.optional(parsers.moment),
        "time, in ISO 8601, before which such a token was not issued; without it any time does",
        "",
    )
    adopt_jwt_until: float | None = _setting(
        parsers.optional(parsers.moment),
        "time, in ISO 8601, from which on no such token becomes a session any more; those that are sessions by then go "
        "on",
        "",
    )
    gateway_secret: str | None = _setting(
        parsers.optional(parsers.text),
        "secret that gateway and application send to `/gateway/`, for all but verify; without it those do not exist",
        "",
        secret=True,
    )
    metrics_secret: str | None = _setting(
        parsers.optional(parsers.text),
        "secret that Prometheus sends to `/metrics`; without it that path does not exist",
        "",
        secret=True,
    )
    smtp_url: MailServer | Path | None = _setting(
        parsers.optional(read_mail_route),
        "mail server: `smtp://user:password@host:587` (encrypted as soon as the server offers it; a password is never "
        "sent without encryption), `smtps://…`, or `file:folder` for files; without it no mail is sent",
        "",
        secret=True,
    )
    smtp_ehlo_name: str | None = _setting(
        parsers.optional(read_ehlo_name),
        "name that the mail server is greeted with, as in `accounts.example.com` or `[192.0.2.1]`; without it the host "
        "of `PUBLIC_URL`",
        "",
    )
    mail_from: Address | None = _setting(
        parsers.optional(read_mail_address),
        "sender of mails: an address, or `Keyrack <no-reply@example.com>`; needed with `SMTP_URL`",
        "",
    )
    public_url: str | None = _setting(
        parsers.optional(parsers.origin),
        "URL of this service for people, for links in mails and passkeys: `https://accounts.example.com`; needed with "
        "`SMTP_URL`",
        "",
    )
    webauthn_rp_id: str | None = _setting(
        parsers.optional(read_rp_id),
        "name that passkeys belong to for ever: the host of `PUBLIC_URL`, or a domain that it is in, as in "
        "`example.com`; without it the host",
        "",
    )
    webauthn_origins: tuple[str, ...] = _setting(
        read_origins,
        "further origins whose pages and apps may use passkeys, separated by commas, as in `https://chat.example.com` "
        "or `android:apk-key-hash:…`",
        "",
    )
    service_name: str = _setting(
        read_name,
        "what the service is called in pages, mails and authenticator apps",
        "Keyrack",
    )
    service_logo: Picture | None = _setting(
        parsers.optional(read_picture),
        "path of an SVG or PNG with the logo of the service; without it Keyrack's own",
        "",
    )
    service_colour: Colour | None = _setting(
        parsers.optional(read_colour),
        "colour of links and buttons in pages and mails, as in `#3450cf`; dark pages have a lighter shade of it",
        "",
    )
    default_language: str = _setting(
        parsers.one_of(*LANGUAGES),
        "language of pages and mails for who asks for none of those that there are: " + ", ".join(LANGUAGES),
        SOURCE,
    )
    rate_limit_login: str = _setting(
        parsers.rate, "logins and their MFA answers, by address and account", "10 per minute"
    )
    rate_limit_login_address: str = _setting(parsers.rate, "logins and their MFA answers, by address", "30 per minute")
    rate_limit_login_account: str = _setting(
        parsers.rate,
        "wrong passwords at logins, by account over all addresses; each of its newest sessions has a budget of its "
        "own, for its device and its last address",
        "100 per hour",
    )
    rate_limit_code_account: str = _setting(
        parsers.rate,
        "wrong codes at logins, by account as above; wrong codes at resets by account too, but apart",
        "20 per hour",
    )
    rate_limit_register: str = _setting(parsers.rate, "registrations, by address", "10 per hour")
    rate_limit_forgot: str = _setting(
        parsers.rate, "requests for a password reset, by address and by account", "5 per hour"
    )
    rate_limit_verify: str = _setting(
        parsers.rate, "mails with a link that verifies an address, by user and by address mailed", "5 per hour"
    )
    rate_limit_step_up: str = _setting(
        parsers.rate, "wrong answers to a challenge and wrong passwords given again, by session", "10 per 15 minutes"
    )
    rate_limit_step_up_user: str = _setting(
        parsers.rate,
        "the same by user over all sessions, but for the first three of each session in its span",
        "50 per hour",
    )
    rate_limit_new_factor: str = _setting(
        parsers.rate, "passkeys added and TOTP turned on, by user; each is told by a mail", "20 per hour"
    )
    rate_limit_end_others: str = _setting(parsers.rate, "endings of all other sessions, by session", "5 per 15 minutes")
    rate_limit_end_others_user: str = _setting(
        parsers.rate,
        "the same by user over all sessions; more of them end the sessions, but no longer stop logins under way",
        "20 per hour",
    )
    rate_limit_data: str = _setting(parsers.rate, "copies of all that is kept of a user, by user", "10 per hour")
    ipv6_network_budgets: int = _setting(
        parsers.whole(1, 65_536),
        "limits by address count IPv6 by the /64; all of a /48 together has so many budgets of one address",
        "8",
    )
    log_format: str = _setting(
        parsers.one_of("auto", "json", "text"), "`json`, `text`, or `auto`: text on a terminal, else JSON", "auto"
    )
    log_level: str = _setting(
        parsers.one_of("debug", "info", "warning", "error"),
        "lowest level that is logged; audit lines always are",
        "info",
    )
    access_log: bool = _setting(
        parsers.switch, "`on` logs each request by its route; most gateways do so already", "off"
    )
    host: str = _setting(
        parsers.host,
        "address that gunicorn listens on; `localhost` is 127.0.0.1 and, where there is IPv6, [::1] too",
        "127.0.0.1",
    )
    port: int = _setting(parsers.whole(1, 65535), "port that gunicorn listens on", "8000")
    web_concurrency: int | None = _setting(
        parsers.optional(parsers.whole(1, 1000)), "processes that gunicorn runs; without it one for each core", ""
    )
    web_threads: int = _setting(
        parsers.whole(1, 1000),
        "threads in each process; more than `BCRYPT_CONCURRENCY` and `BCRYPT_QUEUE` together, so that some are left",
        "32",
    )
    web_keepalive_s: int = _setting(
        parsers.span,
        "time that a connection waits for a request; more than the gateway waits, which closes it first",
        "15s",
    )
    web_stop_timeout_s: int = _setting(
        parsers.span,
        "time for requests under way at a stop or a reload; more than a login may wait for its turn",
        "30s",
    )


def load_settings(env: Mapping[str, str]) -> Settings:
    """Read the environment. A variable that is empty counts as not set.

    Raises:
        ConfigError: Some variables are bad. The message names all of them, so that they can all be corrected before the
            next start.
    """
    values, problems = read_values(fields(Settings), env)
    if problems:
        raise ConfigError("Keyrack cannot start:\n" + "\n".join(f"- {problem}" for problem in problems))
    return Settings(**values)
