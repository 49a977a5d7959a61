""" "This wasn't me", by the mail about a second factor: whoever holds the mailbox has the account back for 48 hours."""

import orjson
import pyotp
import pytest

from app.stores.keys import unprefixed as keys
from app.stores.session_records import Client
from app.stores.users import Change
from app.web.services import EXTENSION
from tests.authenticator import Authenticator, b64url, un_b64url
from tests.device import PASSWORD, Device, errors
from tests.passkeys import CREDENTIALS, add, begin, finish, prove, sign_in

NEW_PASSWORD = "another horse battery"
HOUR = 3600
EXPIRED = ["TOKEN_INVALID"]


@pytest.fixture
def link(app, redis):
    """Makes the secret of the link in the newest mail about a factor that was set, as the mail carries it."""

    def make(device, kind="totp_on"):
        told = [orjson.loads(fields["notice"]) for _, fields in redis.xrange(keys.mail.waiting)]
        notice = [one for one in told if (one["kind"], one["user_id"]) == (kind, device.user_id)][-1]
        links = app.extensions[EXTENSION].links
        return links.issue_revert(device.user_id, notice["factor"], notice["at"], notice["id"])

    return make


@pytest.fixture
def thief(alice, new_device, clock):
    """Knows the password alone, has signed in with it and turned TOTP on."""
    device = new_device().log_in(alice)
    device.enable_totp(clock())
    return device


def revert(device, secret, password=NEW_PASSWORD):
    return device.post("/auth/revert", {"token": secret, "password": password})


def enter(device, email, password):
    return device.post("/auth/login", {"login": email, "password": password}).json


def assert_back(alice, thief, new_device, answer):
    """Alice alone is in, without a factor, and the thief's password, codes and sessions are nothing."""
    assert answer.status_code == 200, answer.json
    owner = new_device()
    owner.token = answer.json["token"]
    assert owner.get("/users/@me").json["mfa_enabled"] is False
    assert [device.is_signed_in for device in (alice, thief)] == [False, False]
    assert len(owner.id_hashes()) == 1
    assert "token" not in enter(new_device(), alice.email, thief.password)
    assert "token" in enter(new_device(), alice.email, NEW_PASSWORD)


def test_the_owner_has_the_account_back(alice, thief, new_device, link, caplog):
    """A reset would ask for the thief's code; this link does not, and works once."""
    secret = link(alice)
    assert_back(alice, thief, new_device, revert(new_device(), secret))
    lines = [(record.getMessage(), record.__dict__.get("what")) for record in caplog.records]
    assert {message for message, _ in lines} >= {"credentials_changed", "sessions_ended", "signed_in"}
    assert errors(revert(new_device(), secret), "token") == EXPIRED


@pytest.mark.parametrize("act", ["password", "codes", "all others", "many times all others", "both"])
def test_the_thief_cannot_make_it_void(alice, thief, new_device, link, clock, act):
    """By nothing that a session of the account can do while the factor stays on."""
    secret = link(alice)
    if act in ("password", "both"):
        clock.advance(30)
        ticket = thief.challenge()["ticket"]
        body = {"ticket": ticket, "mfa_type": "totp", "data": thief.code(clock())}
        proof = thief.post("/mfa/finish", body).json["token"]
        body = {"password": PASSWORD, "new_password": "the thief's own one"}
        changed = thief.patch("/users/@me", body, X_Discord_MFA_Authorization=proof)
        assert changed.status_code == 200
        thief.token, thief.password = changed.json["token"], "the thief's own one"
    if act in ("codes", "both"):
        proof = thief.prove()
        body = {"password": thief.password, "regenerate": True}
        assert thief.post("/users/@me/mfa/codes", body, X_Discord_MFA_Authorization=proof).status_code == 200
    for _ in range({"all others": 1, "many times all others": 5}.get(act, 0)):
        services = thief._client.application.extensions[EXTENSION]
        services.accounts.end_others(services.devices.identify(thief.token), Client())
    assert_back(alice, thief, new_device, revert(new_device(), secret))


def test_a_factor_that_was_turned_on_anew_has_a_mail_of_its_own(alice, thief, new_device, link, clock):
    """The former link takes off the former factor alone, which is off; the new mail's takes off the new one."""
    former = link(alice)
    proof = thief.prove()
    thief.token = thief.post("/users/@me/mfa/totp/disable", {}, X_Discord_MFA_Authorization=proof).json["token"]
    assert errors(revert(new_device(), former), "token") == EXPIRED
    thief.enable_totp(clock())
    assert errors(revert(new_device(), former), "token") == EXPIRED
    assert_back(alice, thief, new_device, revert(new_device(), link(alice)))


def test_a_sign_in_and_a_reset_that_are_under_way_come_to_nothing(alice, thief, new_device, app, link, clock):
    services = app.extensions[EXTENSION]
    login = enter(new_device(), alice.email, PASSWORD)["ticket"]
    version = services.accounts.get(alice.user_id).secrets_version
    reset = services.links.issue_reset(alice.user_id, version, clock(), "1-1")
    asked = new_device().post("/auth/reset", {"token": reset, "password": "the thief's own one"}).json["ticket"]
    code = thief.backup_codes.pop()
    assert revert(new_device(), link(alice)).status_code == 200
    assert new_device().post("/auth/mfa/backup", {"ticket": login, "code": code}).json["code"] == 60006
    body = {"token": reset, "password": "the thief's own one", "ticket": asked, "code": code, "method": "backup"}
    assert new_device().post("/auth/reset", body).status_code == 400
    assert "token" in enter(new_device(), alice.email, NEW_PASSWORD)


def test_it_is_good_for_48_hours_from_the_turning_on(alice, thief, new_device, link, clock):
    secret = link(alice)
    clock.advance(48 * HOUR)
    assert errors(revert(new_device(), secret), "token") == EXPIRED
    assert errors(revert(new_device(), link(alice)), "token") == EXPIRED, "however late the mail was"
    assert thief.is_signed_in


@pytest.mark.parametrize("event", ["disable", "delete"])
def test_it_brings_no_user_back(alice, thief, new_device, app, link, event):
    secret = link(alice)
    getattr(app.extensions[EXTENSION].leaving, event)(alice.user_id)
    assert errors(revert(new_device(), secret), "token") == EXPIRED


def test_no_other_secret_takes_a_factor_off(alice, thief, bob, new_device, app, link, clock):
    """Nor does this link serve another purpose, or another user."""
    links, secret = app.extensions[EXTENSION].links, link(alice)
    others = [
        links.issue_reset(alice.user_id, "1", clock(), "1-1"),
        links.issue_not_me(alice.user_id, alice.id_hash, "2-1"),
        ".".join([bob.token.split(".")[0], *secret.split(".")[1:]]),
        *(thief.token, "", "x"),
    ]
    for other in others:
        assert errors(revert(new_device(), other), "token")
    assert errors(new_device().post("/auth/reset", {"token": secret, "password": NEW_PASSWORD}), "token") == EXPIRED
    assert app.test_client().post("/not-me/form", data={"token": secret}).status_code == 400
    assert (alice.is_signed_in, thief.is_signed_in) == (True, True)
    assert revert(new_device(), secret).status_code == 200


def test_a_bad_password_uses_nothing_up(alice, thief, new_device, link):
    secret = link(alice)
    assert errors(revert(new_device(), secret, "short"), "password")
    assert revert(new_device(), secret).status_code == 200


def test_the_page_does_the_same(alice, thief, app, link):
    """To look at it changes nothing."""
    browser, secret = app.test_client(), link(alice)
    for method in ("get", "head"):
        assert getattr(browser, method)(f"/revert?token={secret}").status_code == 200
    assert thief.is_signed_in
    assert browser.post("/revert/form", data={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    refused = browser.post("/revert/form", data={"token": secret, "password": "short"})
    assert refused.status_code == 400
    assert secret not in refused.text
    answer = browser.post("/revert/form", data={"token": secret, "password": NEW_PASSWORD})
    assert answer.status_code == 303
    page = browser.get(answer.location).text
    assert "What our mail told of is undone, and your new password is set." in page
    assert [device.is_signed_in for device in (alice, thief)] == [False, False]


def test_tries_are_limited_by_link(alice, thief, make_app, link):
    app, secret = make_app(RATE_LIMIT_STEP_UP="2 per 15 minutes"), link(alice)
    device = Device(app.test_client(use_cookies=False))
    tries = [revert(device, secret + "x").status_code for _ in range(3)]
    assert tries == [400, 400, 429]
    assert revert(device, secret).status_code == 200


# Passkeys, and several factors


@pytest.fixture
def phone():
    return Authenticator()


def add_another(device, known, clock, name="Another"):
    """Add one more passkey a second later, proved by one that is there."""
    clock.advance(1)
    another = Authenticator()
    proof = prove(device, known).json["token"]
    add(device, another, name, X_Discord_MFA_Authorization=proof)
    return another


def names_of(device):
    return [one["name"] for one in device.get(CREDENTIALS).json]


@pytest.fixture
def thief_with_passkey(alice, new_device, phone):
    """Knows the password alone, has signed in with it and added a passkey."""
    device = new_device().log_in(alice)
    add(device, phone)
    return device


def test_a_passkey_of_somebody_else_is_taken_off(alice, thief_with_passkey, new_device, link, phone):
    answer = revert(new_device(), link(alice, "passkey_added"))
    assert_back(alice, thief_with_passkey, new_device, answer)
    assert sign_in(new_device(), phone).status_code == 400


def test_all_that_was_set_since_goes_too(alice, thief_with_passkey, new_device, link, phone, clock):
    """A second passkey and TOTP, by the link about the first."""
    secret = link(alice, "passkey_added")
    another = add_another(thief_with_passkey, phone, clock)
    proof = prove(thief_with_passkey, another).json["token"]
    code = pyotp.random_base32()
    body = {"password": PASSWORD, "secret": code, "code": pyotp.TOTP(code).at(int(clock()))}
    enabled = thief_with_passkey.post("/users/@me/mfa/totp/enable", body, X_Discord_MFA_Authorization=proof)
    thief_with_passkey.token = enabled.json["token"]
    assert_back(alice, thief_with_passkey, new_device, revert(new_device(), secret))
    assert [sign_in(new_device(), one).status_code for one in (phone, another)] == [400, 400]


def test_totp_goes_with_the_passkeys_that_were_added_since(alice, thief, new_device, link, phone, clock):
    secret = link(alice)
    clock.advance(31)
    add(thief, phone, X_Discord_MFA_Authorization=thief.prove())
    assert_back(alice, thief, new_device, revert(new_device(), secret))


def test_an_older_factor_stays_and_is_asked_for(alice, new_device, link, phone, clock):
    """The link signs nobody in then: who follows it logs in with the new password and that factor."""
    add(alice, phone, "Own")
    thiefs = add_another(alice, phone, clock, "Thief's")
    answer = revert(new_device(), link(alice, "passkey_added"))
    assert answer.json["message"].startswith("Your new password is set. Log in with it.")
    assert not alice.is_signed_in
    asked = enter(new_device(), alice.email, NEW_PASSWORD)
    body = {"ticket": asked["ticket"], "code": phone.get(asked["webauthn"])}
    owner = new_device()
    owner.token = owner.post("/auth/mfa/webauthn", body).json["token"]
    assert names_of(owner) == ["Own"]
    assert sign_in(new_device(), thiefs).status_code == 400
    codes = [enter(new_device(), alice.email, NEW_PASSWORD)["backup"]]
    assert codes == [True], "the codes of the older factor go on"


def test_the_page_tells_so_in_the_language_of_the_browser(alice, app, link, phone, clock):
    add(alice, phone, "Own")
    add_another(alice, phone, clock, "Thief's")
    form = {"token": link(alice, "passkey_added"), "password": NEW_PASSWORD}
    page = app.test_client().post("/revert/form", data=form, headers={"Accept-Language": "de"}).text
    assert "Dein neues Passwort ist festgelegt." in page
    assert "Your new password" not in page


def test_the_link_of_one_that_stays_works_afterwards(alice, thief_with_passkey, new_device, link, phone, clock):
    """The newest mail is read first, and the thief's older passkey would sign in without the new password."""
    first = link(alice, "passkey_added")
    another = add_another(thief_with_passkey, phone, clock)
    newest = link(alice, "passkey_added")
    assert "message" in revert(new_device(), newest).json
    assert sign_in(new_device(), another).status_code == 400
    assert sign_in(new_device(), phone).status_code == 200, "the older one is there"
    assert_back(alice, thief_with_passkey, new_device, revert(new_device(), first))
    assert sign_in(new_device(), phone).status_code == 400
    assert errors(revert(new_device(), newest), "token") == EXPIRED


def test_a_passkey_that_is_added_anew_takes_along_what_was_set_since_the_first_time(
    alice, thief_with_passkey, new_device, link, phone, clock
):
    """Else a thief would shield a second one so: the link about the first would leave it as an older factor."""
    first = link(alice, "passkey_added")
    another = add_another(thief_with_passkey, phone, clock)
    listed = thief_with_passkey.get(CREDENTIALS).json
    same = un_b64url(listed[0]["cred_id"])
    clock.advance(1)
    proof = prove(thief_with_passkey, another).json["token"]
    path = f"{CREDENTIALS}/{listed[0]['id']}"
    assert thief_with_passkey.call("DELETE", path, X_Discord_MFA_Authorization=proof).status_code == 204
    clock.advance(1)
    proof = prove(thief_with_passkey, another).json["token"]
    begun = begin(thief_with_passkey, X_Discord_MFA_Authorization=proof)
    made = phone.make(begun["challenge"], cred_id=same, changes={"id": b64url(same), "rawId": b64url(same)})
    assert finish(thief_with_passkey, begun, made).status_code == 200
    assert_back(alice, thief_with_passkey, new_device, revert(new_device(), first))
    assert sign_in(new_device(), another).status_code == 400


def test_the_page_leads_to_the_login_where_an_older_factor_is_left(alice, app, link, phone, clock):
    add(alice, phone, "Own")
    add_another(alice, phone, clock)
    answer = app.test_client().post(
        "/revert/form", data={"token": link(alice, "passkey_added"), "password": NEW_PASSWORD}
    )
    assert answer.status_code == 200
    assert "Log in with it" in answer.text
    assert "Set-Cookie" not in answer.headers


def test_a_link_about_a_passkey_that_is_gone_takes_nothing_off(alice, new_device, link, phone, clock):
    add(alice, phone, "Own")
    secret = link(alice, "passkey_added")
    add_another(alice, phone, clock)
    [own, _] = alice.get(CREDENTIALS).json
    proof = prove(alice, phone).json["token"]
    assert alice.call("DELETE", f"{CREDENTIALS}/{own['id']}", X_Discord_MFA_Authorization=proof).status_code == 204
    assert errors(revert(new_device(), secret), "token") == EXPIRED
    assert names_of(alice) == ["Another"]


def test_totp_of_which_nobody_knows_since_when_goes_by_its_own_link_with_all_else(
    alice, thief, new_device, link, users, phone, clock
):
    """The release before did not note that."""
    users.change(alice.user_id, Change(unset=["totp_since"], same_credentials=True))
    secret = link(alice)
    clock.advance(31)
    add(thief, phone, X_Discord_MFA_Authorization=thief.prove())
    assert_back(alice, thief, new_device, revert(new_device(), secret))


def test_it_stays_by_the_link_of_a_passkey_that_was_added_since(alice, thief, new_device, link, users, phone, clock):
    users.change(alice.user_id, Change(unset=["totp_since"], same_credentials=True))
    own = link(alice)
    clock.advance(31)
    add(thief, phone, X_Discord_MFA_Authorization=thief.prove())
    answer = revert(new_device(), link(alice, "passkey_added"))
    assert "message" in answer.json
    assert users.get(alice.user_id).factors == {"totp"}
    assert_back(alice, thief, new_device, revert(new_device(), own))
