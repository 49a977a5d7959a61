"""A Redis that takes no writes: doctor, the log and the metrics name the reason, and nothing is signed in or ended."""

import json
import logging
from pathlib import Path

import pytest
from redis import ResponseError

from app.config import load_settings
from app.serving.checkup import warn_at_start
from app.stores.connection.connect import connect
from app.stores.connection.refusals import KINDS, describe, kind_of
from app.watch import metrics
from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD, Device
from tests.servers import RedisServer, redis_at, wait_until


@pytest.fixture(scope="module")
def server():
    """A server of these tests' own, which they bring into moods."""
    server = RedisServer("--dbfilename", "blocked.rdb")
    yield server
    server.close()


@pytest.fixture
def redis(server):
    with redis_at(server.url) as client:
        yield client
        for name, value in {"maxmemory": "0", "min-replicas-to-write": "0", "save": "", "appendonly": "no"}.items():
            client.config_set(name, value)
        client.replicaof("NO", "ONE")
        client.flushall()


@pytest.fixture
def store(server):
    with connect(server.url) as client:
        yield client


def be_full(redis):
    redis.config_set("maxmemory", "1mb")


def lack_replicas(redis):
    redis.config_set("min-replicas-to-write", "1")


def fail_a_snapshot(redis):
    """The file cannot be put in place, because a folder has its name."""
    redis.config_set("save", "3600 1")
    Path(redis.config_get("dir")["dir"], "blocked.rdb").mkdir(exist_ok=True)
    redis.bgsave()
    wait_until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot did not fail")


def fail_a_snapshot_beside_a_file(redis):
    redis.config_set("appendonly", "yes")
    wait_until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"], "the file is not written")
    fail_a_snapshot(redis)


def follow_another(redis):
    redis.replicaof("127.0.0.1", "1")


MOODS = [
    (be_full, "full", "memory", "Redis is full (maxmemory)"),
    (lack_replicas, "replicas", "writes", "min-replicas-to-write"),
    (fail_a_snapshot, "snapshot", "writes", "stop-writes-on-bgsave-error"),
    (fail_a_snapshot_beside_a_file, "snapshot", "writes", "stop-writes-on-bgsave-error"),
    (follow_another, "replica", "role", "a replica"),
]


def count(kind):
    return metrics.REDIS_ERRORS.labels(kind)._value.get()


@pytest.mark.parametrize(("come", "kind", "check", "words"), MOODS)
def test_the_reason_is_named(app, store, redis, server, caplog, come, kind, check, words):
    """In words: by the log and the metric of the request that was refused, by doctor, and by the log at start."""
    alice = Device(app.test_client(use_cookies=False)).register("alice@example.com")
    come(redis)
    before = count(kind)
    with caplog.at_level(logging.WARNING):
        log_in = {"login": alice.email, "password": PASSWORD}
        answer = Device(app.test_client(use_cookies=False)).post("/auth/login", log_in)
    assert answer.status_code == 503
    assert words in caplog.text
    assert count(kind) > before
    ran = app.test_cli_runner().invoke(args=["doctor", "--json"])
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    [told] = [finding for finding in found if finding["check"] == check]
    assert told["level"] == "fail"
    assert told["advice"]
    said = []
    settings = load_settings(ENVIRONMENT | {"REDIS_URL": server.url})
    warn_at_start(settings, lambda form, *args: said.append(form % args))
    assert any(told["advice"] in line for line in said)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("MISCONF Errors writing to the AOF file: No space left on device", "file"),
        ("MISCONF Errors writing to the AOF file: No space left script: 5, on @user_script:7.", "file"),
        (
            "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            "snapshot",
        ),
        ("NOREPLICAS Not enough good replicas to write.", "replicas"),
        ("ERR value of ada@example.com is not an integer", "refused"),
    ],
)
def test_words_of_redis_that_are_no_class(message, kind):
    """They are told by their first word, and nothing of Redis' own text is, which may quote a value."""
    refused = ResponseError(message)
    assert kind_of(refused) == kind
    assert kind in KINDS
    assert "ada" not in describe(refused)
    assert describe(refused).count("Redis") == (0 if kind == "refused" else 1)
