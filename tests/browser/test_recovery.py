"""The ways that begin with a mail: the links in it, followed in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from app.stores.mail import new_notice_id
from tests.browser.conftest import FIREFOX, IPAD
from tests.browser.test_ways import expect_accessible

NEW_PASSWORD = "another horse battery"


def test_forgot_is_found_from_the_login_page(alice, new_window):
    window = new_window()
    window.goto("/login")
    window.get_by_role("link", name="Forgot your password?").click()
    expect_accessible(window)
    window.get_by_label("Email").fill(alice.email)
    window.get_by_role("button", name="Send the link").click()
    expect(window.get_by_role("status")).to_contain_text("If there is an account")
    expect_accessible(window)


def test_a_new_password_by_link(alice, new_window, reset_link):
    """The secret leaves the address at once; a refused password keeps it; a used link says so."""
    old = alice.sign_in(new_window(), FIREFOX)
    window, link = new_window(), reset_link()
    window.goto(link)
    expect(window).to_have_url(re.compile("/reset$"))
    expect(window.get_by_label("Code from the mail")).to_be_hidden()
    expect_accessible(window)
    window.get_by_label("New password").fill("password123")
    window.get_by_role("button", name="Set password").click()
    expect(window.locator("#password-problem")).to_contain_text("too weak")
    expect(window.get_by_label("Code from the mail")).to_be_hidden()
    window.get_by_label("New password").fill(NEW_PASSWORD)
    window.get_by_role("button", name="Set password").click()
    expect(window.get_by_text("Your password is changed.")).to_be_visible()
    old.goto("/settings/sessions")
    expect(old).to_have_url(re.compile("/login"))

    other = new_window()
    other.goto(link)
    other.get_by_label("New password").fill("one more horse battery")
    other.get_by_role("button", name="Set password").click()
    expect(other.locator("#token-problem")).to_contain_text("expired or was used")
    expect_accessible(other)
    other.goto(reset_link())  # a newer link, followed in the same tab
    expect(other.get_by_label("Code from the mail")).to_be_hidden()


def test_a_new_password_by_link_with_a_second_factor(alice, new_window, reset_link):
    alice.enable_totp()
    window = new_window()
    window.goto(reset_link())
    window.get_by_label("New password").fill(NEW_PASSWORD)
    window.get_by_role("button", name="Set password").click()
    expect(window.get_by_role("heading", name="Enter Auth Code")).to_be_visible()
    expect_accessible(window)
    window.get_by_label("Auth code or backup code").fill("000000")
    window.get_by_role("button", name="Set password").click()
    expect(window.locator(".problem")).to_contain_text("wrong")
    window.get_by_label("Auth code or backup code").fill(alice.backup_codes.pop())
    window.get_by_role("button", name="Set password").click()
    expect(window.get_by_text("Your password is changed.")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_this_wasnt_me(alice, new_window, services, javascript):
    """Without JavaScript the code is copied from the mail by hand."""
    tablet, own = alice.sign_in(new_window(), IPAD), alice.sign_in(new_window(), FIREFOX)
    user_id = services.accounts.id_of(alice.email)
    session = next(held for held in services.devices.list(user_id) if held.client.platform == "Mobile Safari")
    secret = services.links.issue_not_me(user_id, session.id_hash, new_notice_id())
    window = new_window(java_script_enabled=javascript)
    window.goto("/not-me#" + secret)
    if javascript:
        expect_accessible(window)
    else:
        window.get_by_label("Code from the mail").fill(secret)
    tablet.goto("/settings/sessions")
    expect(tablet.get_by_role("heading", name="Devices")).to_be_visible()
    window.get_by_role("button", name="Log that device out").click()
    expect(window.get_by_role("heading", name="That device is logged out")).to_be_visible()
    tablet.goto("/settings/sessions")
    expect(tablet).to_have_url(re.compile("/login"))
    own.goto("/settings/sessions")
    expect(own.get_by_role("heading", name="Devices")).to_be_visible()
    window.get_by_role("link", name="Set a new password").click()
    expect(window.get_by_label("Email")).to_be_visible()


def test_whoever_has_no_link_is_asked_for_its_code(new_window):
    window = new_window()
    window.goto("/reset")
    expect(window.get_by_label("Code from the mail")).to_be_visible()
