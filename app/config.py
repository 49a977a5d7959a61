"""Every setting, with its name in the environment, type, default, meaning and parser.

Those of Redis and of sign-in come first, from sign_in_settings.py. How all are read, and what does not fit together:
setting_reader.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from email.headerregistry import Address
from pathlib import Path

from app import setting_parsers as parsers
from app.brand import Colour, Picture, read_colour, read_name, read_picture
from app.mail_settings import MailServer, read_ehlo_name, read_mail_address, read_mail_route
from app.receiver_settings import (
    read_audiences,
    read_bearer_tokens,
    read_issuer,
    read_receiver_urls,
    read_webhook_secrets,
    signing_keys,
)
from app.rules.relying_party import read_origins, read_rp_id
from app.rules.signing_keys import SigningKey
from app.setting_reader import read_values
from app.sign_in_settings import SignInSettings, setting
from app.translations import LANGUAGES, SOURCE


class ConfigError(Exception):
    """An environment that cannot be used. The message names every bad variable, but not its value."""


@dataclass(frozen=True)
class Settings(SignInSettings):
    """The settings, in the order of the README's table. A field is named as its variable; `_s` marks seconds."""

    smtp_url: MailServer | Path | None = setting(
        parsers.optional(read_mail_route),
        "mail server: `smtp://user:password@host:587` (encrypted as soon as the server offers it; a password is never "
        "sent without encryption), `smtps://…`, or `file:folder` for files; without it no mail is sent",
        "",
        secret=True,
    )
    smtp_ehlo_name: str | None = setting(
        parsers.optional(read_ehlo_name),
        "name that the mail server is greeted with, as in `accounts.example.com` or `[192.0.2.1]`; without it the host "
        "of `PUBLIC_URL`",
        "",
    )
    mail_from: Address | None = setting(
        parsers.optional(read_mail_address),
        "sender of mails: an address, or `Keyrack <no-reply@example.com>`; needed with `SMTP_URL`",
        "",
    )
    public_url: str | None = setting(
        parsers.optional(parsers.origin),
        "URL of this service for people, for links in mails and passkeys: `https://accounts.example.com`; needed with "
        "`SMTP_URL`",
        "",
    )
    webauthn_rp_id: str | None = setting(
        parsers.optional(read_rp_id),
        "name that passkeys belong to for ever: the host of `PUBLIC_URL`, or a domain that it is in, as in "
        "`example.com`; without it the host",
        "",
    )
    webauthn_origins: tuple[str, ...] = setting(
        read_origins,
        "further origins whose pages and apps may use passkeys, separated by commas, as in `https://chat.example.com` "
        "or `android:apk-key-hash:…`",
        "",
    )
    webhook_urls: tuple[str, ...] = setting(
        read_receiver_urls,
        "URLs, separated by commas, that are told of every event by a webhook, signed as Standard Webhooks has it; "
        "needs `WEBHOOK_SECRETS`",
        "",
        secret=True,
    )
    webhook_secrets: tuple[bytes, ...] = setting(
        read_webhook_secrets,
        "secrets that sign webhooks, newest first, separated by commas: `whsec_` and standard base64 of 24 to 64 "
        "bytes; each webhook is signed by all of them",
        "",
        secret=True,
    )
    webhook_headers: str = setting(
        parsers.one_of("webhook", "svix"),
        "what the names of a webhook's headers begin with: `webhook`, or `svix` for receivers that ask for those",
        "webhook",
    )
    backchannel_logout_urls: tuple[str, ...] = setting(
        read_receiver_urls,
        "URLs, separated by commas, that are sent a logout token when a session ends (OpenID Connect Back-Channel "
        "Logout 1.0); needs `SIGNING_KEYS`",
        "",
        secret=True,
    )
    backchannel_logout_client_ids: tuple[str, ...] = setting(
        read_audiences,
        "client ids of these (`aud` of their tokens), one for each URL in its order; without one the URL itself",
        "",
    )
    ssf_push_urls: tuple[str, ...] = setting(
        read_receiver_urls,
        "URLs, separated by commas, that are sent security event tokens (CAEP 1.0 in SSF 1.0, pushed as RFC 8935 has "
        "it); needs `SIGNING_KEYS`",
        "",
        secret=True,
    )
    ssf_push_tokens: tuple[str, ...] = setting(
        read_bearer_tokens,
        "bearer tokens that these ask for in `Authorization`, one for each URL in its order; without one no such "
        "header is sent",
        "",
        secret=True,
    )
    ssf_push_audiences: tuple[str, ...] = setting(
        read_audiences,
        "`aud` of the tokens for these, one for each URL in its order; without one the URL itself",
        "",
    )
    signing_keys: tuple[SigningKey, ...] = setting(
        signing_keys,
        "paths, separated by commas, of private RSA keys of 2048 bits or more in PEM, newest first: they sign logout "
        "and security event tokens, and are published at `/.well-known/jwks.json`",
        "",
        secret=True,
    )
    issuer: str | None = setting(
        parsers.optional(read_issuer),
        "`iss` of these tokens, to the letter as receivers expect it; without it `PUBLIC_URL`",
        "",
    )
    service_name: str = setting(
        read_name,
        "what the service is called in pages, mails and authenticator apps",
        "Keyrack",
    )
    service_logo: Picture | None = setting(
        parsers.optional(read_picture),
        "path of an SVG or PNG with the logo of the service; without it Keyrack's own",
        "",
    )
    service_colour: Colour | None = setting(
        parsers.optional(read_colour),
        "colour of links and buttons in pages and mails, as in `#3450cf`; dark pages have a lighter shade of it",
        "",
    )
    default_language: str = setting(
        parsers.one_of(*LANGUAGES),
        "language of pages and mails for who asks for none of those that there are: " + ", ".join(LANGUAGES),
        SOURCE,
    )
    rate_limit_login: str = setting(
        parsers.rate, "logins and their MFA answers, by address and account", "10 per minute"
    )
    rate_limit_login_address: str = setting(parsers.rate, "logins and their MFA answers, by address", "30 per minute")
    rate_limit_login_account: str = setting(
        parsers.rate,
        "wrong passwords at logins, by account over all addresses; each of its newest sessions has a budget of its "
        "own, for its device and its last address",
        "100 per hour",
    )
    rate_limit_code_account: str = setting(
        parsers.rate,
        "wrong codes at logins, by account as above; wrong codes at resets by account too, but apart",
        "20 per hour",
    )
    rate_limit_register: str = setting(parsers.rate, "registrations, by address", "10 per hour")
    rate_limit_forgot: str = setting(
        parsers.rate, "requests for a password reset, by address and by account", "5 per hour"
    )
    rate_limit_verify: str = setting(
        parsers.rate, "mails with a link that verifies an address, by user and by address mailed", "5 per hour"
    )
    rate_limit_step_up: str = setting(
        parsers.rate, "wrong answers to a challenge and wrong passwords given again, by session", "10 per 15 minutes"
    )
    rate_limit_step_up_user: str = setting(
        parsers.rate,
        "the same by user over all sessions, but for the first three of each session in its span",
        "50 per hour",
    )
    rate_limit_new_factor: str = setting(
        parsers.rate, "passkeys added and TOTP turned on, by user; each is told by a mail", "20 per hour"
    )
    rate_limit_end_others: str = setting(parsers.rate, "endings of all other sessions, by session", "5 per 15 minutes")
    rate_limit_end_others_user: str = setting(
        parsers.rate,
        "the same by user over all sessions; more of them end the sessions, but no longer stop logins under way",
        "20 per hour",
    )
    rate_limit_data: str = setting(parsers.rate, "copies of all that is kept of a user, by user", "10 per hour")
    ipv6_network_budgets: int = setting(
        parsers.whole(1, 65_536),
        "limits by address count IPv6 by the /64; all of a /48 together has so many budgets of one address",
        "8",
    )
    log_format: str = setting(
        parsers.one_of("auto", "json", "text"), "`json`, `text`, or `auto`: text on a terminal, else JSON", "auto"
    )
    log_level: str = setting(
        parsers.one_of("debug", "info", "warning", "error"),
        "lowest level that is logged; audit lines always are",
        "info",
    )
    access_log: bool = setting(
        parsers.switch, "`on` logs each request by its route; most gateways do so already", "off"
    )
    host: str = setting(
        parsers.host,
        "address that gunicorn listens on; `localhost` is 127.0.0.1 and, where there is IPv6, [::1] too",
        "127.0.0.1",
    )
    port: int = setting(parsers.whole(1, 65535), "port that gunicorn listens on", "8000")
    web_concurrency: int | None = setting(
        parsers.optional(parsers.whole(1, 1000)), "processes that gunicorn runs; without it one for each core", ""
    )
    web_threads: int = setting(
        parsers.whole(1, 1000),
        "threads in each process; more than `BCRYPT_CONCURRENCY` and `BCRYPT_QUEUE` together, so that some are left",
        "32",
    )
    web_keepalive_s: int = setting(
        parsers.span,
        "time that a connection waits for a request; more than the gateway waits, which closes it first",
        "15s",
    )
    web_stop_timeout_s: int = setting(
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
