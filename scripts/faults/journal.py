"""The journal of a client: a line for each request before it is sent, and one when it is answered.

A line is JSON. Times are those of time.monotonic(), which is one clock for all processes on Linux. The journal depends
on nothing in the service, so that the service can be judged by it.
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
    "register",
    "login",
    "code_login",
    "logout",
    "end",
    "end_others",
    "finish",
    "change_password",
    "enable_totp",
    "disable_totp",
    "renew_codes",
}
CHECKS = {"verify", "introspect"}  # requests of a gateway
LATE_S = 5  # a network that stands still may deliver a command that was given up so much later, at most


@dataclass(frozen=True)
class Operation:
    """A request and its outcome.

    Attributes:
        op: The name of the request: one of WRITES, of CHECKS, or another that changes nothing.
        account: The e-mail address of the account.
        note: Knowledge of the client that the request does not show.
        status: 0 if there was no answer. `problem` has the reason.
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
        """The body of the answer, empty if it is no JSON object."""
        try:
            body = orjson.loads(self.answer)
        except orjson.JSONDecodeError:
            return {}
        return body if isinstance(body, dict) else {}

    @property
    def code(self) -> int:
        """The code of a refusal, -1 if there is none."""
        code = self.json.get("code", 0 if "error" in self.json else -1)
        return code if isinstance(code, int) else -1

    @property
    def is_done(self) -> bool:
        """Tell whether it was acknowledged."""
        return 200 <= self.status < 300

    @property
    def is_unknown(self) -> bool:
        """Tell whether it may have happened, or may still happen until `settles_at`."""
        return (self.status == 0 and self.problem != "refused") or self.status >= 500

    @property
    def is_unsent(self) -> bool:
        """Tell whether nobody listened at the port, so that it did not happen."""
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
        """Write a request down before it is sent. Return the line for `note`."""
        line = {"id": f"{self._name}/{next(self._numbers)}", **request, "sent_at": time.monotonic()}
        self._write(line)
        return line

    def note(self, line: dict[str, Any], **answer: Any) -> Operation:
        """Write the outcome of a request down."""
        outcome = {"answered_at": time.monotonic(), **answer}
        self._write({"id": line["id"], **outcome})
        return Operation(**line, **outcome)

    def _write(self, line: dict[str, Any]) -> None:
        with self._lock:
            self._file.write(orjson.dumps(line) + b"\n")

    def close(self) -> None:
        self._file.close()


def read_all(folder: Path) -> list[Operation]:
    """Return all requests in the journals of a folder, by the time of sending. One with a single line has no answer."""
    operations = (operation for path in folder.glob("*.journal") for operation in _read(path))
    return sorted(operations, key=lambda operation: operation.sent_at)


def _read(path: Path) -> Iterator[Operation]:
    lines: dict[str, dict[str, Any]] = {}
    with path.open("rb") as file:
        for raw in file:
            line = orjson.loads(raw)
            lines.setdefault(line["id"], {}).update(line)
    return (Operation(**line) for line in lines.values())
