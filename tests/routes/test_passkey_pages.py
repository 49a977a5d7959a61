"""What the pages say of passkeys, and what they take from the script that asks the browser for one."""

import pytest

from app.stores.users import Change
from tests.authenticator import Authenticator
from tests.device import API, PASSWORD
from tests.passkeys import CREDENTIALS
from tests.routes.test_me import finish
from tests.routes.test_pages import LOGIN, NEW_PASSWORD, Page, alice, fill, new_browser, show  # noqa: F401 - fixtures

SECURITY = "/settings/security"
FORM = "/settings/security/passkeys"


@pytest.fixture
def phone():
    return Authenticator()


def begin(browser):
    answer = browser.post(API + CREDENTIALS, json={"password": PASSWORD})
    assert answer.status_code == 200, answer.json
    return answer.json


def add(browser, authenticator, name="Phone"):
    """Add the first passkey by the page's form. Return the page that follows."""
    begun = begin(browser)
    credential = authenticator.make(begun["challenge"])
    return fill(browser, FORM, name=name, ticket=begun["ticket"], credential=credential)


def shown(text, name):
    """The value of a field that the page carries along."""
    return next(value for field, value in text.forms["/login/code"] if field == name)


def second_step(browser):
    page = fill(browser, "/login/form", **LOGIN)
    assert "Confirm Your Login" in page.text
    return page


def test_a_first_passkey_shows_the_backup_codes_and_goes_on_signed_in(alice, phone):  # noqa: F811
    token = alice.get_cookie("__Host-session").value
    page = add(alice, phone)
    assert "Two-factor authentication is on" in page.text
    assert page.tags.count("code") == 10
    assert alice.get_cookie("__Host-session").value != token
    page = show(alice, SECURITY)
    assert "Phone Added" in page.text
    assert "not used yet" in page.text
    assert "10 of your backup codes are unused" in page.text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ticket": "made.up.ticket"}, "That took too long. Please add it again."),
        ({"ticket": ""}, "That took too long. Please add it again."),
        ({"credential": "{}"}, "This passkey could not be added."),
        ({"name": ""}, "This field is required"),
        ({"name": "x" * 33}, "Must be between 1 and 32 in length."),
    ],
)
def test_one_that_does_not_fit_is_told_on_the_page(alice, phone, change, says):  # noqa: F811
    begun = begin(alice)
    fields = {"name": "Phone", "ticket": begun["ticket"], "credential": phone.make(begun["challenge"])}
    page = fill(alice, FORM, **fields | change)
    assert page.status == 400
    assert says in page.text
    assert "None yet." in page.text


def test_a_form_that_is_sent_again_adds_nothing_twice(alice, phone):  # noqa: F811
    begun = begin(alice)
    fields = {"name": "Phone", "ticket": begun["ticket"], "credential": phone.make(begun["challenge"])}
    assert "Two-factor authentication is on" in fill(alice, FORM, **fields).text
    page = fill(alice, FORM, **fields)
    assert "That took too long. Please add it again." in page.text
    assert page.text.count("Phone Added") == 1


def test_a_name_is_shown_as_text(alice, phone):  # noqa: F811
    name = '"><script>alert(1)</script>'
    add(alice, phone, name)
    answer = alice.get(SECURITY)
    assert "<script>alert" not in answer.text
    assert name in Page(answer).text


@pytest.mark.parametrize("count", [1, 10])
def test_ten_are_told_to_be_as_many_as_there_can_be(alice, phone, count):  # noqa: F811
    """Before that a name is proposed that none of them has."""
    add(alice, phone, "Firefox on Linux")
    for number in range(2, count + 1):
        prove(alice, phone, alice.post("/me/proof"))
        begun = alice.post(API + CREDENTIALS).json
        made = Authenticator().make(begun["challenge"])
        fill(alice, FORM, name=f"Firefox on Linux {number}", ticket=begun["ticket"], credential=made)
    answer = alice.get(SECURITY)
    assert answer.text.count("data-credential-id") == count
    assert ("as many as there can be" in answer.text) == (count == 10)
    assert ('data-name="Firefox on Linux 2"' in answer.text) == (count == 1)


def test_a_wrong_answer_leaves_both_ways_open(alice, phone, new_browser):  # noqa: F811
    """The page has all that it needs to be shown again, and the ticket is good for the next try."""
    add(alice, phone)
    browser = new_browser()
    page = second_step(browser)
    for _ in range(2):
        carried = {name: shown(page, name) for name in ("ticket", "webauthn", "offered")}
        page = fill(browser, "/login/code", **carried, method="webauthn", code="{}")
        assert (page.status, "That passkey was not accepted." in page.text) == (400, True)
        page = fill(browser, "/login/code", **carried, code="00000000")
        assert (page.status, "That code is wrong" in page.text) == (400, True)
    carried = {name: shown(page, name) for name in ("ticket", "webauthn", "offered")}
    answer = browser.post("/login/code", data=carried | {"method": "webauthn", "code": phone.get(carried["webauthn"])})
    assert (answer.status_code, answer.location) == (303, "/settings/sessions")


def test_a_second_step_that_is_sent_twice_leaves_one_session(alice, phone, new_browser, caplog):  # noqa: F811
    """Both are on record as by a passkey."""
    add(alice, phone)
    browser = new_browser()
    page = second_step(browser)
    sent = {"ticket": shown(page, "ticket"), "method": "webauthn", "code": phone.get(shown(page, "webauthn"))}
    assert [browser.post("/login/code", data=sent).status_code for _ in range(2)] == [303, 303]
    assert len(browser.get("/me/sessions").json) == 2
    assert [record.fields["how"] for record in caplog.records if record.getMessage() == "signed_in"] == ["webauthn"] * 2


def test_what_a_form_carries_along_is_shown_as_text(new_browser, alice, phone):  # noqa: F811
    """Whoever changes it changes their own page alone."""
    add(alice, phone)
    browser = new_browser()
    ticket = shown(second_step(browser), "ticket")
    sent = {"ticket": ticket, "code": "0", "offered": '"><script>totp', "webauthn": '"><script>alert(1)</script>'}
    answer = browser.post("/login/code", data=sent)
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text


def test_a_passkey_alone_asks_for_no_code_of_an_app(alice, phone, new_browser):  # noqa: F811
    add(alice, phone)
    page = second_step(new_browser())
    assert "authenticator app" not in page.text
    assert "Backup code" in page.text


def test_a_second_step_speaks_of_what_the_user_has_alone(alice, phone, new_browser, make_app, users):  # noqa: F811
    add(alice, phone)
    user_id = alice.get(API + "/users/@me").json["id"]
    users.change(user_id, Change(backup_codes=[]))
    page = second_step(new_browser())
    assert "Now use your passkey." in page.text
    assert "ackup code" not in page.text
    elsewhere = make_app(PUBLIC_URL="http://127.0.0.1:8000").test_client()
    page = fill(elsewhere, "/login/form", **LOGIN)
    assert "Your password is right. But your second factor does not work here" in page.text
    assert "/login/code" not in page.forms


def test_who_has_no_password_is_asked_for_none(alice, phone, users, app):  # noqa: F811
    add(alice, phone)
    user_id = alice.get(API + "/users/@me").json["id"]
    users.change(user_id, Change(set={"password_hash": ""}))
    alice.post("/login/passkey", json=by_passkey(alice, phone))
    page = show(alice, SECURITY)
    assert "Set password" in page.text
    assert page.field("/settings/security/password", "password") == []
    assert page.field("/settings/security/codes", "password") == []
    challenge = alice.post("/me/proof")
    prove(alice, phone, challenge)
    page = fill(alice, "/settings/security/password", new_password=NEW_PASSWORD)
    assert "Your password is changed." in page.text


def by_passkey(browser, authenticator):
    begun = browser.post("/login/passkey/start").json
    return {"ticket": begun["ticket"], "credential": authenticator.get(begun["challenge"])}


def prove(browser, authenticator, challenge):
    mfa = challenge.json["mfa"]
    data = authenticator.get(mfa["methods"][0]["challenge"])
    assert finish(browser, mfa, "webauthn", data).status_code == 200


def test_a_proof_is_asked_for_before_a_form_is_sent(alice, phone):  # noqa: F811
    """With a recent one nothing is asked; a login is none, since forms need more."""
    add(alice, phone)
    challenge = alice.post("/me/proof")
    assert (challenge.status_code, challenge.json["code"]) == (401, 60003)
    assert [method["type"] for method in challenge.json["mfa"]["methods"]] == ["webauthn", "backup"]
    prove(alice, phone, challenge)
    assert alice.post("/me/proof").status_code == 204


def test_an_answer_may_come_along(alice):  # noqa: F811
    assert alice.post("/me/proof", json={"password": "wrong password"}).json == {"error": "Password does not match."}
    assert alice.post("/me/proof", json={"password": PASSWORD}).status_code == 204


def test_another_sites_page_is_told_nothing_of_proofs(alice):  # noqa: F811
    assert alice.post("/me/proof", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("path", ["/login", "/settings/sessions", SECURITY])
def test_without_a_relying_party_no_page_speaks_of_passkeys(make_app, path):
    browser = make_app(PUBLIC_URL="http://127.0.0.1:8000").test_client()
    if path != "/login":
        fill(browser, "/register/form", email="alice@example.com", username="alice", password=PASSWORD)
    answer = browser.get(path)
    assert answer.status_code == 200
    assert "asskey" not in answer.text
    assert "relying-party" not in answer.text
    assert 'autocomplete="username"' in answer.text or path == "/settings/sessions"


def test_the_browser_is_told_which_passkeys_there_are(alice, phone):  # noqa: F811
    """So that it can forget the others. What it is told is the user's own."""
    add(alice, phone)
    [passkey] = alice.get(API + CREDENTIALS).json
    for path in ("/settings/sessions", SECURITY):
        assert f'data-ids="{passkey["cred_id"]}"' in alice.get(path).text
