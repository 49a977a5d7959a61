"""The ids of users: snowflakes, as Discord's clients read them."""

import secrets

_EPOCH_MS = 1_420_070_400_000  # 2015-01-01, where the ids of Discord's users begin


def new_snowflake(now: float) -> str:
    """Milliseconds, then 22 bits, here random, so many processes need not ask each other."""
    return str(int(now * 1000) - _EPOCH_MS << 22 | secrets.randbits(22))
