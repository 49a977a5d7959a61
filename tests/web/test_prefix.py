"""Two Keyracks on one server with different prefixes: neither sees, hears, limits, tidies or deletes the other's."""

import json

import pytest
from fakeredis import FakeRedis
from redis import Redis, RedisCluster

from app import create_app
from app.config import load_settings
from app.stores.connection.connect import from_redis_py
from app.stores.keys import Keys
from tests.conftest import ENVIRONMENT, NotingClient, least_rights
from tests.device import Device

PREFIXES = ("", "one", "two")


@pytest.fixture
def keyracks(request, redis, store, clock):
    """A Keyrack for each prefix; on a real server each as a user who may see its own keys and channel alone."""
    clients = []

    def connect(prefix):
        if isinstance(redis, FakeRedis | RedisCluster):
            return store
        redis.execute_command(*least_rights(f"least{prefix}", prefix))
        url = request.getfixturevalue("redis_server").url
        user = {"username": f"least{prefix}", "password": "PASSWORD"}
        clients.append(Redis.from_url(url, **user, decode_responses=True, protocol=2))
        return from_redis_py(clients[-1])

    made = {}
    for prefix in PREFIXES:
        settings = load_settings(ENVIRONMENT | {"REDIS_PREFIX": prefix, "RATE_LIMIT_LOGIN": "3 per minute"})
        made[prefix] = create_app(settings, connect(prefix), clock)
        made[prefix].test_client_class = NotingClient
    yield made
    for client in clients:
        client.close()


@pytest.fixture
def devices(keyracks):
    """The first device of an account with one address, at each Keyrack."""
    return {
        prefix: Device(app.test_client(use_cookies=False), {}).register("alice@example.com")
        for prefix, app in keyracks.items()
    }


def run(app, *args):
    return app.test_cli_runner().invoke(args=args)


def keys_of(redis, prefix):
    return {key for key in redis.scan_iter() if Keys(prefix).type_of(key)}


def test_every_key_is_under_the_prefix_of_its_keyrack(devices, redis, clock):
    """All that the surface writes: sessions, tickets, proofs, codes, links, mails, limits."""
    for prefix, device in devices.items():
        device.prove()
        device.enable_totp(clock())
        device.post("/auth/forgot", {"login": device.email})
        other = Device(device._client, {}).log_in(device)
        device.end([other.id_hash])
        assert {keys.partition("{")[0] for keys in keys_of(redis, prefix)} >= {Keys(prefix).start + "user:"}
    kept = {prefix: keys_of(redis, prefix) for prefix in PREFIXES}
    assert set.union(*kept.values()) == set(redis.scan_iter())
    assert sum(map(len, kept.values())) == len(set(redis.scan_iter()))
    assert {key.removeprefix("two:") for key in kept["two"] if "mail" in key.partition(":")[2][:6]} != set()


def test_a_token_is_good_at_its_own_keyrack(devices):
    for device in devices.values():
        assert device.is_signed_in
        for other in devices.values():
            answer = other.call("GET", "/users/@me", token=device.token)
            assert answer.status_code == (200 if other is device else 401)


def test_an_ending_is_heard_on_its_own_channel(devices, redis):
    for prefix, device in devices.items():
        subscription = redis.pubsub(ignore_subscribe_messages=True)
        subscription.subscribe(*(Keys(one).channel for one in PREFIXES))
        for _ in PREFIXES:
            subscription.get_message(timeout=1)
        device.post("/auth/logout")
        message = next_ending(subscription, 1)
        assert message["channel"] == Keys(prefix).channel
        assert json.loads(message["data"])["user_id"] == device.user_id
        assert next_ending(subscription, 0.05) is None
        subscription.close()


def next_ending(subscription, timeout_s):
    """Return the next message of an ending; None if there is none. A Cluster may still pass on the sign-ins before."""
    while message := subscription.get_message(timeout=timeout_s):
        if json.loads(message["data"])["type"] == "AUTH_SESSION_REMOVE":
            return message
    return None


def test_limits_count_apart(devices):
    """Who is over a limit at one Keyrack has the whole budget at another."""
    for device in devices.values():
        body = {"login": device.email, "password": "wrong password"}
        assert [device.post("/auth/login", body).status_code for _ in range(4)] == [400, 400, 400, 429]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("users", "delete", "alice@example.com", "--yes"), 0),
        (("users", "disable", "alice@example.com", "--yes"), 0),
        (("sessions", "end-all", "--yes"), 0),
        (("sessions", "tidy"), 0),
    ],
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_command_reaches_its_own_keyrack_alone(keyracks, devices, redis, prefix, command, code):
    others = {one: sorted(keys_of(redis, one)) for one in PREFIXES if one != prefix}
    ran = run(keyracks[prefix], *command)
    assert ran.exit_code == code, ran.output
    assert {one: sorted(keys_of(redis, one)) for one in others} == others
    assert [one for one in others if not devices[one].is_signed_in] == []
    if command[1] == "delete":
        left = {key for key in keys_of(redis, prefix) if "LIMITS" not in key}
        assert left <= {f"{prefix}:{{mail}}" if prefix else "mail"}
        assert [redis.xlen(queue) for queue in left] == [0] * len(left)
    for one, app in keyracks.items():
        ids = [json.loads(line)["id"] for line in run(app, "users", "list", "--json").stdout.splitlines()]
        assert ids == ([] if (one, command[1]) == (prefix, "delete") else [devices[one].user_id])


def test_doctor_finds_its_own_keys_and_channel(keyracks, devices):
    """Under a prefix it looks at nothing else; without one, it finds the keys of the others."""
    assert len(devices) == len(keyracks)
    for prefix, app in keyracks.items():
        found = [json.loads(line) for line in run(app, "doctor", "--json").stdout.splitlines()]
        levels = {finding["check"]: finding["level"] for finding in found}
        assert levels["redis rights"] == "ok"
        assert levels["redis keys"] == ("ok" if prefix else "warn")


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_a_user_of_one_prefix_has_no_right_to_another(redis_server, redis, clock):
    """The rights that the docs show for a prefix are enough for it, and for nothing else."""
    redis.execute_command(*least_rights("leastone", "one"))
    url = redis_server.url
    with Redis.from_url(url, username="leastone", password="PASSWORD", decode_responses=True, protocol=2) as client:
        for prefix, status in (("one", 200), ("", 503), ("two", 503)):
            app = create_app(load_settings(ENVIRONMENT | {"REDIS_PREFIX": prefix}), client, clock)
            assert app.test_client().get("/readyz").status_code == status
            said = run(app, "doctor").output
            assert (f"~{Keys(prefix).start}user:*" in said) == (status == 503)
