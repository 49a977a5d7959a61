"""What a worker keeps in memory: the last use of each session, by user."""

import tracemalloc

import pytest

from app import tokens
from app.stores.leases.kept import Kept


@pytest.fixture
def kept():
    return Kept(most=4)


def test_a_session_is_found_by_user_and_hash(kept):
    kept.put("1", "a", 5.0, 0.0, 0.0)
    kept.put("1", "b", 6.0, 0.0, 0.0)
    assert (kept.find("1", "a", 1.0), kept.find("1", "b", 1.0)) == (5.0, 6.0)
    assert (kept.find("1", "c", 1.0), kept.find("2", "a", 1.0)) == (None, None)


def test_a_session_that_is_read_again_is_kept_once(kept):
    kept.put("1", "a", 5.0, 0.0, 0.0)
    kept.put("1", "a", 6.0, 0.0, 1.0)
    assert (kept.find("1", "a", 1.0), len(kept)) == (6.0, 1)


def test_those_that_were_read_longest_ago_make_room(kept):
    for user_id in ("1", "2", "3", "4", "1", "5"):
        kept.put(user_id, "a", 5.0, 0.0, 0.0)
    assert len(kept) == 4
    assert [user_id for user_id in "12345" if kept.find(user_id, "a", 0.0) is not None] == ["1", "3", "4", "5"]


def test_a_change_forgets_all_sessions_of_the_user(kept):
    kept.put("1", "a", 5.0, 0.0, 0.0)
    kept.put("2", "a", 5.0, 0.0, 0.0)
    kept.take_changed("1", 10.0)
    assert (kept.find("1", "a", 10.0), kept.find("2", "a", 10.0), len(kept)) == (None, 5.0, 1)


def test_what_was_asked_for_lately_is_worth_to_be_read_again(kept):
    """Not what nobody has asked for in three minutes."""
    kept.put("1", "lately", 5.0, 0.0, 0.0)
    kept.put("1", "long ago", 5.0, 0.0, 0.0)
    kept.find("1", "lately", 100.0)
    assert kept.take_changed("1", 200.0) == [("lately", 100.0)]


def test_what_changes_as_soon_as_it_is_read_is_not_read_for_ever(kept):
    """A server that remembers few keys tells of a change of each key as soon as others are read."""
    kept.put("1", "a", 5.0, 0.0, 0.0)
    assert kept.take_changed("1", 0.5) == []


def test_nothing_is_left_when_all_is_forgotten(kept):
    kept.put("1", "a", 5.0, 0.0, 0.0)
    kept.forget_all()
    assert (kept.find("1", "a", 0.0), len(kept)) == (None, 0)


@pytest.mark.parametrize("of_each", [1, 5])
def test_one_takes_at_most_400_bytes(of_each):
    """Of users with one session, and of users with several."""
    kept, count = Kept(), 20_000
    tracemalloc.start()
    try:
        for number in range(count):
            now = number / 1000
            kept.put(str(10**18 + number // of_each), tokens.id_hash(str(number)), 1e9 + now, now, now)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(kept) == count
    assert size / count < 400
