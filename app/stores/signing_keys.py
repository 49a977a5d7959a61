"""When each key that signs tokens for receivers was first published. Which one signs: rules/signing_keys.py."""

from collections.abc import Mapping, Sequence

from app.stores.connection.client import RedisClient
from app.stores.keys import Keys


class SigningKeyStore:
    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def note_published(self, kids: Sequence[str], at: float) -> None:
        """Note since when keys are published (Unix s), if that is not noted yet."""
        scored = [part for kid in kids for part in (repr(at), kid)]
        self._redis.write_own(("ZADD", self._keys.signing_keys, "NX", *scored))

    def published_at(self) -> Mapping[str, float]:
        """Return when each key that is known was first published, by its kid (Unix s)."""
        [found] = self._redis.read_own(("ZRANGE", self._keys.signing_keys, 0, -1, "WITHSCORES"))
        parts = [part for pair in found or () for part in (pair if isinstance(pair, list | tuple) else (pair,))]
        return {str(kid): float(at) for kid, at in zip(parts[::2], parts[1::2], strict=True)}
