"""Settings: read once, all problems in one message, no value in it."""

import ipaddress
import re
import runpy
from dataclasses import fields
from email.headerregistry import Address
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.config import ConfigError, Settings, load_settings
from app.mail_settings import MailServer
from app.setting_reader import variable

NEEDED = {"REDIS_URL": "redis://localhost", "SECRET_KEYS": "s" * 32}


def test_the_defaults_are_the_contracts():
    settings = load_settings(NEEDED)
    assert (settings.session_ttl_s, settings.session_max_age_s) == (30 * 86400, 365 * 86400)
    assert (settings.max_sessions_per_user, settings.bcrypt_rounds, settings.totp_window) == (50, 12, 1)
    assert (settings.mfa_ticket_ttl_s, settings.mfa_proof_ttl_s, settings.verify_lease_s) == (300, 300, 0.05)
    assert settings.rate_limit_login == "10 per minute"
    assert (settings.trusted_proxies, settings.geoip_database) == ((), None)


@pytest.mark.parametrize(("raw", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000)])
def test_spans_take_a_unit(raw, seconds):
    assert load_settings(NEEDED | {"SESSION_TTL": raw}).session_ttl_s == seconds


@pytest.mark.parametrize(("raw", "seconds"), [("0", 0), ("10ms", 0.01), ("50ms", 0.05), ("1000ms", 1), ("1s", 1)])
def test_a_lease(raw, seconds):
    assert load_settings(NEEDED | {"VERIFY_LEASE": raw}).verify_lease_s == seconds


@pytest.mark.parametrize(
    "raw", ["9ms", "0ms", "1001ms", "2s", "0s", "50", "1", "0.05s", "-50ms", "50 ms", "1m", "٥٠ms"]
)
def test_a_lease_that_is_none(raw):
    """Too short a lease is over before it is used; a long one lets endings wait."""
    with pytest.raises(ConfigError, match="VERIFY_LEASE must be 0, or from 10ms to 1s"):
        load_settings(NEEDED | {"VERIFY_LEASE": raw})


@pytest.mark.parametrize("raw", ["keyrack", "a.b-c_d", "x" * 32, "Users"])
def test_a_prefix_of_keys(raw):
    assert load_settings(NEEDED | {"REDIS_PREFIX": raw}).redis_prefix == raw


@pytest.mark.parametrize(
    "raw",
    ["x" * 33, "a b", "a:b", "a:", "{a}", "a*", "a?", "[a]", "a\\", "ä", "user", "email", "mail", "LIMITS", "leases"],
)
def test_a_prefix_that_is_none(raw):
    """No character of a pattern or a hash tag, and none of Keyrack's own words: keys would be in two stores."""
    with pytest.raises(ConfigError, match="REDIS_PREFIX must be a name"):
        load_settings(NEEDED | {"REDIS_PREFIX": raw})


def test_an_empty_variable_is_not_set():
    assert load_settings(NEEDED | {"SESSION_TTL": " "}).session_ttl_s == 30 * 86400


def test_lists_are_separated_by_commas():
    settings = load_settings(NEEDED | {"TRUSTED_PROXIES": "10.0.0.0/8, ::1", "SECRET_KEYS": f"{'a' * 32}, {'b' * 40}"})
    assert settings.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1"))
    assert settings.secret_keys == ("a" * 32, "b" * 40)


def test_all_problems_come_in_one_message_without_values():
    """One restart mends them all; what was set may be a secret, so it is not repeated."""
    bad = {
        "REDIS_URL": "http://secret-host",
        "SECRET_KEYS": "hunter2",
        "SESSION_TTL": "0",
        "MFA_TICKET_TTL": "5 minutes",
        "VERIFY_LEASE": "forever",
        "MAX_SESSIONS_PER_USER": "51",
        "BCRYPT_ROUNDS": "3",
        "TRUSTED_PROXIES": "10.0.0.1/8",
        "GEOIP_DATABASE": __file__,
        "PORT": "www",
        "WEB_CONCURRENCY": "many",
        "RATE_LIMIT_REGISTER": "0 per hour",
        "RATE_LIMIT_LOGIN": "a lot",
        "SMTP_URL": "smtp://ada:sesame@",
        "MAIL_FROM": "nobody",
        "PUBLIC_URL": "https://somewhere.example.com/path",
    }
    with pytest.raises(ConfigError) as refused:
        load_settings(bad)
    message = str(refused.value)
    assert [name for name in bad if f"- {name} must" not in message] == []
    assert [value for value in bad.values() if len(value) > 3 and value in message] == []


@pytest.mark.parametrize("url", ["redis://h:notaport", "http://h", "redis", "unix"])
def test_a_url_that_is_none_is_told_at_start(url):
    with pytest.raises(ConfigError, match="REDIS_URL must be a URL"):
        load_settings(NEEDED | {"REDIS_URL": url})


MAILING = {"SMTP_URL": "smtp://mail", "MAIL_FROM": "no-reply@example.com", "PUBLIC_URL": "https://a.example.com/"}


@pytest.mark.parametrize(
    ("url", "route"),
    [
        ("smtp://mail.example.com", MailServer("mail.example.com", 587, "", "", implicit_tls=False)),
        ("smtp://mail:25", MailServer("mail", 25, "", "", implicit_tls=False)),
        ("smtps://[::1]", MailServer("::1", 465, "", "", implicit_tls=True)),
        ("smtp://ada%40x:p%2F%3A%25@mail:587/", MailServer("mail", 587, "ada@x", "p/:%", implicit_tls=False)),
        ("smtp://zürich.example:25", MailServer("xn--zrich-kva.example", 25, "", "", implicit_tls=False)),
        ("file:var/mail", Path("var/mail")),
        ("file:///var/the%20mail", Path("/var/the mail")),
    ],
)
def test_where_mails_go(url, route):
    assert load_settings(MAILING | {"SMTP_URL": url} | NEEDED).smtp_url == route


@pytest.mark.parametrize(
    "url",
    [
        *("mail.example.com", "http://mail", "smtp://", "smtp:mail", "smtp://mail:0", "smtp://mail:x", "smtp://mail/x"),
        *("smtp://ada@mail", "smtp://:sesame@mail", "smtp://@mail", "smtp://ada:sésame@mail", "smtp://a%0Ab:c@mail"),
        *("smtp://[::1", "smtp://" + "x" * 64, "smtp://mail?tls=no", "file:", "file:///", "file://host/mail"),
    ],
)
def test_a_way_for_mails_that_is_none(url):
    with pytest.raises(ConfigError, match="SMTP_URL must be"):
        load_settings(MAILING | {"SMTP_URL": url} | NEEDED)


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("no-reply@example.com", Address("", "no-reply", "example.com")),
        (
            '"Keyrack, Zürich" <no-reply@zürich.example>',
            Address("Keyrack, Zürich", "no-reply", "xn--zrich-kva.example"),
        ),
        ("keyrack@mail.internal", Address("", "keyrack", "mail.internal")),
    ],
)
def test_what_mails_are_from(raw, address):
    assert load_settings(MAILING | {"MAIL_FROM": raw} | NEEDED).mail_from == address


@pytest.mark.parametrize("raw", ["Keyrack", "a@b@c", "zoë@example.com", "Key\nrack <a@example.com>", "<a@example.com"])
def test_a_sender_that_is_none(raw):
    with pytest.raises(ConfigError, match="MAIL_FROM must be"):
        load_settings(MAILING | {"MAIL_FROM": raw} | NEEDED)


def test_links_begin_with_an_origin_without_its_slash():
    assert load_settings(MAILING | NEEDED).public_url == "https://a.example.com"
    assert (
        load_settings(MAILING | {"PUBLIC_URL": "http://127.0.0.1:8000"} | NEEDED).public_url == "http://127.0.0.1:8000"
    )


@pytest.mark.parametrize(
    "url",
    [
        "a.example.com",
        "ftp://a",
        "https://",
        "https://a/b",
        "https://a?b",
        "https://a@b",
        "https://a#b",
        "https://a b",
        "http://a:x",
    ],
)
def test_an_origin_that_is_none(url):
    with pytest.raises(ConfigError, match="PUBLIC_URL must be"):
        load_settings(MAILING | {"PUBLIC_URL": url} | NEEDED)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://keys.example.com", "keys.example.com"),
        ("https://keys.example.com:8443", "keys.example.com"),
        ("https://keys.example.com.", "keys.example.com"),
        ("http://localhost:8000", "localhost"),
        ("http://127.0.0.1:8000", "[127.0.0.1]"),
        ("http://[2001:db8::1]:8000", "[IPv6:2001:db8::1]"),
    ],
)
def test_a_mail_server_is_greeted_as_the_host_of_the_service(url, name):
    assert load_settings(MAILING | {"PUBLIC_URL": url} | NEEDED).smtp_ehlo_name == name
    assert load_settings(MAILING | {"PUBLIC_URL": url, "SMTP_EHLO_NAME": "out.example"} | NEEDED).smtp_ehlo_name == (
        "out.example"
    )


def test_a_host_that_mail_servers_refuse_is_told_at_start():
    """Exim refuses an underscore. Without mails it does not matter."""
    environment = MAILING | {"PUBLIC_URL": "http://my_keys:8000"} | NEEDED
    with pytest.raises(ConfigError, match="SMTP_EHLO_NAME is not set, and the host of PUBLIC_URL does not do: it must"):
        load_settings(environment)
    assert load_settings(environment | {"SMTP_EHLO_NAME": "[IPv6:::1]"}).smtp_ehlo_name == "[IPv6:::1]"
    assert load_settings(environment | {"SMTP_URL": ""}).smtp_ehlo_name is None


@pytest.mark.parametrize(
    "name",
    [
        *("my_keys", "keys.example.com.", ".example.com", "a..b", "-a.example", "a-.example", "a b", "zürich.example"),
        *("a" * 64, "a." * 126 + "ab", "[127.0.0.1", "127.0.0.1]", "[::1]", "[IPv6:127.0.0.1]", "[256.0.0.1]", "[]"),
        *("keys.example.com\nQUIT", "keys.example.com QUIT", "<keys>", "[IPv6:]"),
    ],
)
def test_a_name_that_mail_servers_refuse(name):
    with pytest.raises(ConfigError, match="SMTP_EHLO_NAME must be"):
        load_settings(MAILING | {"SMTP_EHLO_NAME": name} | NEEDED)


def test_mails_need_a_sender_and_an_origin_for_their_links():
    with pytest.raises(ConfigError, match=r"(?s)BCRYPT_ROUNDS must.*MAIL_FROM is not set.*PUBLIC_URL is not set"):
        load_settings(NEEDED | {"SMTP_URL": "smtp://mail", "BCRYPT_ROUNDS": "0"})


@pytest.mark.parametrize(("environment", "lines"), [({}, 1), (MAILING, 0)])
def test_the_log_says_once_that_nobody_is_mailed(monkeypatch, environment, lines):
    for name, value in (NEEDED | environment).items():
        monkeypatch.setenv(name, value)
    warnings = []
    gunicorn = runpy.run_path("gunicorn.conf.py")
    cfg = SimpleNamespace(bind=[gunicorn["bind"]])
    gunicorn["on_starting"](SimpleNamespace(log=SimpleNamespace(warning=warnings.append), cfg=cfg, master_pid=1))
    assert ["SMTP_URL, MAIL_FROM and PUBLIC_URL" in warning for warning in warnings] == [True] * lines


def test_some_threads_are_left_while_passwords_are_hashed():
    with pytest.raises(ConfigError, match="WEB_THREADS must be more"):
        load_settings(NEEDED | {"WEB_THREADS": "21"})


def test_what_has_no_default_is_asked_for():
    with pytest.raises(ConfigError, match=r"(?s)REDIS_URL is not set.*SECRET_KEYS is not set"):
        load_settings({})


def test_secrets_are_not_shown():
    settings = load_settings(NEEDED | MAILING | {"SMTP_URL": "smtp://ada:sesame@mail"})
    assert "s" * 32 not in repr(settings)
    assert "sesame" not in repr(settings) + repr(settings.smtp_url)


def test_the_readme_has_every_setting_with_its_default_and_meaning():
    """The table of settings is the one in config.py, in the order of config.py."""
    readme = Path("README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (.*?) \| (.*) \|$", readme, re.MULTILINE)
    assert rows == [
        (variable(setting.name), shown_default(setting.metadata["default"]), setting.metadata["meaning"])
        for setting in fields(Settings)
    ]


def shown_default(default):
    if default is None:
        return "required"
    return f"`{default}`" if default else "none"


def test_allowed_origins_are_read_as_browsers_send_them():
    raw = "https://Chat.example.com/, http://localhost:3000,https://a.example.com:443 , http://[::1]:8080"
    raw += ",tauri://localhost,capacitor://localhost"  # windows and phones that show a page as their own
    told = load_settings({"ALLOWED_ORIGINS": raw} | NEEDED).allowed_origins
    expected = ("https://chat.example.com", "http://localhost:3000", "https://a.example.com", "http://[::1]:8080")
    assert told == (*expected, "tauri://localhost", "capacitor://localhost")


@pytest.mark.parametrize(
    "raw", ["*", "null", "chat.example.com", "https://a.example.com/x", "https://*.example.com", "tauri://"]
)
def test_what_is_no_origin_is_refused(raw):
    """A star would let every page of the world in."""
    with pytest.raises(ConfigError, match="ALLOWED_ORIGINS must be origins, separated by commas"):
        load_settings({"ALLOWED_ORIGINS": raw} | NEEDED)


@pytest.mark.parametrize("name", [variable(field.name) for field in fields(Settings)])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_value_in_quotes_is_refused_by_name(name, quote):
    """docker's --env-file keeps quotes: a secret with them is another secret, and nothing that was kept can be read."""
    value = NEEDED.get(name, "s" * 32)
    with pytest.raises(ConfigError, match=rf"(?m)^- {name} is in quotes") as refused:
        load_settings(NEEDED | {name: f" {quote}{value}{quote} "})
    assert value not in str(refused.value)


def test_one_secret_of_several_in_quotes_is_refused():
    with pytest.raises(ConfigError, match="SECRET_KEYS has a secret in quotes"):
        load_settings(NEEDED | {"SECRET_KEYS": f'{"a" * 32},"{"b" * 32}"'})


@pytest.mark.parametrize(("raw", "host"), [("[::]", "::"), ("[::1]", "::1"), ("::", "::"), ("127.0.0.1", "127.0.0.1")])
def test_an_ipv6_host_may_be_in_brackets(raw, host):
    assert load_settings(NEEDED | {"HOST": raw}).host == host


@pytest.mark.parametrize(
    "raw", ["http://127.0.0.1:9000", "https://chat.example.com/", "http://[::1]:9000/a/b.c-d/", "http://app"]
)
def test_where_the_application_is_has_no_slash_at_the_end(raw):
    assert load_settings({"APPLICATION_URL": raw} | NEEDED).application_url == raw.rstrip("/")


@pytest.mark.parametrize(
    "raw",
    [
        *(
            "127.0.0.1:9000",
            "ftp://application",
            "http://",
            "http://user:password@application",
            "http://application?x=1",
        ),
        *("http://application#x", "http://application:0", "http://application:99999", "http://application/a b"),
        *("http://application/%2e%2e", "http://application//x", "file:///etc/passwd", "unix:/run/application"),
    ],
)
def test_what_is_no_place_of_an_application_is_refused(raw):
    with pytest.raises(ConfigError, match="APPLICATION_URL must be where the application is: http or https"):
        load_settings({"APPLICATION_URL": raw} | NEEDED)
