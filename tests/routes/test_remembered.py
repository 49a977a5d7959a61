"""Remembered devices: a browser in which the right password is enough for a login, and for nothing else."""

import re

import pytest

from app import tokens
from app.stores.keys import unprefixed as keys
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.device import API, PASSWORD
from tests.passkeys import add
from tests.routes.test_pages import Page, fill, show

DAY_S = 24 * 3600
TTL_S = 30 * DAY_S
COOKIE = "__Host-remembered"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
SECRET = "what-the-gateway-shows-to-be-let-in"
NEW_PASSWORD = "another horse battery"


@pytest.fixture
def app(make_app):
    return make_app(GATEWAY_SECRET=SECRET)


@pytest.fixture
def new_browser(app):
    def make(*, like=None):
        """like: another browser, whose cookie of remembered devices is copied"""
        browser = app.test_client()
        browser.environ_base["HTTP_USER_AGENT"] = FIREFOX
        if like:
            browser.set_cookie(COOKIE, value_of(like), secure=True)
        return browser

    return make


@pytest.fixture
def alice(with_totp):
    return with_totp


@pytest.fixture
def remembered(alice, new_browser):
    """A browser that is remembered of alice, and signed in with a code."""
    return remember(new_browser(), alice)


def value_of(browser):
    cookie = browser.get_cookie(COOKIE)
    return cookie.value if cookie else ""


def log_in(browser, device, **more):
    answer = browser.post("/login", json={"login": device.email, "password": device.password} | more)
    assert answer.status_code == 200, answer.json
    return answer


def is_spared(browser, device, **more):
    """Whether a login with the right password is asked for no code."""
    return "mfa" not in log_in(browser, device, **more).json


def answer_code(browser, device, *, first=None, **more):
    asked = log_in(browser, device, **(first or {}))
    assert asked.json["mfa"]
    body = {"ticket": asked.json["ticket"], "code": device.backup_codes.pop(), "method": "backup"}
    answer = browser.post("/login/mfa", json=body | more)
    assert answer.status_code == 200, answer.json
    return answer


def remember(browser, device):
    answer_code(browser, device, remember=True)
    return browser


def set_cookies(answer):
    """The attributes of each cookie that an answer sets, by its name."""
    found = {}
    for cookie in answer.headers.getlist("Set-Cookie"):
        pair, *attributes = cookie.split("; ")
        found[pair.partition("=")[0]] = attributes
    return found


def own_session(browser):
    listed = browser.get(API + "/auth/sessions?extended=true").json["user_sessions"]
    return next(session for session in listed if session["is_current"])


def test_who_answers_the_code_may_have_the_device_remembered(alice, new_browser, clock, redis):
    browser = new_browser()
    answer = answer_code(browser, alice, remember=True)
    attributes = set_cookies(answer)[COOKIE]
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= set(attributes)
    [max_age] = [int(one.removeprefix("Max-Age=")) for one in attributes if one.startswith("Max-Age=")]
    assert TTL_S - 2 <= max_age <= TTL_S
    value = value_of(browser)
    assert len(value.split(".")[2]) == 43  # 256 bits
    held = redis.hgetall(keys.remembered(alice.user_id))
    assert value not in str(held)
    browser.post("/logout")
    clock.advance(29 * DAY_S)
    answer = log_in(browser, alice)
    assert answer.json["user_id"] == alice.user_id
    assert own_session(browser)["amr"] == ["pwd", "remembered"]


def test_without_the_tick_nothing_is_remembered(alice, new_browser, redis):
    browser = new_browser()
    answer = answer_code(browser, alice)
    assert COOKIE not in set_cookies(answer)
    assert not redis.exists(keys.remembered(alice.user_id))
    assert not is_spared(browser, alice)


def test_each_use_gives_another_value_with_the_same_end(alice, remembered, new_browser, clock):
    thief = new_browser(like=remembered)
    clock.advance(10 * DAY_S)
    former = value_of(remembered)
    answer = log_in(remembered, alice)
    [max_age] = [int(one.removeprefix("Max-Age=")) for one in set_cookies(answer)[COOKIE] if "Max-Age" in one]
    assert 20 * DAY_S - 2 <= max_age <= 20 * DAY_S
    assert value_of(remembered) != former
    assert not is_spared(thief, alice)
    assert is_spared(remembered, alice)
    clock.advance(20 * DAY_S)
    assert not is_spared(remembered, alice)


def test_a_wrong_password_is_answered_as_without_a_cookie(alice, remembered, new_browser):
    body = {"login": alice.email, "password": "wrong horse battery"}
    with_cookie, without = (browser.post("/login", json=body) for browser in (remembered, new_browser()))
    assert (with_cookie.status_code, with_cookie.json) == (without.status_code, without.json) == (400, without.json)
    assert is_spared(remembered, alice)


def test_the_cookie_is_its_users_alone(alice, remembered, bob, new_browser, clock):
    bob.enable_totp(clock())
    browser = new_browser(like=remembered)
    assert not is_spared(browser, bob)
    forged = ".".join([bob.token.split(".")[0], *value_of(remembered).split(".")[1:]])
    browser.set_cookie(COOKIE, forged, secure=True)
    assert not is_spared(browser, bob)


def test_one_browser_is_remembered_of_several_users(alice, remembered, bob, clock):
    bob.enable_totp(clock())
    remember(remembered, bob)
    for device in (alice, bob, alice):
        assert is_spared(remembered, device)
    assert len(value_of(remembered).split("~")) == 2


def test_a_cookie_that_holds_anything_spares_nothing(alice, remembered, new_browser):
    """Of many values of one user the first one counts, of many users the first five."""
    value = value_of(remembered)
    user, at, _ = value.split(".")
    others = [tokens.issue(str(number), 0) for number in range(5)]
    for text, expected in [
        ("", False),
        ("~~~", False),
        (value[:-1], False),
        (value + "A", False),
        ("x" * 3000, False),
        (f"{user}.{at}.{'A' * 43}~{value}", False),
        ("~".join([*others, value]), False),
        ("~".join(["nonsense", "", *others[:4], value]), True),
    ]:
        browser = new_browser()
        browser.set_cookie(COOKIE, text, secure=True)
        assert is_spared(browser, alice) is expected, text


def test_clients_of_the_api_are_never_spared_and_never_remembered(alice, remembered, app):
    client = app.test_client(use_cookies=False)
    cookie = {"Cookie": f"{COOKIE}={value_of(remembered)}"}
    answer = client.post(API + "/auth/login", json={"login": alice.email, "password": PASSWORD}, headers=cookie)
    assert answer.json["mfa"]
    body = {"ticket": answer.json["ticket"], "code": alice.backup_codes.pop(), "remember": True}
    answer = client.post(API + "/auth/mfa/backup", json=body, headers=cookie)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert len(remembered.get("/me/remembered").json) == 1


def test_a_public_computer_is_never_remembered(alice, new_browser, redis):
    browser = new_browser()
    answer = answer_code(browser, alice, first={"public_computer": True}, remember=True)
    assert COOKIE not in set_cookies(answer)
    assert not redis.exists(keys.remembered(alice.user_id))


def test_who_says_that_a_remembered_computer_is_public_is_asked_and_forgotten(alice, remembered, bob, clock):
    """Of that user alone."""
    bob.enable_totp(clock())
    remember(remembered, bob)
    assert not is_spared(remembered, alice, public_computer=True)
    assert is_spared(remembered, alice)
    answer_code(remembered, alice, first={"public_computer": True})
    assert not is_spared(remembered, alice)
    assert is_spared(remembered, bob)


def test_a_session_of_a_remembered_device_is_one_factor_and_no_proof(alice, new_browser, app, clock):
    """Not even in the minutes after its login, which is a proof of other sessions."""
    clock.advance(1)
    browser = remember(new_browser(), alice)
    assert browser.post("/me/sessions/revoke-all").status_code == 200
    browser = remember(new_browser(), alice)
    log_in(browser, alice)
    answer = browser.post("/me/sessions/revoke-all")
    assert answer.status_code == 401
    assert answer.json["code"] == 60003
    assert "password" not in {method["type"] for method in answer.json["mfa"]["methods"]}
    token = browser.get_cookie("__Host-session").value
    told = app.test_client().post(
        "/gateway/introspect", data={"token": token}, headers={"Authorization": f"Bearer {SECRET}"}
    )
    assert (told.json["amr"], told.json["acr"]) == (["pwd", "remembered"], "urn:keyrack:1fa")
    asked = app.test_client().get("/gateway/verify?require=mfa", headers={"Authorization": token})
    assert asked.json["code"] == 60003


def test_a_passkey_as_second_factor_has_the_device_remembered_too(new_device, new_browser):
    carol = new_device().register("carol@example.com")
    phone = Authenticator()
    add(carol, phone)
    browser = new_browser()
    asked = log_in(browser, carol).json
    body = {"ticket": asked["ticket"], "code": phone.get(asked["webauthn"]), "method": "webauthn", "remember": True}
    assert browser.post("/login/mfa", json=body).status_code == 200
    assert is_spared(browser, carol)


CHANGES = {
    "password": lambda alice: alice.patch(
        "/users/@me",
        {"password": PASSWORD, "new_password": NEW_PASSWORD},
        X_Discord_MFA_Authorization=alice.prove(),
    ),
    "codes renewed": lambda alice: alice.post(
        "/users/@me/mfa/codes", {"password": PASSWORD, "regenerate": True}, X_Discord_MFA_Authorization=alice.prove()
    ),
    "all others": lambda alice: alice._client.post(
        "/me/sessions/revoke-all",
        headers={"Authorization": alice.token, "X-Discord-MFA-Authorization": alice.prove()},
    ),
    "TOTP off and on": lambda alice: alice.post(
        "/users/@me/mfa/totp/disable", X_Discord_MFA_Authorization=alice.prove()
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_every_change_of_credentials_asks_for_the_code_again(alice, remembered, change, clock):
    assert is_spared(remembered, alice)
    answer = change(alice)
    assert answer.status_code == 200, answer.json
    alice.token = answer.json.get("token", alice.token)
    if answer.json.get("email"):
        alice.password = NEW_PASSWORD
    if not alice.get("/users/@me").json["mfa_enabled"]:
        clock.advance(60)
        alice.enable_totp(clock())
    assert not is_spared(remembered, alice)
    assert alice.get("/users/@me").status_code == 200


def test_operators_forget_too(alice, remembered, app):
    operators = app.extensions[EXTENSION].operators
    user = operators.find(alice.email)
    assert operators.forget_remembered(user) == 1
    assert not is_spared(remembered, alice)
    remember(remembered, alice)
    list(operators.end_all(alice.user_id))
    assert not is_spared(remembered, alice)


def test_an_incident_tool_forgets_too(alice, remembered, app):
    body = {"sub_id": {"format": "opaque", "id": alice.user_id}}
    answer = app.test_client().post("/gateway/revoke", json=body, headers={"Authorization": f"Bearer {SECRET}"})
    assert answer.status_code == 204
    assert not is_spared(remembered, alice)


def test_remembered_devices_are_listed_and_forgotten_one_by_one(alice, remembered, bob, new_browser, clock):
    clock.advance(60)
    other = remember(new_browser(), alice)
    listed = remembered.get("/me/remembered").json
    assert [one["isCurrent"] for one in listed] == [False, True]
    own = listed[1]
    assert own["deviceName"] == "Firefox on Linux"
    assert own["ip"] == "127.0.0.1"
    clock.advance(DAY_S)
    assert is_spared(remembered, alice)
    used = remembered.get("/me/remembered").json[0]
    assert used["id"] == own["id"]
    assert (used["createdAt"], used["endsAt"]) == (own["createdAt"], own["endsAt"])
    assert used["lastUsedAt"] > own["lastUsedAt"]

    as_bob = {"Authorization": bob.token}
    answer = bob._client.delete(f"/me/remembered/{own['id']}", headers=as_bob)
    assert (answer.status_code, answer.json) == (404, {"error": "Device not found"})
    answer = remembered.delete(f"/me/remembered/{listed[0]['id']}")
    assert (answer.status_code, answer.json) == (200, {"message": "Device forgotten."})
    assert remembered.delete(f"/me/remembered/{listed[0]['id']}").status_code == 404
    assert not is_spared(other, alice)
    assert is_spared(remembered, alice)
    answer = remembered.post("/me/remembered/forget-all")
    assert (answer.status_code, answer.json) == (200, {"message": "All remembered devices have been forgotten."})
    assert remembered.get("/me/remembered").json == []
    assert not is_spared(remembered, alice)


def test_a_page_of_another_origin_forgets_nothing(remembered):
    for method, path in (("POST", "/me/remembered/forget-all"), ("POST", "/settings/security/remembered")):
        answer = remembered.open(path, method=method, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
    assert len(remembered.get("/me/remembered").json) == 1


def test_the_setting_switches_it_off(alice, remembered, make_app):
    off = make_app(REMEMBER_TTL="0").test_client()
    off.set_cookie(COOKIE, value_of(remembered), secure=True)
    assert not is_spared(off, alice)
    assert COOKIE not in set_cookies(answer_code(off, alice, remember=True))
    assert off.get("/me/remembered").json == []
    page = Page(off.post("/login/form", data={"login": alice.email, "password": PASSWORD}))
    assert page.field("/login/code", "ticket")
    assert "Don’t ask" not in page.text


def test_logging_a_device_out_from_elsewhere_forgets_it(alice, remembered, new_browser):
    """And logging out of it oneself does not."""
    log_in(remembered, alice)
    remembered.post("/logout")
    assert is_spared(remembered, alice)
    own = own_session(remembered)["id_hash"]
    assert alice.end([own]).status_code == 204
    assert not is_spared(remembered, alice)


def test_the_activity_tells_of_remembered_devices(alice, remembered):
    log_in(remembered, alice)
    remembered.post("/me/remembered/forget-all")
    told = [(one["type"], one["amr"]) for one in remembered.get("/me/activity").json]
    assert ("devices_forgotten", None) in told
    assert ("signed_in", ["pwd", "remembered"]) in told
    assert ("device_remembered", None) in told
    page = show(remembered, "/settings/activity")
    assert "Device remembered: no code at its next logins" in page.text


def test_sign_ins_and_what_is_forgotten_are_on_record(alice, new_browser, caplog):
    browser = remember(new_browser(), alice)
    log_in(browser, alice)
    browser.post("/me/remembered/forget-all")
    events = [record.fields for record in caplog.records if record.name == "keyrack.audit"]
    assert [one["how"] for one in events if one["event"] == "signed_in"][-2:] == ["backup", "remembered"]
    assert [one["event"] for one in events if "device" in one["event"]] == ["device_remembered", "devices_forgotten"]


# The pages


def ask_for_code(browser, device, **more):
    return Page(browser.post("/login/form", data={"login": device.email, "password": PASSWORD, "nonce": "n"} | more))


def answer_page(browser, page, code, **more):
    kept = {name: value for name, value in page.forms["/login/code"] if name in ("ticket", "offered", "may_remember")}
    return browser.post("/login/code", data=kept | {"code": code} | more)


def test_the_tick_stands_on_the_page_of_the_code_and_stays_after_a_wrong_one(alice, new_browser):
    browser = new_browser()
    page = ask_for_code(browser, alice)
    assert "Don’t ask for a code on this device for 30 days" in page.text
    again = answer_page(browser, page, "000000", remember="on")
    assert again.status_code == 400
    assert re.search(r'name="remember"[^>]* checked', again.text)
    page = Page(again)
    assert answer_page(browser, page, alice.backup_codes.pop(), remember="on").status_code == 303
    browser.post("/logout")
    answer = browser.post("/login/form", data={"login": alice.email, "password": PASSWORD, "nonce": "n"})
    assert answer.status_code == 303


def test_a_public_computer_is_not_offered_the_tick(alice, new_browser):
    browser = new_browser()
    page = ask_for_code(browser, alice, public_computer="on")
    assert page.field("/login/code", "ticket")
    assert page.field("/login/code", "remember") == page.field("/login/code", "may_remember") == []
    assert "Don’t ask" not in page.text


def test_a_reset_offers_no_tick(alice, app, new_browser):
    services = app.extensions[EXTENSION]
    version = services.accounts.get(alice.user_id).secrets_version
    link = services.links.issue_reset(alice.user_id, version, services.clock(), "1-1")
    page = Page(new_browser().post("/reset/form", data={"token": link, "password": NEW_PASSWORD}))
    assert page.field("/reset/code", "ticket")
    assert "Don’t ask" not in page.text


def test_a_login_form_that_is_sent_twice_leaves_one_session(alice, remembered, new_browser):
    """The second answer is the one that the browser keeps. It asks for no code."""
    twin = new_browser(like=remembered)
    before = len(alice.id_hashes())
    form = {"login": alice.email, "password": PASSWORD, "nonce": "N" * 43}
    for browser in (new_browser(like=remembered), twin):
        assert browser.post("/login/form", data=form).status_code == 303
    assert len(alice.id_hashes()) == before + 1
    assert own_session(twin)["amr"] == ["pwd", "remembered"]


def test_the_security_page_lists_them_and_forgets_them(alice, remembered, new_browser):
    other = remember(new_browser(), alice)
    page = show(remembered, "/settings/security")
    ids = page.field("/settings/security/remembered", "one")
    assert len(ids) == 2
    assert "This device" in page.text
    page = fill(remembered, "/settings/security/remembered", one=ids[0])
    assert "asks for your second factor again" in page.text
    assert page.field("/settings/security/remembered", "one") == ids[1:]
    fill(remembered, "/settings/security/remembered", one=ids[0])
    page = fill(remembered, "/settings/security/remembered", all="all")
    assert page.field("/settings/security/remembered", "one") == []
    assert not is_spared(remembered, alice)
    assert not is_spared(other, alice)


def test_who_has_no_second_factor_is_told_nothing_of_it(bob, new_browser):
    browser = new_browser()
    log_in(browser, bob)
    assert "Remembered" not in show(browser, "/settings/security").text


def test_the_devices_page_says_how_such_a_session_was_opened(alice, remembered):
    log_in(remembered, alice)
    assert "opened with a password and a remembered device" in show(remembered, "/settings/sessions").text


def test_a_device_is_seen_no_less_for_being_forgotten_twice_by_a_scanner(remembered):
    """A GET of the form's address changes nothing."""
    assert remembered.get("/settings/security/remembered").status_code == 302
    assert len(remembered.get("/me/remembered").json) == 1


def test_two_devices_of_one_user_have_values_of_their_own(alice, remembered, new_browser):
    other = remember(new_browser(), alice)
    assert value_of(other) != value_of(remembered)
    assert is_spared(other, alice)
    assert is_spared(remembered, alice)
