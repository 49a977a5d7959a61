"""The rows on checks from memory: the judge finds a yes that was sent after an ending was answered."""

from collections import Counter

import pytest

from scripts.faults.leases.checks import Seen
from scripts.faults.leases.rows import LEASE_ROWS
from scripts.faults.leases.runner import judge

ROWS = {row.name: row for row in LEASE_ROWS}


@pytest.fixture
def kinds():
    """Judges a session of which two processes have seen this."""

    def kinds(*seen, row="yes-calm"):
        found = [{"checks": 1, "seen": {"a token": one}} for one in seen]
        return [finding.kind for finding in judge(ROWS[row], 1, Counter(memory=1), found).findings]

    return kinds


def test_a_yes_that_was_sent_after_the_answer(kinds):
    """It counts in whichever process the yes was seen."""
    ends = Seen(asked_at=10.0, told_at=10.2, ending="log out")
    assert kinds(ends, Seen(last_yes_at=10.3)) == ["late yes"]
    assert kinds(Seen(10.3, asked_at=10.0, told_at=10.2), Seen()) == ["late yes"]
    assert kinds(ends, Seen(last_yes_at=10.1)) == []


def test_a_yes_after_an_ending_that_was_not_answered(kinds):
    """Nobody was told that the session is over."""
    assert kinds(Seen(last_yes_at=12.0, asked_at=10.0), Seen()) == []


def test_a_no_before_the_ending(kinds):
    """It is wrong, but where the fault takes sessions away."""
    assert kinds(Seen(first_no_at=9.0), Seen(asked_at=10.0, told_at=10.2)) == ["wrong no"]
    assert kinds(Seen(first_no_at=10.1), Seen(asked_at=10.0, told_at=10.2)) == []
    assert kinds(Seen(first_no_at=9.0), Seen(asked_at=10.0, told_at=10.2), row="yes-flush") == []


def test_a_yes_that_names_another_session(kinds):
    assert kinds(Seen(is_foreign=True), Seen()) == ["foreign yes"]
