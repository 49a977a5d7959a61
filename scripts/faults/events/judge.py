"""The judgement of a run: what people did is compared with what the receiver wrote down."""

import base64
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import orjson

from scripts.faults.events.people import NEW_USER, Account

SECRET = bytes(range(32))
_OF_ALL_ROWS = ("forged", "another text")


@dataclass(frozen=True, slots=True)
class Finding:
    kind: str  # "lost", "out of order", "two ids", "made up", "another text" or "forged"
    what: str


@dataclass(slots=True)
class Judgement:
    """
    Attributes:
        expected: How many events must have come.
        again: How often an event came again, with the same id and text.
        waits_s: How long each took from the answer to who made it happen until it first came.
    """

    expected: int = 0
    arrived: int = 0
    again: int = 0
    waits_s: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(finding.kind == kind for finding in self.findings)

    def is_good(self, *, must_keep: bool) -> bool:
        """Tell whether nothing was found that is not allowed where Redis may lose writes (not must_keep)."""
        return not any(must_keep or finding.kind in _OF_ALL_ROWS for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it first came.

    Attributes:
        key: Its type and session.
    """

    at: float
    key: tuple[str, str]


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what the receiver wrote down, in order. A last line that is not whole yet is left out."""
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield orjson.loads(line)


def missing(accounts: Sequence[Account], lines: Iterable[dict[str, Any]]) -> int:
    """Return how many events have not come yet."""
    come = {(body["user_id"], *_key_of(body)) for body in (orjson.loads(line["body"]) for line in lines)}
    return sum(
        (account.user_id, act.type, one) not in come
        for account in accounts
        for act in account.acts
        if act.done_at < inf
        for one in act.hashes or ("",)
    )


def judge(accounts: Sequence[Account], lines: Iterable[dict[str, Any]]) -> Judgement:
    found = Judgement()
    texts: dict[str, str] = {}
    told: dict[str, list[Told]] = {}
    for line in lines:
        event_id, text = line["id"], line["body"]
        if not _is_signed(line):
            found.findings.append(Finding("forged", event_id))
        if event_id in texts:
            found.again += 1
            if texts[event_id] != text:
                found.findings.append(Finding("another text", event_id))
            continue
        texts[event_id] = text
        event = orjson.loads(text)
        told.setdefault(event["user_id"], []).append(Told(line["at"], _key_of(event)))
    found.arrived = len(texts)
    for account in accounts:
        _judge_account(account, told.get(account.user_id, []), found)
    return found


def _judge_account(account: Account, told: Sequence[Told], found: Judgement) -> None:
    numbers = {(act.type, one): number for number, act in enumerate(account.acts) for one in act.hashes or ("",)}
    first: dict[tuple[str, str], Told] = {}
    latest = -1
    for one in told:
        what = f"{one.key[0]} {one.key[1]} of user {account.user_id}"
        if one.key in first:
            found.findings.append(Finding("two ids", what))
            continue
        first[one.key] = one
        if one.key not in numbers:
            if not account.has_unknown or one.key[0] == NEW_USER:
                found.findings.append(Finding("made up", what))
            continue
        if numbers[one.key] < latest:
            found.findings.append(Finding("out of order", what))
        latest = max(latest, numbers[one.key])
    for key, number in numbers.items():
        act = account.acts[number]
        if act.done_at == inf:
            continue
        found.expected += 1
        if key in first:
            found.waits_s.append(max(0.0, first[key].at - act.done_at))
        else:
            found.findings.append(Finding("lost", f"{key[0]} {key[1]} of user {account.user_id}"))


def _key_of(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event.get("auth_session_id_hash", "")


def _is_signed(line: dict[str, Any]) -> bool:
    signed = f"{line['id']}.{line['timestamp']}.{line['body']}".encode()
    right = base64.b64encode(hmac.digest(SECRET, signed, "sha256")).decode()
    return f"v1,{right}" in line["signature"].split() and orjson.loads(line["body"])["id"] == line["id"]
