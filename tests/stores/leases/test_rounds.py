"""The wait of an ending for the words of the holders of leases, by a clock that the test sets."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.stores.boot_clock import boot_clock
from app.stores.leases.rounds import Rounds
from tests.servers import wait_until

OWN, PHONE, TABLET = "0" * 16, "a" * 16, "b" * 16
LEASE_S = 0.05
IN_FULL = LEASE_S * 1.01 + 0.001


class Time:
    """A clock, and what happens while somebody waits by it."""

    def __init__(self):
        self.now = 1000.0
        self.due = []  # seconds from the beginning, and what happens then

    def __call__(self):
        return self.now

    def block(self, event, seconds):
        until = self.now + seconds
        while self.due and self.due[0][0] + 1000.0 <= until and not event.is_set():
            after_s, act = self.due.pop(0)
            self.now = max(self.now, 1000.0 + after_s)
            act()
        if not event.is_set():
            self.now = until
        return event.is_set()

    @property
    def passed_s(self):
        return self.now - 1000.0


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def rounds(time):
    """Of a process that hears words: it is a holder itself, and has been for long."""
    made = Rounds(OWN, LEASE_S, time, time.block)
    time.now -= 10
    made.is_heard = True
    time.now += 10
    return made


def test_nobody_is_waited_for_where_there_are_no_leases(time):
    rounds = Rounds(OWN, 0, time, time.block)
    assert rounds.wait(rounds.begin(), {}, time()) == {}
    assert time.passed_s == 0


def test_whose_leases_were_turned_off_waits_no_longer_than_the_last_holder_is_there(time):
    """Workers with VERIFY_LEASE=0 began while those before them, which had leases, were ending."""
    rounds = Rounds(OWN, 0, time, time.block)
    rounds.wait(rounds.begin(), {PHONE: "50 1"}, time())
    assert time.passed_s == pytest.approx(IN_FULL)
    rounds.wait(rounds.begin(), {}, time())
    rounds.wait(rounds.begin(), None, time())
    assert time.passed_s == pytest.approx(IN_FULL)


def test_who_is_not_registered_waits_in_full(time):
    """It cannot know whether there are holders whose registrations were lost."""
    rounds = Rounds(OWN, LEASE_S, time, time.block)
    assert rounds.wait(rounds.begin(), {}, time()) == {}
    assert time.passed_s == pytest.approx(IN_FULL)


def test_who_was_registered_just_now_waits_for_those_whose_registrations_were_lost(time):
    """With those of all. The others may not have noticed yet, and their leases go on."""
    rounds = Rounds(OWN, LEASE_S, time, time.block)
    rounds.is_heard = True
    time.now += 0.02
    n = rounds.begin()
    rounds.note_word(OWN, n)
    assert rounds.wait(n, {OWN: "50 1"}, time()) == {}
    assert time.passed_s == pytest.approx(IN_FULL)


def test_an_ending_goes_on_with_the_last_word(rounds, time):
    n = rounds.begin()
    time.due = [(0.001, lambda: rounds.note_word(OWN, n)), (0.002, lambda: rounds.note_word(PHONE, n))]
    assert rounds.wait(n, {OWN: "50 1", PHONE: "50 1"}, time()) == {}
    assert time.passed_s == pytest.approx(0.002)


def test_words_count_that_came_before_the_reply_was_read(rounds, time):
    n = rounds.begin()
    rounds.note_word(PHONE, n)
    rounds.note_word(OWN, n)
    assert rounds.wait(n, {OWN: "50 1", PHONE: "50 1"}, time()) == {}
    assert time.passed_s == 0


def test_a_word_for_another_round_is_none(rounds, time):
    """Also for a later one: its script may have run before, and the word with it."""
    n = rounds.begin()
    later = rounds.begin()
    rounds.note_word(OWN, n)
    rounds.note_word(PHONE, later)
    rounds.note_word(PHONE, n - 1)
    assert rounds.wait(n, {OWN: "50 1", PHONE: "50 1"}, time()) == {PHONE: "50 1"}
    assert time.passed_s == pytest.approx(IN_FULL)


def test_a_silent_holder_holds_an_ending_up_for_its_own_lease(rounds, time):
    """The one with the longer lease has given its word."""
    n = rounds.begin()
    time.due = [(0.01, lambda: [rounds.note_word(holder, n) for holder in (OWN, TABLET)])]
    assert rounds.wait(n, {OWN: "50 1", PHONE: "20 7", TABLET: "1000 1"}, time()) == {PHONE: "20 7"}
    assert time.passed_s == pytest.approx(0.02 * 1.01 + 0.001)


def test_a_holder_with_a_longer_lease_is_waited_for_as_long(rounds, time):
    n = rounds.begin()
    rounds.note_word(OWN, n)
    assert rounds.wait(n, {OWN: "50 1", PHONE: "1000 1 leaving"}, time()) == {PHONE: "1000 1 leaving"}
    assert time.passed_s == pytest.approx(1.011)


def test_without_leases_of_its_own_it_waits_for_those_of_others(time):
    rounds = Rounds(OWN, 0, time, time.block)
    rounds.wait(rounds.begin(), {PHONE: "200 1"}, time())
    assert time.passed_s == pytest.approx(0.203)


def test_the_time_since_the_reply_counts(rounds, time):
    n = rounds.begin()
    rounds.wait(n, {OWN: "50 1"}, time() - 0.04)
    assert time.passed_s == pytest.approx(IN_FULL - 0.04)


def test_registrations_that_cannot_be_read_are_waited_for(time):
    """As long as the longest lease that this process knows of."""
    rounds = Rounds(OWN, LEASE_S, time, time.block)
    assert rounds.wait(rounds.begin(), None, time()) == {}
    assert time.passed_s == pytest.approx(IN_FULL)
    without = Rounds(OWN, 0, time, time.block)
    without.wait(without.begin(), None, time())
    assert time.passed_s == pytest.approx(IN_FULL)


def test_who_is_missing_in_the_list_waits_in_full(rounds, time):
    """The registrations were lost: nobody can know how many holders there are."""
    n = rounds.begin()
    rounds.note_word(PHONE, n)
    assert rounds.wait(n, {PHONE: "50 1"}, time()) == {}
    assert time.passed_s == pytest.approx(IN_FULL)


@pytest.mark.parametrize("registration", ["", "x", "50", "0 1", "-50 1", "99999 1", "50 1 gone", "50 x"])
def test_what_is_no_registration_is_passed_over(rounds, time, registration):
    """Another application's hash has the same name."""
    n = rounds.begin()
    rounds.note_word(OWN, n)
    assert rounds.wait(n, {OWN: "50 1", PHONE: registration}, time()) == {}
    assert time.passed_s == 0


def test_who_does_not_hear_itself_judges_nobody_twice_a_minute(rounds, time):
    """Its own connection may be late, so that it hears nobody. One silent for good must be removed all the same."""
    held = {OWN: "50 1", PHONE: "50 1"}
    assert rounds.wait(rounds.begin(), held, time()) == held
    for _ in range(3):
        assert rounds.wait(rounds.begin(), held, time()) == {}
    time.now += 60
    assert rounds.wait(rounds.begin(), held, time()) == held


def test_whose_connection_broke_while_it_waited_judges_nobody_twice_a_minute(rounds, time):
    held = {OWN: "50 1", PHONE: "50 1"}

    def lose():
        rounds.is_heard = False
        rounds.is_heard = True

    for silent in ({PHONE: "50 1"}, {}):
        n = rounds.begin()
        rounds.note_word(OWN, n)
        time.due = [(time.passed_s + 0.01, lose)]
        assert rounds.wait(n, held, time()) == silent


def test_words_that_nobody_waits_for_are_dropped(rounds, time):
    """Those that came too late, and those of scripts whose reply was lost."""
    first = rounds.begin()
    rounds.note_word(PHONE, first)
    for _ in range(1000):
        rounds.note_word(PHONE, rounds.begin())
    assert rounds.wait(first, {OWN: "50 1", PHONE: "50 1"}, time()).keys() == {OWN, PHONE}
    last = rounds.begin()
    rounds.note_word(PHONE, last)
    rounds.note_word(OWN, last)
    assert rounds.wait(last, {OWN: "50 1", PHONE: "50 1"}, time()) == {}
    assert len(rounds._early) <= 1000
    assert rounds._waits == {}


def test_a_word_wakes_its_own_waiter_alone():
    """On threads and the real time: leases are long, so that only words end the waits."""
    woken = []

    def block(event, seconds):
        is_set = event.wait(60)
        woken.append(event)
        return is_set

    at = boot_clock()
    rounds = Rounds(OWN, 60, lambda: at - 100, block=block)
    rounds.is_heard = True
    rounds.clock = boot_clock
    numbers = [rounds.begin() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        waits = [threads.submit(rounds.wait, n, {OWN: "9999 1", PHONE: "9999 1"}, boot_clock()) for n in numbers]
        wait_until(lambda: len(rounds._waits) == len(numbers), "not all wait")
        for n in numbers:
            rounds.note_word(PHONE, n)
        assert woken == []
        for number, (n, wait) in enumerate(zip(numbers, waits, strict=True), 1):
            rounds.note_word(OWN, n)
            assert wait.result(60) == {}
            assert len(woken) == number


FORKS = """
import os
from app.stores.leases.rounds import Rounds, new_id
rounds = Rounds(new_id(), 0.05)
rounds.is_heard = True
rounds.begin()
rounds._lock.acquire()  # as another thread may, which the child does not have
child = os.fork()
if child:
    os.waitpid(child, 0)
    rounds._lock.release()
print(rounds.own_id, rounds.begin(), rounds.is_heard, flush=True)
"""


def test_a_forked_process_is_another_one():
    """Else each would hear the words to the other."""
    ran = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, check=True, text=True)
    child, parent = (line.split() for line in ran.stdout.splitlines())
    assert (child[1:], parent[1:]) == (["1", "False"], ["2", "True"])
    assert re.fullmatch("[0-9a-f]{16} [0-9a-f]{16}", f"{child[0]} {parent[0]}")
    assert child[0] != parent[0]
