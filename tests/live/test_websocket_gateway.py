"""docs/gateway/websocket_gateway.py as a process: a socket closes when the session that opened it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as open_websocket

from tests.live.gateways import DOCS
from tests.live.server import Service, free_port
from tests.servers import RedisServer, redis_at, wait_until

SECRET = "a-secret-of-the-gateway-for-tests-alone"
SESSION_ENDED = 4004


class WebSocketGateway:
    def __init__(self, keyrack: Service, redis_url: str) -> None:
        self._port = free_port()
        self.origin = f"http://127.0.0.1:{self._port}"
        self.url = f"ws://127.0.0.1:{self._port}"
        environment = {
            "PATH": os.environ["PATH"],
            "KEYRACK_URL": keyrack.url,
            "REDIS_URL": redis_url,
            "GATEWAY_SECRET": SECRET,
            "PORT": str(self._port),
        }
        self.process = subprocess.Popen([sys.executable, DOCS / "websocket_gateway.py"], env=environment)
        with redis_at(redis_url) as redis:
            wait_until(lambda: self._listens() and listeners(redis), "the gateway did not start")

    def _listens(self) -> bool:
        assert self.process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def open(self, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return open_websocket(self.url, additional_headers=named, proxy=None)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def listeners(redis) -> int:
    return dict(redis.pubsub_numsub("auth-events"))["auth-events"]


def echoes(websocket) -> bool:
    websocket.send("still there?")
    return websocket.recv(timeout=10) == "still there?"


def closed_with(websocket) -> int:
    """The code that the socket is closed with; it fails where it stays open."""
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(timeout=10)
    return closed.value.rcvd.code


@pytest.fixture(scope="module")
def service(redis_server):
    service = Service(redis_server.url, GATEWAY_SECRET=SECRET)
    yield service
    service.close()


@pytest.fixture(scope="module")
def gateway(service, redis_server):
    gateway = WebSocketGateway(service, redis_server.url)
    yield gateway
    gateway.close()


@pytest.fixture
def phone(service, alice):
    return service.device().log_in(alice)


def test_a_handshake_without_a_session_is_refused_with_keyracks_answer(gateway):
    for headers in ({}, {"Authorization": "MQ.AAAA.AAAA"}):
        with pytest.raises(InvalidStatus) as refused:
            gateway.open(**headers)
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body) == {"code": 0, "message": "401: Unauthorized"}


def test_headers_that_come_twice_are_one_to_keyrack(gateway, alice):
    """Cookies split over two headers are one list of them, and a token sent twice is one token."""
    with open_websocket(
        gateway.url,
        additional_headers=[("Cookie", "theme=dark"), ("Cookie", f"__Host-session={alice.token}")],
        proxy=None,
    ) as websocket:
        assert echoes(websocket)
    twice = [("Authorization", alice.token)] * 2
    with open_websocket(gateway.url, additional_headers=twice, proxy=None) as websocket:
        assert echoes(websocket)


def test_a_cookie_opens_a_socket_from_its_own_origin_alone(gateway, alice):
    cookie = f"__Host-session={alice.token}"
    for foreign in ({"Origin": "https://evil.example"}, {"Origin": gateway.origin, "Sec_Fetch_Site": "cross-site"}):
        with pytest.raises(InvalidStatus) as refused:
            gateway.open(Cookie=cookie, **foreign)
        assert refused.value.response.status_code == 403
    with gateway.open(Cookie=cookie, Origin=gateway.origin) as websocket:
        assert echoes(websocket)


def test_the_sockets_of_a_session_close_when_it_ends_and_no_others(gateway, service, alice, phone):
    tablet = service.device().log_in(alice)
    with (
        gateway.open(Authorization=alice.token) as kept,
        gateway.open(Authorization=phone.token) as one,
        gateway.open(Authorization=phone.token) as another,
        gateway.open(Authorization=tablet.token) as left,
    ):
        assert all(echoes(websocket) for websocket in (kept, one, another, left))
        assert alice.end([phone.id_hash]).status_code == 204
        assert [closed_with(websocket) for websocket in (one, another)] == [SESSION_ENDED] * 2
        assert tablet.post("/auth/logout").status_code == 204
        assert closed_with(left) == SESSION_ENDED
        assert echoes(kept)


def test_a_socket_follows_its_session_to_a_new_hash(gateway, alice, phone):
    """Turning TOTP on gives Alice's session a new token: her socket stays, until that session ends."""
    with gateway.open(Authorization=alice.token) as websocket, gateway.open(Authorization=phone.token) as other:
        assert echoes(websocket)
        alice.enable_totp(time.time())
        phone.backup_codes = alice.backup_codes
        assert phone.end([phone.id_hash]).status_code == 204
        assert closed_with(other) == SESSION_ENDED  # later than the change was told
        assert echoes(websocket)
        assert alice.post("/auth/logout").status_code == 204
        assert closed_with(websocket) == SESSION_ENDED


def test_what_was_missed_is_caught_up_on(gateway, service, real_redis, alice, phone):
    """A session ends while the gateway's connection to Redis is gone: it reconciles once it has a new one."""
    with gateway.open(Authorization=alice.token) as kept, gateway.open(Authorization=phone.token) as websocket:
        assert echoes(kept)
        assert echoes(websocket)
        ended, proof = phone.id_hash, alice.prove()
        os.kill(gateway.process.pid, signal.SIGSTOP)  # so that it cannot be back before the session has ended
        try:
            assert real_redis.client_kill_filter(_type="pubsub") == 1
            wait_until(lambda: listeners(real_redis) == 0, "the gateway still listens")
            assert alice.end([ended], proof).status_code == 204
        finally:
            os.kill(gateway.process.pid, signal.SIGCONT)
        assert closed_with(websocket) == SESSION_ENDED
        assert echoes(kept)


def test_redis_stopped_and_started_again():
    """Sockets outlast it, and what ends afterwards closes."""
    redis = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    service = Service(redis.url, GATEWAY_SECRET=SECRET)
    gateway = WebSocketGateway(service, redis.url)
    try:
        alice = service.device().register("alice@example.com")
        phone = service.device().log_in(alice)
        with gateway.open(Authorization=alice.token) as kept, gateway.open(Authorization=phone.token) as websocket:
            assert echoes(websocket)
            redis.stop()
            assert echoes(websocket)
            redis.start()
            assert alice.end([phone.id_hash]).status_code == 204
            assert closed_with(websocket) == SESSION_ENDED
            assert echoes(kept)
    finally:
        for one in (gateway, service, redis):
            one.close()
