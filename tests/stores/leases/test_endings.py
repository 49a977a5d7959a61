"""Endings wait for the holders of leases: each is asked by the script itself, and a silent one is removed."""

import pytest

from app.stores.keys import unprefixed as keys
from app.stores.leases.endings import Endings
from app.stores.leases.rounds import Rounds
from app.stores.scripts import SessionScripts
from app.stores.session_records import Client
from app.stores.sessions import SessionStore
from app.watch import metrics
from tests.conftest import LIFETIMES

OWN, OTHER = "0" * 16, "a" * 16
FIRST, SECOND, THIRD = (letter * 43 + "=" for letter in "ABC")
LEASE_S = 0.05
IN_FULL = LEASE_S * 1.01 + 0.001


class Time:
    """A clock that goes on only while somebody waits by it, and what the one who waits hears then."""

    def __init__(self):
        self.now = 1000.0
        self.hear = lambda: None

    def __call__(self):
        return self.now

    def block(self, event, seconds):
        self.hear()
        if not event.is_set():
            self.now += seconds
        return event.is_set()

    def passed_s(self):
        """How long was waited since this was last asked."""
        passed, self.now = self.now - 1000.0, 1000.0
        return passed


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def rounds(time):
    return Rounds(OWN, LEASE_S, time, time.block)


@pytest.fixture
def endings(store, rounds):
    return Endings(store, keys, rounds)


@pytest.fixture
def sessions(store, clock, endings, redis):
    redis.hset(keys.user("1"), "epoch", "1")
    return SessionStore(store, SessionScripts(store, LIFETIMES, clock, endings=endings))


@pytest.fixture
def open_session(sessions, clock):
    return lambda id_hash, cap=50: sessions.open("1", id_hash, int(clock()), Client(), "1", cap)


on_one_server = pytest.mark.parametrize("redis", ["fake", "real"], indirect=True)


@on_one_server
def test_an_ending_waits_for_a_holder(sessions, open_session, redis, time):
    open_session(FIRST)
    redis.hset(keys.leases, OTHER, "50 1")
    sessions.end("1", [FIRST], "revoked")
    assert time.passed_s() == pytest.approx(IN_FULL)


@on_one_server
def test_nobody_is_waited_for_where_nobody_is_registered(sessions, open_session, redis, rounds, time):
    """But this process itself, whose words come at once."""
    time.now -= 10
    rounds.is_heard = True
    time.now += 10
    redis.hset(keys.leases, OWN, "50 1")
    time.hear = lambda: rounds.note_word(OWN, 2)
    open_session(FIRST)
    assert sessions.end("1", [FIRST], "revoked") == 1
    assert time.passed_s() == 0


@on_one_server
def test_a_wait_is_counted_by_how_long_it_took(sessions, open_session, redis):
    open_session(FIRST)
    open_session(SECOND)
    before = _waits()
    sessions.end("1", [FIRST], "revoked")
    assert _waits() == before  # nobody was asked
    redis.hset(keys.leases, OTHER, "50 1")
    sessions.end("1", [SECOND], "revoked")
    count, seconds = _waits()
    assert count == before[0] + 1
    assert seconds == pytest.approx(before[1] + IN_FULL)


def _waits():
    """How many waits were counted, and how long they took together."""
    found = {sample.name: sample.value for family in metrics.ENDING_WAIT_SECONDS.collect() for sample in family.samples}
    return found["keyrack_ending_wait_seconds_count"], found["keyrack_ending_wait_seconds_sum"]
