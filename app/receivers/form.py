"""What all kinds of receivers have in common: how an event becomes requests, and how an answer is judged."""

import email.utils
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from app.exchange import Answer
from app.jobs.worker import JobFailed, ReceiverAway

LONGEST_RETRY_AFTER_S = 60 * 60  # that a receiver may ask for
_LONGEST_WORD, _LONGEST_DESCRIPTION = 40, 200

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """
    Attributes:
        headers: Lines, without those that libcurl adds.
    """

    headers: Sequence[str]
    body: bytes


class Form(Protocol):
    """The form in which a kind of receiver is told of events."""

    def requests_for(self, content: bytes) -> Sequence[Request]:
        """Return what tells of an event. It is told when all of these were taken.

        Args:
            content: The event's text, as it is in the queue.

        Raises:
            JobRefused: It has no event for this receiver.
        """

    def test_request(self, event_id: str, at_s: float) -> Request:
        """Return what a receiver can be tried with. It tells of nothing that happened."""

    def judge(self, answer: Answer, at_s: float) -> None:
        """Return if an answer says that the event was taken.

        Args:
            at_s: The time of the answer.

        Raises:
            JobFailed: The event was not taken, and is tried again.
            JobRefused: It will never be taken.
            ReceiverAway: Nothing is taken now.
            ReceiverGone: The receiver wants no event any more.
        """


class AskedToWait(ReceiverAway):
    """The receiver takes nothing for a while, and may have said how long."""

    def __init__(self, reason: str, least_pause_s: float) -> None:
        super().__init__(reason)
        self.least_pause_s = least_pause_s


def failure_of(answer: Answer, at_s: float) -> JobFailed:
    """Return what follows from an answer by which an event was not taken."""
    status = answer.status
    if status in (429, 503):
        wait_s = wait_asked_for(answer.headers.get("retry-after", ""), at_s)
        asked = f", Retry-After {wait_s:.0f} s" if wait_s else ""
        return AskedToWait(f"status {status}{asked}", wait_s)
    if 300 <= status < 400:
        return JobFailed(f"status {status}, and no redirect is followed")
    return JobFailed(f"status {status}")


def wait_asked_for(retry_after: str, at_s: float) -> float:
    """Return how long a receiver wants to be left alone, in seconds: an hour at most, and 0 if it does not say."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        wait_s = float(retry_after)
    else:
        try:
            wait_s = email.utils.parsedate_to_datetime(retry_after).timestamp() - at_s
        except (ValueError, TypeError, OverflowError):
            wait_s = 0.0
    return min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)


def words_in(answer: Answer, name: str, description_name: str) -> tuple[str, str]:
    """Return what a refusal in JSON says: its code, and for operators that with its description. "" for nothing."""
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return "", ""
    code = printable(body.get(name), _LONGEST_WORD)
    description = printable(body.get(description_name), _LONGEST_DESCRIPTION)
    return code, ": ".join(filter(None, (code, description)))


def printable(text: Any, most: int) -> str:
    """Return a receiver's text for a log or a terminal: one line, and nothing that steers either."""
    if not isinstance(text, str):
        return ""
    shown = " ".join("".join(char if char.isprintable() else " " for char in text[: most + 1]).split())
    return shown if len(text) <= most else f"{shown[:most]} …"


def read_event(content: bytes) -> Event | None:
    """Return an event; None if the text is none."""
    try:
        event = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    named = isinstance(event, dict) and all(isinstance(event.get(name), str) for name in ("id", "type", "at"))
    return event if named else None
