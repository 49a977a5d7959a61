"""Address and leaving on the Security page, in a real Chromium, with scripts and without."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import FIREFOX
from tests.browser.test_ways import expect_accessible
from tests.device import PASSWORD

SECURITY = "/settings/security"
LOOKS = [
    pytest.param({"color_scheme": scheme, "viewport": {"width": width, "height": 800}}, id=f"{scheme}-{width}")
    for scheme in ("light", "dark")
    for width in (360, 1280)
]


@pytest.mark.parametrize("look", LOOKS)
def test_an_address_that_was_asked_for_is_shown_until_it_is_given_up(alice, new_window, look):
    window = alice.sign_in(new_window(**look), FIREFOX)
    window.goto(SECURITY)
    section = window.get_by_role("region", name="Email address")
    section.get_by_label("Email").fill("ä@bücher.example")
    section.get_by_label("Password").fill(PASSWORD)
    section.get_by_role("button", name="Change address").click()
    expect(section).to_contain_text("You asked for ä@bücher.example.")
    expect_accessible(window)
    assert window.evaluate("document.documentElement.scrollWidth") <= look["viewport"]["width"]
    section.get_by_role("button", name="Keep my address").click()
    expect(section).not_to_contain_text("ä@bücher.example")
    expect(section).to_contain_text(f"You log in with {alice.email}.")


@pytest.mark.parametrize("has_scripts", [True, False])
@pytest.mark.parametrize("act", ["Disable account", "Delete account"])
def test_who_left_comes_back_by_a_tick_at_the_login(alice, new_window, act, has_scripts):
    """With a second factor on, leaving asks for it, and coming back too."""
    alice.enable_totp()
    window = alice.sign_in(new_window(java_script_enabled=has_scripts), FIREFOX)
    window.goto(SECURITY)
    section = window.get_by_role("region", name="Leave")
    section.get_by_label("Password").fill(PASSWORD)
    if has_scripts:
        section.get_by_role("button", name=act).click()
        window.locator("#ask-answer").fill(alice.backup_codes.pop())
        window.keyboard.press("Enter")
    else:
        section.get_by_label("Auth code or backup code").fill(alice.backup_codes.pop())
        section.get_by_role("button", name=act).click()
    expect(window).to_have_url(re.compile("/login"))
    expect(window.get_by_role("status")).to_contain_text(re.compile("[Tt]ick the box below when you log in"))
    if has_scripts:  # axe is one
        expect_accessible(window)

    tick = window.get_by_label("Take my disabled or deleted account back")
    expect(tick).to_be_checked()
    tick.uncheck()
    log_in(window, alice.email)
    expect(window.get_by_role("alert")).to_contain_text("Login or password is invalid")
    tick.check()
    log_in(window, alice.email)
    window.get_by_label(re.compile("code")).first.fill(alice.backup_codes.pop())
    window.get_by_role("button", name="Log in", exact=True).click()
    expect(window.get_by_role("heading", name="Devices")).to_be_visible()


def log_in(window, email):
    window.get_by_label("Email").fill(email)
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Log in", exact=True).click()


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_of_the_link_that_verifies(new_window, look):
    window = new_window(**look)
    window.goto("/verify")
    expect_accessible(window)
    window.get_by_label("Code from the mail").fill("x")
    window.get_by_role("button", name="Verify the address").click()
    expect(window.locator(".problem").first).to_be_visible()
    expect_accessible(window)
