"""Endings wait for the holders of leases: the script itself reads and asks them, and a silent one is removed."""

import re
from pathlib import Path

import pytest
from redis import Redis

from app.stores.connection.connect import from_redis_py
from app.stores.keys import unprefixed as keys
from app.stores.leases.endings import Endings
from app.stores.leases.rounds import Rounds
from app.stores.scripts import SessionScripts
from app.stores.session_records import Client
from app.stores.sessions import CallerGone, SessionStore
from app.stores.users import Change, UserStore
from app.stores.wiring import Stores
from app.watch import metrics
from tests.conftest import LIFETIMES
from tests.leases import IN_FULL_S, LEASE_S, Holders, Time
from tests.stores.leases.test_holder import Worker

OWN, OTHER, THIRD = "0" * 16, "a" * 16, "b" * 16
FIRST, SECOND, NEW = (letter * 43 + "=" for letter in "ABC")
DAY = 24 * 3600

on_one_server = pytest.mark.parametrize("redis", ["fake", "real"], indirect=True)
on_a_server = pytest.mark.parametrize("redis", ["real"], indirect=True)


@pytest.fixture
def time():
    return Time()


class Process:
    """One that ends sessions, and is no holder: it hears nothing."""

    def __init__(self, store, clock, time, own_id=OWN, lease_s=LEASE_S):
        self.rounds = Rounds(own_id, lease_s, time, time.block)
        self.endings = Endings(store, keys, self.rounds)
        self.scripts = SessionScripts(store, LIFETIMES, clock, endings=self.endings)
        self.sessions = SessionStore(store, self.scripts)
        self.users = UserStore(store, self.scripts)
        self._clock = clock

    def open(self, id_hash, cap=50):
        assert self.sessions.open("1", id_hash, int(self._clock()), Client(), "1", cap)

    def end(self, id_hash=FIRST):
        return self.sessions.end("1", [id_hash], "revoked")


@pytest.fixture
def process(store, clock, time, redis):
    redis.hset(keys.user("1"), "epoch", "1")
    made = Process(store, clock, time)
    made.open(FIRST)
    made.open(SECOND)
    return made


@pytest.fixture
def holders(redis, process, time):
    made = Holders(redis, process.rounds, time, OTHER, THIRD)
    yield made
    made.close()


@on_one_server
def test_nobody_is_waited_for_where_nobody_else_is_registered(process, redis, time):
    """The words of the process itself come at once."""
    holders = Holders(redis, process.rounds, time)
    time.hear = holders.answer
    assert process.end() == 1
    assert time.passed_s() == 0
    holders.close()


@on_one_server
def test_nobody_is_waited_for_where_leases_are_off(store, redis, process, clock, time):
    assert Process(store, clock, time, lease_s=0).end() == 1
    assert time.waits == 0


@on_one_server
def test_a_wait_is_counted_by_how_long_it_took(store, redis, process, clock, time):
    without = Process(store, clock, time, lease_s=0)
    before = _waits()
    without.end(FIRST)
    assert _waits() == before  # nobody was asked
    redis.hset(keys.leases, OTHER, "50 1")
    without.end(SECOND)
    count, seconds = _waits()
    assert count == before[0] + 1
    assert seconds == pytest.approx(before[1] + IN_FULL_S)


@on_one_server
def test_a_wait_for_holders_that_are_in_no_list_is_counted(process):
    """The process has lost its connection, and the registrations with it."""
    before = _waits()
    process.end()
    count, seconds = _waits()
    assert (count, seconds) == (before[0] + 1, pytest.approx(before[1] + IN_FULL_S))


def _waits():
    """How many waits were counted, and how long they took together."""
    found = {sample.name: sample.value for family in metrics.ENDING_WAIT_SECONDS.collect() for sample in family.samples}
    return found["keyrack_ending_wait_seconds_count"], found["keyrack_ending_wait_seconds_sum"]


@on_one_server
def test_an_ending_waits_for_the_leases_of_holders_that_it_cannot_hear(process, redis, time):
    redis.hset(keys.leases, mapping={OTHER: "50 1", THIRD: "200 3"})
    assert process.end() == 1
    assert time.passed_s() == pytest.approx(0.203)


@on_one_server
def test_an_ending_goes_on_when_it_hears_the_words_to_its_round(process, holders, time):
    time.hear = holders.answer
    assert process.end() == 1
    assert (time.waits, time.passed_s()) == (1, 0)
    assert len(holders.rounds) == 1


@on_one_server
def test_who_hears_no_words_asks_for_none(process, holders, time):
    process.rounds.is_heard = False
    process.end()
    holders.hear()
    assert holders.rounds == []
    assert time.passed_s() == pytest.approx(IN_FULL_S)


@on_one_server
def test_a_silent_holder_holds_an_ending_up_for_one_lease(process, holders, time):
    holders.ids.remove(OTHER)
    time.hear = holders.answer
    process.end()
    assert time.passed_s() == pytest.approx(IN_FULL_S)


def finish_expired(process, clock):
    clock.advance(31 * DAY)
    process.sessions.finish_expired("1")


def touch_what_is_over(process, clock):
    clock.advance(31 * DAY)
    assert not process.sessions.touch("1", FIRST, Client())


def touch_beside_what_is_over(process, clock):
    clock.advance(29 * DAY)
    assert process.sessions.touch("1", SECOND, Client())
    clock.advance(2 * DAY)
    assert process.sessions.touch("1", SECOND, Client())


def ask_in_vain(process, clock):
    clock.advance(31 * DAY)
    with pytest.raises(CallerGone):
        process.sessions.end("1", [FIRST], "revoked", SECOND)


@on_one_server
@pytest.mark.parametrize(
    "end",
    [
        lambda process, _: process.end(),
        lambda process, _: process.sessions.end("1", [FIRST], "logout", FIRST),
        lambda process, _: process.sessions.end_former("1", FIRST),
        lambda process, _: process.open(NEW, cap=2),
        finish_expired,
        touch_what_is_over,
        touch_beside_what_is_over,
        ask_in_vain,
        lambda process, _: process.users.change("1", Change(end_others="admin")),
        lambda process, _: process.users.change("1", Change(same_credentials=True, end_others="admin")),
        lambda process, _: process.users.change("1", Change(caller=FIRST, new_id_hash=NEW, reason="mfa_change")),
        lambda process, _: process.users.change(
            "1", Change(same_credentials=True, caller=FIRST, new_id_hash=NEW, reason="mfa_change")
        ),
    ],
)
def test_whatever_ends_a_session_or_its_hash_waits(process, redis, clock, time, end):
    redis.hset(keys.leases, OTHER, "50 1")
    end(process, clock)
    assert time.passed_s() == pytest.approx(IN_FULL_S)


def test_no_script_takes_a_session_away_unnoticed():
    """Whatever does sets has_ended in session.lua, else the workers that keep it are not waited for."""
    taken = {
        (path.name, value)
        for path in Path("app/stores/lua").glob("*.lua")
        for value in re.findall(
            r'redis\.call\("(?:ZREM|DEL|ZREMRANGE\w+|ZPOP\w+)", last_used,? ?(.*?)\)', path.read_text(encoding="utf-8")
        )
    }
    assert taken == {("session.lua", "id_hash"), ("session.lua", '""'), ("change.lua", "change.caller")}


@on_one_server
def test_a_repeated_ending_waits_like_the_first(process, redis, time):
    """The first may be waiting still, or its process has died."""
    redis.hset(keys.leases, OTHER, "50 1")
    for ended in (1, 0):
        assert process.end() == ended
        assert time.passed_s() == pytest.approx(IN_FULL_S)


@on_one_server
def test_what_ends_nothing_does_not_wait(process, redis, clock, time):
    redis.hset(keys.leases, OTHER, "50 1")
    process.open(NEW)
    clock.advance(61)
    assert process.sessions.touch("1", FIRST, Client())
    assert process.sessions.rename("1", FIRST, "phone", FIRST)
    process.sessions.finish_expired("1")
    assert process.users.change("1", Change(same_credentials=True, set={"password_hash": "x"}))
    assert time.waits == 0


# Silent holders


@on_one_server
def test_a_silent_holder_is_marked_and_then_removed(process, holders, redis, time):
    """So it holds up two endings, and those that come with them."""
    holders.ids.remove(OTHER)
    time.hear = holders.answer
    process.end()
    assert redis.hgetall(keys.leases) == {OWN: "50 1", OTHER: "50 1 leaving", THIRD: "50 1"}
    process.end()
    assert redis.hgetall(keys.leases) == {OWN: "50 1", THIRD: "50 1"}
    time.passed_s()
    process.end()
    assert time.passed_s() == 0


@on_one_server
def test_many_are_removed_at_once(process, holders, redis, time):
    redis.hset(keys.leases, mapping={f"{number:016x}": "50 1" for number in range(1, 301)})
    time.hear = holders.answer
    process.end()
    process.end()
    assert time.passed_s() == pytest.approx(2 * IN_FULL_S)
    assert redis.hgetall(keys.leases) == {OWN: "50 1", OTHER: "50 1", THIRD: "50 1"}


@on_one_server
@pytest.mark.parametrize("before", ["50 1", "50 1 leaving"])
def test_a_holder_that_registers_again_meanwhile_stays(process, holders, redis, time, before):
    """It was stopped and goes on. Its count is another, though its lease is the same."""
    holders.ids.remove(OTHER)
    redis.hset(keys.leases, OTHER, before)

    def go_on():
        holders.answer()
        redis.hset(keys.leases, OTHER, "50 2")

    time.hear = go_on
    process.end()
    assert redis.hget(keys.leases, OTHER) == "50 2"


@on_one_server
def test_one_that_was_marked_meanwhile_is_not_removed_by_who_has_not_seen_it(process, holders, redis, time):
    """The mark is younger than this wait: a ping before it may still give a lease."""
    holders.ids.remove(OTHER)

    def mark():
        holders.answer()
        redis.hset(keys.leases, OTHER, "50 1 leaving")

    time.hear = mark
    process.end()
    assert redis.hget(keys.leases, OTHER) == "50 1 leaving"


@on_one_server
def test_one_that_left_by_itself_is_not_brought_back(process, holders, redis, time):
    holders.ids.remove(OTHER)

    def leave():
        holders.answer()
        redis.hdel(keys.leases, OTHER)

    time.hear = leave
    process.end()
    assert redis.hgetall(keys.leases) == {OWN: "50 1", THIRD: "50 1"}


@on_one_server
def test_where_nobody_hears_words_silent_holders_go_too(process, redis, time):
    """All workers were killed, and leases are off now: else each ending would be held up for ever."""
    redis.hset(keys.leases, mapping={OTHER: "50 1", THIRD: "50 1"})
    for _ in range(2):
        process.end()
        time.now += 60
    assert redis.hgetall(keys.leases) == {}


# Who cannot read who holds leases


@pytest.fixture
def limited(redis_server, redis, clock, time, process):
    """Makes a process whose user of Redis has these rights."""
    made = []

    def make(*rights):
        redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pw", "+@all", *rights)
        path = redis_server.plain_url.removeprefix("unix://")
        made.append(Redis(unix_socket_path=path, username="limited", password="pw", decode_responses=True, protocol=2))
        return Process(from_redis_py(made[-1]), clock, time)

    yield make
    redis.execute_command("ACL", "DELUSER", "limited")
    for client in made:
        client.close()


@on_a_server
def test_without_the_right_to_the_key_an_ending_waits_for_a_lease_of_its_own(limited, redis, time):
    redis.hset(keys.leases, OTHER, "50 1")
    assert limited("~user:*", "&auth-events").end() == 1
    assert time.passed_s() == pytest.approx(IN_FULL_S)
    assert redis.hgetall(keys.leases) == {OTHER: "50 1"}


@on_a_server
def test_without_the_right_to_the_channel_an_ending_waits_in_full(limited, redis, time):
    without = limited("~user:*", "~leases", "&auth-events")
    holders = Holders(redis, without.rounds, time, OTHER)
    time.hear = holders.answer
    assert without.end() == 1
    assert (holders.rounds, time.passed_s()) == ([], pytest.approx(IN_FULL_S))
    holders.close()


@on_a_server
def test_without_the_right_to_mark_it_an_ending_is_told_as_done(limited, redis, time):
    redis.hset(keys.leases, OTHER, "50 1")
    assert limited("~user:*", "%R~leases", "&*").end() == 1
    assert time.passed_s() == pytest.approx(IN_FULL_S)
    assert redis.hgetall(keys.leases) == {OTHER: "50 1"}


@on_one_server
def test_another_application_s_key_of_that_name_stops_no_ending(process, redis, time):
    redis.set(keys.leases, "theirs")
    assert process.end() == 1
    assert time.passed_s() == pytest.approx(IN_FULL_S)
    assert redis.get(keys.leases) == "theirs"


@on_one_server
def test_another_application_s_hash_of_that_name_is_passed_over(process, holders, redis, time):
    theirs = {"flat 5": "until 2027", "x": ""}
    redis.hset(keys.leases, mapping=theirs)
    time.hear = holders.answer
    assert process.end() == 1
    assert time.passed_s() == 0
    assert theirs.items() <= redis.hgetall(keys.leases).items()


@on_one_server
def test_whose_registration_was_lost_waits_in_full(process, holders, redis, time):
    """FLUSHDB took all of them; who else has a lease, nobody knows until the lease is over."""
    time.hear = holders.answer
    redis.delete(keys.leases)
    process.end()
    assert time.passed_s() == pytest.approx(IN_FULL_S)


# One wait for many endings


@on_one_server
def test_endings_that_wait_once_wait_together(process, redis, time):
    """For whoever was registered at any of them."""
    redis.hset(keys.leases, mapping={OTHER: "50 1", THIRD: "200 1"})
    with process.endings.wait_once():
        process.end(FIRST)
        redis.hdel(keys.leases, THIRD)
        process.end(SECOND)
        assert time.waits == 0
    assert time.passed_s() == pytest.approx(0.203)
    assert redis.hgetall(keys.leases) == {OTHER: "50 1 leaving"}


@on_one_server
def test_the_wait_counts_from_the_last_ending(process, redis, time):
    redis.hset(keys.leases, OTHER, "50 1")
    with process.endings.wait_once():
        process.end(FIRST)
        time.now += 10
        process.end(SECOND)
        time.passed_s()
    assert time.passed_s() == pytest.approx(IN_FULL_S)


@on_one_server
def test_a_failure_half_way_waits_for_what_has_ended(process, redis, time):
    redis.hset(keys.leases, OTHER, "50 1")

    def fail_half_way():
        with process.endings.wait_once():
            process.end(FIRST)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert time.passed_s() == pytest.approx(IN_FULL_S)
    process.end(SECOND)
    assert time.passed_s() == pytest.approx(IN_FULL_S)


@on_one_server
def test_waiting_once_for_nothing_takes_no_time(process, redis, time):
    redis.hset(keys.leases, OTHER, "50 1")
    with process.endings.wait_once():
        process.open(NEW)
    assert time.waits == 0


@on_a_server
def test_waiting_once_without_the_right_to_the_key(limited, time):
    without = limited("~user:*", "&auth-events")
    with without.endings.wait_once():
        without.end()
    assert time.passed_s() == pytest.approx(IN_FULL_S)


@pytest.mark.parametrize("redis", ["cluster"], indirect=True)
def test_in_a_cluster_nobody_is_asked(store, redis, clock):
    redis.hset(keys.leases, OTHER, "1000 1")
    stores = Stores(store, LIFETIMES, clock, lease_s=LEASE_S)
    redis.hset(keys.user("1"), "epoch", "1")
    assert (stores.rounds, stores.endings) == (None, None)
    assert stores.sessions.open("1", FIRST, int(clock()), Client(), "1", 50)
    assert stores.sessions.end("1", [FIRST], "revoked") == 1


# With holders as workers are


class Workers:
    """Two workers: the first ends sessions, the second keeps one. They have their turns only while an ending waits."""

    def __init__(self, url, store, clock, time):
        self.ender, self.other = self.all = [Worker(url), Worker(url)]
        self.stopped = []
        self._time = time
        rounds = self.ender.rounds
        rounds.clock, rounds._block = time, self._have_turns
        time.now -= 10
        self.ender.turn_until(lambda: rounds.is_heard)
        self.other.turn_until(lambda: self.other.rounds.is_heard)
        time.now += 10
        scripts = SessionScripts(store, LIFETIMES, clock, endings=Endings(store, keys, rounds))
        self.sessions = SessionStore(store, scripts)

    def _have_turns(self, event, seconds):
        """A stopped one is waited for until nothing comes from the others."""
        for _ in range(200 if self.stopped else 20_000):
            for worker in self.all:
                worker.clock.advance(0.0001)
                if worker not in self.stopped:
                    worker.turn(0.001)
            if event.is_set():
                return True
        self._time.now += seconds
        for worker in self.all:
            worker.clock.advance(seconds)
        return event.is_set()

    def close(self):
        for worker in self.all:
            worker.close()


@pytest.fixture
def workers(redis_server, store, clock, time, process):
    made = Workers(redis_server.url, store, clock, time)
    yield made
    made.close()


@on_a_server
def test_when_it_is_told_no_worker_can_say_yes(workers, redis, time):
    assert workers.other.ask("1", FIRST) is not None
    assert workers.other.find("1", FIRST) is not None
    workers.sessions.end("1", [FIRST], "revoked")
    assert workers.other.find("1", FIRST) is None
    assert time.passed_s() == 0
    assert [value.split()[2:] for value in redis.hvals(keys.leases)] == [[], []]


@on_a_server
def test_when_it_is_told_a_worker_that_was_stopped_cannot_say_yes(workers, redis, time):
    """It is continued later, and has not heard of anything."""
    assert workers.other.ask("1", FIRST) is not None
    assert workers.other.find("1", FIRST) is not None
    workers.stopped = [workers.other]
    registered = redis.hget(keys.leases, workers.other.rounds.own_id)
    workers.sessions.end("1", [FIRST], "revoked")
    assert workers.other.find("1", FIRST) is None
    assert time.passed_s() == pytest.approx(IN_FULL_S)
    assert redis.hget(keys.leases, workers.other.rounds.own_id) == f"{registered} leaving"
    workers.sessions.end("1", [SECOND], "revoked")
    assert redis.hgetall(keys.leases).keys() == {workers.ender.rounds.own_id}
    workers.stopped = []
    workers.other.turn_until(workers.other.registration)
    assert workers.other.find("1", FIRST) is None
    time.passed_s()
    assert workers.sessions.end("1", [SECOND], "revoked") == 0
    assert time.passed_s() == 0
