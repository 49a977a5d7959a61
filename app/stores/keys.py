"""The name of every key in Redis. All keys of a user have the hash tag {user id}.

The docstring of a function that names a key begins with the key's type: "Hash: …". Then it says what the key contains.
"""

from collections.abc import Sequence

CHANNEL = "auth-events"
LIMITS = "LIMITS:*"  # the pattern of all counters of rate limits; Flask-Limiter names them

# The queue of mails is for all users. The hash tag {mail} puts these three keys into one slot, that of "mail".
MAIL = "mail"  # Stream: notices that are due
MAIL_LATER = "{mail}:later"  # Sorted set: notices that failed, scored by the time when they are due again (Unix s)
MAIL_DEAD = "{mail}:dead"  # Stream: notices that were given up


def is_counter_of(counter: str, names: Sequence[str]) -> bool:
    """Tell whether a key is a rate limit's counter for one of these names.

    The key of a counter is "LIMITS:LIMITER/[address/]name/scope/amount/multiple/unit". The whole name must match, not
    only a part. A name in base64 may contain slashes.
    """
    counted = counter.rsplit("/", 4)[0]
    return any(counted.endswith(f"/{name}") for name in names)


def user(user_id: str) -> str:
    """Hash: the user's record. Its field `epoch` is the credentials version."""
    return f"user:{{{user_id}}}"


def user_id_in(key: str) -> str:
    """Return the user id in a key's hash tag."""
    return key.partition("{")[2].partition("}")[0]


def all_of_user(user_id: str) -> str:
    """Return the pattern of all keys of a user except the record's."""
    return f"user:{{{user_id}}}:*"


def email(normalised: str) -> str:
    """String: the id of the user who has this e-mail address. It has a TTL while a registration claims it."""
    return f"email:{normalised}"


def last_used(user_id: str) -> str:
    """Sorted set: id_hash of each session, scored by its last use (Unix s). A session without an entry is over."""
    return f"user:{{{user_id}}}:last_used"


def sessions(user_id: str) -> str:
    """Hash: maps the id_hash of each session to its record (JSON)."""
    return f"user:{{{user_id}}}:sessions"


def ended(user_id: str) -> str:
    """Sorted set: sessions that ended lately (JSON), scored by the time of their end (Unix s)."""
    return f"user:{{{user_id}}}:ended"


def ticket(user_id: str, id_hash: str) -> str:
    """Hash: an open challenge, with the fields of tickets.py (`_FIELDS`) and `wrong`, the number of wrong answers."""
    return f"user:{{{user_id}}}:ticket:{id_hash}"


def open_tickets(user_id: str, session: str) -> str:
    """Sorted set: id_hash of each open ticket of a session, scored by when it expires (Unix s)."""
    return f"user:{{{user_id}}}:open_tickets:{session}"


def proof(user_id: str, id_hash: str) -> str:
    """String: how a proof was earned, and the id_hash of its session."""
    return f"user:{{{user_id}}}:proof:{id_hash}"


def backup_codes(user_id: str) -> str:
    """Set: keyed hashes of the backup codes that are not used yet."""
    return f"user:{{{user_id}}}:backup_codes"


def links(user_id: str) -> str:
    """Hash: maps the id_hash of each open link's secret to the link's record (JSON)."""
    return f"user:{{{user_id}}}:links"


def newest_reset(user_id: str) -> str:
    """String: when the user last asked for a reset of their password (Unix s)."""
    return f"user:{{{user_id}}}:newest_reset"


def moved(user_id: str) -> str:
    """Hash: maps a former id_hash of a session to its present id_hash, because links may have the former one."""
    return f"user:{{{user_id}}}:moved"


def known_devices(user_id: str) -> str:
    """Sorted set: kinds of device that the user has signed in with, scored by the last sign-in (Unix s)."""
    return f"user:{{{user_id}}}:known_devices"


def notice_count(user_id: str, kind: str) -> str:
    """Hash: the number of notices of a kind in the current hour (`count`), and when that hour began (`began`)."""
    return f"user:{{{user_id}}}:told:{kind}"
