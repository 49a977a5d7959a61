"""The service at a Redis that is replaced behind its name, as managed ones are."""

import time

import pytest

from tests.live.server import Service
from tests.servers import wait_until
from tests.sets import Pair

_LEFT_WITHIN_S = 2
_WATCHED_S = 5


@pytest.fixture(scope="module")
def pair():
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture(autouse=True)
def _empty_afterwards():
    """These tests have a Redis of their own."""


@pytest.fixture(scope="module")
def service(pair):
    """Two processes at the name."""
    service = Service(pair.plain_url)
    yield service
    service.close()


@pytest.fixture(scope="module")
def elsewhere(pair):
    """An instance at the replica itself, which is the primary later."""
    service = Service(f"redis://127.0.0.1:{pair.replica.port}/0")
    yield service
    service.close()


def is_ready(service):
    return service.http.open("/readyz", "GET", {}).status_code == 200


def test_former_primary_that_is_cut_off(pair, service, elsewhere, at_once):
    """Each thread of each process has a connection to it, and it goes on answering. It is asked no more."""
    alice = service.device().register("alice@example.com")
    phone = service.device().log_in(alice)
    proof = alice.prove()
    devices = [service.device() for _ in range(40)]
    for device in devices:
        device.token = phone.token

    def statuses():
        return set(at_once(*(lambda device=device: device.get("/gateway/verify").status_code for device in devices)))

    for _ in range(10):  # so that each thread has a connection; on a busy machine one of forty at once may be late
        assert statuses() <= {200, 503}
    assert not is_ready(elsewhere)  # at a replica
    former = pair.take_over()
    taken_over_at = said_yes_at = time.monotonic()
    alice_elsewhere = elsewhere.device()
    alice_elsewhere.token = alice.token
    wait_until(lambda: is_ready(elsewhere), "the new primary is not used", within_s=5)
    assert alice_elsewhere.end([phone.id_hash], proof).status_code == 204
    while time.monotonic() < taken_over_at + _WATCHED_S:
        asked_at = time.monotonic()
        told = statuses()
        assert told <= {200, 401, 503}
        if 200 in told:
            said_yes_at = asked_at
    assert former.replication()["role"] == "master"
    assert former.client.dbsize() > 0, "it has nothing that could be told"
    assert said_yes_at - taken_over_at < _LEFT_WITHIN_S
    assert statuses() == {401}
    assert service.device().log_in(alice).is_signed_in
