"""Where browsers and password managers find the pages of an account."""

import pytest

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)


def test_browsers_find_where_a_password_is_changed(app):
    """Also without a session: the page leads to the login, and back."""
    answer = app.test_client().get("/.well-known/change-password")
    assert (answer.status_code, answer.location) == (302, "/settings/security")


def test_what_is_not_there_is_said_not_to_be(app):
    """Browsers believe the address above only where a made-up one beside it is no success."""
    path = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200"
    assert app.test_client().get(path).status_code == 404


def test_password_managers_find_where_passkeys_are_added(app):
    answer = app.test_client().get("/.well-known/passkey-endpoints")
    page = "https://keys.example.com/settings/security#passkeys"
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.json == {"enroll": page, "manage": page}


def test_where_there_are_no_passkeys_no_page_of_them_is_named(make_app):
    app = make_app(PUBLIC_URL="http://192.0.2.1:8000")
    assert app.test_client().get("/.well-known/passkey-endpoints").status_code == 404
