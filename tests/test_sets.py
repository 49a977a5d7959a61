"""The sets that other tests rely on: they fail over, and a slot of the Cluster moves, whole or half-way."""

import pytest
from redis import ResponseError

from tests.sets import ClusterSet, SentinelSet


@pytest.fixture(scope="module")
def cluster():
    cluster = ClusterSet(password="open-sesame")
    yield cluster
    cluster.close()


def test_sentinels_make_a_replica_the_primary():
    """What a replica has is there after the primary was killed."""
    servers = SentinelSet(password="open-sesame")
    try:
        first = servers.primary()
        first.client.set("key", "value")
        servers.wait_until_in_touch()
        assert servers.kill_primary() is first
        second = servers.wait_for_other_primary(first)
        assert second is not first
        assert second.client.get("key") == "value"
        assert second.client.set("key", "another")
    finally:
        servers.close()


def test_replica_takes_over_in_cluster(cluster):
    """The one that was killed comes back as a replica of the one that took over."""
    slot = cluster.slot_of("key")
    first = cluster.owner_of(slot)
    first.client.set("key", "value")
    cluster.wait_until_ok()
    assert cluster.kill_owner_of(slot) is first
    second = cluster.wait_for_other_owner_of(slot, first)
    assert second.client.get("key") == "value"
    first.start()
    cluster.wait_until_ok()
    assert first in cluster.replicas()
    assert first.replication()["master_port"] == second.port


def test_slot_moves(cluster):
    """Half-way a key that was moved is asked for at the new place, one that was not is answered at the old."""
    slot = cluster.slot_of("{moved}")
    old, new = cluster.owner_of(slot), cluster.add_node()
    old.client.mset({"{moved}a": "1", "{moved}b": "2"})
    cluster.begin_move(slot, new)
    assert cluster.move_keys(slot, new, 1) == 1
    answers = sorted(_get(old, key) for key in ("{moved}a", "{moved}b"))
    assert answers[0] in ("1", "2")
    assert answers[1] == f"ASK {slot} 127.0.0.1:{new.port}"
    assert cluster.move_keys(slot, new) == 1
    cluster.finish_move(slot, new)
    assert cluster.owner_of(slot) is new
    assert new.client.mget("{moved}a", "{moved}b") == ["1", "2"]


def _get(node, key):
    try:
        return node.client.get(key)
    except ResponseError as error:
        return f"{type(error).__name__[:3].upper()} {error}"
