"""Who has no password, only passkeys: signs in, proves themselves, and can set a password."""

import pyotp
import pytest

from app.stores.users import Change
from tests.authenticator import Authenticator
from tests.device import API, PASSWORD, Device, errors
from tests.passkeys import CREDENTIALS, add, prove, sign_in

NEW = "another horse battery"


@pytest.fixture
def phone():
    return Authenticator()


@pytest.fixture
def passwordless(alice, phone, users):
    """Alice's device; her account has a passkey and no password any more."""
    add(alice, phone)
    users.change(alice.user_id, Change(set={"password_hash": ""}))
    return alice


def proof(device, phone):
    return {"X_Discord_MFA_Authorization": prove(device, phone).json["token"]}


def log_in(device, email, password):
    return device.post("/auth/login", {"login": email, "password": password})


@pytest.mark.parametrize("password", [PASSWORD, "", "x" * 73])
def test_no_password_signs_in(passwordless, new_device, password):
    """The answer is that of a wrong one."""
    answers = [log_in(new_device(), email, password) for email in (passwordless.email, "nobody@example.com")]
    assert [errors(answer, "login") for answer in answers] == [["INVALID_LOGIN"]] * 2
    assert answers[0].json == answers[1].json


def test_the_passkey_signs_in_and_steps_up(passwordless, phone, new_device):
    device = new_device()
    device.token = sign_in(device, phone).json["token"]
    assert [method["type"] for method in device.challenge()["methods"]] == ["webauthn", "backup"]
    assert device.end([passwordless.id_hash], prove(device, phone).json["token"]).status_code == 204


def test_a_password_is_set_with_a_proof_alone(passwordless, phone, new_device):
    body = {"new_password": NEW}
    asked = passwordless.patch("/users/@me", body)
    assert (asked.status_code, asked.json["code"]) == (401, 60003)
    answer = passwordless.patch("/users/@me", body, **proof(passwordless, phone))
    assert answer.status_code == 200
    assert log_in(new_device(), passwordless.email, NEW).json["mfa"] is True


def test_what_else_asks_for_the_password_asks_for_a_proof_alone(passwordless, phone, clock):
    secret = pyotp.random_base32()
    totp = {"secret": secret, "code": pyotp.TOTP(secret).at(int(clock()))}
    requests = [
        ("PATCH", "/users/@me", {"username": "ada"}),
        ("POST", "/users/@me/mfa/codes", {"regenerate": True}),
        ("POST", "/users/@me/mfa/totp/enable", totp),
    ]
    for method, path, body in requests:
        asked = passwordless.call(method, path, body)
        assert (asked.status_code, asked.json["code"]) == (401, 60003), path
        assert passwordless.call(method, path, body, **proof(passwordless, phone)).status_code == 200, path


def test_the_pages_do_the_same(app, passwordless, phone):
    browser = app.test_client()
    begun = browser.post("/login/passkey/start").json
    body = {"ticket": begun["ticket"], "credential": phone.get(begun["challenge"])}
    assert browser.post("/login/passkey", json=body).status_code == 200
    refused = browser.post("/settings/security/password", data={"new_password": NEW})
    assert refused.status_code == 400
    code = passwordless.backup_codes.pop()
    changed = browser.post("/settings/security/password", data={"new_password": NEW, "answer": code})
    assert changed.status_code == 303
    assert "token" not in log_in(Device(app.test_client()), passwordless.email, PASSWORD).json


def test_who_has_neither_password_nor_factor_gets_a_clear_no(passwordless, phone, users, new_device):
    """They set a password by mail."""
    users.change(passwordless.user_id, Change(forget=["webauthn"]))
    answer = passwordless.post("/auth/sessions/logout", {"session_id_hashes": [passwordless.id_hash]})
    assert (answer.status_code, answer.json["code"]) == (403, 0)
    assert passwordless.post(CREDENTIALS, {"password": PASSWORD}).status_code == 403
    for body in ({"new_password": NEW}, {"new_password": NEW, "password": ""}):
        assert errors(passwordless.patch("/users/@me", body), "password")
    assert passwordless._client.post(f"{API}/auth/forgot", json={"login": passwordless.email}).status_code == 200


def test_the_last_passkey_stays_until_there_is_a_password(passwordless, phone):
    """Otherwise nothing would be left to log in with."""
    other = Authenticator()
    [first] = [f"{CREDENTIALS}/{passkey['id']}" for passkey in passwordless.get(CREDENTIALS).json]
    last = f"{CREDENTIALS}/{add(passwordless, other, **proof(passwordless, phone))['id']}"
    assert passwordless.call("DELETE", first, **proof(passwordless, other)).status_code == 204
    refused = passwordless.call("DELETE", last, **proof(passwordless, other))
    assert errors(refused, "password") == ["LAST_WAY_IN"]
    changed = passwordless.patch("/users/@me", {"new_password": NEW}, **proof(passwordless, other))
    passwordless.token = changed.json["token"]
    assert passwordless.call("DELETE", last, **proof(passwordless, other)).status_code == 204


def test_who_has_a_password_is_asked_for_it(with_totp):
    for method, path, body in (
        ("PATCH", "/users/@me", {"new_password": NEW}),
        ("POST", "/users/@me/mfa/codes", {"regenerate": True}),
    ):
        assert errors(with_totp.call(method, path, body), "password") == ["BASE_TYPE_REQUIRED"]
