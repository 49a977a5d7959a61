"""What a queue and its jobs are, as stores/jobs.py keeps them."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from app.stores.keys import QueueKeys

MOST_WAITING = 1_000_000  # without a bound, a receiver that is away would fill Redis, and nobody could sign in

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue: its keys and bounds.

    Attributes:
        name: Whom it is for: "mail", or the id of a receiver.
        field: The name of the field with a job's content.
        most_waiting: About how many jobs may wait. If there are more, the oldest are lost.
    """

    name: str
    keys: QueueKeys
    field: str
    most_waiting: int = MOST_WAITING


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A job that a worker has taken.

    Attributes:
        entry_id: Id of its entry in the stream.
        user_id: Whose job it is; the entry_id if that is not known.
        hold: How often the job was taken. A worker whose hold is over cannot settle it any more.
        content: None if it cannot be read.
        attempts: The number of failed attempts.
        failing_since: When the first attempt failed (Unix s); None before that.
    """

    entry_id: str
    user_id: str
    hold: int
    content: T | None
    attempts: int = 0
    failing_since: float | None = None


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """What became of a job that a worker had taken.

    Attributes:
        due_at: Of a postponed one, when it is tried again (Unix s).
        failure: Of a postponed or dead one, why its last attempt failed.
    """

    job: Job[T]
    outcome: Literal["done", "postponed", "dead"]
    due_at: float = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How a queue is.

    Attributes:
        waiting: How many jobs are not done yet.
        oldest_at: When the oldest of them was queued (Unix s); None if none waits.
        dead: How many jobs that were given up are kept.
        turned_at: When a worker last looked for jobs (Unix s); None for never.
        delivered, failed, given_up: How many jobs were done, attempts failed, and jobs were given up, since ever.
        away_since: Since when the receiver has been away (Unix s); None if it is not.
        failure: Why, or why it is switched off.
        off_since: When the receiver was switched off (Unix s); None if it is not.
    """

    waiting: int
    oldest_at: float | None
    dead: int
    turned_at: float | None = None
    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    away_since: float | None = None
    failure: str = ""
    off_since: float | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A job in the queue, as it is shown.

    Attributes:
        at: When it was queued, or given up (Unix s).
        attempts, failure: How many attempts failed, and why the last one did; 0 and "" if none has.
    """

    entry_id: str
    user_id: str
    at: float
    content: bytes
    attempts: int = 0
    failure: str = ""
