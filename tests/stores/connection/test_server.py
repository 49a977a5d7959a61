"""What Redis says of itself, asked of a real one in several moods."""

from dataclasses import replace

import pytest

from app.stores.connection.connect import connect
from app.stores.connection.server import inspect_servers, reach_of
from tests.servers import redis_at


@pytest.fixture
def configured(redis_server):
    """Sets options on the real server for a test."""
    client = redis_at(redis_server.url)
    before = {}

    def configure(**options):
        for name, value in options.items():
            before.setdefault(name, client.config_get(name.replace("_", "-"))[name.replace("_", "-")])
            client.config_set(name.replace("_", "-"), value)
        return client

    yield configure
    for name, value in before.items():
        client.config_set(name.replace("_", "-"), value)
    client.close()


@pytest.fixture
def real_redis_user(redis_server):
    """A user with a password, beside the one without."""
    with redis_at(redis_server.url) as client:
        client.acl_setuser("keyrack", enabled=True, passwords=["+right"], keys=["*"], categories=["+@all"])
        yield
        client.acl_deluser("keyrack")


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_a_real_server(store, configured, clock):
    [found] = inspect_servers(store, clock)
    assert found.product.startswith(("Redis ", "Valkey "))
    assert found.version >= (6, 2)
    assert (found.maxmemory_policy, found.appends, found.snapshots) == ("noeviction", False, False)
    assert (found.reach, found.has_password) == ("local", True)
    configured(maxmemory_policy="allkeys-lru", appendonly="yes", save="60 1")
    changed = replace(found, maxmemory_policy="allkeys-lru", appends=True, snapshots=True)
    assert replace(inspect_servers(store, clock)[0], clock_ahead_s=0) == replace(changed, clock_ahead_s=0)


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_the_clocks(store, clock):
    clock.advance(-100)
    assert inspect_servers(store, clock)[0].clock_ahead_s == pytest.approx(100, abs=60)


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_a_server_that_keeps_things_to_itself(store):
    """As managed ones do: what is not told is unknown, not an error."""
    [found] = inspect_servers(store)
    assert (found.version, found.maxmemory_policy, found.appends, found.snapshots) == (None, None, None, None)


@pytest.mark.parametrize(("user", "password", "counts"), [("default", "anything", False), ("keyrack", "right", True)])
def test_a_password_that_everything_passes_for_is_none(redis_server, real_redis_user, user, password, counts):
    """The user `default` takes any, where the server asks for none."""
    path = redis_server.plain_url.removeprefix("unix://")
    with connect(f"unix://{user}:{password}@{path}") as client:
        assert inspect_servers(client)[0].has_password is counts


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_a_cluster(store, cluster):
    """Each primary, with its replica, by its own name."""
    found = inspect_servers(store)
    assert [server.name for server in found] == [f"127.0.0.1:{node.port}" for node in cluster.primaries()]
    assert {(server.replicas, server.reads_when_down, server.reach) for server in found} == {(1, False, "local")}


@pytest.mark.parametrize(
    ("host", "reach"),
    [("127.0.0.1", "local"), ("::1", "local"), (None, "local"), ("10.1.2.3", "private"), ("9.9.9.9", "public")],
)
def test_reach(host, reach):
    """By the address alone; nothing is connected to."""
    assert reach_of(host) == reach


def test_a_server_that_hides_its_role(redis_server, real_redis_user):
    """What would tell that it was replaced, and is refused, is named as ACL SETUSER takes it."""
    path = redis_server.plain_url.removeprefix("unix://")
    with redis_at(redis_server.url) as client, connect(f"unix://keyrack:right@{path}") as ours:
        assert inspect_servers(ours)[0].refused_rights == []
        client.acl_setuser("keyrack", enabled=True, commands=["-role", "-info"])
        assert inspect_servers(ours)[0].refused_rights == ["+role", "+info"]


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_how_far_memory_is_used(store, configured):
    """Without a limit it is not told."""
    assert inspect_servers(store)[0].memory_used is None
    configured(maxmemory="1gb")
    assert 0 < inspect_servers(store)[0].memory_used < 0.1
