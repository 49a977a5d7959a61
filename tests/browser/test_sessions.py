"""The Devices page: one device signs out another, and what both of them see."""

import base64
import re

import pytest
from playwright.sync_api import Page, expect

from app.stores.session_records import Client
from tests.browser.conftest import FIREFOX, IPAD, PIXEL
from tests.device import PASSWORD

DEVICES = "/settings/sessions"


@pytest.fixture
def laptop(alice, new_window):
    return alice.sign_in(new_window(), FIREFOX)


@pytest.fixture
def tablet(alice, laptop, new_window):
    """Alice's other device; with her laptop it is all she has."""
    return alice.sign_in(new_window(user_agent=IPAD), IPAD)


@pytest.fixture
def alone(alice, laptop, tablet):
    alice.leave_first()
    laptop.goto(DEVICES)
    tablet.goto(DEVICES)
    return laptop, tablet


def row(window: Page, name: str):
    return window.locator(".row", has_text=name)


def question(window: Page):
    return window.get_by_role("dialog")


def answer(window: Page, text: str) -> None:
    window.locator("#ask-answer").fill(text)
    question(window).get_by_role("button", name="Log Out", exact=True).click()


def expect_led_out(window: Page, why: str) -> None:
    """The device's next click lands on the login page, which says why and leads back."""
    window.get_by_role("link", name="Devices").click()
    expect(window).to_have_url(re.compile(r"/login\?next=/settings/sessions$"))
    expect(window.get_by_role("status")).to_contain_text(why)


def test_by_password(alone):
    """A wrong one is told in place and may be tried again; the right one goes on with what was asked."""
    laptop, tablet = alone
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    expect(question(laptop)).to_have_accessible_name("Enter Password to Log Out Session")
    answer(laptop, "wrong password")
    expect(question(laptop).get_by_role("alert")).to_have_text("Password does not match.")
    field = laptop.get_by_label("Password", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    answer(laptop, PASSWORD)
    expect(question(laptop)).to_be_hidden()
    expect(laptop.get_by_role("status")).to_have_text("1 session is logged out.")
    expect(laptop.get_by_text("You are logged in nowhere else.")).to_be_visible()
    expect(laptop.locator(".past")).to_contain_text("You signed it out from Firefox on Linux")
    expect(laptop.get_by_role("heading", name="Other Sessions")).to_be_focused()
    expect_led_out(tablet, "This device was logged out from Firefox on Linux")


def test_within_five_minutes_no_second_question(alice, alone, new_window):
    laptop, _ = alone
    phone = alice.sign_in(new_window(user_agent=PIXEL), PIXEL)
    laptop.reload()
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    answer(laptop, PASSWORD)
    expect(row(laptop, "Safari on iPad")).to_have_count(0)
    row(laptop, "Chrome on a Pixel 7").get_by_role("button", name="Log Out of Session").click()
    expect(row(laptop, "Chrome on a Pixel 7")).to_have_count(0)
    phone.goto(DEVICES)
    expect(phone).to_have_url(re.compile("/login"))


def test_by_auth_code(alice, alone):
    alice.enable_totp()
    laptop, tablet = alone
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    expect(question(laptop)).to_have_accessible_name("Enter Auth Code to Log Out Session")
    answer(laptop, "000000")
    expect(question(laptop).get_by_role("alert")).to_have_text(
        "That code is wrong or was used already. Try the next one."
    )
    frame, text = (
        laptop.locator(part).evaluate("part => getComputedStyle(part).color") for part in ("#ask-problem", "body")
    )
    assert frame != text
    assert frame == laptop.locator("#ask-answer").evaluate("field => getComputedStyle(field).borderColor")
    answer(laptop, alice.code)
    expect(row(laptop, "Safari on iPad")).to_have_count(0)
    expect_led_out(tablet, "This device was logged out")


def test_by_backup_code(alice, alone):
    """The question switches to it and back."""
    alice.enable_totp()
    laptop, tablet = alone
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    question(laptop).get_by_role("button", name="Use a backup code instead").click()
    expect(question(laptop)).to_have_accessible_name("Enter Backup Code to Log Out Session")
    question(laptop).get_by_role("button", name="Use an auth code instead").click()
    expect(laptop.get_by_label("Auth code", exact=True)).to_be_focused()
    question(laptop).get_by_role("button", name="Use a backup code instead").click()
    answer(laptop, alice.backup_codes.pop())
    expect(row(laptop, "Safari on iPad")).to_have_count(0)
    expect_led_out(tablet, "This device was logged out")


def test_several_that_are_ticked(alice, alone, new_window):
    laptop, tablet = alone
    phone = alice.sign_in(new_window(user_agent=PIXEL), PIXEL)
    third = alice.sign_in(new_window(), FIREFOX)
    laptop.reload()
    selected = laptop.locator("#selected")
    expect(selected).to_be_hidden()
    laptop.get_by_label("Select Safari on iPad").check()
    expect(selected).to_have_text("Log Out 1 Session")
    laptop.get_by_label("Select Chrome on a Pixel 7").check()
    expect(selected).to_have_text("Log Out 2 Sessions")
    expect(laptop.get_by_text("2 selected")).to_be_visible()
    selected.click()
    expect(question(laptop)).to_have_accessible_name("Enter Password to Log Out 2 Sessions")
    answer(laptop, PASSWORD)
    expect(laptop.get_by_role("status")).to_have_text("2 sessions are logged out.")
    expect(laptop.locator(".pick")).to_have_count(1)
    for window in (tablet, phone):
        window.goto(DEVICES)
        expect(window).to_have_url(re.compile("/login"))
    third.goto(DEVICES)
    expect(third).to_have_url(re.compile(DEVICES + "$"))


def test_all_others(alice, alone, new_window):
    laptop, tablet = alone
    phone = alice.sign_in(new_window(user_agent=PIXEL), PIXEL)
    laptop.reload()
    laptop.get_by_role("button", name="Log Out All Other Sessions").click()
    expect(question(laptop)).to_have_accessible_name("Enter Password to Log Out 2 Sessions")
    answer(laptop, PASSWORD)
    expect(laptop.get_by_text("You are logged in nowhere else.")).to_be_visible()
    expect_led_out(tablet, "This device was logged out from Firefox on Linux")
    phone.goto(DEVICES)
    expect(phone).to_have_url(re.compile("/login"))


def test_an_exhausted_ticket_is_asked_anew(alone):
    """The fifth wrong answer uses it up; the next answer is to a new one, in the same dialog."""
    laptop, tablet = alone
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    for _ in range(5):
        with laptop.expect_response("**/mfa/finish"):
            answer(laptop, "wrong password")
        expect(question(laptop).get_by_role("alert")).to_have_text("Password does not match.")
    answer(laptop, PASSWORD)
    expect(question(laptop).get_by_role("alert")).to_contain_text("Please answer once more.")
    answer(laptop, PASSWORD)
    expect(row(laptop, "Safari on iPad")).to_have_count(0)
    expect_led_out(tablet, "This device was logged out")


def hold(window: Page, path: str) -> list:
    """Keep requests of a path on their way until the test lets them go on."""
    held: list = []
    window.route(path, lambda route: held.append(route))  # noqa: PLW0108 - playwright marks what it is given
    return held


def test_cancelling_stops_what_was_asked_for(alone):
    """Also while the answer is being checked; what comes back has no say in the next question."""
    laptop, tablet = alone
    held = hold(laptop, "**/mfa/finish")
    revoked = []
    laptop.on("request", lambda request: revoked.append(request) if "/me/sessions/revoke" in request.url else None)
    laptop.get_by_role("button", name="Log Out All Other Sessions").click()
    with laptop.expect_request("**/mfa/finish"):
        answer(laptop, PASSWORD)
    laptop.keyboard.press("Escape")
    expect(question(laptop)).to_be_hidden()
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    expect(question(laptop)).to_be_visible()
    with laptop.expect_response("**/mfa/finish"):
        held.pop().continue_()
    laptop.locator("#ask-answer").fill("still mine")
    laptop.wait_for_function("new Promise((done) => setTimeout(done, 200, true))")
    expect(question(laptop)).to_be_visible()
    expect(laptop.locator("#ask-problem")).to_have_text("")
    assert len(revoked) == 2, "each was asked for once, and answered with the question"
    tablet.reload()
    expect(tablet).to_have_url(re.compile(DEVICES + "$"))


def test_what_is_under_way_when_the_question_is_closed_is_reported(alone):
    laptop, tablet = alone
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    expect(question(laptop)).to_be_visible()
    held = hold(laptop, "**/me/sessions/revoke")
    with laptop.expect_request("**/me/sessions/revoke"):
        answer(laptop, PASSWORD)
    laptop.keyboard.press("Escape")
    expect(question(laptop)).to_be_hidden()
    held.pop().continue_()
    expect(laptop.locator("#said")).to_have_text("1 session is logged out.")
    expect(row(laptop, "Safari on iPad")).to_have_count(0)
    expect_led_out(tablet, "This device was logged out")


def test_a_second_factor_turned_on_meanwhile_is_asked_for(alice, alone):
    """The password is of no use then; the same dialog asks for the code, and says why."""
    laptop, tablet = alone
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    expect(question(laptop)).to_have_accessible_name("Enter Password to Log Out Session")
    alice.enable_totp()
    answer(laptop, PASSWORD)
    expect(question(laptop)).to_have_accessible_name("Enter Auth Code to Log Out Session")
    expect(question(laptop).get_by_role("alert")).to_contain_text("How you log in was changed meanwhile.")
    answer(laptop, alice.code)
    expect(row(laptop, "Safari on iPad")).to_have_count(0)
    expect_led_out(tablet, "This device was logged out")


def test_the_result_is_in_nobodys_way(alone):
    """It hides no way on, is in the accessibility tree before it speaks, and goes with the next thing done."""
    laptop, _ = alone
    laptop.set_viewport_size({"width": 360, "height": 700})
    said = laptop.locator("#said")
    assert said.evaluate("part => getComputedStyle(part).visibility") == "visible"
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    answer(laptop, PASSWORD)
    expect(said).to_have_text("1 session is logged out.")
    assert said.bounding_box()["y"] > 350
    assert said.evaluate("part => getComputedStyle(part).pointerEvents") == "none"
    laptop.get_by_role("heading", name="Devices").click()
    expect(said).to_have_text("")


def test_the_focus_is_in_sight_and_kept(alice, alone):
    """Not behind the bar that sticks to the bottom of a phone; and on the link of the advice, after a refresh too."""
    laptop, _ = alone
    alice.open_sessions(8, Client("Windows", "Firefox"))
    laptop.set_viewport_size({"width": 360, "height": 500})
    laptop.reload()
    laptop.locator(".pick input").first.check()
    for _ in range(12):
        laptop.keyboard.press("Tab")
        focused = "document.activeElement.getBoundingClientRect().bottom"
        bar = "document.querySelector('.bar').getBoundingClientRect().top"
        if laptop.evaluate("Boolean(document.activeElement.closest('.row'))"):
            assert laptop.evaluate(f"{focused} <= {bar}")
    laptop.locator("#to-password").focus()
    with laptop.expect_response("**" + DEVICES):
        laptop.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(laptop.get_by_role("link", name="change your password")).to_be_focused()


def test_a_session_that_ended_meanwhile_is_led_out_by_any_click(alone):
    """Also by a click that only asks the server in the background."""
    laptop, tablet = alone
    row(laptop, "Safari on iPad").get_by_role("button", name="Log Out of Session").click()
    answer(laptop, PASSWORD)
    expect(row(laptop, "Safari on iPad")).to_have_count(0)
    row(tablet, "Firefox on Linux").get_by_role("button", name="Log Out of Session").click()
    expect(tablet).to_have_url(re.compile("/login"))
    expect(tablet.get_by_role("status")).to_contain_text("This device was logged out from Firefox on Linux")


def test_the_list_is_fresh_when_the_window_has_the_focus_again(alice, alone, new_window):
    """What is ticked stays so."""
    laptop, _ = alone
    laptop.get_by_label("Select Safari on iPad").check()
    alice.sign_in(new_window(user_agent=PIXEL), PIXEL).goto(DEVICES)
    expect(row(laptop, "Chrome on a Pixel 7")).to_have_count(0)
    laptop.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(row(laptop, "Chrome on a Pixel 7")).to_be_visible()
    expect(laptop.get_by_label("Select Safari on iPad")).to_be_checked()
    expect(laptop.locator("#selected")).to_have_text("Log Out 1 Session")


def test_a_name_of_ones_own(alone):
    laptop, tablet = alone
    row(laptop, "Safari on iPad").get_by_role("button", name="Rename Safari on iPad").click()
    expect(laptop.get_by_label("Name", exact=True)).to_be_focused()
    laptop.keyboard.type("Kitchen tablet")
    laptop.keyboard.press("Enter")
    expect(row(laptop, "Kitchen tablet")).to_contain_text("Safari on iPad")
    tablet.reload()
    expect(row(tablet, "Kitchen tablet")).to_contain_text("This device")
    row(laptop, "Kitchen tablet").get_by_role("button", name="Rename").click()
    laptop.get_by_label("Name", exact=True).fill("tab\u202elet")
    laptop.get_by_role("button", name="Save").click()
    expect(laptop.locator("#naming-problem")).to_contain_text("Must not contain hidden characters")
    laptop.get_by_label("Name", exact=True).fill("")
    laptop.get_by_role("button", name="Save").click()
    expect(row(laptop, "Kitchen tablet")).to_have_count(0)
    expect(row(laptop, "Safari on iPad")).to_be_visible()


def test_by_keyboard_alone(alone):
    """Space ticks, Enter on a box ends nothing, the question keeps the focus and gives it back."""
    laptop, tablet = alone
    laptop.get_by_label("Select Safari on iPad").focus()
    laptop.keyboard.press("Enter")
    laptop.keyboard.press("Space")
    expect(laptop.get_by_label("Select Safari on iPad")).to_be_checked()
    laptop.locator("#selected").focus()
    laptop.keyboard.press("Enter")
    expect(laptop.get_by_label("Password", exact=True)).to_be_focused()
    seen = set()
    for _ in range(8):
        laptop.keyboard.press("Tab")
        seen.add(laptop.evaluate("document.activeElement.closest('dialog')?.id ?? document.activeElement.tagName"))
    assert seen <= {"ask", "BODY"}, "the page behind is out of reach; BODY is the way to the browser's own controls"
    laptop.keyboard.press("Escape")
    expect(question(laptop)).to_be_hidden()
    expect(laptop.locator("#selected")).to_be_focused()
    laptop.keyboard.press("Enter")
    expect(laptop.get_by_label("Password", exact=True)).to_be_focused()
    laptop.keyboard.type(PASSWORD)
    laptop.keyboard.press("Enter")
    expect(laptop.get_by_text("You are logged in nowhere else.")).to_be_visible()
    expect_led_out(tablet, "This device was logged out")


HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def test_what_clients_say_shows_as_text(alice, alone, new_window):
    """Markup in every field that a client has a say in; hidden characters are dropped."""
    laptop, _ = alone
    hostile = '{"os": "<b>os</b>\\u202e", "browser": "<script>document.title=1</script>\\u202e\\u200b"}'
    encoded = base64.b64encode(hostile.encode()).decode()
    alice.sign_in(new_window(), HOSTILE, X_Super_Properties=encoded)
    laptop.reload()
    odd = row(laptop, "<b>os</b>")
    expect(odd.get_by_role("heading")).to_contain_text("<script>document.title=1</script> on <b>os</b>")
    odd.get_by_role("button", name="Rename").click()
    laptop.get_by_label("Name", exact=True).fill(HOSTILE[:64])
    laptop.get_by_role("button", name="Save").click()
    expect(laptop.get_by_role("status")).to_contain_text(HOSTILE[:64])
    expect(laptop.get_by_role("heading", name=HOSTILE[:64])).to_be_visible()
    laptop.get_by_label(f"Select {HOSTILE[:64]}").check()
    laptop.locator("#selected").click()
    answer(laptop, PASSWORD)
    expect(laptop.locator(".past")).to_contain_text(HOSTILE[:64])
    assert laptop.title() == "Devices · Keyrack"
    assert laptop.locator("#devices b, #devices script, #devices img").count() == 0
    assert not re.search("[\u202a-\u202e\u200b]", laptop.locator("body").inner_text())


def test_the_browser_would_tell_of_what_the_policy_stops(alone, new_window):
    """Else silence in the other tests would say nothing."""
    laptop, _ = alone
    laptop.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    )
    expect(laptop).to_have_title("Devices · Keyrack")
    assert len(new_window.complaints) == 1
    assert "Content Security Policy" in new_window.complaints.pop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_light(alice, chromium, service, scheme):
    """All files of the page, uncompressed, and the requests that they take: at the cap, with all that is kept."""
    alice.open_sessions(150, Client("Windows", "Firefox", "Zürich, Zurich, Switzerland", "203.0.113.113"))
    context = chromium.new_context(base_url=service.url, color_scheme=scheme)
    window = alice.sign_in(context.new_page(), FIREFOX)
    sizes = {}
    window.on("response", lambda response: sizes.update({response.url: len(response.body())}))
    window.goto(DEVICES, wait_until="networkidle")
    assert DEVICES in "".join(sizes)
    assert window.locator(".row").count() == 50
    expect(window.get_by_text("The newest 20 of 100.")).to_be_visible()
    assert len(sizes) <= 7
    assert sum(sizes.values()) < 70_000, sizes
    assert all(url.startswith(service.url) for url in sizes)
    context.close()
