"""docs/example in a real Chromium, behind nginx with the documented file: two browsers, one signs the other out."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import IPAD
from tests.browser.test_ways import expect_accessible
from tests.device import PASSWORD
from tests.live.example import SECRET, Example
from tests.live.gateways import Gateway, require
from tests.live.server import Service
from tests.servers import redis_at

EMAIL = "alice@example.com"
CALL = "fetch('/api/v9/users/@me/guilds').then(answer => answer.status)"


@pytest.fixture(scope="module")
def site(live_server):
    """The address of nginx, with Keyrack and the example behind it."""
    require("nginx")
    service = Service(live_server.url, TRUSTED_PROXIES="127.0.0.1", GATEWAY_SECRET=SECRET, WEB_CONCURRENCY="1")
    example = Example(service.url, live_server.url)
    gateway = Gateway("nginx", service.port, example.port, example.entrance_port)
    yield gateway.url
    for one in (gateway, example, service):
        one.close()


@pytest.fixture(autouse=True)
def _empty_afterwards(live_server):
    with redis_at(live_server.url) as redis:
        assert set(redis.keys()) <= {"leases"}
        yield
        redis.flushdb()


@pytest.fixture
def laptop(site, new_window):
    """Alice's, where she has just registered."""
    window = new_window(base_url=site)
    window.goto("/register?next=/chat/")
    window.get_by_label("Email").fill(EMAIL)
    window.get_by_label("Username").fill("alice")
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Register").click()
    return online(window)


@pytest.fixture
def tablet(site, laptop, new_window):
    window = new_window(base_url=site, user_agent=IPAD, color_scheme="dark", viewport={"width": 360, "height": 800})
    window.goto("/login?next=/chat/")
    window.get_by_label("Email").fill(EMAIL)
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Log in", exact=True).click()
    return online(window)


def online(window: Page) -> Page:
    expect(window.get_by_role("status")).to_have_text("online")
    return window


def say(window: Page, text: str) -> None:
    window.get_by_label("Message", exact=True).fill(text)
    window.get_by_role("button", name="Send").click()


def expect_signed_out(window: Page) -> None:
    expect(window.get_by_role("dialog")).to_contain_text("This device was signed out")
    assert window.evaluate(CALL) == 401


def test_two_browsers_chat_and_one_signs_the_other_out(laptop, tablet):
    """What is written shows as text in both; the socket closes, the next call is 401, and the way back is a login."""
    say(tablet, "hello <b>there</b>")
    say(laptop, "hello yourself")
    for window in (laptop, tablet):
        expect(window.locator("#messages p")).to_have_text(["hello <b>there</b>", "hello yourself"])
        expect(window.locator("#people")).to_contain_text("alice")
        assert window.evaluate("document.cookie") == ""
        expect_accessible(window)
    laptop.get_by_role("listitem").filter(has_text="Safari on iPad").get_by_role("button", name="Sign out").click()
    expect_signed_out(tablet)
    expect_accessible(tablet)
    expect(laptop.get_by_text("Safari on iPad")).to_have_count(0)
    laptop.reload()
    expect(laptop.locator("#messages p")).to_have_count(2)
    assert laptop.evaluate(CALL) == 200
    tablet.get_by_role("link", name="Log in").click()
    expect(tablet.get_by_role("button", name="Log in", exact=True)).to_be_visible()


def test_the_list_of_devices_signs_out_too_and_so_does_a_device_itself(laptop, tablet):
    tablet.get_by_role("link", name="All about your devices").click()
    tablet.locator(".row", has_text="Firefox on Linux").get_by_role("button", name="Log Out of Session").click()
    expect_signed_out(laptop)
    tablet.goto("/chat/")
    online(tablet).get_by_role("button", name="Log out").click()
    expect(tablet.get_by_role("button", name="Log in", exact=True)).to_be_visible()


def test_the_list_of_devices_follows_what_other_devices_do(laptop, tablet):
    """In a window that is open and left alone: a login appears, and what was ended elsewhere goes."""
    other = laptop.locator("#devices").get_by_text("Safari on iPad")
    expect(other).to_have_count(1)
    tablet.get_by_role("button", name="Log out").click()
    expect(other).to_have_count(0)


def test_its_policy_lets_no_other_script_run(new_window, laptop):
    laptop.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    )
    expect(laptop).to_have_title("Chat")
    [complaint] = new_window.complaints
    assert "Content Security Policy" in complaint
    new_window.complaints.clear()
