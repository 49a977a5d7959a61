"""Passwords: which may be new ones, and how hashes are made and checked.

The forms of hashes: password_hashes.py. How these wait for their turn: hash_queue.py. Breached ones:
breached_passwords.py.
"""

import logging
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import bcrypt

from app.errors import Unavailable
from app.form_errors import InvalidForm
from app.rules.breached_passwords import BreachedPasswords
from app.rules.hash_queue import HashQueue
from app.rules.password_hashes import (
    MAX_BYTES,
    MAX_COMPOSED,
    MAX_COST,
    MAX_MEMORY_MIB,
    MIN_COST,
    PasswordHash,
    UnusableHash,
    read_hash,
)
from app.watch import context

MIN_LENGTH = 8
MIN_ROUNDS, MAX_ROUNDS = MIN_COST, MAX_COST
MAX_EXTRA_ROUNDS = 2  # a hash of a higher cost takes more than four times as long as usual, and waits apart
_ANY_HASH = "." * 53  # the salt and hash of a dummy, for which no password is known

_LEAST_WORD = 4
_BETWEEN_WORDS = re.compile(r"[\s._+@-]+")

Fault = Literal["length", "bytes", "nul", "common", "is_name", "holds_name", "breached"]
FAULTS: Mapping[Fault, str] = {  # as "CODE: message" of a form
    "length": f"BASE_TYPE_BAD_LENGTH: Must be between {MIN_LENGTH} and {MAX_BYTES} in length.",
    "bytes": f"BASE_TYPE_BAD_LENGTH: Must be {MAX_BYTES} bytes or fewer in UTF-8.",
    "nul": "PASSWORD_BAD_PASSWORD: Password may not contain a NUL character.",
    "common": "PASSWORD_BAD_PASSWORD: Password is too weak or common to use.",
    "is_name": "PASSWORD_BAD_PASSWORD: Password may not be your name or e-mail address.",
    "holds_name": "PASSWORD_BAD_PASSWORD: Password may not contain your name or e-mail address, or a part of them.",
    "breached": "PASSWORD_BAD_PASSWORD: Password has been in a data leak, so others may try it. Choose another one.",
}

T = TypeVar("T")
log = logging.getLogger(__name__)


def _load_common() -> dict[str, int]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8").splitlines()
    ranked = (line for line in lines if not line.startswith("#"))
    return {line: rank for rank, line in enumerate(ranked, 1)}


COMMON = _load_common()  # the 3,000 most common passwords of 8 characters or more, in small letters, with their ranks


def compose(password: str) -> str:
    """Return the form of a password that is counted and hashed: composed (NFC, as RFC 8265 has it).

    Systems send an umlaut as one character or as two. A password that is too long in any form is left as it is.
    """
    return unicodedata.normalize("NFC", password) if len(password) <= MAX_COMPOSED else password


def fault_of(typed: str, *names: str | None) -> Fault | None:
    """Return why a password may not be a new one, apart from data leaks; None if it may.

    Args:
        names: What the user is called: e-mail address, username, and the name that others see. None is passed over.
    """
    password = compose(typed)
    if not MIN_LENGTH <= len(password) <= MAX_BYTES:
        return "length"
    if len(password.encode()) > MAX_BYTES:
        return "bytes"
    if "\0" in password:
        return "nul"
    if password.lower() in COMMON:
        return "common"
    if password.casefold().strip() in _whole(*names):
        return "is_name"
    return "holds_name" if holds(password, *names) else None


def problem_with(typed: str, *names: str | None) -> str | None:
    """Return the fault of a password as "CODE: message" of a form; None if it has none. It is as in `fault_of`."""
    fault = fault_of(typed, *names)
    return FAULTS[fault] if fault else None


def holds(typed: str, *names: str | None) -> bool:
    """Tell whether a password holds what the user is called, or a part of it. The names are as in `fault_of`."""
    small = compose(typed).casefold()
    return any(word in small for word in words_of(*names))


def words_of(*names: str | None) -> set[str]:
    """Return what no password may hold: names and addresses, what stands before their @, and the parts of all these.

    Short ones are left out, because many words have them within. So is the last part of a domain, as in ".info".
    """
    whole = _whole(*names)
    hosts = {name.rpartition("@")[2].rpartition(".")[0] for name in whole if "@" in name}
    others = {name for name in whole if "@" not in name}
    parts = {part for name in hosts | others for part in _BETWEEN_WORDS.split(name)}
    return {word for word in whole | parts if len(word) >= _LEAST_WORD}


def _whole(*names: str | None) -> set[str]:
    """Return names, addresses and what stands before their @, in the form that is compared."""
    whole = {compose(name).casefold().strip() for name in names if name}
    return {word for word in whole | {name.rpartition("@")[0] for name in whole} if word}


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """The outcome of a check.

    Attributes:
        matches: The password belongs to the hash.
        is_outdated: New hashes have another form or cost, or are of the composed password. The hash should be renewed.
        is_brought: An import brought the hash, so nobody has looked yet whether the password may be one here.
    """

    matches: bool
    is_outdated: bool
    is_brought: bool = False


class Passwords:
    """Hashes and verifies passwords.

    `hash` and `verify` raise errors.Unavailable if the queue is full, if their turn does not come within 15 seconds, or
    if there is no memory for a hash of another service.
    """

    def __init__(self, rounds: int, concurrency: int, queue: int, breached: BreachedPasswords | None = None) -> None:
        """
        Args:
            breached: Passwords that nobody may choose; None if no file of them is set.
        """
        self._rounds = rounds
        self._queue = HashQueue(concurrency, queue)
        self._dummy = read_hash(f"$2b${rounds:02}${_ANY_HASH}")
        self._breached = breached

    def fault_of(self, typed: str, *names: str | None) -> Fault | None:
        """Return why a password may not be a new one, data leaks included; None if it may."""
        fault = fault_of(typed, *names)
        if fault is None and self._breached and self._breached.has(compose(typed)):
            return "breached"
        return fault

    def require_fit(self, field: str, typed: str, *names: str | None) -> None:
        """Refuse a new password.

        Args:
            field: The field of the form that has it.
            names: As in `fault_of`.

        Raises:
            InvalidForm: It may not be one.
        """
        fault = self.fault_of(typed, *names)
        if fault:
            raise InvalidForm({field: FAULTS[fault]})

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

        How many hashes are computed depends on the password alone: on neither the account nor on which form matches.

        Args:
            hashed: None for an account that does not exist, "" for one without a password. Then the check takes equal
                work, and fails.
        """
        kept = _read(hashed)
        composed, raw = compose(password).encode(), password.encode()
        matches = self._matches(composed, kept)
        matches_as_it_came = raw != composed and self._matches(raw, kept)
        if kept is None:
            return PasswordCheck(matches=False, is_outdated=False)
        is_outdated = kept.cost != self._rounds or not kept.is_ours or not matches
        return PasswordCheck(matches or matches_as_it_came, is_outdated, not kept.is_ours)

    def _matches(self, raw: bytes, kept: PasswordHash | None) -> bool:
        target = kept or self._dummy
        matches = self._run_in_turn(lambda: target.matches(raw), target.cost)
        return matches and kept is not None

    def _run_in_turn(self, work: Callable[[], T], cost: float) -> T:
        """Run work with a hash of this cost in the turn of the caller's network."""
        extra = cost - self._rounds
        try:
            return self._queue.run(work, context.network(), 2.0**extra, is_long=extra > MAX_EXTRA_ROUNDS)
        except MemoryError:
            log.error(
                "there is no memory for the hash of a password: argon2 and scrypt take up to %d MiB", MAX_MEMORY_MIB
            )
            raise Unavailable from None


def _read(hashed: str | None) -> PasswordHash | None:
    try:
        return read_hash(hashed) if hashed else None
    except UnusableHash:  # no import takes one
        return None
