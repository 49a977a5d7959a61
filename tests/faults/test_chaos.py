"""The whole of it: clients, a fault, the judgement. What must be lost is found, and of what is kept nothing is."""

import pytest

from scripts.faults.rows import FORGETFUL, ROWS
from scripts.faults.runner import run


@pytest.fixture(scope="module", autouse=True)
def _needs_server(redis_server):
    """Skips where there is none."""


def test_a_redis_that_keeps_nothing_is_found_out(tmp_path):
    result = run(FORGETFUL, seconds=3, seed=1, keep_in=tmp_path)
    assert result.count("lost") > 0
    assert not result.is_good


def test_a_redis_that_keeps_all_loses_nothing(tmp_path):
    row = next(row for row in ROWS if row.name == "redis-always")
    result = run(row, seconds=3, seed=1, keep_in=tmp_path)
    assert result.acknowledged > 100
    assert [(finding.kind, finding.what) for finding in result.findings] == []
    assert result.is_good
