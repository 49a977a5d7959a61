"""The documentation of the API in a browser."""

import pytest
from playwright.sync_api import expect

from tests.browser.test_ways import expect_accessible


@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 1360)])
def test_it_suits_every_screen(new_window, service, scheme, width):
    """Accessible, nothing wider than the window, and from here alone."""
    window = new_window(color_scheme=scheme, viewport={"width": width, "height": 800})
    asked = []
    window.on("request", lambda request: asked.append(request.url))
    window.goto("/docs", wait_until="networkidle")
    expect_accessible(window, exclude=[[".operation ~ .operation"]])  # all are alike: the first of each group will do
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    assert all(url.startswith(service.url) for url in asked)


def test_the_contents_lead_to_a_route_by_keyboard(new_window):
    window = new_window(viewport={"width": 360, "height": 800})
    window.goto("/docs")
    entry = window.get_by_role("navigation", name="Contents").get_by_role("link", name="GET /auth/sessions", exact=True)
    expect(entry).to_be_hidden()
    window.locator("summary").focus()
    window.keyboard.press("Enter")
    entry.focus()
    window.keyboard.press("Enter")
    expect(window.get_by_role("heading", name="GET /api/v9/auth/sessions", exact=True)).to_be_in_viewport()
    window.keyboard.press("Tab")
    focused = window.locator("#sessions_list_sessions :focus")
    expect(focused).to_have_text("GET /api/v9/auth/sessions")


def test_the_contents_stand_at_the_side_of_a_large_window(new_window):
    window = new_window(viewport={"width": 1360, "height": 800})
    window.goto("/docs#me_revoke_all")
    entry = window.get_by_role("link", name="POST /auth/login", exact=True)
    expect(entry).to_be_in_viewport()
    expect(window.locator("#me_revoke_all h3")).to_be_in_viewport()
