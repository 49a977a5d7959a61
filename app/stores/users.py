"""The users: who they are, and what they sign in with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, TypeVar

import orjson
from redis import ResponseError

from app.errors import Unconfirmed
from app.stores import keys
from app.stores.connection.client import RedisClient
from app.stores.connection.node import RedisCommand, Wait
from app.stores.factors import KINDS, MfaType
from app.stores.scripts import WAIT_AND_GO_ON, WAIT_OR_REFUSE, SessionScripts
from app.stores.sessions import CallerGone
from app.watch import context
from app.watch.events import Reason

_CLAIM_TTL_S = 60  # an e-mail address claimed by a registration that died is free again after this

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class User:
    """A user as Redis holds them.

    email               as they gave it; its normalised form is the key they are found by
    created_at          Unix seconds
    credentials_version               moves with every change of credentials
    totp_secret         encrypted; None where TOTP is off
    totp_at             Unix seconds: when TOTP was turned on
    backup_codes_left   number of unused ones
    factors             the second factors that are on; backup codes are none by themselves
    """

    id: str
    email: str
    username: str
    global_name: str | None
    password_hash: str = field(repr=False)
    created_at: int
    credentials_version: str
    totp_secret: str | None = field(repr=False)
    totp_at: int | None
    disabled: bool
    backup_codes_left: int
    factors: frozenset[MfaType] = frozenset()

    @property
    def has_mfa(self) -> bool:
        return bool(self.factors)

    def is_unchanged_since(self, credentials_version: str) -> bool:
        """Tell whether the user may go on with what began under this version: not disabled, credentials the same."""
        return not self.disabled and self.credentials_version == credentials_version


@dataclass(frozen=True, slots=True)
class Change:
    """A change of what a user signs in with; what is None stays as it is. `lua/change_user.lua` says more.

    credentials_version        refuse where the user's is another by now
    caller       id_hash of the session that asks; its end refuses the change
    new_id_hash  under which the caller's session goes on
    end_others   why all sessions but the caller's end
    forget       second factors that are taken away
    link         id_hash of the secret of a reset's link, which the change uses up
    """

    credentials_version: str | None = None
    same_credentials: bool | None = None
    caller: str | None = None
    set: Mapping[str, str] | None = None
    unset: Sequence[str] | None = None
    forget: Sequence[MfaType] | None = None
    backup_codes: Sequence[str] | None = None
    new_id_hash: str | None = None
    reason: Reason | None = None
    end_others: Reason | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be written.

    created_at    Unix seconds
    totp_secret   encrypted
    totp_at       Unix seconds: when TOTP was turned on
    """

    id: str
    normalised_email: str
    email: str
    username: str
    global_name: str | None
    password_hash: str = field(repr=False)
    created_at: int
    totp_secret: str | None = field(default=None, repr=False)
    totp_at: int | None = None
    disabled: bool = False


Outcome = Literal["created", "email_taken", "claimed", "id_taken"]
"""How the writing of a user came out; "claimed": the address is somebody's whose registration is under way, or died."""

# One key each, so they run where the key is; what would overwrite another's is refused in the same step.
_WRITE = "return redis.call('EXISTS', KEYS[1]) == 0 and redis.call('HSET', KEYS[1], unpack(ARGV)) or 0"
_KEEP = "return redis.call('GET', KEYS[1]) == ARGV[1] and {redis.call('PERSIST', KEYS[1])} or false"
_RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class UserStore:
    def __init__(self, redis: RedisClient, scripts: SessionScripts, wait: Wait | None = None) -> None:
        """wait: for replicas to have a new user"""
        self._redis = redis
        self._wait = wait
        self._change = scripts.register("change_user", WAIT_OR_REFUSE)
        self._renew = scripts.register("change_user", WAIT_AND_GO_ON)

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
    ) -> bool:
        """Write a new user; False where the e-mail address is taken."""
        user = NewUser(user_id, normalised_email, email, username, global_name, password_hash, created_at)
        return self.create_all([user]) == ["created"]

    def create_all(self, users: Sequence[NewUser]) -> Sequence[Outcome]:
        """Write new users, whoever else wants their addresses at the same time; in a few trips for all of them.

        An address is claimed for a minute, the user written, then the claim made lasting: whoever dies in between
        leaves nothing that stands in the way of the next try, which finishes what they had written already.
        """
        outcomes: list[Outcome | None] = [None] * len(users)
        self._run_step(
            users, outcomes, "claimed", lambda user: ("SET", *_address_and_owner(user), "NX", "EX", _CLAIM_TTL_S)
        )
        self._judge_taken_addresses(users, outcomes)
        self._run_step(
            users, outcomes, "id_taken", lambda user: ("EVAL", _WRITE, 1, *_key_and_fields(user)), self._wait
        )
        self._finish_half_written(users, outcomes)
        written = [number for number, outcome in enumerate(outcomes) if outcome is None]
        self._run_step(
            users, outcomes, "claimed", lambda user: ("EVAL", _KEEP, 1, *_address_and_owner(user)), self._wait
        )
        lost = [users[number] for number in written if outcomes[number]]  # the claim ran out, another has the address
        self._send_for_each(lost, lambda user: ("DEL", keys.user(user.id)))
        unused = [user for user, outcome in zip(users, outcomes, strict=True) if outcome == "id_taken"]
        self._send_for_each(unused, lambda user: ("EVAL", _RELEASE, 1, *_address_and_owner(user)))
        return [outcome or "created" for outcome in outcomes]

    def _judge_taken_addresses(self, users: Sequence[NewUser], outcomes: list[Outcome | None]) -> None:
        """Whether whoever has the address that was not to be had is a user already, or about to be one.

        One whose record is written and whose claim still runs out may have died in between: the claim is made lasting
        for them, or the address would be nobody's in a minute.
        """
        refused = [number for number, outcome in enumerate(outcomes) if outcome]
        owners = self._send_for_each(refused, lambda number: ("GET", keys.email(users[number].normalised_email)))
        ttls_s = self._send_for_each(refused, lambda number: ("TTL", keys.email(users[number].normalised_email)))
        emails = self._send_for_each(owners, lambda owner: ("HGET", keys.user(owner or ""), "email"))
        unfinished: list[tuple[int, str]] = []
        for number, owner, ttl_s, email in zip(refused, owners, ttls_s, emails, strict=True):
            is_lasting = ttl_s == -1
            outcomes[number] = "email_taken" if email is not None and is_lasting else "claimed"
            if not is_lasting and _is_address_of(users[number], email):
                unfinished.append((number, owner))
        self._make_claims_lasting(users, outcomes, unfinished)

    def _finish_half_written(self, users: Sequence[NewUser], outcomes: list[Outcome | None]) -> None:
        """Whose id has a record of the same address already, written by a run that died, is there."""
        refused = [number for number, outcome in enumerate(outcomes) if outcome == "id_taken"]
        emails = self._send_for_each(refused, lambda number: ("HGET", keys.user(users[number].id), "email"))
        found = zip(refused, emails, strict=True)
        self._make_claims_lasting(
            users,
            outcomes,
            [(number, users[number].id) for number, email in found if _is_address_of(users[number], email)],
        )

    def _make_claims_lasting(
        self, users: Sequence[NewUser], outcomes: list[Outcome | None], unfinished: Sequence[tuple[int, str]]
    ) -> None:
        """Make claims lasting whose users are written already, where they are still theirs.

        unfinished   the number of who wants the address, and the id of who has it
        """
        kept = self._send_for_each(
            unfinished,
            lambda one: ("EVAL", _KEEP, 1, keys.email(users[one[0]].normalised_email), one[1]),
        )
        for (number, _), is_kept in zip(unfinished, kept, strict=True):
            outcomes[number] = "email_taken" if is_kept else "claimed"

    def _run_step(
        self,
        users: Sequence[NewUser],
        outcomes: list[Outcome | None],
        otherwise: Outcome,
        command: Callable[[NewUser], RedisCommand],
        wait: Wait | None = None,
    ) -> None:
        """A step for all in whose way nothing stands yet; note where it fails."""
        trying = [number for number, outcome in enumerate(outcomes) if outcome is None]
        replies = self._send_for_each([users[number] for number in trying], command, wait)
        for number, reply in zip(trying, replies, strict=True):
            outcomes[number] = None if reply else otherwise

    def _send_for_each(
        self, items: Sequence[T], command: Callable[[T], RedisCommand], wait: Wait | None = None
    ) -> list[Any]:
        """One command for each, in one trip."""
        return self._redis.write(*map(command, items), wait=wait) if items else []

    def id_of(self, normalised_email: str) -> str | None:
        found: str | None
        [found] = self._redis.read(("GET", keys.email(normalised_email)))
        return found

    def ids(self) -> Iterator[str]:
        """The ids of all users, in no order; one may come twice where users are made or deleted meanwhile."""
        return self._ids_with(keys.user)

    def ids_with_sessions(self) -> Iterator[str]:
        """Of those who have sessions, also where their record was lost."""
        return self._ids_with(keys.last_used)

    def ids_with_ended(self) -> Iterator[str]:
        """Of those whose sessions ended lately."""
        return self._ids_with(keys.ended)

    def _ids_with(self, key: Callable[[str], str]) -> Iterator[str]:
        return (keys.user_id_in(found) for found in self._redis.scan(key("*")))

    def get(self, user_id: str) -> User | None:
        [user] = self.get_all([user_id])
        return user

    def get_all(self, user_ids: Sequence[str]) -> Sequence[User | None]:
        """In their order, one trip."""
        commands = (
            command
            for user_id in user_ids
            for command in (("HGETALL", keys.user(user_id)), ("SCARD", keys.backup_codes(user_id)))
        )
        replies = self._redis.read(*commands) if user_ids else []
        found = zip(user_ids, replies[::2], replies[1::2], strict=True)
        return [_parse_user(user_id, record, codes_left) if record else None for user_id, record, codes_left in found]

    def change(self, user_id: str, change: Change) -> str | None:
        """Change credentials and the sessions they concern as one step.

        Returns: the credentials version from here on; None where it is another, the link is good no more or the user
            is gone
        Raises: CallerGone where the caller's session is over
        """
        named = (keys.user, keys.backup_codes, keys.links, keys.moved)
        further = [key(user_id) for key in named]
        asked = {name: getattr(change, name) for name in Change.__slots__}
        run = self._renew if change.same_credentials else self._change
        outcome = run(user_id, further, {name: value for name, value in asked.items() if value is not None})
        if outcome == -1:
            raise CallerGone
        return str(outcome) if outcome else None

    def delete(self, user_id: str, normalised_email: str, digest: str) -> None:
        """Remove a user whose sessions have ended, and all that Redis holds of them; their record goes last.

        Takes a look at every key there is: tickets, proofs and rate limits are found by their names alone.

        digest: what rate limits call the address where no account has it
        """
        named = (user_id, digest, *self._known_id_hashes(user_id))
        doomed = [keys.last_used(user_id), keys.sessions(user_id), keys.ended(user_id), keys.backup_codes(user_id)]
        doomed += self._redis.scan(keys.all_of_user(user_id))
        doomed += [counter for counter in self._redis.scan(keys.LIMITS) if keys.is_counter_of(counter, named)]
        if self.id_of(normalised_email) == user_id:
            doomed.append(keys.email(normalised_email))
        self._send_for_each(doomed, lambda key: ("DEL", key))
        [outcome], is_on_replicas = self._redis.send([("DEL", keys.user(user_id))], self._wait)
        if isinstance(outcome, ResponseError):
            raise outcome
        if not is_on_replicas and not context.note_unconfirmed():
            raise Unconfirmed

    def _known_id_hashes(self, user_id: str) -> Sequence[str]:
        """Of the sessions that ended lately, and those they had before: rate limits count by them."""
        rows, moved = self._redis.read(("ZRANGE", keys.ended(user_id), 0, -1), ("HKEYS", keys.moved(user_id)))
        return [*(orjson.loads(row)["id_hash"] for row in rows), *moved]


def _address_and_owner(user: NewUser) -> tuple[str, str]:
    """The key of a user's address and what it says."""
    return keys.email(user.normalised_email), user.id


def _is_address_of(user: NewUser, email: str | None) -> bool:
    """Whether a record's address, as it was given, is this user's. In doubt it is not: no account is given away."""
    return email is not None and (email == user.email or email.lower() == user.normalised_email)


def _key_and_fields(user: NewUser) -> Sequence[str]:
    """The key of a user's record, then its fields and their values."""
    known = {
        "email": user.email,
        "username": user.username,
        "global_name": user.global_name,
        "password_hash": user.password_hash,
        "created_at": user.created_at,
        "epoch": 1,
        "totp_secret": user.totp_secret,
        "totp_step": None if user.totp_secret is None else 0,
        "totp_at": user.totp_at,
        "disabled": "1" if user.disabled else None,
    }
    fields = [(name, str(value)) for name, value in known.items() if value is not None]
    return [keys.user(user.id), *chain.from_iterable(fields)]


def _parse_user(user_id: str, fields: Sequence[str], backup_codes_left: int) -> User:
    """fields: names and values in turn"""
    record = dict(zip(fields[::2], fields[1::2], strict=True))
    return User(
        id=user_id,
        email=record["email"],
        username=record["username"],
        global_name=record.get("global_name"),
        password_hash=record["password_hash"],
        created_at=int(record["created_at"]),
        credentials_version=record["epoch"],
        totp_secret=record.get("totp_secret"),
        totp_at=int(record["totp_at"]) if "totp_at" in record else None,
        disabled="disabled" in record,
        backup_codes_left=backup_codes_left,
        factors=frozenset(name for name, kind in KINDS.items() if kind.is_in(record)),
    )
