"""Imports: users of another service, many at once, with their password hashes, TOTP secrets and passkeys.

What a line says: import_lines.py. How it is read: wire/imports.py. The command: cli/import_users.py. The form of a
file: docs/import.md.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from app.rules.adoption import CLOCKS_APART_S
from app.rules.email_addresses import normal_forms
from app.rules.import_lines import ImportedPasskey, ImportedUser, Line, Result
from app.rules.keyring import Keyring
from app.snowflakes import new_snowflake
from app.stores.factors import USUAL_TOTP
from app.stores.new_users import NewUser
from app.stores.passkeys import Passkey
from app.stores.scripts import ForeignKey
from app.stores.users import Change, UserStore

_BATCH = 500  # users written in one go
_WAIT_S = 1  # between two tries of lines whose address is claimed


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A line whose user is not there yet.

    Attributes:
        line_with_id: The number of an earlier line that has the same id; None if none has.
    """

    line: Line
    told: ImportedUser
    line_with_id: int | None


@dataclass(frozen=True, slots=True)
class _Attempt:
    candidate: _Candidate
    user: NewUser

    def result(self) -> Result:
        """Return the result of a line whose user was written."""
        told, line = self.candidate.told, self.candidate.line
        notes = [*told.notes]
        if self.candidate.line_with_id or told.id not in (None, self.user.id):
            notes.append(f"{_whose(self.candidate)}; imported as {self.user.id}")
        return Result(line.number, "imported", "; ".join(notes), line, self.user.id)


class _Earlier:
    """What earlier lines of the file have. It keeps hashes of this process alone: 200 bytes a line."""

    def __init__(self) -> None:
        self._lines_by_email: dict[int, int] = {}
        self._lines_by_id: dict[int, int] = {}

    def line_with_email(self, number: int, user: ImportedUser) -> int | None:
        first = self._lines_by_email.setdefault(hash(user.email.normalised), number)
        return None if first == number else first

    def line_with_id(self, number: int, user: ImportedUser) -> int | None:
        if user.old_id is None:
            return None
        first = self._lines_by_id.setdefault(hash(user.old_id), number)
        return None if first == number else first


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

    def run(
        self,
        lines: Iterable[Line],
        *,
        refuse_tokens: bool = False,
        dry_run: bool = False,
        finds_ids: bool = False,
    ) -> Iterator[Result]:
        """Write the users of all lines, a batch at a time.

        A user whose address is taken is skipped, so a second run of a file changes nothing. A claim of an address
        lasts a minute. It belongs to a registration under way, or to an import that crashed while it wrote this user.
        Such a line is tried again until the address is taken or free.

        Args:
            refuse_tokens: Adopt no token of the service before that was issued to one of these users until now.
            dry_run: Write nothing, and yield what would be.
            finds_ids: Look up the id of each user who was there before, at the cost of a trip.

        Yields:
            The result of each line, in no order.
        """
        rest = iter(lines)
        earlier = _Earlier()
        waiting: list[_Attempt] = []
        is_claimed = False  # an address of `waiting` is
        while True:
            read = list(islice(rest, _BATCH))
            results, candidates = self._sort_out(read, earlier)
            yield from results
            if dry_run:
                yield from map(self._foretell, candidates)
                candidates = []
            attempts = [*waiting, *(self._prepare(candidate, refuse_tokens) for candidate in candidates)]
            if not read and not attempts:
                return
            if is_claimed and not read:
                self._wait(_WAIT_S)
            outcomes = self._users.bring_all([attempt.user for attempt in attempts])
            waiting, is_claimed = [], "claimed" in outcomes
            for attempt, outcome in zip(attempts, outcomes, strict=True):
                if outcome == "claimed":
                    waiting.append(attempt)
                elif outcome == "id_taken":
                    waiting.append(self._under_another_id(attempt))
                elif outcome == "created":
                    yield attempt.result()
                else:
                    line, told = attempt.candidate.line, attempt.candidate.told
                    there = self._id_of(told) if finds_ids else None
                    yield Result(line.number, "there", line=line, user_id=there)

    def _under_another_id(self, attempt: _Attempt) -> _Attempt:
        """Return the attempt with a new id, because another user has the one of the file."""
        # A token of the service before that names this id may be of either of the two.
        with suppress(ForeignKey):
            self._users.change(attempt.user.id, Change(refuse_tokens=True, same_credentials=True))
        return replace(attempt, user=replace(attempt.user, id=new_snowflake(self._clock())))

    def _sort_out(self, lines: Sequence[Line], earlier: _Earlier) -> tuple[Sequence[Result], Sequence[_Candidate]]:
        """Return the results of lines that bring nobody new, and the other lines."""
        results: list[Result] = []
        candidates: list[_Candidate] = []
        for line in lines:
            user = line.user
            if isinstance(user, str):
                results.append(Result(line.number, "bad", user, line))
            elif first := earlier.line_with_email(line.number, user):
                results.append(Result(line.number, "double", f"email: is that of line {first}, too", line))
            elif there := self._id_of(user, former_forms_alone=True):
                results.append(Result(line.number, "there", line=line, user_id=there))
            else:
                candidates.append(_Candidate(line, user, earlier.line_with_id(line.number, user)))
        return results, candidates

    def _foretell(self, candidate: _Candidate) -> Result:
        """Return the result that a line would have."""
        line, told = candidate.line, candidate.told
        if there := self._id_of(told):
            return Result(line.number, "there", line=line, user_id=there)
        notes = [*told.notes]
        if candidate.line_with_id or (told.id and self._users.get(told.id)):
            notes.append(f"{_whose(candidate)}; would get a new one")
        return Result(line.number, "imported", "; ".join(notes), line)

    def _id_of(self, user: ImportedUser, *, former_forms_alone: bool = False) -> str | None:
        """Return the id of the user who has the address of a line; None if there is none.

        Args:
            former_forms_alone: Look for the forms alone in which earlier releases kept it.
        """
        forms = normal_forms(user.email.given)
        return next(filter(None, map(self._users.id_of, forms[1:] if former_forms_alone else forms)), None)

    def _prepare(self, candidate: _Candidate, refuse_tokens: bool) -> _Attempt:
        return _Attempt(candidate, self._new_user(candidate.told, refuse_tokens))

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
            totp_secret=self._keyring.encrypt(user.totp.secret) if user.totp else None,
            totp_parameters=user.totp.parameters if user.totp else USUAL_TOTP,
            disabled=user.disabled,
            unverified=user.verified is False,
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
        last_used_at=imported.last_used_at,
    )


def _tokens_valid_since(user: ImportedUser, now: float, refuse_tokens: bool) -> int | None:
    # A user who is disabled here has no session left. One who was disabled before has none either, once enabled.
    if not (refuse_tokens or user.disabled):
        return user.tokens_valid_since
    return max(user.tokens_valid_since or 0, int(now) + CLOCKS_APART_S + 1)


def _whose(candidate: _Candidate) -> str:
    """Return the note on an id that another user has."""
    line = candidate.line_with_id
    return f"id: is that of line {line}, too" if line else "id: is somebody else's"
