"""The figures of several processes are one sum, whichever is asked, and outlive the process that made them."""

import os
import signal
from pathlib import Path

import pytest

from tests.live.server import Service
from tests.servers import wait_until
from tests.watch.test_metrics import SECRET, figures

VERIFIED = ("keyrack_request_seconds_count", {("route", "/gateway/verify"), ("method", "any"), ("status", "200")})


@pytest.fixture
def counting(live_server):
    service = Service(live_server.url, METRICS_SECRET=SECRET)
    yield service
    service.close()


def workers(service):
    pid = service.process.pid
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def told(service):
    """By a connection of its own, so by any of the workers."""
    answer = service.client().open("/metrics", "GET", {"Authorization": f"Bearer {SECRET}"})
    assert answer.status_code == 200
    return figures(answer.data.decode())


def folders_of(service):
    return [
        folder
        for place in ("/dev/shm", "/tmp")
        for folder in Path(place).glob(f"keyrack-metrics-{service.process.pid}-*")
    ]


def test_workers_count_together(counting):
    name, labels = VERIFIED
    verified = (name, frozenset(labels))
    alice = counting.device().register("alice@example.com")
    devices = [counting.device() for _ in range(12)]  # a connection each, so that both workers have some
    for device in devices:
        device.token = alice.token
        assert device.get("/gateway/verify").status_code == 200
    wait_until(lambda: told(counting).get(verified) == 12, "a worker keeps to itself what its loop counted")
    assert [told(counting)[verified] for _ in range(6)] == [12] * 6

    [victim, *_] = before = workers(counting)
    os.kill(int(victim), signal.SIGKILL)
    wait_until(lambda: len(workers(counting) | before) == 3, "no new worker came")
    wait_until(lambda: counting.http.open("/healthz", "GET", {}).status_code == 200, "the new worker does not answer")
    assert told(counting)[verified] == 12, "what a dead worker counted stays counted"
    assert told(counting)[("keyrack_bcrypt_running", frozenset())] == 0

    counting.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not workers(counting) & before and len(workers(counting)) == 2, "the workers were not renewed")
    wait_until(lambda: told(counting)[verified] == 12, "a reload forgot what was counted")
    assert len(folders_of(counting)) == 1
    counting.process.send_signal(signal.SIGTERM)
    counting.process.wait(20)
    assert folders_of(counting) == [], "nothing is left behind"
