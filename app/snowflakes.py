"""Ids of users: snowflakes, the form that Discord's clients expect."""

import re
import secrets

_EPOCH_MS = 1_420_070_400_000  # 2015-01-01, the first day of Discord's ids
NOBODY = "0"  # An id that no user has. It is looked up if there is no user, so that both cases take equal work.


def is_user_id(text: str) -> bool:
    """Tell whether a text has the form of a user's id."""
    return re.fullmatch("[0-9]{1,20}", text) is not None


def new_snowflake(now: float) -> str:
    """Return a new id: milliseconds since 2015, then 22 random bits. So processes need not agree on ids."""
    return str(int(now * 1000) - _EPOCH_MS << 22 | secrets.randbits(22))
