"""What decides whether a user is told of something: the kinds of device they are known by, and what was told lately."""

import time
from collections.abc import Callable

from redis import Redis

from app.stores import keys
from app.stores.mail import NoticeKind
from app.stores.sessions import SessionScripts

_KNOWN_DEVICES = 100


class NoticeStore:
    def __init__(self, redis: Redis, scripts: SessionScripts, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self._count = scripts.register("count_notice")

    def meet(self, user_id: str, device: str) -> bool:
        """Note what kind of device a user signs in with.

        Returns: whether it is a new one. The first of an account is none, and of several at once one is.
        """
        key = keys.known_devices(user_id)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zcard(key)
            pipe.zadd(key, {device: self._clock()})
            pipe.zremrangebyrank(key, 0, -_KNOWN_DEVICES - 1)
            known, is_new, _ = pipe.execute()
        return bool(known and is_new)

    def count(self, user_id: str, kind: NoticeKind) -> int:
        """Count something that a user is to be told of; the how manieth of its kind it is within an hour."""
        return int(self._count(user_id, [keys.told(user_id, kind)]))
