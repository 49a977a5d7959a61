"""Ids of users: snowflakes, the form that Discord's clients expect."""

import secrets

_EPOCH_MS = 1_420_070_400_000  # 2015-01-01, where the ids of Discord's users begin
NOBODY = "0"  # an id that no user has: looked up where there is no user, so that both cases are the same work


def new_snowflake(now: float) -> str:
    """Return a new id: milliseconds since 2015, then 22 bits. The bits are random, so that no process asks another."""
    return str(int(now * 1000) - _EPOCH_MS << 22 | secrets.randbits(22))
