"""Says why Redis was away or refused a command: one word for metrics, a sentence for logs and operators.

The settings that lead to refusals: server.py, for `flask doctor`.
"""

from typing import Literal, get_args

from redis import ConnectionError as ConnectionBroken
from redis import OutOfMemoryError, ReadOnlyError, RedisError
from redis import TimeoutError as AnswerTooLate
from redis.exceptions import ClusterDownError, MovedError, NoPermissionError, TryAgainError

from app.stores.connection.node import NotPrimary

Kind = Literal["away", "late", "replica", "full", "snapshot", "file", "replicas", "right", "refused"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# By the first word of Redis' message, and a part of it. The kinds of all other errors are told by their class.
_BY_TEXT: tuple[tuple[str, str, Kind], ...] = (
    ("MISCONF", "AOF", "file"),
    ("MISCONF", "", "snapshot"),
    ("NOREPLICAS", "", "replicas"),
)
_BY_CLASS: tuple[tuple[type[RedisError], Kind], ...] = (
    (NotPrimary, "replica"),
    (ReadOnlyError, "replica"),
    (OutOfMemoryError, "full"),
    (NoPermissionError, "right"),
    (AnswerTooLate, "late"),
    (ConnectionBroken, "away"),
)
_WORDS: dict[Kind, str] = {
    "replica": "Redis has become a replica and takes no writes. REDIS_URL must lead to the primary",
    "full": "Redis is full (maxmemory) and takes no new data. Give it more memory",
    "snapshot": "Redis takes no writes: its last snapshot failed (stop-writes-on-bgsave-error). Look at its disk",
    "file": "Redis takes no writes: it cannot write its append-only file. Look at its disk",
    "replicas": "Redis takes no writes: too few replicas are in touch (min-replicas-to-write). Bring them back",
}
_MORE_WORDS: tuple[tuple[type[RedisError], str], ...] = (
    (TryAgainError, "a slot of the Cluster is being moved"),
    (MovedError, "the server is one of a Cluster. REDIS_URL needs redis+cluster://"),
    (ClusterDownError, "the Cluster is down, or this server has lost it"),
)


def kind_of(error: RedisError) -> Kind:
    """Return why a request failed: Redis was away, or late, or refused a command for this reason."""
    first, _, rest = str(error).partition(" ")
    for word, part, kind in _BY_TEXT:
        if first == word and part in rest:
            return kind
    return next((kind for error_class, kind in _BY_CLASS if isinstance(error, error_class)), "refused")


def is_wrong_type(error: RedisError) -> bool:
    """Tell whether a command or script was refused because a key has another type than it needs."""
    return "WRONGTYPE" in str(error)


def describe(error: RedisError) -> str:
    """Return an error's name and what it means. The text of a refusal is not used, because it may quote an e-mail.

    A message about a missing right is returned whole, because it names a command or a channel, and no value.
    """
    name, kind = type(error).__name__, kind_of(error)
    if isinstance(error, ConnectionBroken | AnswerTooLate | NoPermissionError):
        return f"{name}: {error}"
    if is_wrong_type(error):
        return f"{name}: a key of another application is in the place of Keyrack's. flask doctor names it"
    if kind in _WORDS:
        return f"{name}: {_WORDS[kind]}"
    words = next((words for error_class, words in _MORE_WORDS if isinstance(error, error_class)), None)
    return f"{name}: {words or str(error).partition(' ')[0]}"
