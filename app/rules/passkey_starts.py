"""Tickets of sign-ins by a passkey that have begun without a user.

Nothing is kept when one begins, so each look at the login page may begin one. The ticket is the challenge, signed with
the time. What is kept is that it was used: stores/tickets.py, `use_start`.
"""

import hashlib
import time
from collections.abc import Callable, Sequence

from itsdangerous import BadSignature, TimestampSigner

_CLOCKS_APART_S = 60  # the clocks of two machines of ours may differ by so much


class _Signer(TimestampSigner):
    def __init__(self, keys: Sequence[bytes], clock: Callable[[], float]) -> None:
        # The package wants the newest key last.
        super().__init__(keys[::-1], key_derivation="none", digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


class PasskeyStarts:
    def __init__(self, keys: Sequence[bytes], ttl_s: int, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            keys: The first one signs. Tickets of all of them are read.
        """
        self._signer = _Signer(keys, clock)
        self._clock = clock
        self._ttl_s = ttl_s

    def ticket_of(self, challenge: str) -> str:
        return self._signer.sign(challenge).decode()

    def read(self, ticket: str) -> str | None:
        """Return the challenge of a ticket; None if it was not issued here, or has expired."""
        try:
            challenge, signed_at = self._signer.unsign(ticket, return_timestamp=True)
        except (BadSignature, ValueError):
            return None
        # Not max_age: that refuses a ticket of another machine whose clock is ahead.
        return challenge.decode() if self._clock() <= signed_at.timestamp() + self._ttl_s else None

    @property
    def remembered_s(self) -> int:
        """For how many seconds it must be known of a ticket that it was used."""
        return self._ttl_s + _CLOCKS_APART_S
