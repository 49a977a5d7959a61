"""Times for programs and for operators."""

import pytest

from app.times import ago, iso

AT = 1_752_708_864.697588
HOUR_S, DAY_S, WEEK_S = 3600, 86_400, 604_800


def test_iso_has_six_decimals_and_an_offset():
    assert iso(AT) == "2025-07-16T23:34:24.697588+00:00"
    assert iso(1_752_708_864) == "2025-07-16T23:34:24.000000+00:00"


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (-5, "less than an hour ago"),
        (0, "less than an hour ago"),
        (HOUR_S - 1, "less than an hour ago"),
        (HOUR_S, "1 hour ago"),
        (2 * HOUR_S, "2 hours ago"),
        (DAY_S - 1, "23 hours ago"),
        (DAY_S, "1 day ago"),
        (2 * DAY_S, "2 days ago"),
        (2 * WEEK_S - 1, "13 days ago"),
        (2 * WEEK_S, "2 weeks ago"),
        (5 * WEEK_S, "5 weeks ago"),
    ],
)
def test_how_long_ago(passed, words):
    assert ago(AT - passed, AT) == words
