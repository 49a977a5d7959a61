"""Times in words, in the language of the page or mail, by CLDR. All dates are in UTC.

For programs and for operators, whose language is English: app/times.py.
"""

import math
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal

from babel import Locale
from babel.dates import format_date, format_skeleton, format_timedelta

from app.languages.choice import current_locale
from app.languages.texts import gettext

_Unit = Literal["minute", "hour", "day", "week"]

_HOUR_S = 60 * 60
_DAY_S = 24 * _HOUR_S
_WEEK_S = 7 * _DAY_S
_ENGLISH = Locale("en", "GB")  # the day before the month: 16 July 2025


def ago(at: float, now: float) -> str:
    """Return how long ago a time was: "less than an hour ago", "1 hour ago", "2 days ago", "5 weeks ago"."""
    passed = now - at
    if passed < _HOUR_S:
        return gettext("less than an hour ago")
    if passed < _DAY_S:
        return _whole(passed, _HOUR_S, "hour")
    if passed < 2 * _WEEK_S:
        return _whole(passed, _DAY_S, "day")
    return _whole(passed, _WEEK_S, "week")


def minutes_ago(at: float, now: float) -> str:
    """Return how long ago a time was, to the minute where it was less than an hour: "2 minutes ago"."""
    passed = now - at
    return _whole(max(passed, 60), 60, "minute") if passed < _HOUR_S else ago(at, now)


def span(seconds: float) -> str:
    """Return a span of time in its largest whole unit: "30 days", "12 hours", "15 minutes"."""
    units: tuple[tuple[_Unit, int], ...] = (("day", _DAY_S), ("hour", _HOUR_S), ("minute", 60))
    unit, length = next(
        ((unit, length) for unit, length in units if seconds >= length and seconds % length == 0), units[2]
    )
    whole = timedelta(seconds=max(1, round(seconds / length)) * length)
    return format_timedelta(whole, granularity=unit, threshold=math.inf, locale=_formats())


def day(at: float, now: float) -> str:
    """Return a date as in "16 July", with the year if it is not this year."""
    then = datetime.fromtimestamp(at, UTC)
    is_of_this_year = then.year == datetime.fromtimestamp(now, UTC).year
    return _date(then.date(), _formats(), with_year=not is_of_this_year)


def time_of_day(at: float) -> str:
    """Return a time as in "21:40 UTC"."""
    return f"{format_skeleton('Hm', datetime.fromtimestamp(at, UTC), locale=_formats())} UTC"


def moment_ahead(at: float, now: float) -> str:
    """Return a time to come as in "21:40 UTC", with the date if it is a day away or more."""
    return time_of_day(at) if at - now < _DAY_S else date_and_time(at)


def date_and_time(at: float) -> str:
    """Return a time as in "16 July 2025, 23:34 UTC"."""
    return f"{_date(datetime.fromtimestamp(at, UTC).date(), _formats())}, {time_of_day(at)}"


def _whole(passed: float, unit_s: int, unit: _Unit) -> str:
    return _counted(int(passed / unit_s) * unit_s, unit, _formats())


# A list has the same few days and spans again and again, and each takes as long to write as the rest of its row.


@lru_cache(maxsize=1024)
def _date(day: date, locale: Locale, *, with_year: bool = True) -> str:
    return format_date(day, "long", locale=locale) if with_year else format_skeleton("MMMMd", day, locale=locale)


@lru_cache(maxsize=1024)
def _counted(passed_s: int, unit: _Unit, locale: Locale) -> str:
    then = timedelta(seconds=-passed_s)
    return format_timedelta(then, granularity=unit, threshold=math.inf, add_direction=True, locale=locale)


def _formats() -> Locale:
    locale = current_locale()
    return _ENGLISH if locale.language == "en" else locale
