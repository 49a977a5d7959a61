"""The pages in German, as a browser and its scripts show them."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import FIREFOX, IPAD
from tests.device import PASSWORD

DEVICES = "/settings/sessions"
SECURITY = "/settings/security"


def expect_accessible(window):
    window.wait_for_load_state()
    results = Axe().run(window)
    assert results.violations_count == 0, results.generate_report()


def test_devices_are_renamed_and_logged_out_in_german(alice, new_window):
    """Plurals, the question for the password, and what is wrong with an answer."""
    window = alice.sign_in(new_window(locale="de-AT"), FIREFOX)
    for _ in range(2):
        alice.sign_in(new_window(user_agent=IPAD), IPAD)
    alice.leave_first()
    window.goto(DEVICES)
    expect(window).to_have_title("Geräte · Keyrack")
    assert re.search(r"\d{1,2}\. \w+ \d{4}", window.locator("time").first.get_attribute("title"))
    window.get_by_role("button", name="Safari auf iPad umbenennen").first.click()
    window.get_by_label("Name").fill("Küchentablet")
    window.get_by_role("button", name="Speichern").click()
    expect(window.get_by_role("status")).to_have_text("Das Gerät heißt jetzt „Küchentablet“.")
    window.get_by_label("auswählen").first.check()
    expect(window.locator("#selected")).to_have_text("1 Sitzung beenden")
    window.get_by_label("auswählen").last.check()
    window.get_by_role("button", name="2 Sitzungen beenden").click()
    question = window.get_by_role("dialog")
    expect(question.get_by_role("heading")).to_have_text("Passwort eingeben, um 2 Sitzungen zu beenden")
    window.locator("#ask-answer").fill("wrong password")
    window.keyboard.press("Enter")
    expect(window.locator("#ask-problem")).to_have_text("Das Passwort ist falsch.")
    window.locator("#ask-answer").fill(PASSWORD)
    question.get_by_role("button", name="Beenden").click()
    expect(window.get_by_role("status")).to_have_text("2 Sitzungen sind beendet.")
    expect(window.get_by_text("Du bist sonst nirgends angemeldet.")).to_be_visible()


def test_a_change_that_needs_a_code_asks_in_german(alice, new_window):
    alice.enable_totp()
    window = alice.sign_in(new_window(locale="de"), FIREFOX)
    window.goto(SECURITY)
    window.get_by_role("button", name="Ausschalten").click()
    expect(window.get_by_role("dialog").get_by_role("heading")).to_have_text(
        "Bestätigungscode eingeben, um deine Authenticator-App auszuschalten"
    )
    window.get_by_role("button", name="Stattdessen einen Sicherungscode verwenden").click()
    window.locator("#ask-answer").fill("wrong")
    window.keyboard.press("Enter")
    expect(window.locator("#ask-problem")).to_contain_text("Dieser Code ist falsch")
    window.locator("#ask-answer").fill(alice.backup_codes.pop())
    window.keyboard.press("Enter")
    expect(window.get_by_role("status")).to_have_text("Die Zwei-Faktor-Authentifizierung ist aus.")


def test_the_language_is_chosen_on_the_page(alice, new_window):
    """On every page of this user then, in each browser; on the login page, where it was chosen."""
    window = alice.sign_in(new_window(), FIREFOX)
    other = alice.sign_in(new_window(user_agent=IPAD), IPAD)
    window.goto(SECURITY)
    window.get_by_role("button", name="Deutsch").click()
    expect(window).to_have_url(re.compile(f"{SECURITY}$"))
    expect(window.get_by_role("heading", level=1)).to_have_text("Sicherheit")
    other.goto(DEVICES)
    expect(other.get_by_role("heading", level=1)).to_have_text("Geräte")
    window.get_by_role("button", name="Abmelden").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Anmelden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_in_german(alice, new_window, scheme, width):
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "locale": "de"}
    visitor = new_window(**look)
    for path in ("/login", "/register", "/forgot", "/reset"):
        visitor.goto(path)
        expect_accessible(visitor)
    window = alice.sign_in(new_window(**look), FIREFOX)
    alice.sign_in(new_window(user_agent=IPAD), IPAD)
    for path in (DEVICES, SECURITY, "/settings/activity", "/settings/security/totp"):
        window.goto(path)
        expect_accessible(window)
        assert window.evaluate("document.documentElement.scrollWidth") <= width
