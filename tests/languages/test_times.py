"""Times in words, in each language."""

import pytest

from app.languages import times
from app.languages.choice import in_language

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)

AT = 1_752_708_864.697588  # 16 July 2025, 23:34:24 UTC
HOUR_S, DAY_S, WEEK_S = 3600, 86_400, 604_800


@pytest.fixture(params=["en", "de"])
def speak(app, request):
    """Whatever is said within a test is in this language."""
    with app.app_context(), in_language(request.param):
        yield request.param


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (-5, {"en": "less than an hour ago", "de": "vor weniger als einer Stunde"}),
        (0, {"en": "less than an hour ago", "de": "vor weniger als einer Stunde"}),
        (HOUR_S - 1, {"en": "less than an hour ago", "de": "vor weniger als einer Stunde"}),
        (HOUR_S, {"en": "1 hour ago", "de": "vor 1 Stunde"}),
        (2 * HOUR_S, {"en": "2 hours ago", "de": "vor 2 Stunden"}),
        (DAY_S - 1, {"en": "23 hours ago", "de": "vor 23 Stunden"}),
        (DAY_S, {"en": "1 day ago", "de": "vor 1 Tag"}),
        (2 * DAY_S, {"en": "2 days ago", "de": "vor 2 Tagen"}),
        (2 * WEEK_S - 1, {"en": "13 days ago", "de": "vor 13 Tagen"}),
        (2 * WEEK_S, {"en": "2 weeks ago", "de": "vor 2 Wochen"}),
        (5 * WEEK_S, {"en": "5 weeks ago", "de": "vor 5 Wochen"}),
        (100 * WEEK_S, {"en": "100 weeks ago", "de": "vor 100 Wochen"}),
    ],
)
def test_how_long_ago(speak, passed, words):
    assert times.ago(AT - passed, AT) == words[speak]


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (0, {"en": "1 minute ago", "de": "vor 1 Minute"}),
        (119, {"en": "1 minute ago", "de": "vor 1 Minute"}),
        (120, {"en": "2 minutes ago", "de": "vor 2 Minuten"}),
        (HOUR_S, {"en": "1 hour ago", "de": "vor 1 Stunde"}),
    ],
)
def test_how_long_ago_to_the_minute(speak, passed, words):
    assert times.minutes_ago(AT - passed, AT) == words[speak]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (30 * DAY_S, {"en": "30 days", "de": "30 Tage"}),
        (DAY_S, {"en": "1 day", "de": "1 Tag"}),
        (12 * HOUR_S, {"en": "12 hours", "de": "12 Stunden"}),
        (90 * 60, {"en": "90 minutes", "de": "90 Minuten"}),
        (30, {"en": "1 minute", "de": "1 Minute"}),
    ],
)
def test_spans(speak, seconds, words):
    assert times.span(seconds) == words[speak]


def test_days_and_moments(speak):
    words = {
        "en": ("16 July", "16 July 2025", "23:34 UTC", "16 July 2025, 23:34 UTC"),
        "de": ("16. Juli", "16. Juli 2025", "23:34 UTC", "16. Juli 2025, 23:34 UTC"),
    }
    told = times.day(AT, AT + DAY_S), times.day(AT, AT + 365 * DAY_S), times.time_of_day(AT), times.date_and_time(AT)
    assert told == words[speak]
