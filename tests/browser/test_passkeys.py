"""Passkeys in a real Chromium. Its developer tools have a virtual authenticator, in place of a fingerprint reader."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyotp
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import FIREFOX, IPAD
from tests.browser.test_ways import expect_accessible, log_in
from tests.device import PASSWORD
from tests.servers import wait_until

DEVICES = "/settings/sessions"
SECURITY = "/settings/security"
NEW_PASSWORD = "another horse battery"

# A request that the login page makes by itself is answered as soon as a finger is there, and the button comes too late.
OFFERS_NONE = "if (!sessionStorage.offers) delete PublicKeyCredential.isConditionalMediationAvailable"


class Reader:
    """The authenticator of one window. It answers nothing that is asked while no finger lies on it."""

    def __init__(self, window: Page, *, knows_fingers: bool = True) -> None:
        window.add_init_script(OFFERS_NONE)
        self._cdp = window.context.new_cdp_session(window)
        self._cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": knows_fingers,
            "isUserVerified": knows_fingers,
        }
        made = self._cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self._id = made["authenticatorId"]
        self._send("setAutomaticPresenceSimulation", enabled=False)

    def _send(self, what: str, **options):
        return self._cdp.send(f"WebAuthn.{what}", {"authenticatorId": self._id} | options)

    @property
    def passkeys(self) -> list:
        return self._send("getCredentials")["credentials"]

    def keep(self, passkeys: list) -> None:
        for passkey in passkeys:
            self._send("addCredential", credential=passkey)

    @contextmanager
    def touched(self) -> Iterator[None]:
        """A finger lies on it: what is asked from now on is answered at once. What was asked before goes on waiting."""
        self._send("setAutomaticPresenceSimulation", enabled=True)
        yield
        self._send("setAutomaticPresenceSimulation", enabled=False)

    def know_finger(self, does: bool) -> None:
        """What it does not know is refused, as when somebody cancels."""
        self._send("setUserVerified", isUserVerified=does)


def button(window: Page, name: str) -> Locator:
    return window.get_by_role("button", name=name, exact=True)


def dialog(window: Page) -> Locator:
    return window.get_by_role("dialog")


def notice(window: Page) -> Locator:
    return window.locator("main > .notice")


def heading(window: Page, name: str) -> Locator:
    return window.get_by_role("heading", name=name, exact=True)


def type_answer(window: Page, answer: str) -> None:
    window.locator("#ask-answer").fill(answer)
    window.locator("#ask-go").click()


def begin_adding(window: Page, name: str | None = None) -> None:
    window.goto(SECURITY)
    button(window, "Add a passkey").click()
    if name:
        window.get_by_label("Name", exact=True).fill(name)
    button(window, "Continue").click()


def add_first_passkey(window: Page, reader: Reader) -> list[str]:
    """Add a passkey in a window that asks for the password. Return the backup codes."""
    begin_adding(window)
    expect(dialog(window)).to_have_accessible_name("Enter Password to Add a Passkey")
    with reader.touched():
        type_answer(window, PASSWORD)
        expect(heading(window, "Two-factor authentication is on")).to_be_visible()
    codes = window.locator("#codes code").all_inner_texts()
    window.get_by_role("link", name="I have kept them").click()
    expect(heading(window, "Security")).to_be_visible()
    return codes


def log_out(window: Page) -> None:
    button(window, "Log out").click()
    expect(heading(window, "Log in")).to_be_visible()


def let_offer(window: Page) -> None:
    """Let the login page offer passkeys in its form."""
    window.evaluate("sessionStorage.offers = 'yes'")


@contextmanager
def offered(window: Page) -> Iterator[None]:
    """Wait until the login page that is opened here has offered passkeys in its form."""
    with window.expect_response("**/login/passkey/start") as started:
        yield
    started.value.finished()
    window.evaluate("0")  # what follows the answer has run
    expect(heading(window, "Log in")).to_be_visible()


def log_in_by_button(window: Page, reader: Reader) -> None:
    with reader.touched():
        button(window, "Log in with a passkey").click()
        expect(heading(window, "Devices")).to_be_visible()


def log_in_by_password(window: Page, email: str, password: str = PASSWORD) -> None:
    window.goto("/login")
    window.get_by_label("Email").fill(email)
    window.get_by_label("Password").fill(password)
    button(window, "Log in").click()


def said_at_login(window: Page) -> Locator:
    return window.locator("#passkey-said")


def shown_passkeys(window: Page) -> list[str]:
    return window.locator("#passkeys h3").all_inner_texts()


@pytest.fixture
def laptop(alice, new_window):
    """Alice signed in here ten minutes ago."""
    return alice.sign_in(new_window(), FIREFOX)


@pytest.fixture
def reader(laptop):
    return Reader(laptop)


@pytest.fixture
def guarded(alice, laptop, reader):
    """Alice's laptop after a passkey was added there; what it proved for that is forgotten."""
    alice.backup_codes = add_first_passkey(laptop, reader)
    laptop.context.clear_cookies(name="__Secure-recent_mfa")
    return laptop


@pytest.fixture
def tablet(alice, guarded, new_window):
    """Alice's other device; with the laptop it is all she has."""
    tablet = alice.sign_in(new_window(user_agent=IPAD), IPAD)
    alice.leave_first()
    return tablet


# Adding and signing in


def test_a_new_user_signs_in_without_typing_anything(new_window, earlier):
    """From the registration to a passkey, and with it back in, where the other device is ended."""
    window = new_window()
    reader = Reader(window)
    window.goto("/register")
    window.get_by_label("Email").fill("carol@example.com")
    window.get_by_label("Username").fill("carol")
    window.get_by_label("Password").fill(PASSWORD)
    button(window, "Register").click()
    expect(heading(window, "Devices")).to_be_visible()
    codes = add_first_passkey(window, reader)
    added_at = time.time()
    assert len(codes) == 10
    assert shown_passkeys(window) == ["Firefox on Linux"]
    [passkey] = reader.passkeys
    assert passkey["isResidentCredential"]
    assert passkey["userName"] == "carol@example.com"

    other = new_window(user_agent=IPAD)
    log_in_by_password(other, "carol@example.com")
    other.get_by_label("Backup code").fill(codes[0])
    button(other, "Log in").click()
    expect(heading(other, "Devices")).to_be_visible()

    log_out(window)
    # A login in the second of a change may have come before it, and is no proof.
    wait_until(lambda: int(time.time()) > added_at, "the clock stands still")
    log_in_by_button(window, reader)
    window.get_by_role("button", name="Log Out of Session").click()
    expect(window.get_by_text("You are logged in nowhere else.")).to_be_visible()
    other.goto(DEVICES)
    expect(other).to_have_url(re.compile("/login"))
    window.goto(SECURITY)
    expect(window.locator("#passkeys")).to_contain_text("used less than an hour ago")


def test_each_device_has_a_passkey_of_its_own(alice, guarded, reader, tablet):
    """The second is added after a proof, and gives no new codes; each then signs in by itself."""
    other = Reader(tablet)
    begin_adding(tablet, "  Kitchen tablet ")
    expect(dialog(tablet)).to_have_accessible_name("Use Your Passkey to Add a Passkey")
    button(tablet, "Use a backup code instead").click()
    with other.touched():
        type_answer(tablet, alice.backup_codes.pop())
        expect(notice(tablet)).to_have_text("Your passkey is added.")
    assert shown_passkeys(tablet) == ["Firefox on Linux", "Kitchen tablet"]
    for window, own in ((guarded, reader), (tablet, other)):
        assert len(own.passkeys) == 1
        window.goto(DEVICES)
        log_out(window)
        log_in_by_button(window, own)


def test_the_form_of_the_login_offers_passkeys(guarded, reader):
    """As soon as it is there; whoever takes one is led to where they wanted to go."""
    log_out(guarded)
    let_offer(guarded)
    expect(guarded.get_by_label("Email")).to_have_attribute("autocomplete", "username webauthn")
    with reader.touched():
        guarded.goto("/login?next=/settings/security")
        expect(heading(guarded, "Security")).to_be_visible()


def test_a_name_is_proposed_that_no_other_passkey_has(guarded):
    guarded.goto(SECURITY)
    button(guarded, "Add a passkey").click()
    expect(guarded.get_by_label("Name", exact=True)).to_have_value("Firefox on Linux 2")
    guarded.get_by_label("Name", exact=True).fill("   ")
    button(guarded, "Continue").click()
    expect(dialog(guarded)).to_have_accessible_name("Add a Passkey")
    guarded.keyboard.press("Escape")
    expect(button(guarded, "Add a passkey")).to_be_focused()


def test_a_device_gets_no_second_passkey_of_one_account(guarded, reader):
    """Else the first one would be gone there without a word."""
    begin_adding(guarded)
    with reader.touched():
        button(guarded, "Use a passkey").click()
        said = guarded.locator("#passkeys-said")
        expect(said).to_have_text("This device has a passkey of your account already.")
    assert len(reader.passkeys) == 1


def test_who_cancels_makes_no_passkey(laptop, reader):
    reader.know_finger(False)
    begin_adding(laptop)
    with reader.touched():
        type_answer(laptop, PASSWORD)
        expect(laptop.locator("#passkeys-said")).to_have_text("No passkey was made.")
    expect(button(laptop, "Add a passkey")).to_be_focused()
    assert reader.passkeys == []


# As a proof and as the second factor


def test_a_device_is_ended_with_a_passkey(guarded, reader, tablet):
    """It is offered first, and Enter alone does it: the focus is on its button."""
    guarded.goto(DEVICES)
    guarded.get_by_role("button", name="Log Out of Session").click()
    expect(dialog(guarded)).to_have_accessible_name("Use Your Passkey to Log Out Session")
    expect(button(guarded, "Use a passkey")).to_be_focused()
    expect_accessible(guarded)
    with reader.touched():
        guarded.keyboard.press("Enter")
        expect(guarded.get_by_role("status")).to_have_text("1 session is logged out.")
    tablet.goto(DEVICES)
    expect(tablet).to_have_url(re.compile("/login"))


def test_the_page_that_asks_without_the_script_of_the_list_asks_for_the_passkey_too(guarded, reader, tablet):
    """As where that script comes late: its own script is enough."""
    guarded.route("**/sessions.js", lambda route: route.fulfill(content_type="text/javascript", body=""))
    guarded.goto(DEVICES)
    guarded.get_by_role("button", name="Log Out of Session").click()
    expect(heading(guarded, "Enter Backup Code to Log Out Session")).to_be_visible()
    expect_accessible(guarded)
    button(guarded, "Log Out").click()
    expect(dialog(guarded)).to_have_accessible_name("Use Your Passkey to Log Out Session")
    with reader.touched():
        button(guarded, "Use a passkey").click()
        expect(notice(guarded)).to_have_text("1 session is logged out.")
    tablet.goto(DEVICES)
    expect(tablet).to_have_url(re.compile("/login"))


def test_who_cancels_is_told_in_one_line_and_may_try_again(guarded, reader, tablet):
    """In the dialog, where another way stays open, and at the login."""
    guarded.goto(DEVICES)
    guarded.get_by_role("button", name="Log Out of Session").click()
    reader.know_finger(False)
    problem = guarded.locator("#ask-problem")
    with reader.touched():
        button(guarded, "Use a passkey").click()
        expect(problem).to_have_text("No passkey was used.")
    expect_accessible(guarded)
    button(guarded, "Use a backup code instead").click()
    expect(problem).to_have_text("")
    expect(guarded.locator("#ask-answer")).to_be_focused()
    button(guarded, "Use a passkey instead").click()
    reader.know_finger(True)
    with reader.touched():
        button(guarded, "Use a passkey").click()
        expect(guarded.get_by_text("You are logged in nowhere else.")).to_be_visible()

    log_out(guarded)
    reader.know_finger(False)
    with reader.touched():
        button(guarded, "Log in with a passkey").click()
        expect(said_at_login(guarded)).to_have_text("No passkey was used.")
    reader.know_finger(True)
    log_in_by_button(guarded, reader)


def test_a_dialog_that_is_closed_asks_for_no_passkey_any_more(guarded, reader, tablet):
    guarded.goto(DEVICES)
    guarded.get_by_role("button", name="Log Out of Session").click()
    button(guarded, "Use a passkey").click()
    guarded.keyboard.press("Escape")
    expect(dialog(guarded)).to_be_hidden()
    with reader.touched():
        tablet.goto(DEVICES)
        expect(heading(tablet, "Devices")).to_be_visible()
    assert [passkey["signCount"] for passkey in reader.passkeys] == [1]


def test_after_the_password_a_passkey_is_the_second_step(alice, guarded, reader):
    """A code does as well; after a wrong one the passkey is still offered, after a refused passkey the code."""
    log_out(guarded)
    log_in_by_password(guarded, alice.email)
    expect(heading(guarded, "Confirm Your Login")).to_be_visible()
    use = button(guarded, "Use a passkey")
    expect(use).to_be_focused()
    expect_accessible(guarded)
    guarded.get_by_label("Backup code").fill("00000000")
    button(guarded, "Log in").click()
    expect(guarded.locator("#code-problem")).to_contain_text("wrong")
    guarded.locator("#passkey").evaluate(
        'form => form.dataset.challenge = form.dataset.challenge.replace(/challenge":"../, \'challenge":"AA\')'
    )
    with reader.touched():
        use.click()
        expect(guarded.locator("#passkey .problem")).to_have_text(
            "That passkey was not accepted. Try again, or enter a code."
        )
    expect_accessible(guarded)
    with reader.touched():
        use.click()
        expect(heading(guarded, "Devices")).to_be_visible()


def test_a_device_that_knows_no_fingers_is_a_second_factor_only(alice, laptop):
    """As a security key without a PIN. It signs nobody in by itself."""
    reader = Reader(laptop, knows_fingers=False)
    add_first_passkey(laptop, reader)
    log_out(laptop)
    with reader.touched():
        button(laptop, "Log in with a passkey").click()
        expect(said_at_login(laptop)).to_have_text("No passkey was used.")
    log_in_by_password(laptop, alice.email)
    with reader.touched():
        button(laptop, "Use a passkey").click()
        expect(heading(laptop, "Devices")).to_be_visible()


def test_a_new_password_by_link_is_confirmed_with_a_passkey(guarded, reader, reset_link):
    guarded.goto(reset_link())
    guarded.get_by_label("New password").fill(NEW_PASSWORD)
    button(guarded, "Set password").click()
    expect(heading(guarded, "Confirm Your New Password")).to_be_visible()
    expect_accessible(guarded)
    with reader.touched():
        button(guarded, "Use a passkey").click()
        expect(guarded.get_by_text("Your password is changed.")).to_be_visible()


def test_forms_of_the_security_page_ask_for_the_passkey(guarded, reader):
    """When they are sent. Without an answer nothing is done."""
    guarded.goto(SECURITY)
    guarded.get_by_label("Current password").fill(PASSWORD)
    guarded.get_by_label("New password").fill(NEW_PASSWORD)
    change = button(guarded, "Change password")
    change.click()
    expect(dialog(guarded)).to_have_accessible_name("Use Your Passkey to Change Your Password")
    guarded.keyboard.press("Escape")
    expect(change).to_be_focused()
    change.click()
    with reader.touched():
        button(guarded, "Use a passkey").click()
        expect(notice(guarded)).to_contain_text("Your password is changed.")

    guarded.get_by_role("link", name="Add an authenticator app").click()
    secret = re.sub(r"\s", "", guarded.locator(".secret").inner_text())
    guarded.get_by_label("Password").fill(NEW_PASSWORD)
    guarded.get_by_label("Auth code").fill(pyotp.TOTP(secret).now())
    button(guarded, "Add").click()
    expect(dialog(guarded)).to_have_accessible_name("Use Your Passkey to Add an Authenticator App")
    with reader.touched():
        button(guarded, "Use a passkey").click()
        expect(notice(guarded)).to_have_text("Your authenticator app is added.")
    expect_accessible(guarded)


# Renaming and removing


def test_a_passkey_is_renamed_and_removed(guarded, reader):
    """What is removed, the browser offers no more. With the last one the second factor is off."""
    guarded.goto(SECURITY)
    button(guarded, "Rename Firefox on Linux").click()
    guarded.get_by_label("Name", exact=True).fill("Laptop")
    expect_accessible(guarded)
    button(guarded, "Save").click()
    with reader.touched():
        button(guarded, "Use a passkey").click()
        expect(notice(guarded)).to_have_text("The passkey has its new name.")
    assert shown_passkeys(guarded) == ["Laptop"]

    button(guarded, "Remove Laptop").click()
    expect(dialog(guarded)).to_have_accessible_name("Remove “Laptop”?")
    expect(dialog(guarded)).to_contain_text("your backup codes are gone")
    expect_accessible(guarded)
    button(guarded, "Cancel").click()
    expect(button(guarded, "Remove Laptop")).to_be_focused()
    button(guarded, "Remove Laptop").click()
    button(guarded, "Remove").click()
    expect(notice(guarded)).to_have_text("The passkey is removed.")
    expect(guarded.get_by_role("link", name="Turn on")).to_be_visible()
    assert reader.passkeys == []


def test_a_dialog_that_was_closed_opens_again(guarded, reader):
    """Its buttons work each time, however soon: it is no form that is sent once."""
    guarded.goto(SECURITY)
    for opener, go in ("Rename Firefox on Linux", "Save"), ("Remove Firefox on Linux", "Remove"):
        for _ in range(2):
            button(guarded, opener).click()
            expect(button(guarded, "Cancel")).to_be_enabled(timeout=2000)
            if go == "Save":
                guarded.get_by_label("Name", exact=True).fill("Laptop")
            button(guarded, go).click()
            expect(dialog(guarded)).to_have_accessible_name(re.compile("^Use Your Passkey"))
            button(guarded, "Cancel").click()
            expect(dialog(guarded)).to_have_count(0)


def test_a_passkey_that_was_removed_elsewhere(alice, guarded, reader, tablet):
    """It is refused in plain words, and the password still does. Once signed in, the browser forgets it."""
    log_out(guarded)
    tablet.goto(SECURITY)
    button(tablet, "Remove Firefox on Linux").click()
    button(tablet, "Remove").click()
    button(tablet, "Use a backup code instead").click()
    type_answer(tablet, alice.backup_codes.pop())
    expect(notice(tablet)).to_have_text("The passkey is removed.")

    with reader.touched():
        button(guarded, "Log in with a passkey").click()
        expect(said_at_login(guarded)).to_have_text("That passkey was not accepted. Use your password.")
    expect_accessible(guarded)
    assert len(reader.passkeys) == 1
    log_in_by_password(guarded, alice.email)
    expect(heading(guarded, "Devices")).to_be_visible()
    wait_until(lambda: reader.passkeys == [], "the browser keeps the passkey")


def test_a_copied_passkey_is_refused(guarded, reader, tablet):
    """Its counter is behind that of the device which it was copied from."""
    copy = Reader(tablet)
    copy.keep(reader.passkeys)
    log_out(guarded)
    log_in_by_button(guarded, reader)
    tablet.goto(DEVICES)
    log_out(tablet)
    with copy.touched():
        button(tablet, "Log in with a passkey").click()
        expect(said_at_login(tablet)).to_have_text("That passkey was not accepted. Use your password.")


# Two tabs, two clicks, a page that stood open


def test_two_tabs(guarded, reader):
    """The one that is left open at the login page leads on when it is used; a removed passkey is told."""
    first = guarded.context.new_page()
    first.goto(SECURITY)
    guarded.goto(SECURITY)
    button(guarded, "Remove Firefox on Linux").click()
    button(guarded, "Remove").click()
    with reader.touched():
        button(guarded, "Use a passkey").click()
        expect(notice(guarded)).to_have_text("The passkey is removed.")
    button(first, "Rename Firefox on Linux").click()
    first.get_by_label("Name", exact=True).fill("Laptop")
    button(first, "Save").click()
    expect(first.locator("#passkeys-said")).to_have_text("That passkey was removed already.")


def test_a_double_click_is_one_login(guarded, reader, tablet):
    log_out(guarded)
    starts = []
    guarded.on("request", lambda request: starts.append(request) if "/login/passkey/start" in request.url else None)
    with reader.touched():
        button(guarded, "Log in with a passkey").dblclick()
        expect(heading(guarded, "Devices")).to_be_visible()
    assert len(starts) == 1
    expect(guarded.locator(".pick")).to_have_count(1)


def test_a_login_page_that_stood_open_has_a_new_ticket(guarded, reader):
    """As soon as somebody comes back to it; until then it asks for none."""
    log_out(guarded)
    let_offer(guarded)
    guarded.clock.install()
    with offered(guarded):
        guarded.goto("/login")
    guarded.clock.fast_forward("10:00")
    with reader.touched():
        guarded.get_by_label("Email").click()
        expect(heading(guarded, "Devices")).to_be_visible()


def test_back_to_the_login_page_offers_passkeys_again(guarded, reader):
    log_out(guarded)
    let_offer(guarded)
    with offered(guarded):
        guarded.reload()
    guarded.get_by_role("link", name="Register").click()
    expect(heading(guarded, "Register")).to_be_visible()
    with reader.touched():
        guarded.go_back()
        expect(heading(guarded, "Devices")).to_be_visible()


# Where there are none


def test_a_page_that_was_opened_by_an_address_says_why(service, alice, new_window):
    """And leads to the same page at its name. Nothing is asked of the server for nothing."""
    address = service.url.replace("localhost", "127.0.0.1")
    window = new_window(base_url=address)
    starts = []
    window.on("request", lambda request: starts.append(request) if "passkey/start" in request.url else None)
    window.goto("/login?next=/settings/security")
    expect(said_at_login(window)).to_contain_text("Passkeys do not work at this address.")
    link = said_at_login(window).get_by_role("link")
    assert link.get_attribute("href") == f"{service.url}/login?next=/settings/security"
    expect(button(window, "Log in with a passkey")).to_be_hidden()
    expect_accessible(window)
    log_in_by_password(window, alice.email)
    window.goto(SECURITY)
    expect(window.locator("#passkeys-said")).to_contain_text("Passkeys do not work at this address.")
    expect(button(window, "Add a passkey")).to_be_hidden()
    assert starts == []


def test_a_browser_that_knows_no_passkeys(alice, guarded, new_window):
    """It says what to do, and all else works: a code where a passkey would be asked for."""
    window = new_window()
    window.add_init_script("delete window.PublicKeyCredential")
    log_in_by_password(window, alice.email)
    expect(window.locator("#passkey-said")).to_contain_text("This browser knows no passkeys.")
    expect(window.get_by_label("Backup code")).to_be_focused()
    window.get_by_label("Backup code").fill(alice.backup_codes.pop())
    button(window, "Log in").click()
    expect(heading(window, "Devices")).to_be_visible()
    window.goto(SECURITY)
    expect(window.locator("#passkeys-said")).to_contain_text("This browser knows no passkeys.")
    button(window, "Remove Firefox on Linux").click()
    button(window, "Remove").click()
    expect(dialog(window)).to_have_accessible_name("Enter Backup Code to Remove “Firefox on Linux”")


def test_a_browser_that_offers_none_in_forms(guarded, reader):
    """It has the button, and asks the server for nothing before."""
    starts = []
    guarded.on("request", lambda request: starts.append(request) if "passkey/start" in request.url else None)
    log_out(guarded)
    log_in_by_button(guarded, reader)
    assert len(starts) == 1


def test_a_browser_that_takes_no_signals(guarded):
    """It goes on to offer what is removed, and nothing else is amiss."""
    guarded.add_init_script("for (const name in PublicKeyCredential) delete PublicKeyCredential[name]")
    guarded.goto(SECURITY)
    assert guarded.evaluate("typeof PublicKeyCredential.signalAllAcceptedCredentials") == "undefined"
    assert shown_passkeys(guarded) == ["Firefox on Linux"]


def test_without_javascript_only_passkeys_are_missing(alice, guarded, new_window):
    window = new_window(java_script_enabled=False)
    log_in(window, alice.email)
    expect(window.get_by_text("Passkeys need JavaScript")).to_be_visible()
    window.get_by_label("Backup code").fill(alice.backup_codes.pop())
    button(window, "Log in").click()
    window.goto(SECURITY)
    assert shown_passkeys(window) == ["Firefox on Linux"]
    expect(window.get_by_text("Passkeys need JavaScript")).to_be_visible()
    expect(window.get_by_role("button", name="Remove")).to_be_hidden()
    window.get_by_label("Current password").fill(PASSWORD)
    window.get_by_label("New password").fill(NEW_PASSWORD)
    window.locator("#password-answer").fill(alice.backup_codes.pop())
    button(window, "Change password").click()
    expect(notice(window)).to_contain_text("Your password is changed.")


def test_on_a_public_computer_none_is_added(alice, new_window):
    window = new_window()
    window.goto("/login")
    window.get_by_label("Email").fill(alice.email)
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_label("This is a public or shared computer").check()
    button(window, "Log in").click()
    expect(heading(window, "Devices")).to_be_visible()
    window.goto(SECURITY)
    expect(button(window, "Add a passkey")).to_have_count(0)
    expect(window.get_by_text("You said that this computer is a public one")).to_be_visible()
    expect_accessible(window)


def test_a_passkey_on_a_public_computer_leaves_nothing_behind(guarded, reader):
    """The tick of the form counts for its other button as well."""
    log_out(guarded)
    guarded.get_by_label("This is a public or shared computer").check()
    log_in_by_button(guarded, reader)
    [cookie] = [kept for kept in guarded.context.cookies() if kept["name"] == "__Host-session"]
    assert cookie["expires"] == -1


def test_where_apps_alone_have_passkeys_the_page_says_so(guarded):
    """As with WEBAUTHN_ORIGINS of apps, and a PUBLIC_URL that is an address."""
    apps = "android:apk-key-hash:" + "A" * 43
    guarded.route(
        "**/login",
        lambda route: route.fulfill(
            response=(page := route.fetch()), body=re.sub('data-origins="[^"]*"', f'data-origins="{apps}"', page.text())
        ),
    )
    log_out(guarded)
    guarded.goto("/login")
    expect(said_at_login(guarded)).to_have_text("Passkeys work in our app, not on this page.")


def test_the_browser_hears_of_a_new_name(guarded, reader):
    change = "fetch('/api/v9/users/@me', {method: 'PATCH', headers: {'Content-Type': 'application/json'}, body: '%s'})"
    assert guarded.evaluate(change % '{"global_name": "Ada"}' + ".then((answer) => answer.status)") == 200
    guarded.goto(DEVICES)
    wait_until(lambda: [passkey["userDisplayName"] for passkey in reader.passkeys] == ["Ada"], "it was not told")


# Everybody


def test_by_keyboard_alone(alice, laptop, reader):
    """Added, used and removed without a pointer."""
    laptop.goto(SECURITY)
    press_on(laptop, "Add a passkey")
    laptop.keyboard.press("Enter")  # the name that is proposed
    expect(laptop.locator("#ask-answer")).to_be_focused()
    laptop.keyboard.type(PASSWORD)
    with reader.touched():
        laptop.keyboard.press("Enter")
        expect(heading(laptop, "Two-factor authentication is on")).to_be_visible()
    laptop.goto(DEVICES)
    press_on(laptop, "Log out")
    expect(heading(laptop, "Log in")).to_be_visible()
    with reader.touched():
        press_on(laptop, "Log in with a passkey")
        expect(heading(laptop, "Devices")).to_be_visible()
    laptop.goto(SECURITY)
    press_on(laptop, "Remove Firefox on Linux")
    press_on(laptop, "Remove")
    expect(button(laptop, "Use a passkey")).to_be_focused()
    with reader.touched():
        laptop.keyboard.press("Enter")
        expect(notice(laptop)).to_have_text("The passkey is removed.")


def press_on(window: Page, name: str) -> None:
    """Tab to a button, and press it."""
    wanted = button(window, name)
    for _ in range(40):
        if wanted.evaluate("button => button === document.activeElement"):
            break
        window.keyboard.press("Tab")
    expect(wanted).to_be_focused()
    window.keyboard.press("Enter")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing(alice, new_window, scheme, width):
    window = alice.sign_in(new_window(color_scheme=scheme, viewport={"width": width, "height": 800}), FIREFOX)
    reader = Reader(window)
    alice.backup_codes = add_first_passkey(window, reader)
    window.context.clear_cookies(name="__Secure-recent_mfa")
    window.goto(SECURITY)
    expect_accessible(window)
    expect_well_shaped(window, width)
    for name in ("Add a passkey", "Rename Firefox on Linux", "Remove Firefox on Linux", "Make new backup codes"):
        window.goto(SECURITY)
        window.locator("#codes-password").fill(PASSWORD)
        button(window, name).click()
        expect(dialog(window)).to_be_visible()
        expect_accessible(window)
    window.goto(SECURITY)
    log_out(window)
    expect_accessible(window)
    expect_well_shaped(window, width)
    log_in_by_password(window, alice.email)
    expect(heading(window, "Confirm Your Login")).to_be_visible()
    expect_accessible(window)
    expect_well_shaped(window, width)


def expect_well_shaped(window: Page, width: int) -> None:
    """Nothing is wider than the window, and no button much higher than its words."""
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    for one in window.locator("main button:visible").all():
        assert 24 <= one.bounding_box()["height"] <= 50
