"""The name of every key in Redis. All keys of a user carry the hash tag {user id}."""

from collections.abc import Sequence

CHANNEL = "auth-events"
LIMITS = "LIMITS:*"  # the pattern of all counters of rate limits, which Flask-Limiter names

# The mails to be sent belong to no one user; a hash tag keeps the three in one slot, which is that of "mail".
MAIL = "mail"  # Stream: those that are due
MAIL_LATER = "{mail}:later"  # Sorted set: those that failed, by when they are due again, Unix seconds
MAIL_DEAD = "{mail}:dead"  # Stream: those that were given up


def is_counter_of(counter: str, names: Sequence[str]) -> bool:
    """Whether a rate limit's counter, "LIMITS:LIMITER/[address/]name/scope/amount/multiple/unit", is of one of these.

    The whole name counts, not a part of it; one in base64 has slashes of its own.
    """
    counted = counter.rsplit("/", 4)[0]
    return any(counted.endswith(f"/{name}") for name in names)


def user(user_id: str) -> str:
    """Hash: the user's record. Its field `epoch` is the credentials version, which grows with every change of them."""
    return f"user:{{{user_id}}}"


def user_id_in(key: str) -> str:
    """Whose key this is, whichever of theirs: what its hash tag holds."""
    return key.partition("{")[2].partition("}")[0]


def all_of_user(user_id: str) -> str:
    """The pattern of all keys of a user but their record."""
    return f"user:{{{user_id}}}:*"


def email(normalised: str) -> str:
    """String: the id of the user who has this e-mail address."""
    return f"email:{normalised}"


def last_used(user_id: str) -> str:
    """Sorted set: id_hash by last use, Unix seconds. Who is signed in: what is not in here is over."""
    return f"user:{{{user_id}}}:last_used"


def sessions(user_id: str) -> str:
    """Hash: id_hash to the session's record, JSON."""
    return f"user:{{{user_id}}}:sessions"


def ended(user_id: str) -> str:
    """Sorted set: the sessions that ended lately, JSON, by when they ended, Unix seconds."""
    return f"user:{{{user_id}}}:ended"


def ticket(user_id: str, id_hash: str) -> str:
    """Hash: purpose, session, credentials_version, wrong answers."""
    return f"user:{{{user_id}}}:ticket:{id_hash}"


def tickets(user_id: str, session: str) -> str:
    """List: the tickets that a session was given, the newest first."""
    return f"user:{{{user_id}}}:tickets:{session}"


def proof(user_id: str, id_hash: str) -> str:
    """String: how the proof was earned and the session that holds it."""
    return f"user:{{{user_id}}}:proof:{id_hash}"


def backup_codes(user_id: str) -> str:
    """Set: keyed hashes of the backup codes not yet used."""
    return f"user:{{{user_id}}}:backup_codes"


def links(user_id: str) -> str:
    """Hash: the links in mails that are good, id_hash of the secret to what the link does, JSON."""
    return f"user:{{{user_id}}}:links"


def newest_reset(user_id: str) -> str:
    """String: when the newest reset of a user's password was asked for, Unix seconds."""
    return f"user:{{{user_id}}}:newest_reset"


def moved(user_id: str) -> str:
    """Hash: id_hash that a session had to the one it goes on under, for links that name the old one."""
    return f"user:{{{user_id}}}:moved"


def known_devices(user_id: str) -> str:
    """Sorted set: the kinds of device a user has signed in with, by when that was last, Unix seconds."""
    return f"user:{{{user_id}}}:known_devices"


def notice_count(user_id: str, kind: str) -> str:
    """Hash: since when and how often a user was told of something, within an hour."""
    return f"user:{{{user_id}}}:told:{kind}"
