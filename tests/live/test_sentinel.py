"""The service on a set that Sentinels watch: its primary is killed or hangs, Sentinels go, and nobody starts it again.

Servers and Sentinels have passwords, and endings wait for a replica.
"""

import os
import signal
import time

import pytest

from tests.device import PASSWORD
from tests.live.server import Service
from tests.servers import wait_until
from tests.sets import SentinelSet

pytestmark = pytest.mark.usefixtures("_whole_again")
_SERVED_AGAIN_S = 5  # after there is a new primary: 2, and the rest for a busy machine
_ANSWERED_S = 3  # 1.5 by the time-outs, and the rest for a busy machine
_KNOWN_S = 1.5  # after the Sentinels name it; a worker asks them once a second


@pytest.fixture(scope="module")
def servers():
    servers = SentinelSet(password="open-sesame")
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def service(servers):
    service = Service(servers.plain_url, REDIS_WAIT_REPLICAS="1", REDIS_WAIT_MS="5000")
    yield service
    logged = service.logged()
    service.close()
    assert "open-sesame" not in logged


@pytest.fixture(autouse=True)
def _empty_afterwards():
    """These tests have a Redis of their own."""


@pytest.fixture
def _whole_again(servers, service):
    """Whatever a test has killed or stopped runs again, follows the primary, and the service takes changes."""
    yield
    for node in (*servers.servers, *servers.sentinels):
        if node.lives:
            os.kill(node.process.pid, signal.SIGCONT)
        else:
            node.start()
        wait_until(node.answers, "a server did not start")
    primary = servers.primary()
    for server in servers.servers:
        if server is not primary:
            server.call("REPLICAOF", "127.0.0.1", primary.port)  # the Sentinels would say so in some seconds
    servers.wait_until_in_touch(primary)
    wait_until(lambda: takes_changes(service), "changes are refused for good")


def takes_changes(service):
    body = {"email": f"{time.monotonic()}@example.com", "username": "somebody", "password": PASSWORD}
    return all(
        service.device().post("/auth/register", body | {"email": f"{number}.{body['email']}"}).status_code == 201
        for number in range(8)
    )  # both processes have noticed


def verify(device):
    """The status for the gateway's question, which comes in time whatever it is."""
    began = time.monotonic()
    status = device.get("/gateway/verify").status_code
    assert time.monotonic() - began < _ANSWERED_S
    return status


def assert_never_otherwise(device, right, until):
    """Until something is so, the device is answered rightly or with 503."""
    told = set()

    def ask():
        told.add(verify(device))
        return until()

    wait_until(ask, "it did not happen")
    assert told <= {right, 503}


def assert_served(device, status, within_s):
    told = set()

    def is_served():
        told.add(verify(device))
        return status in told

    wait_until(is_served, f"this was not answered {status}", within_s)
    assert told <= {status, 503}


def new_primary(servers, old):
    """Whether the Sentinels name another."""
    return servers.primary() is not old


def end(device, id_hash, proof):
    """End a session; told as done at last, once a replica follows and every process is at the new primary."""
    told = []

    def is_ended():
        answer = device.end([id_hash], proof)
        told.append(answer.status_code)
        return answer.status_code in (204, 404)  # the latter where an earlier one did happen

    wait_until(is_ended, "it was not told as ended")
    assert set(told) <= {204, 404, 503}


def test_signing_in_listing_and_ending(service):
    alice = service.device().register("alice@example.com")
    alice.enable_totp(time.time())
    phone = service.device().log_in(alice)
    assert sorted(alice.id_hashes()) == sorted([alice.id_hash, phone.id_hash])
    assert alice.end([phone.id_hash]).status_code == 204
    assert [verify(device) for device in (alice, phone)] == [200, 401]
    assert alice.post("/auth/logout").status_code == 204
    assert verify(alice) == 401


def test_primary_killed(servers, service):
    """Who was signed in still is, who was ended is not, and meanwhile there is no other answer than 503."""
    bob = service.device().register("bob@example.com")
    phone = service.device().log_in(bob)
    tablet = service.device().log_in(bob)
    proof = bob.prove()
    assert bob.end([phone.id_hash], proof).status_code == 204
    killed = servers.kill_primary()
    assert_never_otherwise(bob, 200, lambda: new_primary(servers, killed))
    assert_never_otherwise(phone, 401, lambda: new_primary(servers, killed))
    servers.wait_for_other_primary(killed)
    for device, status in ((bob, 200), (phone, 401), (tablet, 200)):
        assert_served(device, status, _SERVED_AGAIN_S)
    servers.wait_until_in_touch()
    assert bob.end([tablet.id_hash], proof).status_code == 204
    for device, status in ((bob, 200), (phone, 401), (tablet, 401)):
        assert_served(device, status, _SERVED_AGAIN_S)
    assert service.device().log_in(bob).is_signed_in


@pytest.mark.parametrize("is_asked_meanwhile", [False, True])
def test_primary_that_hangs_and_goes_on(servers, service, at_once, is_asked_meanwhile):
    """It still believes to be the primary, and what it has is old: nobody may ask it any more.

    Every thread of each worker has a connection to it; in one case none of them has had anything to do since before.
    """
    carol = service.device().register(f"carol-{is_asked_meanwhile}@example.com")
    phone = service.device().log_in(carol)
    id_hash, proof = phone.id_hash, carol.prove()
    elsewhere = [service.device() for _ in range(12)]
    for device in elsewhere:
        device.token = phone.token
    everywhere = [lambda device=device: verify(device) for device in elsewhere]
    for _ in range(5):
        wait_until(lambda: at_once(*everywhere) == [200] * len(elsewhere), "they are not signed in")
    servers.wait_until_in_touch()
    old = servers.primary()
    os.kill(old.process.pid, signal.SIGSTOP)
    if is_asked_meanwhile:
        assert_never_otherwise(elsewhere[0], 200, lambda: new_primary(servers, old))
    servers.wait_for_other_primary(old)
    named_at = time.monotonic()
    end(carol, id_hash, proof)
    wait_until(lambda: time.monotonic() > named_at + _KNOWN_S, "time stands still")
    os.kill(old.process.pid, signal.SIGCONT)
    wait_until(old.answers, "it does not go on")
    for _ in range(5):
        assert set(at_once(*everywhere)) <= {401, 503}
    assert old.replication()["role"] == "master", "the test comes too late to say anything"
    assert_served(phone, 401, _SERVED_AGAIN_S)


def test_one_sentinel_is_enough_and_without_any_connections_go_on(servers, service):
    dave = service.device().register("dave@example.com")
    for sentinel in servers.sentinels[:2]:
        sentinel.kill()
    phone = service.device().log_in(dave)
    for device in (dave, phone):
        assert_served(device, 200, _SERVED_AGAIN_S)
    servers.sentinels[2].kill()
    until = time.monotonic() + 2.5  # they are looked for in that time
    assert_never_otherwise(dave, 200, lambda: time.monotonic() > until)
    assert_served(dave, 200, _SERVED_AGAIN_S)
