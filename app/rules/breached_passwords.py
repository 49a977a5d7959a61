"""Passwords that were in data leaks: a sorted file of their SHA-1 hashes, searched in place.

The file is what haveibeenpwned's downloader makes in one piece: a line for each hash, as HASH:COUNT, sorted by hash.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HEX = 40  # digits of SHA-1
_MAX_LINE = 80
_LINE = re.compile(rb"([0-9A-Fa-f]{40})(?::[0-9]+)?\r?\n?")
_SAMPLES = 64

log = logging.getLogger(__name__)


class BreachedPasswords:
    """Look-ups in the file.

    It is opened for each of them: they are few, and so a file that was put in its place counts at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_told = False  # the log has a line about the file that cannot be read now

    def has(self, password: str) -> bool:
        """Tell whether a password is in the file. If that cannot be read, say no, and log it once."""
        sha1 = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper().encode()
        try:
            with _opened(self._path) as (file, size):
                found = _search(file, size, sha1)
        except OSError as problem:
            if not self._is_told:
                log.warning("BREACHED_PASSWORDS cannot be read, so new passwords are not looked up: %s", problem)
            self._is_told = True
            return False
        self._is_told = False
        return found


def read_breached(raw: str) -> Path:
    """Return the path of a file of breached passwords.

    Raises:
        ValueError: It is none. The message goes on after the name of the setting.
    """
    path = Path(raw)
    problem = problem_of(path)
    if problem:
        raise ValueError(problem)
    return path


def problem_of(path: Path) -> str | None:
    """Return what is wrong with a file of breached passwords, by some of its lines; None if nothing is."""
    try:
        with _opened(path) as (file, size):
            sampled = [_line_after(file, size * number // _SAMPLES) for number in range(_SAMPLES)]
    except OSError as problem:
        return f"cannot be read ({problem.strerror})"
    found = [_LINE.fullmatch(line) for line in sampled if line.strip()]
    if not found or not all(found):
        return "must be a file with a line for each password: its SHA-1 in hex, a colon and a number"
    hashes = [match[1].upper() for match in found if match]
    if hashes != sorted(hashes):
        return "must be sorted by hash, as haveibeenpwned's downloader writes it"
    return None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # so that a pipe fails instead of waiting
    try:
        yield file, os.fstat(file).st_size
    finally:
        os.close(file)


def _search(file: int, size: int, sha1: bytes) -> bool:
    """Find a line by halves. The line, if there is one, begins at `low` or later, and before `high`."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        begin = _begin_after(file, middle)
        if begin is None or begin >= high:
            high = middle
            continue
        found = os.pread(file, _HEX, begin).upper()
        if not found.strip():  # blank lines at the end
            high = middle
            continue
        if found == sha1:
            return True
        if found < sha1:
            low = begin + 1
        else:
            high = middle
    return False


def _begin_after(file: int, offset: int) -> int | None:
    """Return where the first line begins that begins at an offset or later; None if none does."""
    if offset == 0:
        return 0
    before, found, _ = os.pread(file, _MAX_LINE, offset - 1).partition(b"\n")
    return offset + len(before) if found else None


def _line_after(file: int, offset: int) -> bytes:
    """Return the first line that begins at an offset or later; what is there instead if it is too long to be one."""
    begin = _begin_after(file, offset)
    found = os.pread(file, _MAX_LINE, offset if begin is None else begin).partition(b"\n")[0]
    return b"" if begin is None and len(found) < _MAX_LINE else found
