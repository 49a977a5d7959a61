"""The rows on checks from memory: no yes that is sent after an ending was answered, and the judge would find one."""

from collections import Counter

import pytest

from scripts.faults.leases.checks import Seen
from scripts.faults.leases.rows import IMPATIENT, LEASE_ROWS
from scripts.faults.leases.runner import judge, run

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


def test_no_yes_is_late_while_workers_are_stopped(redis_server, tmp_path):
    """Some thousand checks, of which workers answered some from memory; scripts/chaos makes a million."""
    result = run(ROWS["yes-stopped"], checks=5_000, seed=1, keep_in=tmp_path, most_s=12)
    assert result.findings == []
    assert result.from_memory > 0
    assert sum(result.endings.values()) > 5


def test_endings_that_wait_for_nobody_are_found_out(redis_server, tmp_path):
    """A run without a late yes would say nothing if the judge could not find one."""
    results = (run(IMPATIENT, checks=5_000, seed=seed, keep_in=tmp_path, most_s=12) for seed in range(5))
    assert any(result.count("late yes") for result in results)
