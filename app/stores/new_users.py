"""Writes new users. If the process dies meanwhile, the next try still succeeds.

All other access to users: users.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, TypeVar

from redis import ResponseError

from app.stores.connection.client import RedisClient
from app.stores.connection.node import RedisCommand, Wait
from app.stores.connection.refusals import is_wrong_type
from app.stores.factors import USUAL_TOTP, TotpParameters
from app.stores.lua import telling_script
from app.stores.passkeys import Passkey
from app.stores.scripts import SessionScripts

CLAIM_TTL_S = 60  # If a process claims an address and dies, the address is free again after this time.

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be written.

    Attributes:
        created_at: Unix seconds.
        totp_secret: Encrypted.
        tokens_valid_since: Unix seconds before which no token of the service before counts that was issued; None if
            each counts.
        passkeys: Written in one step with the record.
        language: Of pages and mails; None if nobody knows it.
        unverified: Nobody has proved yet that the address is the user's.
    """

    id: str
    normalised_email: str
    email: str
    username: str
    global_name: str | None
    password_hash: str = field(repr=False)
    created_at: int
    totp_secret: str | None = field(default=None, repr=False)
    totp_parameters: TotpParameters = USUAL_TOTP
    disabled: bool = False
    tokens_valid_since: int | None = None
    passkeys: Sequence[Passkey] = ()
    language: str | None = None
    unverified: bool = False


# The outcome for one new user. "claimed": another registration with this address is under way, or its process has
# just died.
Outcome = Literal["created", "email_taken", "claimed", "id_taken"]

# Each of these has one key, so that a Cluster can run it. It checks and writes in one step, so that it never overwrites
# the key of another user. The record itself: lua/write_user.lua.
_KEEP = "return redis.call('GET', KEYS[1]) == ARGV[1] and {redis.call('PERSIST', KEYS[1])} or false"
_RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class NewUsers:
    def __init__(self, redis: RedisClient, scripts: SessionScripts, wait: Wait | None) -> None:
        """
        Args:
            wait: How to wait for replicas to confirm a new user; None means no waiting.
        """
        self._redis = redis
        self._scripts = scripts
        self._keys = scripts.keys
        self._wait = wait
        self._delete = scripts.register_without_sessions("delete_user")

    def create_all(self, users: Sequence[NewUser], *, is_told: bool) -> Sequence[Outcome]:
        """Write new users, with a few trips to Redis for all together. Other processes may want these addresses, too.

        First each address is claimed for a minute, then the user is written, then the claim is made permanent. If the
        process dies in between, the next try still succeeds: it finishes users that were already written.

        Args:
            is_told: Other systems are told of each user.
        """
        outcomes: list[Outcome | None] = [None] * len(users)
        self._run_step(users, outcomes, "claimed", self._claim)
        self._judge_taken_addresses(users, outcomes)
        self._write(users, outcomes, is_told=is_told)
        self._finish_half_written(users, outcomes)
        written = [number for number, outcome in enumerate(outcomes) if outcome is None]
        self._run_step(users, outcomes, "claimed", self._keep, self._wait)
        lost = [users[number] for number in written if outcomes[number]]  # the claim expired, another has the address
        for user in lost if is_told else ():
            self.delete(user.id)
        self._send_for_each(lost, lambda user: ("DEL", *self._written_keys(user)))
        unused = [user for user, outcome in zip(users, outcomes, strict=True) if outcome == "id_taken"]
        self._send_for_each(unused, self._release)
        return [outcome or "created" for outcome in outcomes]

    def take_back(self, user_id: str, normalised_email: str) -> None:
        """Remove a user who was written just now, and give their address free if it is still theirs."""
        self.delete(user_id)
        self._redis.write(("EVAL", _RELEASE, 1, self._keys.email(normalised_email), user_id))

    def delete(self, user_id: str) -> None:
        """Remove the record of a user, and tell other systems."""
        self._delete(user_id, [self._keys.user(user_id)])

    def _judge_taken_addresses(self, users: Sequence[NewUser], outcomes: list[Outcome | None]) -> None:
        """Judge refused addresses: "email_taken" if the claim is permanent, else "claimed".

        A permanent claim without a record is another application's key, or the record was lost. It never goes. One that
        lasts longer than a registration's is kept for a user who has changed the address: see stores/addresses.py.

        If the owner's record has the address, but the address key still has a TTL, the process may have died between
        the two steps. Then the TTL is removed. Otherwise the address would be free again in a minute.
        """
        refused = [number for number, outcome in enumerate(outcomes) if outcome]
        owners = self._send_for_each(refused, lambda number: ("GET", self._keys.email(users[number].normalised_email)))
        ttls_s = self._send_for_each(refused, lambda number: ("TTL", self._keys.email(users[number].normalised_email)))
        emails = self._send_for_each(owners, lambda owner: ("HGET", self._keys.user(owner or ""), "email"))
        unfinished: list[tuple[int, str]] = []
        for number, owner, ttl_s, email in zip(refused, owners, ttls_s, emails, strict=True):
            is_lasting = ttl_s == -1 or (ttl_s is not None and ttl_s > CLAIM_TTL_S)
            outcomes[number] = "email_taken" if is_lasting else "claimed"
            if not is_lasting and _is_address_of(users[number], email):
                unfinished.append((number, owner))
        self._make_claims_lasting(users, outcomes, unfinished)

    def _finish_half_written(self, users: Sequence[NewUser], outcomes: list[Outcome | None]) -> None:
        """Finish users whose id was refused because an earlier run wrote their record, and then died."""
        refused = [number for number, outcome in enumerate(outcomes) if outcome == "id_taken"]
        emails = self._send_for_each(refused, lambda number: ("HGET", self._keys.user(users[number].id), "email"))
        found = zip(refused, emails, strict=True)
        self._make_claims_lasting(
            users,
            outcomes,
            [(number, users[number].id) for number, email in found if _is_address_of(users[number], email)],
        )

    def _make_claims_lasting(
        self, users: Sequence[NewUser], outcomes: list[Outcome | None], unfinished: Sequence[tuple[int, str]]
    ) -> None:
        """Remove the TTL of address keys that still have the id of a written user.

        The outcome is "email_taken" if that succeeds, else "claimed".

        Args:
            unfinished: For each address, the index of the new user, and the id of the written user.
        """
        kept = self._send_for_each(
            unfinished,
            lambda one: ("EVAL", _KEEP, 1, self._keys.email(users[one[0]].normalised_email), one[1]),
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
        """Send a command for each user without an outcome so far. If it fails, set the outcome given as `otherwise`."""
        trying = [number for number, outcome in enumerate(outcomes) if outcome is None]
        replies = self._send_for_each([users[number] for number in trying], command, wait)
        for number, reply in zip(trying, replies, strict=True):
            outcomes[number] = None if reply else otherwise

    def _send_for_each(
        self, items: Sequence[T], command: Callable[[T], RedisCommand], wait: Wait | None = None
    ) -> list[Any]:
        """Send one command for each item, all in one trip. Return the replies; None for a foreign key."""
        return self._redis.write_own(*map(command, items), wait=wait) if items else []

    def _claim(self, user: NewUser) -> RedisCommand:
        return "SET", self._keys.email(user.normalised_email), user.id, "NX", "EX", CLAIM_TTL_S

    def _write(self, users: Sequence[NewUser], outcomes: list[Outcome | None], *, is_told: bool) -> None:
        """Write each user without an outcome so far, if there is no record with the id."""
        trying = [number for number, outcome in enumerate(outcomes) if outcome is None]
        calls = [self._call_of(users[number], is_told=is_told) for number in trying]
        script = telling_script("write_user").source
        replies = self._redis.run_script_for_each(script, calls, self._wait) if calls else ()
        for number, reply in zip(trying, replies, strict=True):
            if isinstance(reply, ResponseError):
                if not is_wrong_type(reply):
                    raise reply
                outcomes[number] = "id_taken"  # by another application's key
                continue
            is_written, told = reply
            outcomes[number] = None if is_written else "id_taken"
            self._scripts.outbox.hand_on(users[number].id, told)

    def _call_of(self, user: NewUser, *, is_told: bool) -> tuple[Sequence[str], Sequence[bytes]]:
        passkeys = chain.from_iterable((passkey.cred_id, passkey.record()) for passkey in user.passkeys)
        argument = {"record": _fields(user), "passkeys": [*passkeys], "is_told": is_told}
        return self._scripts.call_of(user.id, self._written_keys(user), argument)

    def _written_keys(self, user: NewUser) -> Sequence[str]:
        return [self._keys.user(user.id), self._keys.remembered(user.id), self._keys.passkeys(user.id)]

    def _keep(self, user: NewUser) -> RedisCommand:
        return "EVAL", _KEEP, 1, self._keys.email(user.normalised_email), user.id

    def _release(self, user: NewUser) -> RedisCommand:
        return "EVAL", _RELEASE, 1, self._keys.email(user.normalised_email), user.id


def _is_address_of(user: NewUser, email: str | None) -> bool:
    """Tell whether the address in a record is this user's. In doubt say no, so that nobody gets a foreign account."""
    return email is not None and (email == user.email or email.lower() == user.normalised_email)


def _fields(user: NewUser) -> Sequence[str]:
    """Return the fields of a user's record, names and values in turn."""
    known = {
        "email": user.email,
        "username": user.username,
        "global_name": user.global_name,
        "password_hash": user.password_hash,
        "created_at": user.created_at,
        "epoch": 1,
        "totp_secret": user.totp_secret,
        "totp_step": None if user.totp_secret is None else 0,
        **(user.totp_parameters.as_fields() if user.totp_secret else {}),
        "disabled": "1" if user.disabled else None,
        "tokens_valid_since": user.tokens_valid_since,
        "language": user.language,
        "unverified": "1" if user.unverified else None,
    }
    fields = [(name, str(value)) for name, value in known.items() if value is not None]
    return [*chain.from_iterable(fields)]
