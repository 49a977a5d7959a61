"""Activity and the copy of one's data in a real Chromium, with scripts and without."""

import json
import os

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import FIREFOX, PIXEL
from tests.browser.test_ways import expect_accessible
from tests.device import PASSWORD

ACTIVITY, SECURITY = "/settings/activity", "/settings/security"


@pytest.fixture
def window(alice, new_window):
    return lambda **options: alice.sign_in(new_window(**options), FIREFOX)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_activity(alice, new_window, window, width, scheme):
    alice.enable_totp()
    visitor = new_window(user_agent=PIXEL)
    visitor.goto("/login")
    visitor.get_by_label("Email").fill(alice.email)
    visitor.get_by_label("Password").fill("wrong password")
    visitor.get_by_role("button", name="Log in", exact=True).click()
    expect(visitor.get_by_role("alert")).to_be_visible()
    shown = window(viewport={"width": width, "height": 800}, color_scheme=scheme)
    shown.goto("/settings/sessions")
    shown.get_by_role("link", name="Activity").click()
    refused = shown.locator("#activity li", has_text="Login refused: wrong password")
    expect(refused).to_contain_text("Chrome on a Pixel 7")
    expect(refused).to_contain_text("1 minute ago")
    expect(shown.locator("#activity")).to_contain_text("Authenticator app added")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    expect_accessible(shown)
    if folder := os.environ.get("LOOK_AT"):
        shown.screenshot(path=f"{folder}/activity-{width}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("has_scripts", [True, False])
def test_the_button_asks_for_a_proof_and_keeps_the_file(window, has_scripts):
    """The page stays. Within five minutes of the proof nothing is asked."""
    shown = window(java_script_enabled=has_scripts)
    shown.goto(SECURITY)
    download = shown.get_by_role("button", name="Download your data")
    if has_scripts:
        download.click()
        shown.locator("#ask-answer").fill(PASSWORD)
        go = shown.get_by_role("button", name="Continue")
    else:
        shown.locator("#data-answer").fill(PASSWORD)
        go = download
    with shown.expect_download() as kept:
        go.click()
    assert kept.value.suggested_filename == "keyrack-data.json"
    data = json.loads(kept.value.path().read_text(encoding="utf-8"))
    assert data["account"]["email"] == "alice@example.com"
    assert shown.url.endswith(SECURITY)
    shown.reload()
    with shown.expect_download():
        download.click()
    if has_scripts:
        expect_accessible(shown)
    if folder := os.environ.get("LOOK_AT"):
        shown.screenshot(path=f"{folder}/security-{has_scripts}.png", full_page=True)
