"""Redis stopped, stalled and back: a clear no in time, and everything works again without a restart."""

import os
import signal
import time

import pytest

from tests.device import PASSWORD
from tests.live.server import Service
from tests.servers import RedisServer, redis_at

ROUTES = [
    ("GET", "/gateway/verify", None),
    ("POST", "/auth/register", {"email": "dave@example.com", "username": "dave", "password": PASSWORD}),
    ("POST", "/auth/login", {"login": "alice@example.com", "password": PASSWORD}),
    ("POST", "/auth/mfa/totp", {"ticket": "x", "code": "000000"}),
    ("POST", "/auth/mfa/backup", {"ticket": "x", "code": "00000000"}),
    ("POST", "/auth/mfa/webauthn", {"ticket": "x", "code": "{}"}),
    ("POST", "/auth/conditional/finish", {"ticket": "x", "credential": "{}"}),
    ("POST", "/auth/verify", {"token": "x"}),
    ("POST", "/auth/verify/resend", None),
    ("POST", "/auth/logout", None),
    ("GET", "/auth/sessions", None),
    ("POST", "/auth/sessions/logout", {"session_id_hashes": ["A" * 43 + "="]}),
    ("POST", "/mfa/finish", {"ticket": "x", "mfa_type": "password", "data": PASSWORD}),
    ("GET", "/users/@me", None),
    ("PATCH", "/users/@me", {"password": PASSWORD, "new_password": "another long one"}),
    ("PATCH", "/users/@me", {"password": PASSWORD, "email": "new@example.com"}),
    ("POST", "/users/@me/disable", {"password": PASSWORD}),
    ("POST", "/users/@me/delete", {"password": PASSWORD}),
    ("POST", "/users/@me/mfa/totp/enable", {"password": PASSWORD}),
    ("POST", "/users/@me/mfa/totp/disable", None),
    ("POST", "/users/@me/mfa/codes", {"password": PASSWORD, "regenerate": True}),
    ("GET", "/users/@me/mfa/webauthn/credentials", None),
    ("POST", "/users/@me/mfa/webauthn/credentials", {"password": PASSWORD}),
    ("POST", "/users/@me/mfa/webauthn/credentials", {"ticket": "x", "name": "x", "credential": "{}"}),
    ("PATCH", "/users/@me/mfa/webauthn/credentials/1", {"name": "x"}),
    ("DELETE", "/users/@me/mfa/webauthn/credentials/1", None),
    ("POST", "/gateway/revoke", {"sub_id": {"format": "opaque", "id": "1"}}),
    ("POST", "/gateway/revoke", {"sub_id": {"format": "email", "email": "alice@example.com"}}),
]
SECRET = "what-the-gateway-shows-to-be-let-in"


@pytest.fixture
def lasting_redis():
    """A Redis that keeps what it holds when it is stopped."""
    server = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.close()


@pytest.fixture
def fragile(lasting_redis):
    """That Redis and the service on it."""
    service = Service(lasting_redis.url, GATEWAY_SECRET=SECRET)
    yield lasting_redis, service
    service.close()


@pytest.fixture
def impatient(lasting_redis):
    """That Redis and the service on it, with the time-outs that operators have."""
    service = Service(lasting_redis.plain_url, GATEWAY_SECRET=SECRET)
    yield lasting_redis, service
    service.close()


def assert_refused_in_time(device):
    for method, path, body in ROUTES:
        began = time.monotonic()
        token = f"Bearer {SECRET}" if path == "/gateway/revoke" else None
        answer = device.call(method, path, body, token)
        assert time.monotonic() - began < 2, path
        assert answer.status_code == 503, path
        assert answer.json == {"code": 0, "message": "503: Service Unavailable"}
        assert int(answer.headers["Retry-After"]) >= 1


def health_of(service):
    """What an orchestrator hears: whether the process lives, whether it can serve."""
    return [service.http.open(path, "GET", {}).status_code for path in ("/healthz", "/readyz")]


def test_redis_stopped_and_started_again(fragile):
    """503 on every route in under two seconds; then nobody is signed out whom the store still knows."""
    server, service = fragile
    alice = service.device().register("alice@example.com")
    phone = service.device().log_in(alice)
    for _ in range(8):
        alice.get("/auth/sessions")
    server.stop()
    assert_refused_in_time(alice)
    assert health_of(service) == [200, 503]
    server.start()
    assert [device.is_signed_in for device in (alice, phone)] == [True, True]
    assert health_of(service) == [200, 200]
    assert alice.end([phone.id_hash]).status_code == 204
    assert not phone.is_signed_in


def test_redis_that_takes_no_writes_signs_nobody_out(fragile):
    """A full Redis cannot note that a session is used; who is signed in is, and who was ended stays ended."""
    server, service = fragile
    alice = service.device().register("alice@example.com")
    with redis_at(server.url) as redis:
        redis.zincrby(f"user:{{{alice.user_id}}}:last_used", -120, alice.id_hash)  # so that a note is due
        redis.config_set("maxmemory", "1mb")
        assert [alice.get("/gateway/verify").status_code for _ in range(3)] == [200] * 3
        assert alice.get("/auth/sessions").status_code == 200
        redis.config_set("maxmemory", "0")
    assert alice.is_signed_in


def test_redis_that_does_not_answer(impatient):
    """A server that takes connections and says nothing holds nobody up; when it goes on, so does the service."""
    server, service = impatient
    alice, bob = service.device().register("alice@example.com"), service.device().register("bob@example.com")
    bob.post("/auth/logout")
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        assert_refused_in_time(alice)
        began = time.monotonic()
        assert health_of(service) == [200, 503]
        assert time.monotonic() - began < 2
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    # Answers to what was asked in the meantime come late, and must not be taken for answers to these.
    for _ in range(40):
        assert [device.get("/gateway/verify").status_code for device in (alice, bob)] == [200, 401]
