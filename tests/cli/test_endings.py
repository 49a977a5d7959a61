"""A command that ends sessions waits once for the holders of leases, however many it ends, before its exit code."""

import pytest

from app.stores.keys import unprefixed as keys
from app.stores.sessions import SessionStore
from app.web.services import EXTENSION
from tests.leases import IN_FULL_S, REGISTERED, Time

HOLDER = "a" * 16

pytestmark = pytest.mark.parametrize("redis", ["fake", "real"], indirect=True)


@pytest.fixture
def time(app, redis):
    """Of a command, which is no holder, while there is another one."""
    time = Time()
    time.rule(app.extensions[EXTENSION].endings._rounds)
    redis.hset(keys.leases, HOLDER, REGISTERED)
    return time


@pytest.fixture
def people(new_device):
    return [new_device().register(f"user{number}@example.com") for number in range(20)]


@pytest.mark.parametrize("args", [["end-all"], ["end", "--unused-since", "0s"]])
def test_the_sessions_of_all_users(run, people, time, clock, args):
    clock.advance(1)
    ran = run("sessions", *args, "--yes")
    assert ran.exit_code == 0
    assert [person.is_signed_in for person in people] == [False] * 20
    assert (time.waits, time.passed_s()) == (1, pytest.approx(IN_FULL_S))


def test_a_command_that_is_stopped_half_way(run, people, time, monkeypatch):
    """What it has ended is over; so it waits before it says that it was stopped."""
    listed = []
    list_sessions = SessionStore.list

    def stop_at_the_fifth(store, user_id):
        listed.append(user_id)
        if len(listed) == 5:
            raise KeyboardInterrupt
        return list_sessions(store, user_id)

    monkeypatch.setattr(SessionStore, "list", stop_at_the_fifth)
    ran = run("sessions", "end-all", "--yes")
    assert (ran.exit_code, ran.err) == (4, "Error: Stopped.\n")
    monkeypatch.undo()
    assert [person.is_signed_in for person in people].count(False) == 4
    assert (time.waits, time.passed_s()) == (1, pytest.approx(IN_FULL_S))


def test_a_command_that_fails_half_way(run, people, time, redis):
    """Redis refuses what another program wrote; the users before that one have no session any more."""
    redis.hset(keys.user(people[7].user_id), "epoch", "no number")
    ran = run("sessions", "end-all", "--yes")
    assert ran.exit_code == 3
    has_ended_some = not all(person.is_signed_in for person in people)  # users come in no order
    assert time.passed_s() == pytest.approx(IN_FULL_S if has_ended_some else 0)


@pytest.mark.parametrize(
    ("args", "exit_code"),
    [
        (["users", "list"], 0),
        (["sessions", "list"], 0),
        (["sessions", "end-all", "--dry-run"], 0),
        (["sessions", "tidy"], 0),
        (["users", "disable", "nobody@example.com", "--yes"], 1),
    ],
)
@pytest.mark.usefixtures("people")
def test_a_command_that_ends_nothing_does_not_wait(run, time, args, exit_code):
    assert run(*args).exit_code == exit_code
    assert time.waits == 0


def test_a_command_where_nobody_is_registered_does_not_wait(run, people, time, redis):
    redis.delete(keys.leases)
    assert run("sessions", "end-all", "--yes").exit_code == 0
    assert time.waits == 0
