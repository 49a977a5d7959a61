"""gunicorn with an application behind it that answers nothing: checks and sign-in go on."""

import signal
import threading
import time

import pytest

from app.web.application import REST_S
from tests.application import Application, says
from tests.live.server import Service

VISITORS = 60


@pytest.fixture
def application():
    application = Application()
    yield application
    application.close()


@pytest.fixture
def service(live_server, application):
    settings = {"WEB_CONCURRENCY": "1", "WEB_THREADS": "16", "BCRYPT_QUEUE": "8"}
    service = Service(live_server.url, APPLICATION_URL=application.url, **settings)
    yield service
    service.close()


def test_an_application_that_hangs_takes_no_threads_from_checks(service, application):
    """While many look at their user at once. Each look ends, and once the application answers again, so do looks."""
    device = service.device().register("carol@example.com")
    application.users[device.user_id] = {"bio": "x"}
    assert device.get("/users/@me").json["bio"] == "x"
    waiting = threading.Event()
    application.answers = lambda *_: waiting.wait(30)
    looks, until = [], time.monotonic() + 6

    def look():
        while time.monotonic() < until:
            looks.append(device.get("/users/@me"))
            time.sleep(0.2)  # these threads share a core with the service

    visitors = [threading.Thread(target=look) for _ in range(VISITORS)]
    for visitor in visitors:
        visitor.start()
    checks = []
    while time.monotonic() < until - 1:
        began = time.monotonic()
        assert device.get("/gateway/verify").status_code == 200
        checks.append(time.monotonic() - began)
    for visitor in visitors:
        visitor.join()
    waiting.set()
    assert max(checks) < 5  # nginx gives up then
    assert {answer.status_code for answer in looks} == {200}
    assert max(answer.seconds for answer in looks) < 5
    application.answers = says(200, {"bio": "again"})
    time.sleep(REST_S)
    assert device.get("/users/@me").json["bio"] == "again"


def test_a_stop_waits_for_no_application_for_long(service, application):
    device = service.device().register("dave@example.com")
    waiting = threading.Event()
    application.answers = lambda *_: waiting.wait(30)
    threading.Thread(target=device.get, args=["/users/@me"], daemon=True).start()
    while len(application.requests) < 2:
        time.sleep(0.01)
    began = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(60)
    assert time.monotonic() - began < 6
    waiting.set()
