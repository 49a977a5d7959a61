"""Whether passwords, codes, tickets and proofs counted when they should, and never when they should not.

One thread did all that changes an account, one thing after the other, so the judge goes along and knows at each
moment what must be true. After an operation whose outcome is unknown several things may be true, until an answer tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Generic, Literal, TypeVar

from scripts.faults.answers import Finding
from scripts.faults.journal import Operation

T = TypeVar("T")
State = Literal["good", "used", "unknown"]

_LASTS_S = 270  # tickets and proofs: five minutes, less what waiting takes
_OFF = ""  # in place of a TOTP secret
_CHANGES = {"change_password", "enable_totp", "disable_totp", "renew_codes", "end_others"}
_GUARDED = {"end", "disable_totp", "renew_codes", "verify_proof"}  # by a proof, whatever the account has


class Candidates(Generic[T]):
    """What may be true, the oldest first; each of them would have come about by what is next to it."""

    def __init__(self) -> None:
        self._values: list[T] = []
        self._settles_at = -inf

    @property
    def newest_first(self) -> list[T]:
        return self._values[::-1]

    def become(self, value: T) -> None:
        self._values = [value]

    def may_become(self, value: T, settles_at: float) -> None:
        self._values.append(value)
        self._settles_at = max(self._settles_at, settles_at)

    def confirm(self, value: T, sent_at: float) -> bool:
        """Something showed that this is true; False where it cannot be."""
        if value not in self._values:
            self._values = [value]
            return False
        later = self._values[self._values.index(value) + 1 :]
        self._values = [value, *(later if sent_at <= self._settles_at else [])]
        return True

    def deny(self, value: T, sent_at: float) -> bool:
        """Something showed that this is not true; False where it must be."""
        if value not in self._values:
            return True
        if len(self._values) == 1:
            self._values = []
            return False
        if sent_at > self._settles_at or value == self._values[0]:
            self._values.remove(value)
        return True


@dataclass
class Ticket:
    """token: of the session that was challenged; "" for a login. changes: of credentials, when it was issued"""

    token: str
    issued_at: float
    changes: int
    state: State = "good"


@dataclass(frozen=True)
class Proof:
    token: str
    issued_at: float
    by_password: bool


class CredentialJudge:
    """Of one account."""

    def __init__(self) -> None:
        self._password: Candidates[str] = Candidates()
        self._second_factor: Candidates[str] = Candidates()  # TOTP secrets
        self._codes: dict[str, State] = {}
        self._tickets: dict[str, Ticket] = {}
        self._proofs: dict[str, Proof] = {}
        self._over: set[str] = set()  # tokens that ended, or may have
        self._changes = 0
        self._settles_at = -inf
        self._is_gone = False  # said once; what follows from it is not said again
        self._findings: list[Finding] = []

    def judge(self, operations: Sequence[Operation]) -> list[Finding]:
        for operation in operations:
            if operation.is_unsent or (operation.status == 401 and operation.code == 0):
                continue
            if challenge := operation.json.get("mfa"):
                self._note_challenge(operation, challenge)
            if judge := getattr(self, f"_{operation.op}", None):
                judge(operation)
            self._note_change(operation)
        return self._findings

    def _find(self, kind: str, what: str, operation: Operation) -> None:
        if not self._is_gone:
            self._findings.append(Finding(kind, what, operation))

    def _is_settled(self, operation: Operation) -> bool:
        return operation.sent_at > self._settles_at

    def _note_change(self, operation: Operation) -> None:
        if operation.op in _CHANGES and (operation.is_done or operation.is_unknown):
            self._changes += 1
        if operation.op in _CHANGES and operation.is_unknown:
            self._settles_at = max(self._settles_at, operation.settles_at)
        self._note_proof_given(operation)

    # What one has

    def _register(self, operation: Operation) -> None:
        if operation.is_done:
            self._password.become(operation.body["password"])
            self._second_factor.become(_OFF)
        elif operation.status == 400:
            self._find("wrong", "an address that nobody ever had is taken", operation)

    def _login(self, operation: Operation) -> None:
        given = operation.body["password"]
        if operation.is_done and not self._password.newest_first:  # the registration had no clear outcome; now it has
            self._password.become(given)
            self._second_factor.become(_OFF)
        if operation.is_done:
            self._is_right(given, operation)
            self._has_second_factor("ticket" in operation.json, operation)
            if ticket := operation.json.get("ticket"):
                self._tickets[ticket] = Ticket("", operation.answered_at, self._changes)
        elif operation.status == 400:
            self._is_wrong(given, operation)

    def _me(self, operation: Operation) -> None:
        if operation.is_done:
            self._has_second_factor(operation.json["mfa_enabled"], operation)

    def _is_right(self, password: str, operation: Operation) -> None:
        if not self._password.confirm(password, operation.sent_at):
            self._find("lost", "a change of password: another one is right", operation)

    def _is_wrong(self, password: str, operation: Operation) -> None:
        if not self._password.deny(password, operation.sent_at):
            self._find("lost", f"the password is not right: {operation.op}", operation)
            self._is_gone = True

    def _has_second_factor(self, is_on: bool, operation: Operation) -> None:
        possible = [secret for secret in self._second_factor.newest_first if secret != _OFF]
        value = next(iter(possible), "of nobody") if is_on else _OFF
        if not self._second_factor.confirm(value, operation.sent_at):
            self._find("lost", f"a change of the second factor: it is {'on' if is_on else 'off'}", operation)

    # Codes and tickets

    def _code_login(self, operation: Operation) -> None:
        self._answer(operation, operation.body["ticket"], operation.body["code"])

    def _finish(self, operation: Operation) -> None:
        password = operation.body["data"] if operation.body["mfa_type"] == "password" else None
        self._answer(operation, operation.body["ticket"], None if password else operation.body["data"])
        if password and operation.is_done:
            self._is_right(password, operation)
        elif password and operation.code == 60008:
            self._is_wrong(password, operation)
        if operation.is_done:
            self._proofs[operation.json["token"]] = Proof(operation.token, operation.answered_at, bool(password))
        elif operation.code == 50035 and self._is_settled(operation):
            self._find("wrong", "a method that was offered is refused", operation)

    def _answer(self, operation: Operation, named: str, code: str | None) -> None:
        """A ticket was answered, with a code unless it was with a password."""
        ticket = self._tickets[named]
        of_code = self._codes.get(code, "good" if operation.note.startswith("totp") else "used") if code else None
        if operation.is_done:
            if ticket.state == "used":
                self._find("wrong", "a used ticket is accepted", operation)
            if of_code == "used":
                self._find("lost", "a used code is accepted", operation)
            ticket.state = "used"
        elif operation.code == 60006:
            if self._is_good(ticket, operation):
                self._find("lost", "a ticket is unknown", operation)
            ticket.state = "used"
        elif operation.code == 60008:
            if ticket.state == "used":
                self._find("wrong", "a used ticket lives on", operation)
            if of_code == "good" and self._is_settled(operation):
                self._find("lost", "a code that was not used is refused", operation)
        elif operation.is_unknown and ticket.state == "good":
            ticket.state = "unknown"
        if code and operation.note != "wrong":
            self._note_code(operation, code, of_code)

    def _note_code(self, operation: Operation, code: str, state: State | None) -> None:
        if operation.is_done or operation.code == 60008:
            self._codes[code] = "used"
        elif operation.is_unknown and state == "good":
            self._codes[code] = "unknown"

    def _is_good(self, ticket: Ticket, operation: Operation) -> bool:
        """Whether it must be known. A login's dies with any change of credentials, a session's with the session."""
        is_overtaken = ticket.token in self._over if ticket.token else ticket.changes != self._changes
        is_young = operation.answered_at - ticket.issued_at < _LASTS_S
        return ticket.state == "good" and is_young and not is_overtaken and self._is_settled(operation)

    def _note_challenge(self, operation: Operation, challenge: object) -> None:
        if isinstance(challenge, dict):
            self._tickets[challenge["ticket"]] = Ticket(operation.token, operation.answered_at, self._changes)

    # Proofs

    def _note_proof_given(self, operation: Operation) -> None:
        """Whether a proof counted for its session, and for no other."""
        proof = self._proofs.get(operation.proof)
        is_own = proof is not None and proof.token == operation.token
        if operation.code == 60003 and proof and is_own and self._counts(proof, operation):
            self._find("lost", "a proof is unknown", operation)
        if operation.op in _GUARDED and operation.is_done and not is_own:
            self._find("wrong", f"{operation.op} without a proof of this session", operation)
        if operation.is_done or operation.is_unknown:
            self._over |= {operation.token} if operation.op in _CHANGES | {"logout", "end"} else set()

    def _counts(self, proof: Proof, operation: Operation) -> bool:
        """Once a second factor is on, a password has proved nothing."""
        is_young = operation.answered_at - proof.issued_at < _LASTS_S
        is_enough = not proof.by_password or self._second_factor.newest_first == [_OFF]
        return is_young and is_enough and self._is_settled(operation)

    # Changes

    def _change_password(self, operation: Operation) -> None:
        given, new = operation.body["password"], operation.body["new_password"]
        if operation.is_done:
            self._is_right(given, operation)
            self._password.become(new)
        elif operation.is_unknown:
            self._password.may_become(new, operation.settles_at)
        elif operation.code == 50035 and self._is_settled(operation):
            self._is_wrong(given, operation)

    def _enable_totp(self, operation: Operation) -> None:
        secret = operation.body["secret"]
        if operation.is_done:
            self._second_factor.become(secret)
            self._has_codes(operation)
        elif operation.is_unknown:
            self._second_factor.may_become(secret, operation.settles_at)
        elif operation.code == 60001:
            self._has_second_factor(True, operation)
        elif operation.code == 60008 and self._is_settled(operation):
            self._find("wrong", "a right code is refused", operation)

    def _disable_totp(self, operation: Operation) -> None:
        if operation.is_done:
            self._second_factor.become(_OFF)
        elif operation.is_unknown:
            self._second_factor.may_become(_OFF, operation.settles_at)
            self._doubt_codes()
        elif operation.code == 60002:
            self._has_second_factor(False, operation)

    def _renew_codes(self, operation: Operation) -> None:
        if operation.is_done:
            self._has_codes(operation)
        elif operation.is_unknown:
            self._doubt_codes()

    def _has_codes(self, operation: Operation) -> None:
        self._codes = dict.fromkeys(self._codes, "used")
        self._codes |= {one["code"]: "good" for one in operation.json["backup_codes"]}

    def _doubt_codes(self) -> None:
        self._codes = {code: "unknown" if state == "good" else state for code, state in self._codes.items()}
