"""What decides whether a user is told of something: the kinds of device they are known by, and what was told lately."""

from app.stores import keys
from app.stores.connection.client import RedisClient
from app.stores.mail import NoticeKind
from app.stores.scripts import SessionScripts


class NoticeStore:
    def __init__(self, redis: RedisClient, scripts: SessionScripts) -> None:
        self._redis = redis
        self._note_device = scripts.register("note_device")
        self._count = scripts.register("count_notice")

    def note_device(self, user_id: str, device: str) -> bool:
        """Note what kind of device a user signs in with.

        Returns: whether it is a new one. The first of an account is none, and of several at once one is.
        """
        further = (keys.known_devices(user_id), keys.user(user_id))
        return bool(self._note_device(user_id, further, {"device": device}))

    def forget_device(self, user_id: str, device: str) -> None:
        """Be surprised by a kind of device again."""
        self._redis.write(("ZREM", keys.known_devices(user_id), device))

    def count(self, user_id: str, kind: NoticeKind) -> int:
        """Count something that a user is to be told of; the how manieth of its kind it is within an hour."""
        return int(self._count(user_id, [keys.notice_count(user_id, kind)]))
