"""The check of passwords, codes, tickets and proofs: each must count when it should, and never otherwise.

One thread made all changes of an account, one after the other. So the judge follows them, and knows at each moment what
must be true. After an operation of unknown outcome several things may be true, until an answer shows which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Generic, Literal, TypeVar

from scripts.faults.answers import Finding
from scripts.faults.journal import Operation

T = TypeVar("T")
State = Literal["good", "used", "unknown"]

_LASTS_S = 270  # tickets and proofs are good for five minutes, less the time of waiting
_OFF = ""  # stands for a second factor that is off, in place of a TOTP secret
_CHANGES = {"change_password", "enable_totp", "disable_totp", "renew_codes", "end_others"}
_SECRET_CHANGES = _CHANGES - {"end_others"}
_GUARDED = {"end", "disable_totp", "renew_codes", "verify_proof"}  # these always need a proof


class Candidates(Generic[T]):
    """The values that may be true, the oldest first. Each may have been replaced by the next."""

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
        """Note that a value was shown to be true. Return False if it cannot be."""
        if value not in self._values:
            self._values = [value]
            return False
        later = self._values[self._values.index(value) + 1 :]
        self._values = [value, *(later if sent_at <= self._settles_at else [])]
        return True

    def deny(self, value: T, sent_at: float) -> bool:
        """Note that a value was shown to be false. Return False if it must be true."""
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
    """A ticket that was issued.

    Attributes:
        token: The token of the session that was challenged, "" for a login.
        changes: The number of changes of credentials before it was issued.
    """

    token: str
    issued_at: float
    changes: int
    state: State = "good"


@dataclass(frozen=True)
class Proof:
    token: str
    issued_at: float
    by_password: bool
    secret_changes: int  # how many changes of secrets there had been, or may have been; a later one ends the proof


class CredentialJudge:
    """The judge of one account's credentials."""

    def __init__(self) -> None:
        self._password: Candidates[str] = Candidates()
        self._second_factor: Candidates[str] = Candidates()  # TOTP secrets
        self._codes: dict[str, State] = {}
        self._tickets: dict[str, Ticket] = {}
        self._proofs: dict[str, Proof] = {}
        self._over: set[str] = set()  # tokens that ended, or may have
        self._changes = 0
        self._secret_changes = 0
        self._settles_at = -inf
        self._is_gone = False  # reported once; consequences are not reported again
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

    def _report(self, kind: str, what: str, operation: Operation) -> None:
        if not self._is_gone:
            self._findings.append(Finding(kind, what, operation))

    def _is_settled(self, operation: Operation) -> bool:
        return operation.sent_at > self._settles_at

    def _note_change(self, operation: Operation) -> None:
        if operation.op in _CHANGES and (operation.is_done or operation.is_unknown):
            self._changes += 1
            self._secret_changes += operation.op in _SECRET_CHANGES
        if operation.op in _CHANGES and operation.is_unknown:
            self._settles_at = max(self._settles_at, operation.settles_at)
        self._judge_proof(operation)

    # What one has

    def _register(self, operation: Operation) -> None:
        if operation.is_done:
            self._password.become(operation.body["password"])
            self._second_factor.become(_OFF)
        elif operation.status == 400:
            self._report("wrong", "an address that nobody ever had is taken", operation)

    def _login(self, operation: Operation) -> None:
        given = operation.body["password"]
        if operation.is_done and not self._password.newest_first:  # until now the registration had no clear outcome
            self._password.become(given)
            self._second_factor.become(_OFF)
        if operation.is_done:
            self._note_right(given, operation)
            self._note_second_factor("ticket" in operation.json, operation)
            if ticket := operation.json.get("ticket"):
                self._tickets[ticket] = Ticket("", operation.answered_at, self._changes)
        elif operation.status == 400:
            self._note_wrong(given, operation)

    def _me(self, operation: Operation) -> None:
        if operation.is_done:
            self._note_second_factor(operation.json["mfa_enabled"], operation)

    def _note_right(self, password: str, operation: Operation) -> None:
        if not self._password.confirm(password, operation.sent_at):
            self._report("lost", "a change of password: another one is right", operation)

    def _note_wrong(self, password: str, operation: Operation) -> None:
        if not self._password.deny(password, operation.sent_at):
            self._report("lost", f"the password is not right: {operation.op}", operation)
            self._is_gone = True

    def _note_second_factor(self, is_on: bool, operation: Operation) -> None:
        possible = [secret for secret in self._second_factor.newest_first if secret != _OFF]
        value = next(iter(possible), "of nobody") if is_on else _OFF
        if not self._second_factor.confirm(value, operation.sent_at):
            self._report("lost", f"a change of the second factor: it is {'on' if is_on else 'off'}", operation)

    # Codes and tickets

    def _code_login(self, operation: Operation) -> None:
        self._judge_answer(operation, operation.body["ticket"], operation.body["code"])

    def _finish(self, operation: Operation) -> None:
        password = operation.body["data"] if operation.body["mfa_type"] == "password" else None
        self._judge_answer(operation, operation.body["ticket"], None if password else operation.body["data"])
        if password and operation.is_done:
            self._note_right(password, operation)
        elif password and operation.code == 60008:
            self._note_wrong(password, operation)
        if operation.is_done:
            proof = Proof(operation.token, operation.answered_at, bool(password), self._secret_changes)
            self._proofs[operation.json["token"]] = proof
        elif operation.code == 50035 and self._is_settled(operation):
            self._report("wrong", "a method that was offered is refused", operation)

    def _judge_answer(self, operation: Operation, named: str, code: str | None) -> None:
        """Judge the answer to a ticket, and note it.

        Args:
            named: The ticket.
            code: None if it was answered with a password.
        """
        ticket = self._tickets[named]
        code_state = self._codes.get(code, "good" if operation.note.startswith("totp") else "used") if code else None
        if operation.is_done:
            if ticket.state == "used":
                self._report("wrong", "a used ticket is accepted", operation)
            if code_state == "used":
                self._report("lost", "a used code is accepted", operation)
            ticket.state = "used"
        elif operation.code == 60006:
            if self._must_be_known(ticket, operation):
                self._report("lost", "a ticket is unknown", operation)
            ticket.state = "used"
        elif operation.code == 60008:
            if ticket.state == "used":
                self._report("wrong", "a used ticket lives on", operation)
            if code_state == "good" and self._is_settled(operation):
                self._report("lost", "a code that was not used is refused", operation)
        elif operation.is_unknown and ticket.state == "good":
            ticket.state = "unknown"
        if code and operation.note != "wrong":
            self._note_code(operation, code, code_state)

    def _note_code(self, operation: Operation, code: str, state: State | None) -> None:
        if operation.is_done or operation.code == 60008:
            self._codes[code] = "used"
        elif operation.is_unknown and state == "good":
            self._codes[code] = "unknown"

    def _must_be_known(self, ticket: Ticket, operation: Operation) -> bool:
        """Tell whether the service must know a ticket.

        The ticket of a login ends with any change of credentials, that of a session with the session.
        """
        is_overtaken = ticket.token in self._over if ticket.token else ticket.changes != self._changes
        is_young = operation.answered_at - ticket.issued_at < _LASTS_S
        return ticket.state == "good" and is_young and not is_overtaken and self._is_settled(operation)

    def _note_challenge(self, operation: Operation, challenge: object) -> None:
        if isinstance(challenge, dict):
            self._tickets[challenge["ticket"]] = Ticket(operation.token, operation.answered_at, self._changes)

    # Proofs

    def _judge_proof(self, operation: Operation) -> None:
        """Judge that a proof counts for its own session only."""
        proof = self._proofs.get(operation.proof)
        is_own = proof is not None and proof.token == operation.token
        if operation.code == 60003 and proof and is_own and self._must_count(proof, operation):
            self._report("lost", "a proof is unknown", operation)
        if operation.op in _GUARDED and operation.is_done and not is_own:
            self._report("wrong", f"{operation.op} without a proof of this session", operation)
        if operation.is_done or operation.is_unknown:
            self._over |= {operation.token} if operation.op in _CHANGES | {"logout", "end"} else set()

    def _must_count(self, proof: Proof, operation: Operation) -> bool:
        """Tell whether a proof must count. Once a second factor is on, a proof by password does not."""
        is_young = operation.answered_at - proof.issued_at < _LASTS_S
        is_enough = not proof.by_password or self._second_factor.newest_first == [_OFF]
        is_current = proof.secret_changes == self._secret_changes
        return is_young and is_enough and is_current and self._is_settled(operation)

    # Changes

    def _change_password(self, operation: Operation) -> None:
        given, new = operation.body["password"], operation.body["new_password"]
        if operation.is_done:
            self._note_right(given, operation)
            self._password.become(new)
        elif operation.is_unknown:
            self._password.may_become(new, operation.settles_at)
        elif operation.code == 50035 and self._is_settled(operation):
            self._note_wrong(given, operation)

    def _enable_totp(self, operation: Operation) -> None:
        secret = operation.body["secret"]
        if operation.is_done:
            self._second_factor.become(secret)
            self._note_codes(operation)
        elif operation.is_unknown:
            self._second_factor.may_become(secret, operation.settles_at)
        elif operation.code == 60001:
            self._note_second_factor(True, operation)
        elif operation.code == 60008 and self._is_settled(operation):
            self._report("wrong", "a right code is refused", operation)

    def _disable_totp(self, operation: Operation) -> None:
        if operation.is_done:
            self._second_factor.become(_OFF)
        elif operation.is_unknown:
            self._second_factor.may_become(_OFF, operation.settles_at)
            self._doubt_codes()
        elif operation.code == 60002:
            self._note_second_factor(False, operation)

    def _renew_codes(self, operation: Operation) -> None:
        if operation.is_done:
            self._note_codes(operation)
        elif operation.is_unknown:
            self._doubt_codes()

    def _note_codes(self, operation: Operation) -> None:
        self._codes = dict.fromkeys(self._codes, "used")
        self._codes |= {one["code"]: "good" for one in operation.json["backup_codes"]}

    def _doubt_codes(self) -> None:
        self._codes = {code: "unknown" if state == "good" else state for code, state in self._codes.items()}
