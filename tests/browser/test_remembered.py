"""Remembered devices and public computers in a real Chromium, with scripts and without."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import FIREFOX
from tests.browser.test_passkeys import (  # noqa: F401 - fixtures
    Reader,
    add_first_passkey,
    button,
    guarded,
    heading,
    laptop,
    log_in_by_password,
    log_out,
    notice,
    reader,
)
from tests.browser.test_ways import expect_accessible
from tests.device import PASSWORD

DEVICES = "/settings/sessions"
SECURITY = "/settings/security"
TICK = "Don’t ask for a code on this device for 30 days"


def remembered(window: Page):
    return window.locator("section", has=heading(window, "Remembered devices"))


def log_in_with_code(window: Page, alice, *, remember: bool) -> None:
    log_in_by_password(window, alice.email)
    window.get_by_label("Auth code or backup code").fill(alice.backup_codes.pop())
    window.get_by_label(TICK).set_checked(remember)
    button(window, "Log in").click()
    expect(heading(window, "Devices")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("has_scripts", "width"), [(True, 1280), (False, 360)])
def test_a_device_is_remembered_used_and_forgotten(alice, new_window, has_scripts, width, scheme):
    """The tick stays after a wrong code. Without scripts the pages do the same."""
    alice.enable_totp()
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    window = new_window(java_script_enabled=has_scripts, **look)
    log_in_by_password(window, alice.email)
    window.get_by_label(TICK).check()
    if has_scripts:
        expect_accessible(window)
    window.get_by_label("Auth code or backup code").fill("00000000")
    button(window, "Log in").click()
    expect(window.locator("#code-problem")).to_contain_text("wrong")
    expect(window.get_by_label(TICK)).to_be_checked()
    window.get_by_label("Auth code or backup code").fill(alice.backup_codes.pop())
    button(window, "Log in").click()
    expect(heading(window, "Devices")).to_be_visible()
    [cookie] = [kept for kept in window.context.cookies() if kept["name"] == "__Host-remembered"]
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")

    log_out(window)
    log_in_by_password(window, alice.email)
    expect(heading(window, "Devices")).to_be_visible()
    expect(window.get_by_text("opened with a password and a remembered device")).to_be_visible()
    window.goto(SECURITY)
    expect(remembered(window).get_by_role("listitem")).to_have_count(1)
    expect(remembered(window)).to_contain_text("This device")
    if has_scripts:
        expect_accessible(window)
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    button(window, "Forget all").click() if has_scripts else remembered(window).get_by_role(
        "button", name=re.compile("^Forget .* on ")
    ).click()
    expect(notice(window)).to_contain_text("second factor again")
    expect(remembered(window)).to_contain_text("None.")
    log_out(window)
    log_in_by_password(window, alice.email)
    expect(heading(window, "Enter Auth Code")).to_be_visible()


def test_a_device_whose_second_factor_is_a_passkey_is_remembered_too(alice, guarded, reader):  # noqa: F811
    """The tick stands above both ways to answer, and counts for the passkey as well."""
    log_out(guarded)
    log_in_by_password(guarded, alice.email)
    guarded.get_by_label(TICK).check()
    expect_accessible(guarded)
    with reader.touched():
        button(guarded, "Use a passkey").click()
        expect(heading(guarded, "Devices")).to_be_visible()
    log_out(guarded)
    log_in_by_password(guarded, alice.email)
    expect(heading(guarded, "Devices")).to_be_visible()


def test_a_public_computer_is_not_remembered_and_says_when_it_ends(alice, new_window):
    """The list has the time in the reader's own zone."""
    alice.enable_totp()
    window = new_window(timezone_id="Asia/Kolkata")
    window.goto("/login")
    window.get_by_label("Email").fill(alice.email)
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_label("This is a public or shared computer").check()
    button(window, "Log in").click()
    expect(heading(window, "Enter Auth Code")).to_be_visible()
    expect(window.get_by_label(TICK)).to_have_count(0)
    window.get_by_label("Auth code or backup code").fill(alice.backup_codes.pop())
    button(window, "Log in").click()
    expect(heading(window, "Devices")).to_be_visible()
    assert {kept["name"] for kept in window.context.cookies()} == {"__Host-session"}
    until = window.locator(".current .until")
    expect(until).to_have_text(re.compile("^[0-9]{1,2}:[0-9]{2}( [AP]M)?$"))
    expect(window.locator(".current .when")).to_contain_text("Public computer, ends by ")
    minutes = until.evaluate("time => new Date(time.dateTime).getUTCMinutes()")
    shown = until.inner_text()
    assert int(re.findall(":([0-9]{2})", shown)[0]) == (minutes + 30) % 60
    expect_accessible(window)


def test_other_devices_see_it_too(alice, new_window):
    alice.enable_totp()
    tablet = alice.sign_in(new_window(), FIREFOX)
    window = new_window()
    log_in_with_code(window, alice, remember=True)
    tablet.goto(SECURITY)
    expect(remembered(tablet).get_by_role("listitem")).to_have_count(1)
    expect(remembered(tablet)).not_to_contain_text("This device")
    remembered(tablet).get_by_role("button", name=re.compile("^Forget .* on ")).click()
    expect(notice(tablet)).to_have_text("That device asks for your second factor again.")
    log_out(window)
    log_in_by_password(window, alice.email)
    expect(heading(window, "Enter Auth Code")).to_be_visible()
