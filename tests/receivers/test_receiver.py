"""Which receivers there are, and what each takes."""

import base64
from dataclasses import replace

import pytest

from app.config import load_settings
from app.receivers.receiver import Receiver, receivers_of

SETTINGS = load_settings(
    {
        "REDIS_URL": "redis://localhost",
        "SECRET_KEYS": "s" * 32,
        "WEBHOOK_URLS": "https://a.example.com/hooks?key=sesame,https://b.example.com",
        "WEBHOOK_SECRETS": base64.b64encode(bytes(32)).decode(),
    }
)


def test_there_is_none_that_no_setting_names():
    assert receivers_of(replace(SETTINGS, webhook_urls=())) == ()


def test_each_has_what_stands_at_its_place_in_the_lists():
    settings = replace(
        SETTINGS,
        backchannel_logout_urls=("https://c/", "https://d/"),
        backchannel_logout_client_ids=("chat", ""),
        ssf_push_urls=("https://e/", "https://f/"),
        ssf_push_tokens=("", "token"),
    )
    assert receivers_of(settings) == (
        Receiver("webhook", "https://a.example.com/hooks?key=sesame"),
        Receiver("webhook", "https://b.example.com"),
        Receiver("logout", "https://c/", audience="chat"),
        Receiver("logout", "https://d/", audience="https://d/"),
        Receiver("ssf", "https://e/", audience="https://e/"),
        Receiver("ssf", "https://f/", audience="https://f/", token="token"),
    )


def test_its_queue_is_named_by_kind_and_url():
    """So it keeps its place when the lists are put in another order, and a URL of two kinds has two queues."""
    one, other = receivers_of(SETTINGS)
    assert one.id == receivers_of(replace(SETTINGS, webhook_urls=SETTINGS.webhook_urls[::-1]))[1].id
    assert len({one.id, other.id, Receiver("logout", one.url).id, Receiver("ssf", one.url).id}) == 4
    assert one.id.startswith("webhook-")
    assert len(one.id) == len("webhook-") + 8


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://a.example.com:8443/hooks?key=sesame", "https://a.example.com:8443/hooks"),
        ("https://ada:sesame@a.example.com/hooks", "https://a.example.com/hooks"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_what_logs_show_of_it_has_no_secret(url, place):
    receiver = Receiver("ssf", url, audience="chat", token="sesame")
    assert receiver.place == place
    assert "sesame" not in repr(receiver)


def test_each_kind_takes_what_it_has_a_form_for():
    assert Receiver("webhook", "https://a").takes is None
    assert Receiver("logout", "https://a").takes == {"AUTH_SESSION_REMOVE"}
    takes = Receiver("ssf", "https://a").takes
    changes = {f"{what}.{how}" for what in ("credential", "authenticator") for how in ("created", "updated", "deleted")}
    assert takes == changes | {"AUTH_SESSION_CREATE", "AUTH_SESSION_REMOVE"}
