"""The watch over the logs finds what it is there for: without that its silence would say nothing."""

import logging

import pytest

from tests import leaks
from tests.device import PASSWORD


@pytest.mark.parametrize(
    "text", ["to mallory@example.com", f"MTIz.awI4fQ.{'x' * 43}", "$2b$12$abc", f"given {PASSWORD}."]
)
def test_what_looks_like_a_secret_or_was_one_is_found(text):
    with pytest.raises(AssertionError, match="is logged"):
        leaks.assert_none(f"before\n{text}\nafter", {PASSWORD})


@pytest.mark.parametrize(
    "text", ["password_change", "user_id 1573864233056256499", "2026-11-22T00:55:11.123Z", "123456789"]
)
def test_what_is_none_is_not_found(text):
    leaks.assert_none(text, {"password", "123456"})


def test_secrets_are_noted_however_deep():
    leaks.note({"mfa": {"ticket": "a-ticket-of-a-test"}, "backup_codes": [{"code": "abcd1234"}], "code": "12"})
    assert {"a-ticket-of-a-test", "abcd1234"} <= leaks._noted
    assert "12" not in leaks._noted


def test_a_line_with_what_a_client_sent_fails_the_test_that_logged_it(new_device, watched_logs):
    new_device().post("/auth/login", {"login": "x", "password": "sent by this test alone"})
    logging.getLogger("app.rules.accounts").info("tried %s", "sent by this test alone")
    with pytest.raises(AssertionError, match="a secret is logged"):
        watched_logs.check()


def test_what_clients_send_and_hear_is_noted(alice, app):
    """By Flask's client and by devices: a form, JSON, an answer, a cookie."""
    client = app.test_client()
    client.post("/login/form", data={"login": alice.email, "password": "sent by a form"})
    answer = client.post("/login", json={"login": alice.email, "password": alice.password})
    cookie = answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    assert {"sent by a form", alice.password, alice.token, cookie} <= leaks._noted
