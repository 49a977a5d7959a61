"""A client's knowledge of its own account. It is not used to judge answers; the journal is."""

import time
from dataclasses import dataclass, field
from random import Random

import pyotp

from scripts.faults.journal import Operation

_STEP_S = 30
MOST_LOGINS = 35  # a user may have 50 sessions at once; none of these is to be evicted


@dataclass
class Account:
    """An account and its credentials.

    Attributes:
        passwords: Several while the outcome of a change is unknown. The newest is the last.
        tokens: Tokens of sessions that should be live.
        ended: Tokens of sessions that should be over.
        proofs: The proof of a session, by its token.
        secret: The secret of the second factor, "" if it is off.
        codes: Backup codes that are not used, as far as the client knows.
        spent: A code that was used, and its kind.
    """

    email: str
    passwords: list[str]
    tokens: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    proofs: dict[str, str] = field(default_factory=dict)
    old_password: str = ""
    secret: str = ""
    codes: list[str] = field(default_factory=list)
    spent: tuple[str, str] | None = None
    logins: int = 0
    is_lost: bool = False
    _step: int = 0
    _settles_at: float = 0

    @property
    def password(self) -> str:
        return self.passwords[-1]

    def note_session(self, token: str) -> None:
        self.logins += 1
        self.tokens.append(token)

    def note_end(self, *tokens: str) -> None:
        for token in tokens:
            self.proofs.pop(token, None)
            if token in self.tokens:
                self.tokens.remove(token)
                self.ended.append(token)

    def note_new_password(self, new: str, operation: Operation) -> None:
        """Note a change of the password that succeeded, or may have."""
        if operation.is_done:
            self.old_password, self.passwords = self.password, [new]
        elif operation.is_unknown:
            self.passwords.append(new)
            self._settles_at = operation.settles_at

    def note_right_password(self, password: str) -> None:
        """Note that a password is right. Older ones are not; newer ones may become right for a while."""
        at = self.passwords.index(password)
        self.passwords = self.passwords[at:] if time.monotonic() < self._settles_at else [password]

    def note_second_factor(self, secret: str, codes: list[str], step: int) -> None:
        self.secret, self.codes, self._step, self.spent = secret, codes, step, None

    def next_code(self, random: Random) -> tuple[str, str, str] | None:
        """Return a code that was never used, None if there is none now.

        Returns:
            The kind, the code, and a note for the journal that names the step.
        """
        step = current_step()
        if step > self._step and (random.random() < 0.5 or not self.codes):
            self._step = step
            return "totp", code_of(self.secret, step), f"totp {step}"
        return ("backup", self.codes.pop(), "backup") if self.codes else None


def current_step() -> int:
    return int(time.time()) // _STEP_S


def code_of(secret: str, step: int) -> str:
    return pyotp.TOTP(secret).at(step * _STEP_S)
