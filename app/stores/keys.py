"""The name of every key in Redis, and the type of each. All keys of a user have the hash tag {user id}.

The docstring of a method that names a key begins with the key's type: "Hash: …". Then it says what the key contains.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

# What the settings RATE_LIMIT_… count, as Flask-Limiter has it in the names of counters: "scopes"
LIMIT_SCOPES = (
    *("code_account", "data", "end_others", "end_others_user", "forgot", "login", "login_account", "login_address"),
    *("new_factor", "register", "step_up", "step_up_user", "verify"),
)

# The first words of keys without a prefix
OWN_NAMES = ("user", "email", "passkey_start", "LIMITS", "mail", "events", "leases")

_OF_USER = re.compile(r"user:\{([0-9]{1,20})\}(?::([a-z_]+)(:.+)?)?", re.DOTALL)
_COUNTER = re.compile(rf"LIMITS:LIMITER/.+/(?:{'|'.join(LIMIT_SCOPES)})/[0-9]+/[0-9]+/[a-z]+", re.DOTALL)
_OF_EVENTS = re.compile(r"events:\{([a-z]+-[0-9a-f]{8})\}(?::(open|due|parked|state|dead))?")
_OF_OTHERS = ((_COUNTER, "list"), (re.compile("(email|passkey_start):.+", re.DOTALL), "string"))
# The types of keys, as the command TYPE tells them, by the word that follows the hash tag
USER_TYPES = {
    "": "hash",
    "last_used": "zset",
    "sessions": "hash",
    "ended": "zset",
    "ticket": "hash",
    "open_tickets": "zset",
    "tickets": "list",  # the release before wrote it; it expires
    "proof": "string",
    "backup_codes": "set",
    "passkeys": "hash",
    "links": "hash",
    "newest_reset": "string",
    "moved": "hash",  # the release before wrote it; it expires
    "known_devices": "zset",
    "remembered": "hash",
    "activity": "zset",
    "told": "hash",
    "outbox": "list",
    "passing_on": "string",
}
# The types of a queue's keys, likewise
QUEUE_TYPES = {"": "stream", "open": "hash", "due": "zset", "parked": "zset", "state": "hash", "dead": "stream"}
_WITH_ANOTHER_NAME = {"ticket", "open_tickets", "tickets", "proof", "told"}


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of a queue of jobs, in the order in which its scripts get them. All are in one slot.

    Attributes:
        waiting: Stream: the jobs that are not done yet, in order.
        open: Hash: maps a user's id to their one open job (JSON), which a worker holds or which failed.
        due: Sorted set: the ids of these users, scored by when the open job may be taken (Unix s).
        parked: Sorted set: "<user id>:<padded id of the entry>" of each job that waits behind an open one.
        state: Hash: what is known of the queue: see QueueStatus in jobs.py.
        dead: Stream: jobs that were given up.
    """

    waiting: str
    open: str
    due: str
    parked: str
    state: str
    dead: str

    def all(self) -> Sequence[str]:
        return [getattr(self, part.name) for part in fields(self)]


class Keys:
    """The names of the keys, and of the channels.

    Attributes:
        start: The beginning of every name: "", or REDIS_PREFIX and a colon.
        channel: The channel of events.
        limits: The beginning of the names of all counters of rate limits. Flask-Limiter adds the rest.
        mail: The queue of mails.
        mail_later: Sorted set: notices that failed, as the release before kept them.
        leaving: Sorted set: ids of users who have deleted their accounts, scored by when they are due for deletion
            (Unix s). The records decide; this tells those who watch.
        tidied: String: when `flask users tidy` last came to its end (Unix s).
        swept: String: when what processes left in outboxes was last looked for (Unix s). It has a TTL.
        signing_keys: Sorted set: the kid of each key that signs tokens for receivers, scored by when it was first
            published (Unix s).
        receivers: Hash: maps the id of each receiver that events were ever delivered to, to its URL without a query.
        leases: Hash: maps the id of each holder of leases to its registration: "<lease in ms> <count>", with " leaving"
            behind it once an ending has waited for it in vain. Also the channel of rounds. Absent in a Cluster.
    """

    def __init__(self, prefix: str = "") -> None:
        """
        Args:
            prefix: The setting REDIS_PREFIX. "" stands for none.
        """
        self.start = f"{prefix}:" if prefix else ""
        self.channel = f"{self.start}auth-events"
        self.limits = f"{self.start}LIMITS"
        self.mail = _queue(f"{self.start}{{mail}}" if prefix else "mail", f"{self.start}{{mail}}")
        self.mail_later = f"{self.start}{{mail}}:later"
        self.leaving = f"{self.start}user:leaving"
        self.tidied = f"{self.start}user:tidied"
        self.swept = f"{self.start}user:swept"
        self.signing_keys = f"{self.start}events:signing_keys"
        self.receivers = f"{self.start}events:receivers"
        self.leases = f"{self.start}leases"

    def type_of(self, key: str) -> str | None:
        """Return the type that a key of this name has, as the command TYPE tells it; None if no key of ours has it."""
        if not key.startswith(self.start):
            return None
        of_all = {self.leases: "hash", self.leaving: "zset", self.tidied: "string", self.swept: "string"}
        of_all |= {self.mail_later: "zset"}
        of_all |= {self.signing_keys: "zset", self.receivers: "hash"}
        of_all |= zip(self.mail.all(), QUEUE_TYPES.values(), strict=True)
        if key in of_all:
            return of_all[key]
        name = key.removeprefix(self.start)
        if of_user := _OF_USER.fullmatch(name):
            word, another_name = of_user[2] or "", of_user[3]
            return USER_TYPES.get(word) if (word in _WITH_ANOTHER_NAME) == bool(another_name) else None
        if of_queue := _OF_EVENTS.fullmatch(name):
            return QUEUE_TYPES[of_queue[2] or ""]
        return next((kind for pattern, kind in _OF_OTHERS if pattern.fullmatch(name)), None)

    def user_id_in(self, key: str) -> str | None:
        """Return the id of the user who has a key of this name; None if it is no key of a user."""
        found = _OF_USER.fullmatch(key.removeprefix(self.start))
        return found[1] if found and key.startswith(self.start) else None

    def is_counter_of(self, counter: str, names: Sequence[str]) -> bool:
        """Tell whether a key is a rate limit's counter for one of these names.

        The key of a counter is "LIMITS:LIMITER/[address/]name/scope/amount/multiple/unit". The whole name must match,
        not only a part. A name in base64 may contain slashes.
        """
        counted = counter.rsplit("/", 4)[0]
        return any(counted.endswith(f"/{name}") for name in names)

    def events(self, receiver_id: str) -> QueueKeys:
        """Return the keys of the queue of events to a receiver: see receivers/receiver.py."""
        name = f"{self.start}events:{{{receiver_id}}}"
        return _queue(name, name)

    def words(self, ender_id: str) -> str:
        """Return the channel of the words to a process that ends sessions."""
        return f"{self.leases}:{ender_id}"

    def user(self, user_id: str) -> str:
        """Hash: the user's record. Its field `epoch` is the credentials version."""
        return f"{self.start}user:{{{user_id}}}"

    def all_of_user(self, user_id: str) -> str:
        """Return a pattern that all keys of a user match, except the record. Keys of other programs may match it."""
        return f"{self.start}user:{{{user_id}}}:*"

    def email(self, normalised: str) -> str:
        """String: the id of the user who has this e-mail address. It has a TTL while it is claimed, or kept for a user
        who has another by now."""
        return f"{self.start}email:{normalised}"

    def last_used(self, user_id: str) -> str:
        """Sorted set: id_hash of each session, scored by its last use (Unix s). A session without an entry is over."""
        return f"{self.start}user:{{{user_id}}}:last_used"

    def sessions(self, user_id: str) -> str:
        """Hash: maps the id_hash of each session to its record (JSON). `formers` in it: hashes it had before."""
        return f"{self.start}user:{{{user_id}}}:sessions"

    def ended(self, user_id: str) -> str:
        """Sorted set: sessions that ended lately (JSON), scored by the time of their end (Unix s)."""
        return f"{self.start}user:{{{user_id}}}:ended"

    def activity(self, user_id: str) -> str:
        """Sorted set: what happened to the user's account (JSON), scored by when (Unix s). Endings are in `ended`."""
        return f"{self.start}user:{{{user_id}}}:activity"

    def ticket(self, user_id: str, id_hash: str) -> str:
        """Hash: an open challenge, with the fields of tickets.py (`_FIELDS`), and `wrong`: how many wrong answers."""
        return f"{self.start}user:{{{user_id}}}:ticket:{id_hash}"

    def open_tickets(self, user_id: str, session: str) -> str:
        """Sorted set: id_hash of each open ticket of a session, scored by when it expires (Unix s)."""
        return f"{self.start}user:{{{user_id}}}:open_tickets:{session}"

    def proof(self, user_id: str, id_hash: str) -> str:
        """String: how a proof was earned, and the id_hash of its session."""
        return f"{self.start}user:{{{user_id}}}:proof:{id_hash}"

    def backup_codes(self, user_id: str) -> str:
        """Set: keyed hashes of the backup codes that are not used yet."""
        return f"{self.start}user:{{{user_id}}}:backup_codes"

    def passkeys(self, user_id: str) -> str:
        """Hash: maps the credential id of each passkey to its record (JSON)."""
        return f"{self.start}user:{{{user_id}}}:passkeys"

    def passkey_start(self, id_hash: str) -> str:
        """String: empty. A sign-in that began without a user was answered, under the hash of its challenge."""
        return f"{self.start}passkey_start:{id_hash}"

    def links(self, user_id: str) -> str:
        """Hash: maps the id_hash of each open link's secret to the link's record (JSON)."""
        return f"{self.start}user:{{{user_id}}}:links"

    def newest_reset(self, user_id: str) -> str:
        """String: when the user last asked for a reset of their password (Unix s)."""
        return f"{self.start}user:{{{user_id}}}:newest_reset"

    def known_devices(self, user_id: str) -> str:
        """Sorted set: kinds of device that the user has signed in with, scored by the last sign-in (Unix s)."""
        return f"{self.start}user:{{{user_id}}}:known_devices"

    def remembered(self, user_id: str) -> str:
        """Hash: maps SHA-256 of the cookie of each remembered device to its record (JSON)."""
        return f"{self.start}user:{{{user_id}}}:remembered"

    def outbox(self, user_id: str) -> str:
        """List: in a Cluster, jobs on their way to queues in other slots: "<stream> <field> <user id> <content>"."""
        return f"{self.start}user:{{{user_id}}}:outbox"

    def passing_on(self, user_id: str) -> str:
        """String: who puts them there, for as long as that takes."""
        return f"{self.start}user:{{{user_id}}}:passing_on"

    def notice_count(self, user_id: str, kind: str) -> str:
        """Hash: the number of notices of a kind in the current hour (`count`), and when that hour began (`began`)."""
        return f"{self.start}user:{{{user_id}}}:told:{kind}"


def _queue(waiting: str, tagged: str) -> QueueKeys:
    """
    Args:
        tagged: The name with a hash tag that puts the other keys into the slot of the first.
    """
    return QueueKeys(waiting, *(f"{tagged}:{word}" for word in QUEUE_TYPES if word))


unprefixed = Keys()  # for tests and tools
