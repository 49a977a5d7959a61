"""The tokens that were refused within the last minute, so that a made-up one is judged once.

They are kept in this process. It is a cache of refusals alone, which lets nobody in, and nothing of them is in Redis.
"""

import threading
from collections.abc import Callable

KEPT_FOR_S = 60
MOST = 10_000  # some 2 MB; of more, the oldest is forgotten


class RefusedTokens:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}  # by id_hash, the oldest first
        self._lock = threading.Lock()

    def has(self, id_hash: str) -> bool:
        until = self._until.get(id_hash)
        # A clock that was ahead and is set right must not keep a refusal for longer.
        return until is not None and 0 < until - self._clock() <= KEPT_FOR_S

    def remember(self, id_hash: str) -> None:
        with self._lock:
            self._until.pop(id_hash, None)
            while len(self._until) >= MOST:
                del self._until[next(iter(self._until))]
            self._until[id_hash] = self._clock() + KEPT_FOR_S

    def __len__(self) -> int:
        return len(self._until)
