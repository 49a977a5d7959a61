"""The queues of events: one for each receiver, that is a system outside that is told of what happens.

The text in a queue is written once, by the script that makes the event true (lua/telling.lua). It holds no name, no
e-mail address and no secret. The queues themselves: jobs.py.
"""

from typing import Literal, get_args

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
