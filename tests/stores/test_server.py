"""What Redis says of itself, asked of a real one in several moods."""

from dataclasses import replace

import pytest
from redis import Redis

from app.stores.connect import connect
from app.stores.server import look_at, reach_of


@pytest.fixture
def configured(redis_server):
    """Sets options on the real server for a test."""
    client = connect(redis_server.url)
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
    with connect(redis_server.url) as client:
        client.acl_setuser("keyrack", enabled=True, passwords=["+right"], keys=["*"], categories=["+@all"])
        yield
        client.acl_deluser("keyrack")


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_a_real_server(redis, configured, clock):
    found = look_at(redis, clock)
    assert found.product.startswith(("Redis ", "Valkey "))
    assert found.version >= (6, 2)
    assert (found.maxmemory_policy, found.appends, found.snapshots) == ("noeviction", False, False)
    assert (found.reach, found.has_password) == ("local", False)
    configured(maxmemory_policy="allkeys-lru", appendonly="yes", save="60 1")
    changed = replace(found, maxmemory_policy="allkeys-lru", appends=True, snapshots=True)
    assert replace(look_at(redis, clock), clock_ahead_s=0) == replace(changed, clock_ahead_s=0)


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_the_clocks(redis, clock):
    clock.advance(-100)
    assert look_at(redis, clock).clock_ahead_s == pytest.approx(100, abs=60)


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_a_server_that_keeps_things_to_itself(redis):
    """As managed ones do: what is not told is unknown, not an error."""
    found = look_at(redis)
    assert (found.version, found.maxmemory_policy, found.appends, found.snapshots) == (None, None, None, None)


@pytest.mark.parametrize(("user", "password", "counts"), [("default", "anything", False), ("keyrack", "right", True)])
def test_a_password_that_everything_passes_for_is_none(redis_server, real_redis_user, user, password, counts):
    """The user `default` takes any, where the server asks for none."""
    path = redis_server.plain_url.removeprefix("unix://")
    with Redis(unix_socket_path=path, username=user, password=password, decode_responses=True, protocol=2) as client:
        assert look_at(client).has_password is counts


@pytest.mark.parametrize(
    ("url", "reach"),
    [
        ("redis://127.0.0.1:1", "local"),
        ("redis://[::1]:1", "local"),
        ("unix:///nowhere", "local"),
        ("redis://10.1.2.3:1", "private"),
        ("redis://9.9.9.9:1", "public"),
    ],
)
def test_reach(url, reach):
    """By the address alone; nothing is connected to."""
    assert reach_of(connect(url).connection_pool.connection_kwargs) == reach
