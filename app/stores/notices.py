"""The kinds of device that a user has signed in with, and the number of notices of each kind in this hour.

Which notices are sent depends on both (rules/notices.py). The queue of notices: mail.py.
"""

from app.stores.connection.client import RedisClient
from app.stores.mail import NoticeKind
from app.stores.scripts import SessionScripts


class NoticeStore:
    def __init__(self, redis: RedisClient, scripts: SessionScripts) -> None:
        self._redis = redis
        self._keys = scripts.keys
        self._note_device = scripts.register("note_device")
        self._count = scripts.register("count_notice")

    def note_device(self, user_id: str, device: str) -> bool:
        """Note the kind of device that a user signs in with, and return whether it is new to them.

        The first device of an account does not count as new. If several devices of a new kind sign in at once, only one
        is new.
        """
        further = (self._keys.known_devices(user_id), self._keys.user(user_id))
        return bool(self._note_device(user_id, further, {"device": device}))

    def forget_device(self, user_id: str, device: str) -> None:
        """Forget a kind of device, so that it is new at the next sign-in."""
        self._redis.write(("ZREM", self._keys.known_devices(user_id), device))

    def count(self, user_id: str, kind: NoticeKind) -> int:
        """Count one more notice of this kind. Return the number in this hour, including this one."""
        return int(self._count(user_id, [self._keys.notice_count(user_id, kind)]))
