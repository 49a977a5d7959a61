"""The fast lane under gunicorn, with leases on a real Redis."""

import re
import socket

import pytest
import requests

from tests.lanes import comparable
from tests.live.server import Service
from tests.servers import RedisServer, wait_until

SECRET = "what-the-collector-shows-to-be-let-in"


@pytest.fixture(scope="module")
def measured():
    """It has a Redis of its own: workers with leases are registered there."""
    redis = RedisServer()
    service = Service(redis.url, METRICS_SECRET=SECRET)
    yield service
    service.close()
    redis.close()


def answers_by_lane(service):
    text = requests.get(f"{service.url}/metrics", headers={"Authorization": f"Bearer {SECRET}"}, timeout=10).text
    found = re.findall(r'^keyrack_verify_total\{lane="(\w+)"\} (\d+)', text, re.MULTILINE)
    return {lane: int(count) for lane, count in found}


class Connection:
    """One to a worker, which is kept."""

    def __init__(self, service, device):
        self._lines = f"GET /gateway/verify HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\r\nAuthorization: {device.token}\r\n"
        self._socket = socket.create_connection(("127.0.0.1", service.port), timeout=10)

    def check(self, *lines):
        self._socket.sendall("\r\n".join([self._lines + "".join(lines), ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(65536)
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()


def test_checks_are_answered_from_memory_with_the_bytes_of_a_thread(measured):
    """On kept connections to each worker, from the second or third on."""
    alice = measured.device().register("alice@example.com")
    connections = [Connection(measured, alice) for _ in range(8)]
    by_thread = comparable(connections[0].check("Upgrade: nothing\r\n"))
    before = answers_by_lane(measured)
    for _ in range(20):
        for connection in connections:
            assert comparable(connection.check()) == by_thread

    def grown():
        return {lane: count - before.get(lane, 0) for lane, count in answers_by_lane(measured).items()}

    # Loops pass on what they have counted once a second.
    wait_until(lambda: sum(grown().values()) >= 160, "not all checks were counted")
    assert sum(grown().values()) == 160
    assert grown()["memory"] > 100, grown()
    for connection in connections:
        connection.__exit__()


def test_after_an_ending_no_worker_says_yes(measured):
    """Not once, on connections that each worker has answered from memory."""
    alice = measured.device().register("bob@example.com")
    for _ in range(10):
        phone = measured.device().log_in(alice)
        connections = [Connection(measured, phone) for _ in range(4)]
        for connection in connections * 3:
            assert connection.check().startswith(b"HTTP/1.1 200 OK\r\n")
        assert alice.end([phone.id_hash]).status_code == 204
        for connection in connections:
            assert connection.check().startswith(b"HTTP/1.1 401 Unauthorized\r\n")
            connection.__exit__()


def test_without_a_lease_threads_answer(live_server):
    service = Service(live_server.url, METRICS_SECRET=SECRET, VERIFY_LEASE="0")
    try:
        alice = service.device().register("carol@example.com")
        with Connection(service, alice) as connection:
            answers = {comparable(connection.check()) for _ in range(5)}
        assert len(answers) == 1
        wait_until(lambda: answers_by_lane(service)["thread"] >= 5, "a check was not counted")
        assert answers_by_lane(service)["memory"] == answers_by_lane(service)["loop"] == 0
    finally:
        service.close()
