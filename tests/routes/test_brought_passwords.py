"""Passwords that an import brought: each signs in, its hash is renewed, and a weak one is told once."""

import hashlib

import bcrypt
import pytest

from app.rules.password_hashes import to_keep
from app.rules.passwords import FAULTS
from app.stores.users import Change
from tests.device import Device
from tests.rules.test_password_hashes import MADE

EMAIL = "carol.smith@example.com"
ASKED = ["update_password"]
GOOD = "correct horse battery"


@pytest.fixture
def bring(users):
    """Writes a user as an import does, with a hash or with one of a password."""

    def bring_one(password="", hashed=None):
        made = hashed or bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
        users.create(
            "7",
            EMAIL,
            email=EMAIL,
            username="Wonderland",
            global_name=None,
            password_hash=to_keep(made),
            created_at=1,
        )

    return bring_one


@pytest.fixture
def log_in(new_device):
    return lambda password, device=None: (device or new_device()).post(
        "/auth/login", {"login": EMAIL, "password": password}
    )


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@pytest.mark.parametrize("by", [by for by, (password, _) in MADE.items() if password != "password"])  # a word of logs
def test_each_form_signs_in_and_is_renewed_at_once(bring, log_in, users, by):
    password, hashed = MADE[by]
    bring(hashed=hashed)
    assert log_in(password + "!").status_code == 400
    assert log_in(password).status_code == 200
    fits = len(password.encode()) <= 72
    assert users.get("7").password_hash.startswith("$2b$04$") == fits
    assert log_in(password).status_code == 200
    assert log_in(password + "!").status_code == 400


@pytest.mark.parametrize(
    ("password", "is_told"),
    [
        (GOOD, False),
        ("short", True),
        ("password1", True),
        ("CAROL.SMITH", True),
        ("my wonderland", True),
        ("with a \0 in it", True),
        ("leaked ages ago", True),
    ],
)
def test_a_weak_one_is_told_at_the_first_login_alone(make_app, tmp_path, bring, users, password, is_told):
    """It is not refused."""
    leaked = tmp_path / "breached.txt"
    leaked.write_text(hashlib.sha1(b"leaked ages ago").hexdigest() + ":7\n", encoding="ascii")
    app = make_app(BREACHED_PASSWORDS=str(leaked))
    bring(password)
    body = {"login": EMAIL, "password": password}
    for told in (is_told, False):
        answer = Device(app.test_client(use_cookies=False)).post("/auth/login", body)
        assert (answer.status_code, answer.json.get("required_actions")) == (200, ASKED if told else None)
    assert users.get("7").password_hash.startswith("$2b$")
    assert users.get("7").password_warning is None


@pytest.mark.parametrize("password", ["x" * 73, "ж" * 40])
def test_one_that_bcrypt_cut_signs_in_and_is_told_each_time(bring, log_in, new_device, users, password):
    """It is asked for a new one, which it can set: the password is right wherever it is asked for."""
    bring(password)
    device = new_device()
    for _ in range(2):
        assert log_in(password, device).json["required_actions"] == ASKED
    device.token = log_in(password, device).json["token"]
    challenge = device.post("/auth/sessions/logout", {"session_id_hashes": [device.id_hash]})
    answered = {"ticket": challenge.json["mfa"]["ticket"], "mfa_type": "password", "data": password}
    assert device.post("/mfa/finish", answered).status_code == 200
    answer = device.patch("/users/@me", {"password": password, "new_password": GOOD})
    assert answer.status_code == 200
    assert log_in(password).status_code == 400
    assert log_in(GOOD).json.get("required_actions") is None


def test_a_long_one_of_another_beginning_is_wrong(bring, log_in):
    bring("x" * 80)
    assert log_in("y" + "x" * 79).status_code == 400
    assert log_in("x" * 71).status_code == 400


def test_with_a_second_factor_it_is_told_after_that(bring, new_device, users, clock):
    """Not to who has the password alone; nobody can use the notice up for its owner."""
    bring("password1")
    device = new_device()
    device.token = device.post("/auth/login", {"login": EMAIL, "password": "password1"}).json["token"]
    device.password = "password1"
    device.enable_totp(clock())
    users.change("7", Change(set={"password_hash": to_keep(users.get("7").password_hash)}, same_credentials=True))
    body = {"login": EMAIL, "password": "password1"}
    assert "required_actions" not in new_device().post("/auth/login", body).json
    ticket = new_device().post("/auth/login", body).json["ticket"]
    clock.advance(30)
    answer = new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": device.code(clock())})
    assert answer.json["required_actions"] == ASKED
    clock.advance(30)
    ticket = new_device().post("/auth/login", body).json["ticket"]
    answer = new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": device.code(clock())})
    assert "required_actions" not in answer.json


def test_a_new_password_takes_the_notice_away(bring, new_device, users):
    bring("password1")
    users.change("7", Change(set={"password_warning": "common"}, same_credentials=True))
    assert users.get("7").password_warning == "common"
    device = new_device()
    device.token = device.post("/auth/login", {"login": EMAIL, "password": "password1"}).json["token"]
    assert device.patch("/users/@me", {"password": "password1", "new_password": GOOD}).status_code == 200
    assert users.get("7").password_warning is None


def test_the_login_page_leads_to_the_form_for_a_new_one(app, bring):
    """Once, with the reason, and with a way on to where the visitor wanted to go."""
    bring("password1")
    browser = app.test_client()
    form = {"login": EMAIL, "password": "password1", "next": "/settings/totp"}
    answer = browser.post("/login/form", data=form)
    assert (answer.status_code, answer.location) == (
        303,
        "/settings/security?done=weak-common&next=/settings/totp",
    )
    page = browser.get(answer.location).text
    assert "one of the most common" in page
    assert 'href="/settings/totp"' in page
    assert app.test_client().post("/login/form", data=form).location == "/settings/totp"


def test_the_cookie_api_tells_it_too(app, bring):
    bring("password1")
    answer = app.test_client().post("/login", json={"login": EMAIL, "password": "password1"})
    assert answer.json["required_actions"] == ASKED


def test_every_reason_has_words_on_the_page(app, bring):
    bring(GOOD)
    browser = app.test_client()
    browser.post("/login", json={"login": EMAIL, "password": GOOD})
    for fault in FAULTS:
        page = browser.get(f"/settings/security?done=weak-{fault.replace('_', '-')}").text
        assert 'class="notice"' in page, fault
