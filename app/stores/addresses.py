"""Moves a user from one e-mail address to another. Each address leads to its user by a key of its own, in its own slot.

So no script can write them together with the record. A process may die between any two steps: rules/addresses.py
settles the rest later. Addresses of new users: new_users.py.
"""

from collections.abc import Sequence

from app.stores.connection.client import RedisClient
from app.stores.connection.node import RedisCommand, Wait
from app.stores.keys import Keys

KEPT_S = 48 * 60 * 60  # for as long as a link puts a former address back; also how long a claim lasts

# Each script has one key. A key of somebody else is never changed.
_TAKE = """
local owner = redis.call('GET', KEYS[1])
if not owner then redis.call('SET', KEYS[1], ARGV[1]) end
if owner == ARGV[1] then redis.call('PERSIST', KEYS[1]) end
return (not owner or owner == ARGV[1]) and 1 or 0
"""
_RETIRE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('TTL', KEYS[1]) < 0 then return 0 end
return redis.call('DEL', KEYS[1])
"""


class AddressStore:
    def __init__(self, redis: RedisClient, keys: Keys, wait: Wait | None = None) -> None:
        self._redis = redis
        self._keys = keys
        self._wait = wait

    def claim(self, user_id: str, forms: Sequence[str]) -> bool:
        """Claim an address for a user before it stands in the record. Return False if it is somebody else's.

        A claim that is neither taken nor released ends by itself.

        Args:
            forms: The forms under which an account may be kept; the first is the one that is claimed.
        """
        owners = self._redis.read_own(*(("GET", self._keys.email(form)) for form in forms))
        if any(owner not in (None, user_id) for owner in owners):
            return False
        key = self._keys.email(forms[0])
        is_new, owner = self._redis.write_own(("SET", key, user_id, "NX", "EX", KEPT_S), ("GET", key))
        return bool(is_new) or owner == user_id

    def take(self, user_id: str, form: str) -> bool:
        """Make an address that stands in a record lead to its user for good. Return False if it is somebody else's."""
        return bool(self._run(_TAKE, form, user_id))

    def retire(self, user_id: str, forms: Sequence[str], kept_s: int) -> None:
        """Let a former address go, after the time for which it can be put back; at once if that is 0."""
        for form in forms:
            self._run(_RETIRE, form, user_id, kept_s)

    def release(self, user_id: str, form: str) -> None:
        """Let a claim go. An address that was taken stays."""
        self._run(_RELEASE, form, user_id)

    def _run(self, script: str, form: str, *args: str | int) -> int:
        command: RedisCommand = ("EVAL", script, 1, self._keys.email(form), *args)
        [reply] = self._redis.write_own(command, wait=self._wait)
        return reply or 0  # None: the key is another application's
