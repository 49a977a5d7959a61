"""Floods: password hashes are bounded, and whoever is signed in goes on."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.device import PASSWORD
from tests.live.server import Service


@pytest.fixture
def slow_hashes(live_server):
    """The service with password hashes at the cost they have in production."""
    service = Service(live_server.url, BCRYPT_ROUNDS="12")
    yield service
    service.close()


def test_40_logins_at_once_leave_the_others_their_turn(slow_hashes):
    """Each login is answered, with a session or with a 503 that says when to come again; a reader is never refused."""
    alice = slow_hashes.device().register("alice@example.com")
    over = threading.Event()
    heard = []

    def read():
        while not over.is_set():
            heard.append(alice.get("/auth/sessions").status_code)

    reader = threading.Thread(target=read)
    reader.start()
    body = {"login": alice.email, "password": PASSWORD}
    try:
        with ThreadPoolExecutor(40) as threads:
            answers = list(threads.map(lambda _: slow_hashes.device().post("/auth/login", body), range(40)))
    finally:
        over.set()
        reader.join()
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {200, 503}
    assert sum(answer.status_code == 200 for answer in answers) >= 8
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 503)
    assert set(heard) == {200}
    assert len(heard) > 40


def test_headers_of_20_kb_are_no_error(service):
    """What is not read of an oversized header is as if it was absent."""
    device = service.device(X_Super_Properties="e" * 20_000, User_Agent="x" * 20_000, X_Forwarded_For="1," * 10_000)
    device.register("alice@example.com")
    [session] = device.get("/auth/sessions").json["user_sessions"]
    assert session["client_info"] == {"os": None, "platform": None, "location": None}
    assert service.device().get("/users/@me", Authorization="x" * 20_000).status_code == 401
