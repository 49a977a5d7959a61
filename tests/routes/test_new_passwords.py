"""Every way to a new password: none takes one that holds what its user is called."""

import hashlib

import pytest

from app.form_errors import InvalidForm
from app.stores.mail import new_notice_id
from app.tokens import id_hash
from app.web.services import EXTENSION
from tests.device import PASSWORD, Device, errors

HOLDS = "I am Wonderland!"
BAD = ["PASSWORD_BAD_PASSWORD"]
SAID = "Password may not contain your name or e-mail address, or a part of them"


@pytest.fixture
def wired(app):
    return app.extensions[EXTENSION]


@pytest.fixture
def device(new_device):
    """Of a user who is called Wonderland."""
    device = new_device().register("carol.smith@example.com")
    assert device.patch("/users/@me", {"username": "Wonderland", "password": PASSWORD}).status_code == 200
    return device


def reset_link(wired, device):
    version = wired.accounts.get(device.user_id).secrets_version
    return wired.links.issue_reset(device.user_id, version, wired.clock(), new_notice_id())


@pytest.fixture
def browser(app, device):
    browser = app.test_client()
    assert browser.post("/login", json={"login": device.email, "password": PASSWORD}).status_code == 200
    return browser


REGISTRATION = {"email": "dave@example.com", "username": "Wonderland", "password": HOLDS}


def test_no_registration_takes_it(app, new_device):
    assert errors(new_device().post("/auth/register", REGISTRATION), "password") == BAD
    shown = new_device().post("/auth/register", REGISTRATION | {"username": "dave", "global_name": "wonderland"})
    assert errors(shown, "password") == BAD
    answer = app.test_client().post("/register", json=REGISTRATION)
    assert (answer.status_code, answer.json) == (400, {"error": f"password: {SAID}."})
    page = app.test_client().post("/register/form", data=REGISTRATION)
    assert (page.status_code, SAID in page.text) == (400, True)
    assert new_device().post("/auth/register", REGISTRATION | {"password": PASSWORD}).status_code == 201


def test_no_change_takes_it(device, browser):
    body = {"password": PASSWORD, "new_password": HOLDS}
    assert errors(device.patch("/users/@me", body), "new_password") == BAD
    page = browser.post("/settings/security/password", data=body)
    assert (page.status_code, SAID in page.text) == (400, True)
    assert device.is_signed_in


def test_the_names_that_a_change_brings_count(device):
    """Not those that it takes away."""
    body = {"password": PASSWORD, "new_password": "in the Looking-Glass"}
    for name in ("username", "global_name"):
        assert errors(device.patch("/users/@me", body | {name: "looking-glass"}), "new_password") == BAD
    assert device.get("/users/@me").json["username"] == "Wonderland"
    body = {"password": PASSWORD, "new_password": HOLDS, "username": "alice"}
    assert device.patch("/users/@me", body).status_code == 200


def test_no_new_name_is_in_the_password_that_stays(device, clock):
    """It is known where the password proves the change. Names that stay do not count, nor a password that goes."""
    device.enable_totp(clock())
    clock.advance(30)
    before = device.get("/users/@me").json
    body = {"password": PASSWORD, "code": device.code(clock())}
    for name in (PASSWORD, "Correct", "horse", "battery"):
        assert errors(device.patch("/users/@me", body | {"username": name}), "username") == BAD
        both = {"username": "alice", "global_name": name}
        assert errors(device.patch("/users/@me", body | both), "global_name") == BAD
    assert errors(device.patch("/users/@me", body | {"username": "horse", "password": "a horse"}), "password")
    assert device.get("/users/@me").json == before
    assert device.patch("/users/@me", body | {"username": "horse", "new_password": HOLDS}).status_code == 200


def test_older_clients_go_on_sending_a_name_that_is_in_the_password(device):
    """A name that others see needs no password, so nobody can tell whether it is in it."""
    assert device.patch("/users/@me", {"global_name": "horse"}).status_code == 200
    body = {"password": PASSWORD, "username": "alice", "global_name": "horse"}
    assert device.patch("/users/@me", body).json["username"] == "alice"


def test_a_code_is_not_used_up_for_it(device, clock):
    device.enable_totp(clock())
    clock.advance(30)
    body = {"password": PASSWORD, "code": device.code(clock())}
    assert errors(device.patch("/users/@me", body | {"new_password": HOLDS}), "new_password") == BAD
    assert device.patch("/users/@me", body | {"new_password": "another long one"}).status_code == 200


def test_no_reset_takes_it_and_the_link_stays_good(app, device, new_device, wired):
    secret = reset_link(wired, device)
    assert errors(new_device().post("/auth/reset", {"token": secret, "password": HOLDS}), "password") == BAD
    page = app.test_client().post("/reset/form", data={"token": secret, "password": HOLDS})
    assert (page.status_code, SAID in page.text) == (400, True)
    assert new_device().post("/auth/reset", {"token": secret, "password": "another long one"}).status_code == 200


def test_no_link_that_takes_a_factor_off_takes_it(device, new_device, wired, clock):
    device.enable_totp(clock())
    factor = wired.accounts.get(device.user_id).totp_secret
    secret = wired.links.issue_revert(device.user_id, id_hash(factor), clock(), new_notice_id())
    assert errors(new_device().post("/auth/revert", {"token": secret, "password": HOLDS}), "password") == BAD
    assert device.get("/users/@me").json["mfa_enabled"]
    assert new_device().post("/auth/revert", {"token": secret, "password": "another long one"}).status_code == 200


def test_no_operator_sets_it(device, wired):
    user = wired.accounts.get(device.user_id)
    with pytest.raises(InvalidForm, match="Invalid Form Body"):
        wired.operators.set_password(user, "carol.smith2026")
    with pytest.raises(InvalidForm):
        wired.operators.create("dave@example.com", "dave", "Wonderland", HOLDS)
    assert device.is_signed_in


LEAKED = "leaked ages ago"
SAID_OF_LEAKED = "Password has been in a data leak"


def test_no_way_takes_one_of_a_data_leak(make_app, tmp_path, clock):
    """Each way that the tests above walk, with words of its own."""
    path = tmp_path / "breached.txt"
    path.write_text(hashlib.sha1(LEAKED.encode()).hexdigest() + ":7\n", encoding="ascii")
    app = make_app(BREACHED_PASSWORDS=str(path))
    wired = app.extensions[EXTENSION]
    device = Device(app.test_client(use_cookies=False)).register("carol@example.com")
    anybody = Device(app.test_client(use_cookies=False))
    registration = {"email": "dave@example.com", "username": "dave", "password": LEAKED}
    change = {"password": PASSWORD, "new_password": LEAKED}
    reset = {"token": reset_link(wired, device), "password": LEAKED}
    browser = app.test_client()
    assert browser.post("/login", json={"login": device.email, "password": PASSWORD}).status_code == 200
    refused = [
        anybody.post("/auth/register", registration),
        app.test_client().post("/register", json=registration),
        app.test_client().post("/register/form", data=registration),
        device.patch("/users/@me", change),
        browser.post("/settings/security/password", data=change),
        anybody.post("/auth/reset", reset),
        app.test_client().post("/reset/form", data=reset),
    ]
    assert [(answer.status_code, SAID_OF_LEAKED in answer.text) for answer in refused] == [(400, True)] * len(refused)
    assert not anybody.post("/auth/password/validate", {"password": LEAKED}).json["valid"]
    user = wired.accounts.get(device.user_id)
    with pytest.raises(InvalidForm):
        wired.operators.set_password(user, LEAKED)
    with pytest.raises(InvalidForm):
        wired.operators.create("dave@example.com", "dave", None, LEAKED)
    device.enable_totp(clock())
    factor = id_hash(wired.accounts.get(device.user_id).totp_secret)
    revert = wired.links.issue_revert(device.user_id, factor, clock(), new_notice_id())
    answer = anybody.post("/auth/revert", {"token": revert, "password": LEAKED})
    assert (answer.status_code, SAID_OF_LEAKED in answer.text) == (400, True)
    path.unlink()
    assert anybody.post("/auth/register", registration).status_code == 201
