"""Whose deletion is due when, and when the due ones were last deleted: for those who watch whether that is done.

The records of users decide who is deleted: rules/leaving.py. This index may lack one whose process died.
"""

from collections.abc import Mapping, Sequence

from app.stores.connection.client import RedisClient
from app.stores.keys import Keys


class DepartureStore:
    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def note(self, due: Mapping[str, int]) -> None:
        """Note when users are due for deletion: user ids to Unix seconds."""
        if due:
            scored = [part for user_id, at in due.items() for part in (at, user_id)]
            self._redis.write(("ZADD", self._keys.leaving, *scored))

    def forget(self, user_ids: Sequence[str]) -> None:
        """Forget users who are deleted, or who came back."""
        if user_ids:
            self._redis.write(("ZREM", self._keys.leaving, *user_ids))

    def due_before(self, at: float, most: int) -> Sequence[str]:
        """Return the ids of users who were due for deletion before a time (Unix s), the first ones first."""
        command = ("ZRANGEBYSCORE", self._keys.leaving, "-inf", repr(at), "LIMIT", 0, most)
        [found] = self._redis.read_own(command)
        return found or ()

    def note_tidied(self, at: float) -> None:
        """Note that all who were due are deleted."""
        # GET lets Redis refuse to overwrite a key of another type, which is another application's
        self._redis.write(("SET", self._keys.tidied, repr(at), "GET"))

    def tidied_at(self) -> float | None:
        """Return when `note_tidied` was last called, in Unix seconds; None for never."""
        [at] = self._redis.read_own(("GET", self._keys.tidied))
        try:
            return None if at is None else float(at)
        except ValueError:  # another program wrote it
            return None
