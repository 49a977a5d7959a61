"""How the application behind the gateway is asked. What comes of it for a user: tests/routes/test_application.py."""

import threading
import time

import pycurl
import pytest

from app.web import application as asking
from tests.application import Application
from tests.ports import lasting_port


@pytest.fixture
def ask(clock):
    """Asks what listens at a port, one request at a time."""

    def make(port):
        application = asking.Application(f"http://127.0.0.1:{port}", 1, clock)
        return lambda: application.ask("GET", "/api/v9/users/@me", "1", "h").outcome

    return make


def test_an_application_that_was_away_is_asked_again_after_a_second(ask, clock):
    """Whoever asks before that does not wait for a connection. A clock that is set back does not make it longer."""
    port = lasting_port()
    look = ask(port)
    assert look() == "away"
    application = Application(port=port)
    clock.advance(asking.REST_S - 0.1)
    assert (look(), application.requests) == ("away", [])
    clock.advance(0.2)
    assert look() == "answered"
    application.close()
    look = ask(port)
    assert look() == "away"
    application = Application(port=port)
    clock.advance(-3600)
    assert look() == "answered"
    application.close()


def test_nobody_waits_until_libcurl_is_done_with_a_connection(ask, monkeypatch):
    """It waits for the look-up of a name, which takes longer than an exchange may. The slot is taken as long."""
    closing, closed = threading.Event(), threading.Event()

    class Slow(pycurl.Curl):
        def close(self):
            closing.set()
            closed.wait(10)
            super().close()

    monkeypatch.setattr(pycurl, "Curl", Slow)
    application = Application()
    application.answers = lambda *_: None
    look = ask(application.url.rpartition(":")[2])
    began = time.monotonic()
    assert look() == "broken"
    assert time.monotonic() - began < 5
    assert closing.wait(5)
    assert look() == "busy"
    closed.set()
    application.answers = None
    deadline = time.monotonic() + 5
    while (outcome := look()) == "busy" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert outcome == "answered"
    application.close()
