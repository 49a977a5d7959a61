"""The caller's own user: the password change."""

import pytest

from app.errors import Unauthorized
from app.stores.session_records import Client
from tests.device import PASSWORD, errors

NEW = "another long one"


def test_a_password_change_ends_every_other_session(alice, bob, new_device):
    """The caller goes on under a new token; the old password and the old token are dead."""
    phone = new_device().log_in(alice)
    old_token = alice.token
    answer = alice.patch("/users/@me", {"password": PASSWORD, "new_password": NEW})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    alice.token, alice.password = answer.json["token"], NEW
    assert answer.json == alice.get("/users/@me").json | {"token": alice.token}
    assert not phone.is_signed_in
    assert alice.get("/users/@me", Authorization=old_token).status_code == 401
    assert len(alice.id_hashes()) == 1
    wrong = new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD})
    assert errors(wrong, "login") == ["INVALID_LOGIN"]
    assert new_device().log_in(alice).is_signed_in
    assert bob.is_signed_in


def test_a_password_change_needs_the_old_one(alice):
    wrong = alice.patch("/users/@me", {"password": "wrong", "new_password": NEW})
    assert errors(wrong, "password") == ["PASSWORD_DOES_NOT_MATCH"]
    common = alice.patch("/users/@me", {"password": PASSWORD, "new_password": "password1"})
    assert errors(common, "new_password") == ["PASSWORD_BAD_PASSWORD"]
    assert errors(alice.patch("/users/@me", {"username": "x"}), "password") == ["BASE_TYPE_REQUIRED"]
    assert alice.is_signed_in


def test_a_password_change_with_mfa_on_needs_the_factor(with_totp):
    """The strongest factor there is is asked for; the password is asked for as well."""
    body = {"password": PASSWORD, "new_password": NEW}
    asked = with_totp.patch("/users/@me", body)
    assert (asked.status_code, asked.json["code"]) == (401, 60003)
    proof = with_totp.prove()
    wrong = with_totp.patch("/users/@me", body | {"password": "wrong"}, X_Discord_MFA_Authorization=proof)
    assert errors(wrong, "password") == ["PASSWORD_DOES_NOT_MATCH"]
    assert with_totp.patch("/users/@me", body, X_Discord_MFA_Authorization=proof).status_code == 200


def test_a_stale_change_is_refused(alice, app):
    """Of two changes that began with one password, the second finds it changed."""
    wired = app.extensions["keyrack"]
    caller = wired.devices.identify(alice.token)
    user = wired.accounts.get(alice.user_id)
    renewed = alice.patch("/users/@me", {"password": PASSWORD, "new_password": NEW})
    assert renewed.status_code == 200
    with pytest.raises(Unauthorized):
        wired.profiles.change_password(caller, user, PASSWORD, "yet another one", Client())
