"""Passwords: the limits on new passwords, and bcrypt hashes. How these wait for their turn: hash_queue.py."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import bcrypt

from app.errors import InvalidForm
from app.rules.hash_queue import HashQueue
from app.watch import context

MIN_LENGTH = 8
MAX_BYTES = 72  # bcrypt reads only so many bytes
MIN_ROUNDS, MAX_ROUNDS = 4, 16  # the costs of a hash; each step doubles the time, and 16 takes seconds
MAX_EXTRA_ROUNDS = 2  # a hash of a higher cost takes more than four times as long as usual, and waits apart
HOLDS_A_NAME = "PASSWORD_BAD_PASSWORD: Password may not contain your name or e-mail address."
_MAX_COMPOSED = 2 * MAX_BYTES  # 72 bytes are 108 characters at most before NFC, which takes quadratic time for some
_ANY_HASH = "." * 53  # the salt and hash of a dummy, for which no password is known

_LEAST_WORD = 4

T = TypeVar("T")


def _load_common() -> dict[str, int]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8").splitlines()
    ranked = (line for line in lines if not line.startswith("#"))
    return {line: rank for rank, line in enumerate(ranked, 1)}


COMMON = _load_common()  # the 3,000 most common passwords of 8 characters or more, in small letters, with their ranks


def compose(password: str) -> str:
    """Return the form of a password that is counted and hashed: composed (NFC, as RFC 8265 has it).

    Systems send an umlaut as one character or as two. A password that is too long in any form is left as it is.
    """
    return unicodedata.normalize("NFC", password) if len(password) <= _MAX_COMPOSED else password


def problem_with(typed: str, *names: str | None) -> str | None:
    """Return why a password may not be a new one, as "CODE: message" of a form; None if it may.

    Args:
        names: What the user is called: e-mail address, username, and the name that others see. None is passed over.
    """
    password = compose(typed)
    if not MIN_LENGTH <= len(password) <= MAX_BYTES:
        return f"BASE_TYPE_BAD_LENGTH: Must be between {MIN_LENGTH} and {MAX_BYTES} in length."
    if len(password.encode()) > MAX_BYTES:
        return f"BASE_TYPE_BAD_LENGTH: Must be {MAX_BYTES} bytes or fewer in UTF-8."
    if "\0" in password:
        return "PASSWORD_BAD_PASSWORD: Password may not contain a NUL character."
    if password.lower() in COMMON:
        return "PASSWORD_BAD_PASSWORD: Password is too weak or common to use."
    return HOLDS_A_NAME if holds(password, *names) else None


def holds(typed: str, *names: str | None) -> bool:
    """Tell whether a password holds what the user is called. The names are as in `problem_with`."""
    small = compose(typed).casefold()
    return any(word in small for word in words_of(*names))


def require_fit(field: str, typed: str, *names: str | None) -> None:
    """Refuse a new password.

    Args:
        field: The field of the form that has it.
        names: As in `problem_with`.

    Raises:
        InvalidForm: It may not be one.
    """
    problem = problem_with(typed, *names)
    if problem:
        raise InvalidForm({field: problem})


def words_of(*names: str | None) -> set[str]:
    """Return what no password may hold: names, addresses and what stands before their @, in the form that is compared.

    Short ones are left out, because many words have them within.
    """
    whole = {compose(name).casefold().strip() for name in names if name}
    before_at = {name.rpartition("@")[0] for name in whole}
    return {word for word in whole | before_at if len(word) >= _LEAST_WORD}


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """The outcome of a check.

    Attributes:
        is_outdated: New hashes have another cost, or are of the composed password. The hash should be renewed.
    """

    matches: bool
    is_outdated: bool


class Passwords:
    """Hashes and verifies passwords.

    `hash` and `verify` raise errors.Unavailable if the queue is full, or if their turn does not come within 15 seconds.
    """

    def __init__(self, rounds: int, concurrency: int, queue: int) -> None:
        self._rounds = rounds
        self._queue = HashQueue(concurrency, queue)
        self._dummy = f"$2b${rounds:02}${_ANY_HASH}"

    def hash(self, password: str) -> str:
        """Hash a password in its composed form.

        Args:
            password: At most 72 bytes in UTF-8, composed.
        """
        raw = compose(password).encode()
        salt = bcrypt.gensalt(self._rounds)
        return self._run_in_turn(lambda: bcrypt.hashpw(raw, salt), self._rounds).decode()

    def verify(self, password: str, hashed: str | None) -> bool:
        """Tell whether a password belongs to a hash, as `check` does."""
        return self.check(password, hashed).matches

    def check(self, password: str, hashed: str | None) -> PasswordCheck:
        """Check a password in its composed form, and as it came if that is another text: other services hash that.

        The work depends on the password alone: on neither the account nor on which form matches.

        Args:
            hashed: None for an account that does not exist, "" for one without a password. Then the check takes equal
                work, and fails.
        """
        hashed = hashed or None
        composed, raw = compose(password).encode(), password.encode()
        matches = self._matches(composed, hashed)
        matches_as_it_came = raw != composed and len(raw) <= MAX_BYTES and self._matches(raw, hashed)
        is_outdated = hashed is not None and (cost_of(hashed) != self._rounds or not matches)
        return PasswordCheck(matches or matches_as_it_came, is_outdated)

    def _matches(self, raw: bytes, hashed: str | None) -> bool:
        acceptable = hashed is not None and len(raw) <= MAX_BYTES
        target = hashed if hashed is not None and acceptable else self._dummy
        matches = self._run_in_turn(lambda: bcrypt.checkpw(raw[:MAX_BYTES], target.encode()), cost_of(target))
        return matches and acceptable

    def _run_in_turn(self, work: Callable[[], T], cost: int) -> T:
        """Run work with a hash of this cost in the turn of the caller's network."""
        extra = cost - self._rounds
        return self._queue.run(work, context.network(), 2.0**extra, is_long=extra > MAX_EXTRA_ROUNDS)


def cost_of(hashed: str) -> int:
    """Return the cost of a hash. Its form is $2b$<cost>$<salt and hash>."""
    return int(hashed.split("$")[2])
