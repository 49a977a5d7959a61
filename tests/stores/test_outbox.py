"""The outbox of a Cluster: what scripts tell comes into the queues once and in order, whoever dies when."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import ConnectionError as ConnectionBroken

from app.cli.sweeping import sweep_beside
from app.stores import outbox as outbox_module
from app.stores.events import ALL_TYPES
from app.stores.keys import unprefixed as keys
from app.stores.outbox import Outbox
from app.stores.session_records import Client, NewSession
from app.stores.users import Change, Deletion
from app.stores.wiring import Stores
from app.web.services import EXTENSION
from tests.conftest import LIFETIMES
from tests.servers import wait_until

RECEIVERS = [("webhook-00000001", ALL_TYPES), ("logout-00000001", frozenset({"AUTH_SESSION_REMOVE"}))]
HASH = "A" * 43 + "="


@pytest.fixture
def process(store, clock):
    """Makes the stores of a process. One that dies passes nothing on."""

    def make(*, dies=False):
        made = Stores(store, LIFETIMES, clock, receivers=RECEIVERS)
        if dies:
            made.outbox.pass_on = lambda user_id: 0
        return made

    return make


@pytest.fixture
def told(redis):
    def types(receiver="webhook-00000001"):
        return [json.loads(row["event"])["type"] for _, row in redis.xrange(keys.events(receiver).waiting)]

    return types


def make_user(stores, user_id="1"):
    email = f"user{user_id}@example.com"
    assert stores.users.create(
        user_id, email, email=email, username="u", global_name=None, password_hash="h", created_at=7
    )
    return Deletion(user_id, [email], "")


def rename(stores, number, user_id="1"):
    stores.users.change(user_id, Change(same_credentials=True, set={"username": f"u{number}"}))


def open_session(stores, id_hash, clock):
    new = NewSession(id_hash, int(clock()), Client(), 50)
    stores.users.change("1", Change(same_credentials=True, opens=new))


@pytest.mark.parametrize("redis", ["fake", "real"], indirect=True)
def test_one_server_needs_none(process, redis, told):
    """The script writes into the queues itself: nothing is lost if the process dies right after it."""
    make_user(process(dies=True))
    assert told() == ["user.created"]
    assert redis.keys("*outbox*") == []
    assert process().outbox.sweep() == 0


def test_whom_nobody_is_told_of_costs_nothing(store, clock, redis):
    stores = Stores(store, LIFETIMES, clock)
    assert stores.outbox.context() == {}
    assert stores.outbox.keys_of("1") == []
    make_user(stores)
    assert redis.keys("events*") == redis.keys("*outbox*") == []


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_what_a_process_that_died_has_left_is_swept_up(process, redis, told, clock):
    """Once, although several look for it; also of a user who is gone by now."""
    dying = process(dies=True)
    deletions = [make_user(dying, user_id) for user_id in ("1", "2")]
    open_session(dying, HASH, clock)
    dying.users.change("1", Change(end_others="admin"))
    dying.users.delete(deletions[0])
    assert told() == []
    assert set(redis.scan_iter("user:{1}*")) == {keys.outbox("1")}
    assert sorted(one.outbox.sweep() for one in (process(), process())) == [0, 6]
    of_first = ["user.created", "AUTH_SESSION_CREATE", "AUTH_SESSION_REMOVE", "user.deleted"]
    assert sorted(told()) == sorted([*of_first, "user.created"])
    assert [kind for kind in told() if kind != "user.created"] == of_first[1:]
    assert told("logout-00000001") == ["AUTH_SESSION_REMOVE"]
    assert set(redis.scan_iter("user:{1}*")) == set()
    assert redis.ttl(keys.swept) > 0


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_what_delivers_sweeps_beside(process, make_app, told):
    """At its start: mails too, so that whoever has no receivers needs no other process."""
    make_user(process(dies=True))
    stop = threading.Event()
    sweep_beside(make_app().extensions[EXTENSION].outbox, stop)
    wait_until(told, "nothing was swept")
    stop.set()
    assert told() == ["user.created"]


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_the_next_event_of_a_user_brings_what_was_left_along(process, told):
    make_user(process(dies=True))
    rename(process(), 1)
    assert told() == ["user.created", "user.updated"]


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_processes_that_pass_on_at_once_keep_the_order(process, redis):
    """Each event comes once, and in the order in which the scripts made it true."""
    make_user(process())
    made = [process() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: [rename(made[at], f"{at}-{number}") for number in range(12)], range(8)))
    rows = [row["event"] for _, row in redis.xrange(keys.events("webhook-00000001").waiting)]
    assert len(rows) == len(set(rows)) == 1 + 8 * 12
    assert redis.keys("*outbox*") == redis.keys("*passing_on*") == []


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_the_order_is_that_of_the_outbox(process, redis, told, monkeypatch):
    """Where more waits than is taken at once, and two processes want it."""
    monkeypatch.setattr(outbox_module, "_AT_ONCE", 3)
    dying = process(dies=True)
    make_user(dying)
    for number in range(20):
        rename(dying, number)
    rows = [row.split(" ", 3)[3] for row in redis.lrange(keys.outbox("1"), 0, -1)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: process().outbox.pass_on("1"), range(4)))
    assert sum(counts) == len(rows) == 21
    assert [row["event"] for _, row in redis.xrange(keys.events("webhook-00000001").waiting)] == rows


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_while_one_passes_on_the_others_wait_and_not_for_ever(process, redis, told):
    """A process that died amid it holds the others up for some seconds."""
    make_user(process(dies=True))
    redis.set(keys.passing_on("1"), "another", px=outbox_module.HELD_MS)
    assert process().outbox.pass_on("1") == 0
    assert told() == []
    assert 0 < redis.pttl(keys.passing_on("1")) <= outbox_module.HELD_MS
    redis.delete(keys.passing_on("1"))
    assert process().outbox.pass_on("1") == 1
    assert told() == ["user.created"]


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_one_that_dies_amid_it_tells_the_same_event_again(process, redis, monkeypatch):
    """Under the same id, by which a receiver knows it."""
    make_user(process(dies=True))
    dying = process()
    take = dying.outbox._take

    def die(user_id, me, done, **more):
        if done:
            raise ConnectionBroken("killed")
        return take(user_id, me, done, **more)

    monkeypatch.setattr(dying.outbox, "_take", die)
    dying.outbox.pass_on("1")
    redis.delete(keys.passing_on("1"))
    process().outbox.pass_on("1")
    first, second = (row["event"] for _, row in redis.xrange(keys.events("webhook-00000001").waiting))
    assert first == second


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_a_queue_that_cannot_be_written_holds_up_no_other(process, redis, told, store, monkeypatch, clock, caplog):
    """As while its server is away: what goes there waits in the outbox, and nobody's request fails."""
    run = store.run_script

    def run_or_break(script, names, *rest, **more):
        if names[0] == keys.events("webhook-00000001").waiting:
            raise ConnectionBroken("away")
        return run(script, names, *rest, **more)

    stores = process()
    make_user(stores)
    monkeypatch.setattr(store, "run_script", run_or_break)
    open_session(stores, HASH, clock)
    assert stores.users.change("1", Change(end_others="admin"))
    assert told("logout-00000001") == ["AUTH_SESSION_REMOVE"]
    assert told() == ["user.created"]
    assert "stays in the outbox" in caplog.text
    monkeypatch.undo()
    assert stores.outbox.pass_on("1") == 2
    assert told() == ["user.created", "AUTH_SESSION_CREATE", "AUTH_SESSION_REMOVE"]


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_an_outbox_of_another_application_fails_nothing(process, redis, told, clock):
    redis.set(keys.outbox("1"), "theirs")
    stores = process()
    make_user(stores)
    open_session(stores, HASH, clock)
    assert stores.users.change("1", Change(end_others="admin"))
    assert redis.get(keys.outbox("1")) == "theirs"
    assert told() == []


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_an_outbox_that_nobody_passes_on_does_not_fill_redis(process, redis):
    """The newest stay, and it goes by itself."""
    dying = process(dies=True)
    make_user(dying)
    redis.rpush(keys.outbox("1"), *(["x y 1 z"] * 999))
    rename(dying, 1)
    assert redis.llen(keys.outbox("1")) == 1000
    assert "user.updated" in redis.lindex(keys.outbox("1"), -1)
    assert "user.created" not in redis.lindex(keys.outbox("1"), 0)
    assert redis.ttl(keys.outbox("1")) > 0


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_a_queue_of_other_settings_gets_its_events_too(process, store, clock, told):
    """A process that knows no receivers any more passes on what another one has left."""
    make_user(process(dies=True))
    other = Outbox(store, keys, Stores(store, LIFETIMES, clock, sends_mail=True).addressees, clock)
    assert other.pass_on("1") == 1
    assert told() == ["user.created"]


@pytest.mark.parametrize("redis", ["fake", "real"], indirect=True)
def test_a_queue_keeps_the_newest(store, clock, redis, monkeypatch):
    """About as many as it may; what is lost is told."""
    stores = Stores(store, LIFETIMES, clock, receivers=RECEIVERS)
    for described in stores.outbox._queues:
        described["max"] = 100
    lost = []
    monkeypatch.setattr(outbox_module.lost_jobs, "note", lambda name, count: lost.append((name, count)))
    make_user(stores)
    for number in range(350):
        rename(stores, number)
    assert redis.xlen(keys.events("webhook-00000001").waiting) <= 300
    assert {name for name, _ in lost} == {"webhook-00000001"}
    assert sum(count for _, count in lost) + redis.xlen(keys.events("webhook-00000001").waiting) == 351
