"""Which language a page and a mail are in."""

import re

import pytest

from app.languages.choice import COOKIE
from tests.device import PASSWORD

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)

FORM = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.8"}


def language_of(answer):
    """What the page says of itself, twice the same."""
    [told] = re.findall('<html lang="([^"]*)" dir="ltr">', answer.text)
    assert answer.headers["Content-Language"] == told
    return told


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ({}, "en"),
        ({"Accept-Language": ""}, "en"),
        ({"Accept-Language": "de"}, "de"),
        (GERMAN, "de"),
        ({"Accept-Language": "en-US,de;q=0.5"}, "en"),
        ({"Accept-Language": "fr-FR,fr;q=0.9,de;q=0.5"}, "de"),
        ({"Accept-Language": "fr-FR"}, "en"),
        ({"Accept-Language": "*"}, "en"),
        ({"Accept-Language": "de;q=0"}, "en"),
        ({"Accept-Language": "\udcff;;q=x,"}, "en"),
        ({"Accept-Language": "../../../etc/passwd"}, "en"),
    ],
)
def test_a_visitor_is_spoken_to_as_the_browser_asks(app, header, language):
    answer = app.test_client().get("/login", headers=header)
    assert language_of(answer) == language
    assert {"Accept-Language", "Cookie"} <= set(answer.vary)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [("de", {}, "de"), ("en", GERMAN, "en"), ("xx", GERMAN, "de"), ("../de", {}, "en"), ("", GERMAN, "de")],
)
def test_what_was_chosen_in_a_browser_comes_before_what_it_asks_for(app, cookie, header, language):
    browser = app.test_client()
    browser.set_cookie(COOKIE, cookie)
    assert language_of(browser.get("/login", headers=header)) == language


def test_the_operators_language_is_for_who_asks_for_none(make_app):
    app = make_app(DEFAULT_LANGUAGE="de")
    assert language_of(app.test_client().get("/login")) == "de"
    assert language_of(app.test_client().get("/login", headers={"Accept-Language": "en"})) == "en"


def test_a_choice_without_an_account_lasts_in_this_browser(app):
    browser = app.test_client()
    answer = browser.post("/keyrack/language", data={"language": "de", "next": "/login?next=%2Fchat"})
    assert (answer.status_code, answer.location) == (303, "/login?next=%2Fchat")
    [cookie] = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith(f"{COOKIE}=de;")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert language_of(browser.get("/login")) == "de"
    assert language_of(app.test_client().get("/login")) == "en"


@pytest.mark.parametrize("language", ["", "xx", "../de", "de\n"])
def test_what_is_no_language_changes_nothing(app, language):
    answer = app.test_client().post("/keyrack/language", data={"language": language, "next": "//evil.example"})
    assert (answer.status_code, answer.location) == (303, "/settings/sessions")
    assert answer.headers.getlist("Set-Cookie") == []


def test_another_site_changes_nobodys_language(app):
    answer = app.test_client().post(
        "/keyrack/language", data={"language": "de"}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403
    assert answer.headers.getlist("Set-Cookie") == []


def test_a_choice_goes_with_the_user(app):
    """It counts in each browser where they are signed in, whatever that asks for; Bob is spoken to as before."""
    first, second, bob = (app.test_client() for _ in range(3))
    first.post("/register/form", data=FORM, headers={"Accept-Language": "en"})
    second.post("/login/form", data={"login": FORM["email"], "password": PASSWORD})
    bob.post("/register/form", data=FORM | {"email": "bob@example.com"})
    assert language_of(second.get("/settings/sessions", headers=GERMAN)) == "en"
    first.post("/keyrack/language", data={"language": "de"})
    for path in ("/settings/sessions", "/settings/security", "/settings/security/totp"):
        assert language_of(second.get(path, headers={"Accept-Language": "en"})) == "de"
        assert language_of(bob.get(path)) == "en"


def test_who_did_not_choose_is_spoken_to_as_the_browser_asks(app):
    """As users of the release before, whose record has no language."""
    browser = app.test_client()
    browser.post("/register/form", data=FORM, headers={"Accept-Language": "fr"})
    for header, language in ((GERMAN, "de"), ({"Accept-Language": "en"}, "en")):
        assert language_of(browser.get("/settings/security", headers=header)) == language


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/v9/auth/register", FORM), ("/register", FORM), ("/register/form", None)],
)
@pytest.mark.parametrize(
    ("header", "language"),
    [(GERMAN, "de"), ({"X-Discord-Locale": "de"}, "de"), ({"X-Discord-Locale": "en-GB", **GERMAN}, "en")],
)
def test_a_registration_notes_the_language(app, redis, path, body, header, language):
    if path == "/register":
        header = header | {"Origin": "http://localhost"}
    sent = {"json": body} if body else {"data": FORM}
    assert app.test_client().post(path, headers=header, **sent).status_code in (201, 303)
    [record] = [redis.hgetall(key) for key in redis.keys("user:*") if key.endswith("}")]
    assert record["language"] == language


def test_the_api_speaks_english(make_app):
    browser = make_app(DEFAULT_LANGUAGE="de").test_client()
    browser.post("/register/form", data=FORM, headers=GERMAN)
    for path in ("/api/v9/auth/login", "/login"):
        answer = browser.post(path, json={"login": "x", "password": "y"}, headers=GERMAN)
        assert "Login or password is invalid." in answer.text
    other = browser.application.test_client()
    other.environ_base["HTTP_USER_AGENT"] = ""
    other.post("/login", json={"login": FORM["email"], "password": PASSWORD}, headers=GERMAN)
    named = {session["deviceName"] for session in other.get("/me/sessions").json}
    assert named == {"Werkzeug", "Unknown device"}
    other.post("/logout")
    [ended] = browser.get("/me/sessions/ended", headers=GERMAN).json
    assert ended["explanation"] == "You logged out"


def test_the_language_is_in_the_copy_of_ones_data(app):
    browser = app.test_client()
    browser.post("/register", json=FORM, headers=GERMAN)
    assert browser.get("/me/data").json["account"]["language"] == "de"
