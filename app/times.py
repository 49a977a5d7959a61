"""Times as text, all in UTC: ISO 8601 for programs, words for operators. Words for users: languages/times.py."""

import re
from datetime import UTC, datetime

_HOUR_S = 60 * 60
_DAY_S = 24 * _HOUR_S
_WEEK_S = 7 * _DAY_S
_UNIT_S = {"s": 1, "m": 60, "h": _HOUR_S, "d": _DAY_S}


def iso(at: float) -> str:
    """Return Unix seconds in the form 2025-07-16T23:34:24.697588+00:00."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def iso_seconds(text: str) -> float:
    """Return the Unix seconds of a date or time in ISO 8601. A time without a zone is in UTC.

    Raises:
        ValueError: The text is no date or time.
    """
    moment = datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def before(text: str, now: float) -> float:
    """Return a time in Unix seconds. A span such as 30d, 12h, 15m or 90s is counted back from now.

    Args:
        text: A span, or a date or time in ISO 8601.

    Raises:
        ValueError: The text is neither.
    """
    span = re.fullmatch("([0-9]{1,6})([smhd])", text.strip())
    return now - int(span[1]) * _UNIT_S[span[2]] if span else iso_seconds(text)


def ago(at: float, now: float) -> str:
    """Return how long ago a time was: "less than an hour ago", "1 hour ago", "2 days ago", "5 weeks ago"."""
    passed = now - at
    if passed < _HOUR_S:
        return "less than an hour ago"
    if passed < _DAY_S:
        return _counted(passed / _HOUR_S, "hour")
    if passed < 2 * _WEEK_S:
        return _counted(passed / _DAY_S, "day")
    return _counted(passed / _WEEK_S, "week")


def _counted(amount: float, unit: str) -> str:
    return f"{int(amount)} {unit}{'' if int(amount) == 1 else 's'} ago"
