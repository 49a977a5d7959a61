"""Every page in every language, as a whole."""

import re
from html import unescape

import pyotp
import pytest

from app.translations import FOLDER
from app.web.surfaces import PageBlueprint
from scripts.catalogues import read
from tests.device import PASSWORD

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)

GERMAN = {"Accept-Language": "de"}
FORM = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
IN_ENGLISH = {"docs.show_docs"}


@pytest.fixture(scope="module")
def english_only():
    """English texts of two words or more that German says in another way."""
    found = set()
    for message in read(FOLDER / "de/LC_MESSAGES/messages.po"):
        forms = message.id if isinstance(message.id, tuple) else (message.id,)
        translated = message.string if isinstance(message.string, tuple) else (message.string,)
        for form in forms:
            parts = re.split(r"%\(\w+\)s|\{\w+\}|<[^>]*>", form)
            found |= {part.strip() for part in parts if part.strip().count(" ") and part not in " ".join(translated)}
    return {text for text in found if re.search("[a-z]{3} [a-z]{2}", text)}


def shown(answer):
    """What a page shows, without the texts that its scripts may say later."""
    page = re.sub(r"<script.*?</script>", "", answer.text, flags=re.DOTALL)
    attributes = " ".join(re.findall(r'(?:aria-label|title|data-prove|placeholder|alt)="([^"]*)"', page))
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", page).split()) + " " + attributes)


def pages(app):
    """The paths of all pages that are opened by GET."""
    for rule in app.url_map.iter_rules():
        name = rule.endpoint.partition(".")[0]
        is_page = isinstance(app.blueprints.get(name), PageBlueprint) and rule.endpoint not in IN_ENGLISH
        if is_page and "GET" in rule.methods and "<" not in rule.rule:
            yield rule.rule


def assert_german(answer, english_only):
    assert answer.mimetype == "text/html", answer.request.path
    assert '<html lang="de" dir="ltr">' in answer.text, answer.request.path
    text = shown(answer)
    assert [english for english in english_only if english in text] == [], answer.request.path


def test_every_page_is_german_for_a_visitor(app, english_only):
    opened = set()
    for path in pages(app):
        answer = app.test_client().get(path, headers=GERMAN, follow_redirects=True)
        assert_german(answer, english_only)
        opened.add(answer.request.path)
    assert len(opened) >= 6


@pytest.mark.parametrize("mfa", [False, True])
def test_every_page_is_german_for_a_user(app, clock, english_only, mfa):
    browser = app.test_client()
    assert browser.post("/register/form", data=FORM, headers=GERMAN).status_code == 303
    other = app.test_client()
    other.environ_base["HTTP_USER_AGENT"] = ""
    other.post("/login/form", data={"login": FORM["email"], "password": PASSWORD})
    other.post("/logout/form")
    other.post("/login/form", data={"login": FORM["email"], "password": "wrong password"})
    if mfa:
        page = browser.get("/settings/security/totp").text
        [secret] = re.findall('name="secret" value="(.*?)"', page)
        code = pyotp.TOTP(secret).at(int(clock()))
        codes = browser.post("/settings/security/totp", data={"secret": secret, "password": PASSWORD, "code": code})
        assert_german(codes, english_only)
    clock.advance(400)  # what was proved by then is not any more
    opened = set()
    for path in pages(app):
        # The language of the user on their own pages; on all others, as the browser asks.
        answer = browser.get(path, follow_redirects=True, headers={} if path.startswith("/settings") else GERMAN)
        assert_german(answer, english_only)
        opened.add(answer.request.path)
    assert opened >= {"/settings/sessions", "/settings/security", "/settings/activity"}


@pytest.mark.parametrize(
    ("path", "form", "said"),
    [
        ("/login/form", {}, "Dieses Feld darf nicht leer sein"),
        ("/login/form", {"login": "x", "password": "y"}, "E-Mail-Adresse oder Passwort ist falsch."),
        ("/login/code", {"ticket": "x", "code": "123456"}, "Das hat zu lange gedauert"),
        ("/register/form", FORM | {"password": "password123"}, "Dieses Passwort ist zu schwach"),
        ("/register/form", FORM | {"password": "x"}, "Bitte 8 bis 72 Zeichen."),
        ("/register/form", FORM | {"email": "x"}, "Das ist keine gültige E-Mail-Adresse."),
        ("/register/form", FORM | {"username": " x "}, "Unsichtbare Zeichen und Leerzeichen am Rand"),
        ("/reset/form", {"token": "x", "password": "correct horse"}, "Dieser Link ist abgelaufen"),
        ("/revert/form", {"token": "x", "password": "correct horse"}, "Dieser Link ist abgelaufen"),
        ("/not-me/form", {"token": "x"}, "Dieser Link ist abgelaufen"),
        ("/forgot/form", {"login": "ada@example.com"}, "Wenn es ein Konto mit dieser Adresse gibt"),
    ],
)
def test_what_is_wrong_with_a_form_is_said_in_german(app, english_only, path, form, said):
    answer = app.test_client().post(path, data=form, headers=GERMAN)
    assert_german(answer, english_only)
    assert said in shown(answer)


def test_a_limit_is_told_in_german(make_app, english_only):
    app = make_app(RATE_LIMIT_LOGIN_ADDRESS="1 per 15 minutes")
    for _ in range(2):
        answer = app.test_client().post("/login/form", data={"login": "x", "password": "y"}, headers=GERMAN)
    assert_german(answer, english_only)
    assert re.search(r"Zu viele Versuche\. Bitte versuch es in 1[456] Minuten wieder\.", shown(answer))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_page_that_is_not_there_says_so_in_german(app, english_only, method):
    answer = app.test_client().open("/login/nowhere", method=method, headers=GERMAN)
    assert answer.status_code == 404
    assert_german(answer, english_only)
