"""The ways of different people: without JavaScript, with a screen reader, on small and large screens."""

import re

import pyotp
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import FIREFOX, IPAD
from tests.device import PASSWORD

DEVICES = "/settings/sessions"
NEW_PASSWORD = "another horse battery"


def log_in(window: Page, email: str) -> None:
    window.goto(DEVICES)
    window.get_by_label("Email").fill(email)
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Log in", exact=True).click()


def set_up_totp(window: Page) -> str:
    window.goto("/settings/security")
    window.get_by_role("link", name="Turn on").click()
    secret = window.locator(".secret").inner_text().replace(" ", "").replace("\n", "")
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_label("Auth code").fill(pyotp.TOTP(secret).now())
    window.get_by_role("button", name="Turn on").click()
    expect(window.get_by_role("heading", name="Two-factor authentication is on")).to_be_visible()
    return secret


def answer_with_backup_code(window: Page, code: str) -> None:
    window.get_by_role("button", name="Use a backup code instead").click()
    window.locator("#ask-answer").fill(code)
    window.keyboard.press("Enter")


def test_from_registration_to_log_out(service, new_window, earlier):
    """In a browser that begins with nothing; its cookie is never in a script's reach."""
    window = new_window()
    window.goto("/")
    window.get_by_role("link", name="Register").click()
    window.get_by_label("Email").fill("carol@example.com")
    window.get_by_label("Username").fill("carol")
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Register").click()
    expect(window.get_by_role("heading", name="Devices")).to_be_visible()
    assert window.evaluate("document.cookie") == ""
    window.get_by_role("button", name="Log out", exact=True).click()
    expect(window).to_have_url(service.url + "/login")
    assert window.context.cookies() == []
    window.goto(DEVICES)
    expect(window.get_by_role("button", name="Log in", exact=True)).to_be_visible()


@pytest.mark.parametrize("has_scripts", [True, False])
def test_a_double_click_leaves_one_session(new_window, earlier, has_scripts):
    """At a registration and a login; with scripts the form is sent once, without them the first session ends."""
    window = new_window(java_script_enabled=has_scripts)
    window.goto("/register")
    window.get_by_label("Email").fill("carol@example.com")
    window.get_by_label("Username").fill("carol")
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Register").dblclick()
    expect(window.get_by_role("heading", name="Devices")).to_be_visible()
    expect(window.get_by_text("You are logged in nowhere else.")).to_be_visible()

    other = new_window(java_script_enabled=has_scripts)
    other.goto("/login")
    other.get_by_label("Email").fill("carol@example.com")
    other.get_by_label("Password").fill(PASSWORD)
    other.get_by_role("button", name="Log in", exact=True).dblclick()
    expect(other.get_by_role("heading", name="Devices")).to_be_visible()
    expect(other.locator(".pick")).to_have_count(1)


def test_logging_out_leaves_the_storage_of_the_origin(service, alice, new_window):
    """It may be the application's; and no browser complains of what it is asked to clear."""
    window = new_window()
    log_in(window, alice.email)
    window.evaluate("localStorage.setItem('draft', 'of the application')")
    window.get_by_role("button", name="Log out", exact=True).click()
    expect(window).to_have_url(service.url + "/login")
    assert window.context.cookies() == []
    assert window.evaluate("localStorage.getItem('draft')") == "of the application"


def reopened(window: Page, new_window) -> Page:
    """A window of the same browser after it was closed and opened again: it has only what is kept."""
    state = window.context.storage_state()
    kept = [cookie for cookie in state["cookies"] if cookie["expires"] > 0]
    return new_window(storage_state={"cookies": kept, "origins": state["origins"]})


@pytest.mark.parametrize("is_public", [False, True])
def test_a_closed_browser_stays_signed_in_unless_it_is_a_public_one(alice, new_window, is_public):
    window = new_window()
    window.goto(DEVICES)
    window.get_by_label("Email").fill(alice.email)
    window.get_by_label("Password").fill(PASSWORD)
    if is_public:
        window.get_by_label("This is a public or shared computer").check()
    window.get_by_role("button", name="Log in", exact=True).click()
    expect(window.get_by_role("heading", name="Devices")).to_be_visible()
    again = reopened(window, new_window)
    again.goto(DEVICES)
    expect(again.get_by_role("heading", name="Log in" if is_public else "Devices")).to_be_visible()


def test_an_address_is_sent_as_it_was_typed(new_window, earlier):
    """A browser's own email field would send another domain for one with \u00df, and refuses \u00e4@."""
    window = new_window()
    window.goto("/register")
    window.get_by_label("Email").fill("m\u00e4a@stra\u00dfe.example")
    window.get_by_label("Username").fill("mia")
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Register").click()
    expect(window.get_by_role("heading", name="Devices")).to_be_visible()
    window.goto("/settings/security")
    expect(window.get_by_text("Mail goes to m\u00e4a@xn--strae-oqa.example")).to_be_visible()


def test_the_second_factor_from_beginning_to_end(alice, new_window):
    """Set up with a picture, codes copied and downloaded, asked for at login, renewed, turned off."""
    window = alice.sign_in(new_window(permissions=["clipboard-read", "clipboard-write"]), FIREFOX)
    set_up_totp(window)
    codes = window.locator("#codes code").all_inner_texts()
    assert len(codes) == 10
    window.get_by_role("button", name="Copy").click()
    expect(window.get_by_role("status")).to_have_text("Copied.")
    assert window.evaluate("navigator.clipboard.readText()").split() == codes
    with window.expect_download() as download:
        window.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "keyrack-backup-codes.txt"
    assert download.value.path().read_text().split() == codes
    window.get_by_role("link", name="I have kept them").click()

    other = new_window()
    log_in(other, alice.email)
    other.get_by_label("Auth code or backup code").fill(codes[0])
    other.get_by_role("button", name="Log in", exact=True).click()
    expect(other.get_by_role("heading", name="Devices")).to_be_visible()

    window.locator("#codes-password").fill(PASSWORD)
    window.get_by_role("button", name="Make new backup codes").click()
    answer_with_backup_code(window, codes[1])
    expect(window.get_by_role("heading", name="Your new backup codes")).to_be_visible()
    fresh = window.locator("#codes code").all_inner_texts()
    assert len(fresh) == 10
    assert not set(fresh) & set(codes)
    window.get_by_role("link", name="I have kept them").click()
    window.get_by_role("button", name="Turn off").click()
    answer_with_backup_code(window, fresh[0])  # the proof went with the codes that it was earned with
    expect(window.get_by_role("status").first).to_have_text("Two-factor authentication is off.")


def test_codes_that_may_not_be_copied_are_selected(alice, new_window):
    window = alice.sign_in(new_window(), FIREFOX)
    set_up_totp(window)
    window.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    window.get_by_role("button", name="Copy").click()
    expect(window.get_by_role("status")).to_contain_text("copy them by hand")
    codes = window.locator("#codes code").all_inner_texts()
    assert all(code in window.evaluate("getSelection().toString()") for code in codes)


def test_a_field_with_a_problem_is_described(new_window):
    window = new_window()
    window.goto("/login")
    field = window.get_by_label("Email")
    field.evaluate("field => field.form.noValidate = true")
    window.get_by_role("button", name="Log in", exact=True).click()
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-describedby", "login-problem")


def test_a_password_change_signs_the_others_out(alice, new_window):
    window, other = alice.sign_in(new_window(), FIREFOX), alice.sign_in(new_window(user_agent=IPAD), IPAD)
    window.goto("/settings/security")
    window.get_by_label("Current password").fill(PASSWORD)
    window.get_by_label("New password").fill(NEW_PASSWORD)
    window.get_by_role("button", name="Change password").click()
    expect(window.get_by_role("status")).to_contain_text("Your password is changed.")
    other.goto(DEVICES)
    expect(other.get_by_role("status")).to_contain_text("Your password was changed on another device")


def test_a_pasted_password_is_never_cut(service, new_window, earlier):
    """A browser that cuts it would keep another password than the one in its owner's safe."""
    window = new_window()
    window.goto("/register")
    window.get_by_label("Email").fill("carol@example.com")
    window.get_by_label("Username").fill("carol")
    window.get_by_label("Password").focus()
    window.keyboard.insert_text("long " * 20)
    expect(window.get_by_label("Password")).to_have_value("long " * 20)
    window.get_by_role("button", name="Register").click()
    expect(window.locator("#password-problem")).to_contain_text("72")


@pytest.mark.parametrize("by", ["password", "backup code"])
def test_without_javascript(alice, new_window, by):
    """Log in, with the code where one is asked for, and end a session, with the question on a page of its own."""
    tablet = alice.sign_in(new_window(user_agent=IPAD), IPAD)
    if by == "backup code":
        alice.enable_totp()
    window = new_window(java_script_enabled=False)
    log_in(window, alice.email)
    if by == "backup code":
        window.get_by_label("Auth code or backup code").fill(alice.backup_codes.pop())
        window.get_by_role("button", name="Log in", exact=True).click()
    window.get_by_role("checkbox", name="Safari on iPad").check()
    window.get_by_role("button", name="Log Out Selected Sessions").click()
    expect(window.get_by_role("status").first).to_have_text("1 session is logged out.")
    tablet.goto(DEVICES)
    expect(tablet).to_have_url(re.compile("/login"))

    old = alice.sign_in(new_window(java_script_enabled=False), FIREFOX)
    old.goto(DEVICES)
    expect(old.locator(".rename").first).to_be_hidden()
    old.get_by_role("button", name="Log Out All Other Sessions").click()
    label = "Password" if by == "password" else "Auth code or backup code"
    old.get_by_label(label).fill("wrong")
    old.get_by_role("button", name="Log Out").click()
    expect(old.locator("#answer-problem")).to_be_visible()
    old.get_by_label(label).fill(PASSWORD if by == "password" else alice.backup_codes.pop())
    old.get_by_role("button", name="Log Out").click()
    expect(old.get_by_text("You are logged in nowhere else.")).to_be_visible()
    window.goto(DEVICES)
    expect(window).to_have_url(re.compile("/login"))


def expect_accessible(window: Page, **context) -> None:
    """context: what of the page axe is to look at, in its words; all of it, if nothing is said"""
    window.wait_for_load_state()  # a page that a form led to can be in sight before its stylesheet is
    results = Axe().run(window, context or None)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(alice, new_window, scheme, width):
    """Every page, and each state that the Devices page has."""
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    visitor = new_window(**look)
    for path in ("/login", "/register"):
        visitor.goto(path)
        expect_accessible(visitor)
    visitor.get_by_label("Email").fill(alice.email)
    visitor.get_by_label("Username").fill("alice")
    visitor.get_by_label("Password").fill("password123")
    visitor.get_by_role("button", name="Register").click()
    expect(visitor.locator(".problem").first).to_be_visible()
    expect_accessible(visitor)

    window = alice.sign_in(new_window(**look), FIREFOX)
    alice.sign_in(new_window(user_agent=IPAD), IPAD)
    window.goto(DEVICES)
    expect_accessible(window)
    window.locator(".pick input").first.check()
    expect_accessible(window)
    window.get_by_role("button", name="Rename").first.click()
    expect_accessible(window)
    window.keyboard.press("Escape")
    window.locator("#all").click()
    window.locator("#ask-answer").fill("wrong password")
    window.keyboard.press("Enter")
    expect(window.locator("#ask-problem")).to_have_text("Password does not match.")
    expect_accessible(window)
    window.locator("#ask-answer").fill(PASSWORD)
    window.keyboard.press("Enter")
    expect(window.get_by_text("You are logged in nowhere else.")).to_be_visible()
    expect_accessible(window)

    window.goto("/settings/security")
    expect_accessible(window)
    window.goto("/settings/security/totp")
    expect_accessible(window)
    set_up_totp(window)
    expect_accessible(window)
    window.context.clear_cookies(name="__Secure-recent_mfa")
    window.goto("/settings/security")
    window.get_by_role("button", name="Turn off").click()
    window.locator("#ask-answer").fill("000000")
    window.keyboard.press("Enter")
    expect(window.locator("#ask-problem")).to_contain_text("wrong")
    expect_accessible(window)
    log_in(visitor, alice.email)
    expect(visitor.get_by_role("heading", name="Enter Auth Code")).to_be_visible()
    expect_accessible(visitor)


@pytest.mark.parametrize("width", [320, 360, 414, 640, 768, 1280, 1920])
def test_nothing_is_wider_than_the_window(alice, new_window, width):
    """640 is a window of 1280 at 200 % zoom."""
    window = alice.sign_in(new_window(viewport={"width": width, "height": 800}), FIREFOX)
    other = alice.sign_in(new_window(), "x" * 64)
    other.goto(DEVICES)
    for path in (DEVICES, "/settings/security", "/settings/security/totp", "/register"):
        window.goto(path)
        assert window.evaluate("document.documentElement.scrollWidth") <= width
    window.goto(DEVICES)
    for button in window.locator("button:visible").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["height"] >= 24, "large enough for a finger"


def test_motion_is_left_out_where_it_is_not_wanted(alice, new_window):
    durations = []
    for wish in ("no-preference", "reduce"):
        window = alice.sign_in(new_window(reduced_motion=wish), FIREFOX)
        window.goto(DEVICES)
        durations.append(
            window.locator("button:visible").first.evaluate("part => getComputedStyle(part).transitionDuration")
        )
    assert set(durations[0].split(", ")) != {"0s"}
    assert set(durations[1].split(", ")) == {"0s"}


def test_times_are_exact_on_hover(alice, new_window):
    window = alice.sign_in(new_window(timezone_id="Asia/Tokyo", locale="en-GB"), FIREFOX)
    window.goto(DEVICES)
    used = window.locator("time").first
    expect(used).to_have_text("less than an hour ago")
    written = "part => new Date(part.dateTime).toLocaleString('en-GB', {dateStyle: 'long', timeStyle: 'short'})"
    assert used.get_attribute("title") == used.evaluate(written)
