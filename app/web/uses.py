"""Uses of sessions that the fast lane has answered, until a thread notes them.

Each note is a write in Redis, for which the worker's loop cannot wait. A use that is lost costs nothing: the next check
of the session finds that it is due again.
"""

import logging
from collections.abc import Sequence

from app import tokens
from app.callers.identity import CLIENT_NAMES, Callers, Environ
from app.rules.devices import Devices
from app.stores.connection.connect import StoreError

log = logging.getLogger(__name__)

Use = tuple[tokens.Claim, Environ]

_MOST = 10_000  # sessions whose uses wait; one takes some 400 bytes
_AT_ONCE = 50  # in one trip: Redis serves nobody else meanwhile


class Uses:
    """All methods but `note` belong to the loop."""

    def __init__(self, callers: Callers, devices: Devices) -> None:
        self._callers = callers
        self._devices = devices
        self._waiting: dict[str, Use] = {}

    def add(self, claim: tokens.Claim, environ: Environ) -> None:
        """Let a use wait, unless one of the session does already, or too many wait."""
        if len(self._waiting) < _MOST:
            # A whole environment takes ten times as much memory.
            seen = {name: environ[name] for name in CLIENT_NAMES if name in environ}
            self._waiting.setdefault(claim.id_hash, (claim, seen))

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> Sequence[Use]:
        """Return the uses that wait, and forget them."""
        taken, self._waiting = self._waiting, {}
        return list(taken.values())

    def note(self, uses: Sequence[Use]) -> None:
        """Write uses in Redis. This waits, so it runs in a thread."""
        for at in range(0, len(uses), _AT_ONCE):
            batch = uses[at : at + _AT_ONCE]
            try:
                self._devices.touch_all([(claim, self._callers.client(environ)) for claim, environ in batch])
            except StoreError as error:
                log.warning("uses of %d sessions were not noted: %s", len(uses) - at, type(error).__name__)
                return
