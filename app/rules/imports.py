"""Imports: users of another service, many at once, with their password hashes, TOTP secrets and passkeys.

How a line is read: wire/imports.py. The command: cli/users.py. The form of a file: docs/import.md.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from app.rules.adoption import CLOCKS_APART_S
from app.rules.email_addresses import normal_forms
from app.rules.keyring import Keyring
from app.snowflakes import new_snowflake
from app.stores.new_users import NewUser, Outcome
from app.stores.passkeys import Passkey
from app.stores.scripts import ForeignKey
from app.stores.users import Change, UserStore

_BATCH = 500  # users written in one go
_WAIT_S = 1  # between two tries of lines whose address is claimed

LineVerdict = Literal["imported", "there", "bad"]


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address, as given (but trimmed), and in its normalised form."""

    given: str
    normalised: str


@dataclass(frozen=True, slots=True)
class ImportedPasskey:
    """A passkey that a line describes. The fields mean what they do in Passkey.

    Attributes:
        created_at: None means now.
    """

    cred_id: str
    public_key: bytes = field(repr=False)
    sign_count: int = 0
    transports: tuple[str, ...] = ()
    name: str = "Passkey"
    backup_eligible: bool | None = None
    created_at: int | None = None


@dataclass(frozen=True, slots=True)
class ImportedUser:
    """The user that a line describes.

    Attributes:
        totp_secret: Base32.
        created_at: Unix seconds; None means now.
        id: A snowflake. If it is taken, or None, the user gets a new id.
        tokens_valid_since: Unix seconds, the fraction dropped. Tokens of the service before that were issued earlier
            are not adopted. None means that all are.
        cleaned: The fields from which outer spaces or hidden characters were taken.
    """

    email: Email
    username: str
    password_hash: str = field(repr=False)
    global_name: str | None = None
    totp_secret: str | None = field(default=None, repr=False)
    created_at: int | None = None
    id: str | None = None
    disabled: bool = False
    tokens_valid_since: int | None = None
    passkeys: Sequence[ImportedPasskey] | None = None
    cleaned: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file.

    Attributes:
        number: Counted from 1.
        user: The user that the line describes, or a sentence that says what is wrong with the line.
    """

    number: int
    user: ImportedUser | str


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a line.

    Attributes:
        note: A sentence for the operator; "" if there is nothing to say.
    """

    number: int
    verdict: LineVerdict
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    wanted_id: str | None
    cleaned: Sequence[str]
    user: NewUser

    def note(self, outcome: Outcome) -> str:
        if outcome != "created":
            return ""
        notes = [f"{field}: imported without its outer spaces and hidden characters" for field in self.cleaned]
        if self.wanted_id not in (None, self.user.id):
            notes.append(f"id: is somebody else's; imported as {self.user.id}")
        return "; ".join(notes)


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

    def run(self, lines: Iterable[Line], *, refuse_tokens: bool = False) -> Iterator[Result]:
        """Write the users of all lines, a batch at a time.

        A user whose address is taken is skipped, so a second run of a file changes nothing. A claim of an address
        lasts a minute. It belongs to a registration under way, or to an import that crashed while it wrote this user.
        Such a line is tried again until the address is taken or free.

        Args:
            refuse_tokens: Adopt no token of the service before that was issued to one of these users until now.

        Yields:
            The result of each line, in no order.
        """
        rest = iter(lines)
        waiting: list[_Attempt] = []
        is_claimed = False
        while True:
            read = list(islice(rest, _BATCH))
            yield from (Result(line.number, "bad", line.user) for line in read if isinstance(line.user, str))
            new = [(line.number, line.user) for line in read if isinstance(line.user, ImportedUser)]
            there = {number for number, user in new if self._is_there_in_former_form(user)}
            yield from (Result(number, "there") for number in sorted(there))
            attempts = [
                *waiting,
                *(self._prepare(number, user, refuse_tokens) for number, user in new if number not in there),
            ]
            if not read and not attempts:
                return
            if is_claimed and not read:
                self._wait(_WAIT_S)
            waiting, is_claimed = [], False
            for attempt, outcome in zip(
                attempts, self._users.create_all([attempt.user for attempt in attempts]), strict=True
            ):
                if outcome == "claimed":
                    waiting.append(attempt)
                    is_claimed = True
                elif outcome == "id_taken":
                    # A token of the service before that names this id may be of either of the two.
                    with suppress(ForeignKey):
                        self._users.change(attempt.user.id, Change(refuse_tokens=True, same_credentials=True))
                    waiting.append(replace(attempt, user=replace(attempt.user, id=new_snowflake(self._clock()))))
                else:
                    yield Result(attempt.number, "imported" if outcome == "created" else "there", attempt.note(outcome))

    def _is_there_in_former_form(self, user: ImportedUser) -> bool:
        return any(map(self._users.id_of, normal_forms(user.email.given)[1:]))

    def _prepare(self, number: int, user: ImportedUser, refuse_tokens: bool) -> _Attempt:
        return _Attempt(number, user.id, user.cleaned, self._new_user(user, refuse_tokens))

    def _new_user(self, user: ImportedUser, refuse_tokens: bool) -> NewUser:
        now = self._clock()
        return NewUser(
            id=user.id or new_snowflake(now),
            normalised_email=user.email.normalised,
            email=user.email.given,
            username=user.username,
            global_name=user.global_name,
            password_hash=user.password_hash,
            created_at=int(now) if user.created_at is None else user.created_at,
            totp_secret=self._keyring.encrypt(user.totp_secret) if user.totp_secret else None,
            disabled=user.disabled,
            tokens_valid_since=_tokens_valid_since(user, now, refuse_tokens),
            passkeys=[_passkey(passkey, now) for passkey in user.passkeys or ()],
        )


def _passkey(imported: ImportedPasskey, now: float) -> Passkey:
    return Passkey(
        cred_id=imported.cred_id,
        id=new_snowflake(now),
        name=imported.name,
        public_key=imported.public_key,
        sign_count=imported.sign_count,
        transports=imported.transports,
        backup_eligible=imported.backup_eligible,
        # Links of mails take off what was set since their factor, so none may be of the future.
        created_at=int(now) if imported.created_at is None else min(imported.created_at, int(now)),
    )


def _tokens_valid_since(user: ImportedUser, now: float, refuse_tokens: bool) -> int | None:
    # A user who is disabled here has no session left. One who was disabled before has none either, once enabled.
    if not (refuse_tokens or user.disabled):
        return user.tokens_valid_since
    return max(user.tokens_valid_since or 0, int(now) + CLOCKS_APART_S + 1)
