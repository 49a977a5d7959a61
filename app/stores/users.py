"""The records of users, with their credentials.

A record as read: user_records.py. How new ones are written: new_users.py. Their sessions: sessions.py. Registration,
sign-in and passwords: rules/accounts.py. Operators: rules/operators.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from app.snowflakes import is_user_id
from app.stores.activities import Activity
from app.stores.connection.client import Read, RedisClient
from app.stores.connection.node import Wait
from app.stores.factors import MfaType
from app.stores.foreign import own_keys
from app.stores.keys import Keys
from app.stores.mail import Notice
from app.stores.new_users import NewUser, NewUsers, Outcome
from app.stores.passkeys import MAX_PASSKEYS, Passkey
from app.stores.remembered_records import NewRemembered
from app.stores.scripts import WAIT_AND_GO_ON, WAIT_OR_REFUSE, SessionScripts
from app.stores.session_records import NewSession
from app.stores.sessions import CallerGone
from app.stores.user_records import User, parse_user
from app.times import iso
from app.watch.events import Reason


def changed_keys(keys: Keys, user_id: str) -> list[str]:
    """Return the keys of a script that changes a user, in the order of lua/change.lua."""
    of_user = (keys.user, keys.backup_codes, keys.passkeys, keys.links, keys.remembered)
    return [key(user_id) for key in of_user]


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link that a change opens: the hash of its secret, its record in JSON, and the time for which it works."""

    id_hash: str
    record: str
    ttl_s: int


PasskeyRefusal = Literal["is_there", "too_many", "last_way_in"]


class PasskeyChangeRefused(Exception):
    """A change that would add a passkey, or remove one, and was refused as a whole.

    Attributes:
        reason: "is_there" if the user has the new one already, "too_many" if the user has as many as may be,
            "last_way_in" if the one to remove is the last one of a user without a password.
    """

    def __init__(self, reason: PasskeyRefusal) -> None:
        self.reason = reason


# By what lua/change.lua returns
_PASSKEY_REFUSALS: Mapping[int, PasskeyRefusal] = {-2: "too_many", -3: "is_there", -4: "last_way_in"}


@dataclass(frozen=True, slots=True)
class Deletion:
    """The deletion of a user: what names their data, besides their own keys.

    Attributes:
        normal_forms: The forms under which the user's e-mail addresses may be kept.
        digest: The keyed hash of the e-mail address. Rate limits count under it while no account has the address.
    """

    user_id: str
    normal_forms: Sequence[str]
    digest: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a user's record or credentials, and its effect on their sessions. A field that is None is left alone.

    All fields can be combined, but `new_id_hash` needs `caller`. `set`, `unset`, `forget` and `backup_codes` take
    effect in this order.

    Attributes:
        credentials_version: The change is refused if the user has another version by now.
        only_if: Maps fields of the user's record to values. The change is refused if one has another value by now.
        same_credentials: True if the user's credentials stay valid, as with a new hash of an old password. Then the
            credentials version does not grow, so logins under way go on. Unless it ends sessions, it is not refused if
            too few replicas confirm it, and remembered devices stay. Every other change forgets them.
        caller: id_hash of the session that asks. The change is refused if this session is over.
        set: Maps fields of the user's record to new values.
        unset: Fields of the user's record to remove.
        forget: Second factors to remove.
        add_passkey: A new passkey.
        remove_passkey: The credential id of a passkey to remove. The change is refused if the user has no such passkey.
        rename_passkey: The credential id of a passkey, and its new name. The change is refused as above.
        backup_codes: Hashes of new backup codes, which replace all earlier codes.
        new_id_hash: The new hash of the caller's session.
        reason: The reason in the event about the new hash; not used for anything else.
        end_others: End all sessions except the caller's, for this reason. Without a caller, all sessions end, and all
            links stop working but those that take a factor off, if one is left, or put a former address back.
        ends_all: `end_others` ends the caller's session, too.
        refuse_tokens: Adopt no token of the service before that was issued until now. `end_others` does so, too.
        revert_totp, revert_passkey: The encrypted TOTP secret, or the credential id, that `link` takes off with each
            factor that was set since. Without them the link is one for a reset. The change is refused if that factor is
            gone.
        revert_address: The former address that `link` puts back, with each factor that was set since. Links that put
            back a later address stop working. The change is refused if it is there already.
        revert_since: When the mail with that link told of the factor, or when the other address was asked for, Unix
            seconds. If a factor was set anew later, each factor that was set since that mail goes too.
        link: id_hash of the secret of a link. The change uses the link up. It is refused if the link does not work any
            more.
        activity: What it is to the user, who sees it under "Activity". Each change that a user should know of has some.
        verifies: `link` is one that verifies an address.
        open_link: A link to open.
        comes_back: Take it back that the user has left. The change is refused if the user is disabled for another
            reason, or due for deletion.
        return_notice: A mail that is queued if that was so.
        notices: Mails about the change.
        opens: A session to open after all this. The change is refused if the user is disabled. After a link that took
            something back, it is opened only if no factor is left.
        remembers: A device to remember.
    """

    credentials_version: str | None = None
    only_if: Mapping[str, str] | None = None
    same_credentials: bool | None = None
    caller: str | None = None
    set: Mapping[str, str] | None = None
    unset: Sequence[str] | None = None
    forget: Sequence[MfaType] | None = None
    add_passkey: Passkey | None = None
    remove_passkey: str | None = None
    rename_passkey: tuple[str, str] | None = None
    backup_codes: Sequence[str] | None = None
    new_id_hash: str | None = None
    reason: Reason | None = None
    end_others: Reason | None = None
    ends_all: bool | None = None
    refuse_tokens: bool | None = None
    link: str | None = None
    revert_totp: str | None = field(default=None, repr=False)
    revert_passkey: str | None = None
    revert_address: str | None = None
    revert_since: int | None = None
    activity: Sequence[Activity] | None = None
    verifies: bool | None = None
    open_link: NewLink | None = None
    comes_back: bool | None = None
    return_notice: Notice | None = None
    notices: Sequence[Notice] | None = None
    opens: NewSession | None = None
    remembers: NewRemembered | None = None

    def as_argument(self) -> dict[str, Any]:
        """Return it as lua/change.lua reads it."""
        asked = {name: getattr(self, name) for name in Change.__slots__}
        asked["opens"] = self.opens.as_argument() if self.opens else None
        asked["remembers"] = self.remembers.as_argument() if self.remembers else None
        asked["activity"] = [one.row() for one in self.activity] if self.activity else None
        asked["notices"] = [one.as_text() for one in self.notices] if self.notices else None
        asked["return_notice"] = self.return_notice.as_text() if self.return_notice else None
        if self.set and "delete_at" in self.set:
            asked["deletion_at"] = iso(float(self.set["delete_at"]))
        asked["open_link"] = asdict(self.open_link) if self.open_link else None
        if self.add_passkey:
            asked["add_passkey"] = {"cred_id": self.add_passkey.cred_id, "record": self.add_passkey.record()}
            asked["max_passkeys"] = MAX_PASSKEYS
        if self.rename_passkey:
            asked["rename_passkey"] = dict(zip(("cred_id", "name"), self.rename_passkey, strict=True))
        return {name: value for name, value in asked.items() if value is not None}


class UserStore:
    def __init__(self, redis: RedisClient, scripts: SessionScripts, wait: Wait | None = None) -> None:
        """
        Args:
            wait: How to wait for replicas to confirm a write; None means no waiting.
        """
        self._redis = redis
        self._keys = scripts.keys
        self._new_users = NewUsers(redis, scripts, wait)
        self._change = scripts.register("change_user", WAIT_OR_REFUSE)
        self._renew = scripts.register("change_user", WAIT_AND_GO_ON)
        self._delete = scripts.register_without_sessions("delete_user", WAIT_OR_REFUSE)

    def create(
        self,
        user_id: str,
        normalised_email: str,
        *,
        email: str,
        username: str,
        global_name: str | None,
        password_hash: str,
        created_at: int,
        language: str | None = None,
        unverified: bool = False,
    ) -> bool:
        """Write a new user. Return False if the e-mail address is taken."""
        user = NewUser(
            user_id,
            normalised_email,
            email,
            username,
            global_name,
            password_hash,
            created_at,
            language=language,
            unverified=unverified,
        )
        return self._new_users.create_all([user], is_told=True) == ["created"]

    def bring_all(self, users: Sequence[NewUser]) -> Sequence[Outcome]:
        """Write users whom an import brings, with a few trips to Redis for all, and return the outcome of each.

        Other systems are not told: they had these users before.
        """
        return self._new_users.create_all(users, is_told=False)

    def id_of(self, normalised_email: str) -> str | None:
        [found] = self._redis.read_own(("GET", self._keys.email(normalised_email)))
        return found if isinstance(found, str) and is_user_id(found) else None

    def ids(self) -> Iterator[str]:
        """Yield the ids of all users, in no order. An id may come twice if users are made or deleted meanwhile."""
        return self._ids_with(self._keys.user)

    def ids_with_sessions(self) -> Iterator[str]:
        """Yield the ids of users with sessions, even if the user's record was lost."""
        return self._ids_with(self._keys.last_used)

    def ids_with_ended(self) -> Iterator[str]:
        """Yield the ids of users with sessions that ended lately."""
        return self._ids_with(self._keys.ended)

    def ids_with_activity(self) -> Iterator[str]:
        """Yield the ids of users to whose account something happened lately."""
        return self._ids_with(self._keys.activity)

    def _ids_with(self, key: Callable[[str], str]) -> Iterator[str]:
        for found in self._redis.scan(key("*")):
            user_id = self._keys.user_id_in(found)
            if user_id and key(user_id) == found:  # else it is another application's
                yield user_id

    def get(self, user_id: str) -> User | None:
        [user] = self.get_all([user_id])
        return user

    def get_all(self, user_ids: Sequence[str]) -> Sequence[User | None]:
        """Return users by id, in the order given, in one trip. A record that is not one of ours counts as none."""
        return self._redis.look_up(*map(self.record_of, user_ids))

    def record_of(self, user_id: str) -> Read[User | None]:
        """Return the Read of a user. A record that is not one of ours counts as none."""

        def parse(replies: Sequence[Any]) -> User | None:
            record, codes_left, passkeys = replies
            return parse_user(user_id, record, codes_left or 0, passkeys or ()) if record else None

        commands = [
            ("HGETALL", self._keys.user(user_id)),
            ("SCARD", self._keys.backup_codes(user_id)),
            ("HGETALL", self._keys.passkeys(user_id)),
        ]
        return Read(commands, parse)

    def language_of(self, user_id: str) -> Read[str | None]:
        """Return the Read of the language of a user's pages and mails; None if the record has none."""
        return Read([("HGET", self._keys.user(user_id), "language")], lambda replies: replies[0])

    def change(self, user_id: str, change: Change) -> str | None:
        """Change a user and their sessions as one step.

        Returns:
            The credentials version after the change. None if the change was refused: the version or a field is another
            by now, the link does not work any more, the passkey to remove or to rename is not there, or the user is
            gone.

        Raises:
            CallerGone: The caller's session is over.
            PasskeyChangeRefused: The new passkey is there already or one too many, or the one to remove is the last way
                in.
        """
        further = changed_keys(self._keys, user_id)
        # An address leads to its user by a key of its own: a failover must not lose one of the two.
        may_be_lost = change.same_credentials and not change.end_others and "email" not in (change.set or {})
        run = self._renew if may_be_lost else self._change
        outcome = run(user_id, further, change.as_argument())
        if outcome == -1:
            raise CallerGone
        if outcome < -1:
            raise PasskeyChangeRefused(_PASSKEY_REFUSALS[outcome])
        return str(outcome) if outcome else None

    def take_back(self, user_id: str, normalised_email: str) -> None:
        """Remove a user who was written just now and never had a session."""
        self._new_users.take_back(user_id, normalised_email)

    def delete(self, *deletions: Deletion) -> None:
        """Remove users whose sessions have ended, and all their data in Redis. The records are removed last.

        What others are still to be told of a user stays in the outbox until it is passed on.

        This reads the names of all keys once, because tickets, proofs and rate limits can only be found by name.
        """
        keys = self._keys
        ids = {one.user_id for one in deletions}
        named = [*ids, *(one.digest for one in deletions)]
        found = [key(user_id) for user_id in ids for key in (keys.last_used, keys.sessions, keys.ended)]
        pattern = keys.all_of_user(deletions[0].user_id if len(deletions) == 1 else "*")
        kept = {key(user_id) for user_id in ids for key in (keys.outbox, keys.passing_on)}
        found += [key for key in self._redis.scan(pattern) if keys.user_id_in(key) in ids and key not in kept]
        found += [counter for counter in self._redis.scan(f"{keys.limits}:*") if keys.is_counter_of(counter, named)]
        found += [keys.email(form) for one in deletions for form in one.normal_forms if self.id_of(form) == one.user_id]
        self._redis.write(*(("DEL", key) for key in own_keys(self._redis, keys, found)))
        for user_id in ids:
            self._delete(user_id, [keys.user(user_id)])
