"""The queues of events: one for each receiver, that is a system outside that is told of what happens.

The text in a queue is written once, by the script that makes the event true (lua/telling.lua). It holds no name, no
e-mail address and no secret. The queues themselves: jobs.py.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from app.stores.connection.client import RedisClient
from app.stores.job_records import Queue
from app.stores.keys import Keys
from app.watch.events import EventType

ToldType = Literal[
    EventType,
    "authenticator.created",
    "authenticator.updated",
    "authenticator.deleted",
    "credential.created",
    "credential.updated",
    "credential.deleted",
    "user.created",
    "user.updated",
    "user.disabled",
    "user.enabled",
    "user.deleted",
]

ALL_TYPES: frozenset[str] = frozenset(get_args(ToldType))


def event_queue(keys: Keys, receiver_id: str) -> Queue:
    """Return the queue of a receiver."""
    return Queue(receiver_id, keys.events(receiver_id), "event")


class KnownReceivers:
    """The receivers that events were ever delivered to. A queue is known by this when no setting names its receiver."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._key = keys.receivers

    def note(self, receiver_id: str, place: str) -> None:
        """Note that events are delivered to a receiver.

        Args:
            place: Its URL, without what may be secret.
        """
        self._redis.write_own(("HSET", self._key, receiver_id, place))

    def all(self) -> Mapping[str, str]:
        """Return the place of each receiver, by its id."""
        [found] = self._redis.read_own(("HGETALL", self._key))
        return dict(zip((found or ())[::2], (found or ())[1::2], strict=True))

    def forget(self, receiver_id: str) -> None:
        self._redis.write_own(("HDEL", self._key, receiver_id))
