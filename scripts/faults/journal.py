"""What clients write down of each request: before it is sent, and once it is answered.

A line is JSON, times are of time.monotonic(), which on Linux is the same clock in every process. A journal outlives
the service and knows nothing of its state, so that the service can be held against it.
"""

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

import orjson

WRITES = {
    *("register", "login", "code_login", "logout", "end", "end_others", "finish"),
    *("change_password", "enable_totp", "disable_totp", "renew_codes"),
}
CHECKS = {"verify", "introspect"}  # what a gateway asks
LATE_S = 5  # a command that was given up may still be under way, in a network that stands still: for so long, at most


@dataclass(frozen=True)
class Operation:
    """A request and what became of it.

    op        its name, of WRITES, of CHECKS, or another that only looks
    account   e-mail address of the account that it is about
    note      what the client knows beyond the request
    status    0 where there was no answer; `problem` says why
    """

    id: str
    op: str
    account: str
    method: str
    path: str
    sent_at: float
    token: str = ""
    proof: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    answered_at: float = inf
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    problem: str = ""

    @cached_property
    def json(self) -> dict[str, Any]:
        """The answer; empty where it is no JSON object."""
        try:
            read = orjson.loads(self.answer)
        except orjson.JSONDecodeError:
            return {}
        return read if isinstance(read, dict) else {}

    @property
    def code(self) -> int:
        """Of a refusal; -1 where there is none."""
        code = self.json.get("code", 0 if "error" in self.json else -1)
        return code if isinstance(code, int) else -1

    @property
    def is_done(self) -> bool:
        """It was acknowledged."""
        return 200 <= self.status < 300

    @property
    def is_unknown(self) -> bool:
        """It may have happened, or may yet happen until `settles_at`."""
        return (self.status == 0 and self.problem != "refused") or self.status >= 500

    @property
    def is_unsent(self) -> bool:
        """Nobody listened: it did not happen."""
        return self.status == 0 and self.problem == "refused"

    @property
    def settles_at(self) -> float:
        return self.answered_at + LATE_S

    def header(self, name: str) -> str:
        return next((text for known, text in self.headers.items() if known.lower() == name.lower()), "")


class Journal:
    """The file of one client process; its threads share it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._name = path.name
        self._lock = threading.Lock()
        self._numbers = itertools.count()

    def intend(self, **request: Any) -> dict[str, Any]:
        """Write down what is about to be sent; the line, for `note`."""
        line = {"id": f"{self._name}/{next(self._numbers)}", **request, "sent_at": time.monotonic()}
        self._write(line)
        return line

    def note(self, line: dict[str, Any], **answer: Any) -> Operation:
        """Write down what came of it."""
        came = {"answered_at": time.monotonic(), **answer}
        self._write({"id": line["id"], **came})
        return Operation(**line, **came)

    def _write(self, line: dict[str, Any]) -> None:
        with self._lock:
            self._file.write(orjson.dumps(line) + b"\n")

    def close(self) -> None:
        self._file.close()


def read_all(folder: Path) -> list[Operation]:
    """All that is in the journals of a folder, in the order of sending; of what has no second line nothing came."""
    operations = (operation for path in folder.glob("*.journal") for operation in _read(path))
    return sorted(operations, key=lambda operation: operation.sent_at)


def _read(path: Path) -> Iterator[Operation]:
    lines: dict[str, dict[str, Any]] = {}
    with path.open("rb") as file:
        for raw in file:
            line = orjson.loads(raw)
            lines.setdefault(line["id"], {}).update(line)
    return (Operation(**line) for line in lines.values())
