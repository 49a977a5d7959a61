"""How a session was opened is kept with it, and told to its user, on the page, and to gateways."""

import orjson
import pytest

from app.languages.words import how_opened
from app.rules.sign_ins import acr_of
from app.stores.keys import unprefixed as keys
from app.stores.mail import new_notice_id
from app.stores.session_records import Client, NewSession, parse_session
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device
from tests.former_service import FormerService
from tests.passkeys import add, sign_in

SECRET = "what-the-gateway-shows-to-be-let-in"
NEW_PASSWORD = "another horse battery"
LONGER_THAN_A_MINUTE = 61


@pytest.fixture(scope="module")
def former():
    return FormerService()


@pytest.fixture
def app(make_app, former, tmp_path):
    key = tmp_path / "jwt.key.pub"
    key.write_text(former.pem, encoding="utf-8")
    return make_app(GATEWAY_SECRET=SECRET, ADOPT_JWT_KEY=str(key))


def told(device):
    """Return what the list and introspect tell of a device's own session."""
    listed = device.get("/auth/sessions?extended=true").json["user_sessions"]
    [amr] = [session["amr"] for session in listed if session["is_current"]]
    headers = {"Authorization": f"Bearer {SECRET}"}
    found = device._client.post("/gateway/introspect", data={"token": device.token}, headers=headers).json
    assert found["active"]
    assert found.get("amr") == amr
    return amr, found.get("acr")


def signed_in(device, answer):
    assert answer.status_code == 200, answer.json
    device.token = answer.json["token"]
    return device


def ticket_of(device, like):
    return device.post("/auth/login", {"login": like.email, "password": like.password}).json["ticket"]


def reset_link(app, user_id):
    services = app.extensions[EXTENSION]
    version = services.accounts.get(user_id).secrets_version
    return services.links.issue_reset(user_id, version, services.clock(), new_notice_id())


def test_a_password(alice, new_device):
    """At the registration and at each login."""
    assert told(alice) == (["pwd"], "urn:keyrack:1fa")
    assert told(new_device().log_in(alice)) == (["pwd"], "urn:keyrack:1fa")


def test_a_password_and_a_code(with_totp, new_device, clock):
    clock.advance(30)
    device = new_device()
    code = with_totp.code(clock())
    signed_in(device, device.post("/auth/mfa/totp", {"ticket": ticket_of(device, with_totp), "code": code}))
    assert told(device) == (["pwd", "otp"], "urn:keyrack:2fa")


def test_a_password_and_a_backup_code(with_totp, new_device):
    """Also where it is given in the place of a TOTP code."""
    assert told(new_device().log_in(with_totp)) == (["pwd", "recovery"], "urn:keyrack:2fa")
    device = new_device()
    body = {"ticket": ticket_of(device, with_totp), "code": with_totp.backup_codes.pop()}
    signed_in(device, device.post("/auth/mfa/totp", body))
    assert told(device) == (["pwd", "recovery"], "urn:keyrack:2fa")


def test_a_passkey_alone(alice, new_device):
    """It is two factors, because its device has verified the user."""
    phone = Authenticator()
    add(alice, phone)
    device = new_device()
    assert told(signed_in(device, sign_in(device, phone))) == (["webauthn"], "urn:keyrack:2fa")
    assert told(alice) == (["pwd"], "urn:keyrack:1fa")


def test_a_password_and_a_passkey(alice, new_device):
    phone = Authenticator(verifies_user=False)
    add(alice, phone)
    device = new_device()
    asked = device.post("/auth/login", {"login": alice.email, "password": alice.password}).json
    body = {"ticket": asked["ticket"], "code": phone.get(asked["webauthn"])}
    signed_in(device, device.post("/auth/mfa/webauthn", body))
    assert told(device) == (["pwd", "webauthn"], "urn:keyrack:2fa")


def test_a_link(alice, new_device, app):
    body = {"token": reset_link(app, alice.user_id), "password": NEW_PASSWORD}
    device = new_device()
    assert told(signed_in(device, device.post("/auth/reset", body))) == (["mail"], "urn:keyrack:1fa")


def test_a_link_and_a_code(with_totp, new_device, app, clock):
    clock.advance(30)
    body = {"token": reset_link(app, with_totp.user_id), "password": NEW_PASSWORD}
    device = new_device()
    ticket = device.post("/auth/reset", body).json["ticket"]
    answer = device.post("/auth/reset", body | {"method": "totp", "ticket": ticket, "code": with_totp.code(clock())})
    assert told(signed_in(device, answer)) == (["mail", "otp"], "urn:keyrack:2fa")


def test_a_link_and_a_passkey(alice, new_device, app):
    phone = Authenticator()
    add(alice, phone)
    body = {"token": reset_link(app, alice.user_id), "password": NEW_PASSWORD}
    device = new_device()
    asked = device.post("/auth/reset", body).json
    answered = {"method": "webauthn", "ticket": asked["ticket"], "code": phone.get(asked["webauthn"])}
    answer = device.post("/auth/reset", body | answered)
    assert told(signed_in(device, answer)) == (["mail", "webauthn"], "urn:keyrack:2fa")


def test_a_link_that_takes_a_factor_off(with_totp, new_device, app, redis):
    notices = [orjson.loads(fields["notice"]) for _, fields in redis.xrange(keys.mail.waiting)]
    notice = next(one for one in notices if one["kind"] == "totp_on")
    links = app.extensions[EXTENSION].links
    secret = links.issue_revert(with_totp.user_id, notice["factor"], notice["at"], notice["id"])
    device = new_device()
    answer = device.post("/auth/revert", {"token": secret, "password": NEW_PASSWORD})
    assert told(signed_in(device, answer)) == (["mail"], "urn:keyrack:1fa")


def test_a_token_of_the_service_before(alice, app, former, clock):
    """Nobody knows how many factors it was opened with. A token of our own changes nothing about that."""
    old = Device(app.test_client(use_cookies=False))
    old.token = former.token(alice.user_id, int(clock()) - 60)
    assert told(old) == (["adopted"], None)
    old.token = old.post("/auth/swap").json["token"]
    assert told(old) == (["adopted"], None)


def test_it_stays_as_it_is(alice, clock):
    """Through uses, step-ups and new tokens, with another factor on and with a new password."""
    clock.advance(LONGER_THAN_A_MINUTE)
    assert alice.is_signed_in
    alice.prove()
    assert told(alice)[0] == ["pwd"]
    alice.enable_totp(clock())
    assert told(alice) == (["pwd"], "urn:keyrack:1fa")
    proof = alice.prove()
    body = {"password": PASSWORD, "new_password": NEW_PASSWORD}
    alice.token = alice.patch("/users/@me", body, X_Discord_MFA_Authorization=proof).json["token"]
    clock.advance(LONGER_THAN_A_MINUTE)
    assert alice.is_signed_in
    assert told(alice)[0] == ["pwd"]


def test_a_form_that_is_sent_twice_opens_as_the_first_did(with_totp, app, clock):
    """The second answer is the one that the browser keeps."""
    clock.advance(30)
    browser = app.test_client()
    page = browser.post("/login/form", data={"login": with_totp.email, "password": PASSWORD}).text
    ticket = page.partition('name="ticket" value="')[2].partition('"')[0]
    for _ in range(2):
        assert browser.post("/login/code", data={"ticket": ticket, "code": with_totp.code(clock())}).status_code == 303
        assert "opened with a password and a code" in browser.get("/settings/sessions").text


def test_a_session_of_a_release_before_has_none(alice, redis, app):
    """Its user is told nothing of it, on the page either."""
    place = keys.sessions(alice.user_id)
    record = orjson.loads(redis.hget(place, alice.id_hash))
    del record["amr"]
    redis.hset(place, alice.id_hash, orjson.dumps(record))
    assert told(alice) == (None, None)
    browser = app.test_client()
    browser.set_cookie("__Host-session", alice.token)
    page = browser.get("/settings/sessions")
    assert "Current Session" in page.text
    assert "opened" not in page.text


@pytest.mark.parametrize("value", ["pwd", {"pwd": 1}, [], ["unheard-of"], [1], None, [["pwd"]], [{}]])
def test_what_another_program_wrote_is_no_way(value):
    record = orjson.dumps({"began_at": 1, "amr": value}).decode()
    assert parse_session("1", "hash", 1, record).amr is None


@pytest.mark.parametrize(
    ("amr", "words", "acr"),
    [
        (("pwd",), "opened with a password", "urn:keyrack:1fa"),
        (("pwd", "webauthn"), "opened with a password and a passkey", "urn:keyrack:2fa"),
        (("webauthn",), "opened with a passkey", "urn:keyrack:2fa"),
        (("mail", "recovery"), "opened with a link by mail and a backup code", "urn:keyrack:2fa"),
        (("adopted",), "opened at the service before", None),
        (None, None, None),
    ],
)
def test_each_way_has_its_words(amr, words, acr):
    """A passkey alone is two factors, because its device has verified the user."""
    argument = NewSession("hash", 1, Client(), 50, amr=amr).as_argument()
    session = parse_session("1", "hash", 1, argument["record"])
    assert session.amr == amr
    assert how_opened(session) == words
    assert acr_of(session) == acr
