"""Users that come from elsewhere, many at once, with the password hashes and TOTP secrets that they have there."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from app.rules.keyring import Keyring
from app.snowflakes import new_snowflake
from app.stores.new_users import NewUser, Outcome
from app.stores.users import UserStore

_BATCH = 500  # users that are written together
_WAIT_S = 1  # between two looks at addresses that are claimed

Verdict = Literal["imported", "there", "bad"]


@dataclass(frozen=True, slots=True)
class Email:
    """An address as it was told, and in the form in which two spellings are one."""

    told: str
    normalised: str


@dataclass(frozen=True, slots=True)
class ImportedUser:
    """A user as a line tells of them.

    id            a snowflake, kept where it is free; None asks for a new one
    created_at    Unix seconds; None is now
    totp_secret   base32
    """

    email: Email
    username: str
    password_hash: str = field(repr=False)
    global_name: str | None = None
    totp_secret: str | None = field(default=None, repr=False)
    created_at: int | None = None
    id: str | None = None
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """number: from 1. user: who it tells of, or in a sentence what is wrong with it."""

    number: int
    user: ImportedUser | str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a line; said: what an operator should know of it, "" where that is nothing."""

    number: int
    verdict: Verdict
    said: str = ""


@dataclass(frozen=True, slots=True)
class _Try:
    number: int
    wanted_id: str | None
    user: NewUser

    def said(self, outcome: Outcome) -> str:
        if outcome != "created" or self.wanted_id in (None, self.user.id):
            return ""
        return f"id: is somebody else's; imported as {self.user.id}"


class Imports:
    def __init__(
        self,
        users: UserStore,
        keyring: Keyring,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._users = users
        self._keyring = keyring
        self._clock = clock
        self._wait = wait

    def run(self, lines: Iterable[Line]) -> Iterator[Result]:
        """Write the users of as many lines as there are, a batch at a time; yields what became of each, in no order.

        Who has their address already is passed over, so the same lines a second time change nothing. Where an address
        is just being registered, or an import died over it less than a minute ago, its turn comes again until it is
        clear whose it is.
        """
        rest = iter(lines)
        waiting: list[_Try] = []
        is_claimed = False
        while True:
            read = list(islice(rest, _BATCH))
            yield from (Result(line.number, "bad", line.user) for line in read if isinstance(line.user, str))
            tries = [*waiting, *(self._try(line, line.user) for line in read if isinstance(line.user, ImportedUser))]
            if not read and not tries:
                return
            if is_claimed and not read:
                self._wait(_WAIT_S)
            waiting, is_claimed = [], False
            for one, outcome in zip(tries, self._users.create_all([one.user for one in tries]), strict=True):
                if outcome == "claimed":
                    waiting.append(one)
                    is_claimed = True
                elif outcome == "id_taken":
                    waiting.append(replace(one, user=replace(one.user, id=new_snowflake(self._clock()))))
                else:
                    yield Result(one.number, "imported" if outcome == "created" else "there", one.said(outcome))

    def _try(self, line: Line, told: ImportedUser) -> _Try:
        return _Try(line.number, told.id, self._new_user(told))

    def _new_user(self, told: ImportedUser) -> NewUser:
        now = self._clock()
        return NewUser(
            id=told.id or new_snowflake(now),
            normalised_email=told.email.normalised,
            email=told.email.told,
            username=told.username,
            global_name=told.global_name,
            password_hash=told.password_hash,
            created_at=int(now) if told.created_at is None else told.created_at,
            totp_secret=self._keyring.encrypt(told.totp_secret) if told.totp_secret else None,
            totp_at=int(now) if told.totp_secret else None,
            disabled=told.disabled,
        )
