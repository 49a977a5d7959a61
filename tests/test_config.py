"""Settings: read once, all problems in one message, no value in it."""

import ipaddress
import re
from dataclasses import fields
from pathlib import Path

import pytest

from app.config import ConfigError, Settings, load_settings, variable

NEEDED = {"REDIS_URL": "redis://localhost", "SECRET_KEYS": "s" * 32}


def test_the_defaults_are_the_contracts():
    settings = load_settings(NEEDED)
    assert (settings.session_ttl_s, settings.session_max_age_s) == (30 * 86400, 365 * 86400)
    assert (settings.max_sessions_per_user, settings.bcrypt_rounds, settings.totp_window) == (50, 12, 1)
    assert (settings.mfa_ticket_ttl_s, settings.mfa_proof_ttl_s) == (300, 300)
    assert settings.rate_limit_login == "10 per minute"
    assert (settings.trusted_proxies, settings.geoip_database) == ((), None)


@pytest.mark.parametrize(("raw", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000)])
def test_spans_take_a_unit(raw, seconds):
    assert load_settings(NEEDED | {"SESSION_TTL": raw}).session_ttl_s == seconds


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
        "MAX_SESSIONS_PER_USER": "51",
        "BCRYPT_ROUNDS": "3",
        "TRUSTED_PROXIES": "10.0.0.1/8",
        "GEOIP_DATABASE": __file__,
        "PORT": "http",
        "WEB_CONCURRENCY": "many",
        "RATE_LIMIT_REGISTER": "0 per hour",
        "RATE_LIMIT_LOGIN": "a lot",
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


def test_some_threads_are_left_while_passwords_are_hashed():
    with pytest.raises(ConfigError, match="WEB_THREADS must be more"):
        load_settings(NEEDED | {"WEB_THREADS": "21"})


def test_what_has_no_default_is_asked_for():
    with pytest.raises(ConfigError, match=r"(?s)REDIS_URL is not set.*SECRET_KEYS is not set"):
        load_settings({})


def test_secrets_are_not_shown():
    assert "s" * 32 not in repr(load_settings(NEEDED))


def test_the_readme_has_every_setting_with_its_default():
    """The table of settings is the one in config.py."""
    readme = Path("README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", readme, re.MULTILINE))
    expected = {
        variable(field.name): f"`{field.metadata['default']}`" if field.metadata["default"] else ""
        for field in fields(Settings)
    }
    assert {name: rows.get(name) for name in expected} == {
        name: default or ("required" if name in ("REDIS_URL", "SECRET_KEYS") else "none")
        for name, default in expected.items()
    }
