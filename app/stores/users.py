"""The users: who they are, and what they sign in with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from redis import Redis
from redis.typing import EncodableT, FieldT

from app.stores import keys
from app.stores.sessions import CallerGone, Reason, SessionScripts

_CLAIM_TTL_S = 60  # an e-mail address claimed by a registration that died is free again after this


@dataclass(frozen=True, slots=True)
class User:
    """A user as Redis holds them.

    email               as they gave it; its normalised form is the key they are found by
    epoch               moves with every change of credentials
    totp_secret         encrypted; None where TOTP is off
    totp_at             Unix seconds: when TOTP was turned on
    backup_codes_left   number of unused ones
    """

    id: str
    email: str
    username: str
    global_name: str | None
    password_hash: str = field(repr=False)
    epoch: str
    totp_secret: str | None = field(repr=False)
    totp_at: int | None
    disabled: bool
    backup_codes_left: int

    @property
    def has_mfa(self) -> bool:
        return self.totp_secret is not None


@dataclass(frozen=True, slots=True)
class Change:
    """A change of what a user signs in with; what is None stays as it is. `lua/change_user.lua` says more.

    epoch        refuse where the user's is another by now
    caller       id_hash of the session that asks; its end refuses the change
    new_id_hash  under which the caller's session goes on
    end_others   why all sessions but the caller's end
    link         id_hash of the secret of a reset's link, which the change uses up
    """

    epoch: str | None = None
    same_epoch: bool | None = None
    caller: str | None = None
    set: Mapping[str, str] | None = None
    unset: Sequence[str] | None = None
    backup_codes: Sequence[str] | None = None
    new_id_hash: str | None = None
    reason: Reason | None = None
    end_others: Reason | None = None
    link: str | None = None


class UserStore:
    def __init__(self, redis: Redis, scripts: SessionScripts) -> None:
        self._redis = redis
        self._change = scripts.register("change_user")

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
        """Write a new user; False where the e-mail address is taken.

        The address is claimed for a minute, the user written, then the claim made lasting: whoever dies in between
        leaves nothing that stands in the way of the next try.
        """
        email_key = keys.email(normalised_email)
        if not self._redis.set(email_key, user_id, nx=True, ex=_CLAIM_TTL_S):
            return False
        record: dict[FieldT, EncodableT] = {
            **{"email": email, "username": username, "password_hash": password_hash},
            **({"global_name": global_name} if global_name is not None else {}),
            **{"created_at": created_at, "epoch": 1},
        }
        self._redis.hset(keys.user(user_id), mapping=record)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.persist(email_key)
            pipe.get(email_key)
            _, owner = pipe.execute()
        if owner != user_id:  # the claim ran out before it was made lasting, and another took the address
            self._redis.delete(keys.user(user_id))
            return False
        return True

    def id_of(self, normalised_email: str) -> str | None:
        return cast(str | None, self._redis.get(keys.email(normalised_email)))

    def get(self, user_id: str) -> User | None:
        with self._redis.pipeline(transaction=False) as pipe:  # a Redis that is full refuses reads in a MULTI
            pipe.hgetall(keys.user(user_id))
            pipe.scard(keys.backup_codes(user_id))
            record, backup_codes_left = pipe.execute()
        return _user(user_id, record, backup_codes_left) if record else None

    def change(self, user_id: str, change: Change) -> str | None:
        """Change credentials and the sessions they concern as one step.

        Returns: the epoch from here on; None where it has moved, the link is good no more or the user is gone
        Raises: CallerGone where the caller's session is over
        """
        named = (keys.user, keys.backup_codes, keys.links, keys.moved)
        further = [key(user_id) for key in named]
        asked = {name: getattr(change, name) for name in Change.__slots__}
        outcome = self._change(user_id, further, {name: value for name, value in asked.items() if value is not None})
        if outcome == -1:
            raise CallerGone
        return str(outcome) if outcome else None

    def delete(self, user_id: str, normalised_email: str) -> None:
        """Remove a user whose sessions have ended; tickets and proofs left over open nothing and run out."""
        named = (
            *(keys.user, keys.last_used, keys.sessions, keys.ended, keys.backup_codes),
            *(keys.links, keys.moved, keys.known_devices),
        )
        self._redis.delete(*(key(user_id) for key in named))
        if self.id_of(normalised_email) == user_id:
            self._redis.delete(keys.email(normalised_email))


def _user(user_id: str, record: dict[str, Any], backup_codes_left: int) -> User:
    return User(
        id=user_id,
        email=record["email"],
        username=record["username"],
        global_name=record.get("global_name"),
        password_hash=record["password_hash"],
        epoch=record["epoch"],
        totp_secret=record.get("totp_secret"),
        totp_at=int(record["totp_at"]) if "totp_at" in record else None,
        disabled="disabled" in record,
        backup_codes_left=backup_codes_left,
    )
