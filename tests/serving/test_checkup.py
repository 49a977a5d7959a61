"""What is found wrong with secrets and with Redis, and what is left alone."""

import secrets
from dataclasses import replace

import pytest

from app.config import load_settings
from app.serving.checkup import check_redis, check_secrets
from app.stores.connection.server import Server

GOOD = Server(
    name="",
    product="Redis 7.2.4",
    version=(7, 2, 4),
    maxmemory_policy="noeviction",
    appends=True,
    snapshots=False,
    clock_ahead_s=0.01,
    reach="public",
    has_password=True,
    replicas=0,
    reads_when_down=False,
)


def levels(findings):
    return {finding.check: finding.level for finding in findings}


def secrets_of(**environment):
    needed = {"REDIS_URL": "redis://localhost", "SECRET_KEYS": secrets.token_urlsafe(32)}
    return list(check_secrets(load_settings(needed | environment)))


def test_random_secrets_pass():
    """Of every usual form: base64, hexadecimal, a UUID."""
    for make in (lambda: secrets.token_urlsafe(32), lambda: secrets.token_hex(16)):
        keys = ",".join(make() for _ in range(20))
        found = levels(secrets_of(SECRET_KEYS=keys, GATEWAY_SECRET=make(), METRICS_SECRET=make()))
        assert found == {"secret keys": "ok", "gateway secret": "ok", "metrics secret": "ok"}


@pytest.mark.parametrize(
    "weak",
    [
        "k" * 40,
        "0123456789" * 4,
        "correcthorse" * 3,
        "change-me-f8Jq2Lx0Zp4Wn7Rt5Yb3Kd",
        "A-Secret-f8Jq2Lx0Zp4Wn7Rt5Yb3KdXv",
    ],
)
def test_secrets_that_could_be_guessed_are_told_of(weak):
    """By their place, not by what they are."""
    found = secrets_of(SECRET_KEYS=f"{secrets.token_urlsafe(32)},{weak}", GATEWAY_SECRET=weak, METRICS_SECRET=weak)
    assert levels(found) == {"secret keys": "fail", "gateway secret": "fail", "metrics secret": "fail"}
    assert "Secret 2 of SECRET_KEYS" in found[0].said
    assert weak not in str(found)


@pytest.mark.parametrize("short", ["hunter2", "f8Jq2Lx0"])
def test_a_short_gateway_secret_is_told_of(short):
    assert levels(secrets_of(GATEWAY_SECRET=short))["gateway secret"] == "fail"


def test_whoever_calls_must_not_choose_their_address():
    assert levels(secrets_of(TRUSTED_PROXIES="10.0.0.0/8,::/0"))["trusted proxies"] == "fail"
    assert "trusted proxies" not in levels(secrets_of(TRUSTED_PROXIES="10.0.0.0/8"))


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({}, "redis", "ok"),
        ({"version": (6, 0, 16)}, "redis", "fail"),
        ({"version": None}, "redis", "warn"),
        ({"maxmemory_policy": "allkeys-lru"}, "eviction", "fail"),
        ({"maxmemory_policy": "volatile-ttl"}, "eviction", "fail"),
        ({"maxmemory_policy": None}, "eviction", "warn"),
        ({"appends": False, "snapshots": True}, "persistence", "warn"),
        ({"appends": False, "snapshots": None}, "persistence", "warn"),
        ({"appends": False, "snapshots": False}, "persistence", "fail"),
        ({"appends": None}, "persistence", "warn"),
        ({"has_password": False}, "redis password", "fail"),
        ({"has_password": False, "reach": "private"}, "redis password", "warn"),
        ({"has_password": False, "reach": "local"}, "redis password", "ok"),
        ({"clock_ahead_s": 5}, "clock", "warn"),
        ({"clock_ahead_s": -3600}, "clock", "fail"),
    ],
)
def test_redis(change, check, level):
    """One thing is wrong, one thing is told, with what to do; all else is well."""
    found = list(check_redis([replace(GOOD, **change)], 0))
    assert len(found) == 5
    assert levels(found) == dict.fromkeys(levels(found), "ok") | {check: level}
    [told] = [finding for finding in found if finding.check == check]
    assert bool(told.advice) == (level != "ok")


@pytest.mark.parametrize(
    ("change", "check", "level", "told"),
    [
        ({"why_not_primary": "the server is a replica of 10.0.0.2:6379"}, "role", "fail", "10.0.0.2:6379"),
        ({"refused_rights": ["+role", "+info"]}, "role", "warn", "+role +info"),
        ({"memory_used": 0.79}, "memory", "ok", "79%"),
        ({"memory_used": 0.8}, "memory", "warn", "80%"),
        ({"memory_used": 1.01}, "memory", "fail", "101%"),
        ({"is_snapshot_failed": True}, "writes", "fail", "snapshot failed"),
        ({"is_file_failed": True}, "writes", "fail", "append-only file"),
        ({"demanded_replicas": 2, "good_replicas": 1}, "writes", "fail", "in touch: 1"),
        ({"fsync": "no"}, "fsync", "warn", "appendfsync no"),
    ],
)
def test_what_may_be_wrong_with_a_server_that_runs(change, check, level, told):
    """It is told beside all that is well, with what to do."""
    [found] = [finding for finding in check_redis([replace(GOOD, **change)], 0) if finding.check == check]
    assert found.level == level
    assert told in found.said
    assert bool(found.advice) == (level != "ok")


def test_what_is_as_it_should_be_is_not_told_of():
    """Replicas as demanded; a file that is not written needs no disk."""
    for change in (
        {"demanded_replicas": 1, "good_replicas": 1},
        {"appends": False, "fsync": "no"},
        {"fsync": "always"},
    ):
        assert {"writes", "fsync", "role"} & set(levels(check_redis([replace(GOOD, **change)], 0))) == set()


@pytest.mark.parametrize(
    ("replicas", "wanted", "level"), [(0, 0, None), (2, 0, "warn"), (2, 1, "ok"), (2, 3, "fail"), (None, 1, None)]
)
def test_replicas(replicas, wanted, level):
    """Those that are waited for must be there; those that are there should be waited for."""
    found = levels(check_redis([replace(GOOD, replicas=replicas)], wanted))
    assert found.get("replicas") == level


def test_a_cluster_is_told_of_server_by_server():
    servers = [replace(GOOD, name="10.0.0.1:6379"), replace(GOOD, name="10.0.0.2:6379", reads_when_down=True)]
    found = list(check_redis(servers, 0))
    assert [finding.said.startswith("10.0.0.1:6379: ") for finding in found] == [True] * 5 + [False] * 6
    assert [finding.check for finding in found if finding.level == "fail"] == ["reads when down"]
