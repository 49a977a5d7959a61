"""Each answer for itself: its status, its form, its time, and whom it names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.tokens import id_hash, read
from scripts.faults.journal import Operation
from tests.conformance import Document, Undocumented

# Redis away is noticed within 1.5 s, README says. The rest is for a machine that is busy with all of this, and for who
# waits at the port of a worker that was killed until the next has booted.
ANSWER_WITHIN_S = 5.0

_REFUSALS = {  # beside 503; status and code
    "register": {(400, 50035)},
    "login": {(400, 50035)},
    "code_login": {(400, 60006), (400, 60008)},
    "logout": {(401, 0)},
    "list": {(401, 0)},
    "end": {(401, 0), (401, 60003), (404, 10020)},
    "end_others": {(401, 0), (401, 60003)},
    "finish": {(400, 60006), (400, 60008), (400, 50035), (401, 0)},
    "me": {(401, 0)},
    "change_password": {(400, 50035), (401, 0), (401, 60003)},
    "enable_totp": {(400, 60001), (400, 60008), (400, 50035), (401, 0)},
    "disable_totp": {(400, 60002), (401, 0), (401, 60003)},
    "renew_codes": {(400, 60002), (400, 50035), (401, 0), (401, 60003)},
    "verify": {(401, 0)},
    "verify_proof": {(401, 0), (401, 60003)},
    "introspect": set(),
}


@dataclass(frozen=True)
class Finding:
    """kind: lost, resurrected or wrong"""

    kind: str
    what: str
    operation: Operation


@dataclass(frozen=True)
class Outage:
    """A time in which gunicorn, or a process of it, was gone: what was under way has no answer."""

    begins_at: float
    ends_at: float

    def touches(self, operation: Operation) -> bool:
        return operation.sent_at <= self.ends_at and operation.answered_at >= self.begins_at


class AnswerJudge:
    """document: what each answer is held against; outages: of gunicorn"""

    def __init__(self, document: Document, outages: Sequence[Outage]) -> None:
        self._document = document
        self._outages = outages

    def judge(self, operation: Operation) -> list[Finding]:
        checks: Sequence[Callable[[Operation], str | None]] = (
            [self._missing] if operation.status == 0 else [self._form, _status, _time, _identity]
        )
        problems = [check(operation) for check in checks]
        return [Finding("wrong", problem, operation) for problem in problems if problem]

    def _missing(self, operation: Operation) -> str | None:
        if any(outage.touches(operation) for outage in self._outages):
            return None
        return f"no answer from a live gunicorn: {operation.problem or 'its client ended'}"

    def _form(self, operation: Operation) -> str | None:
        path = operation.path.partition("?")[0]
        body = operation.answer.encode()
        try:
            self._document.check(operation.method, path, operation.status, operation.headers, body)
        except Undocumented as problem:
            return f"not as documented: {problem}"
        if operation.status == 503 and not operation.header("Retry-After").isdecimal():
            return "503 without Retry-After"
        return None


def _status(operation: Operation) -> str | None:
    if operation.is_done or operation.status == 503:
        return None
    if (operation.status, operation.code) in _REFUSALS[operation.op]:
        return None
    return f"{operation.op} answered {operation.status}, code {operation.code}"


def _time(operation: Operation) -> str | None:
    took_s = operation.answered_at - operation.sent_at
    return f"{operation.op} took {took_s:.1f} s" if took_s > ANSWER_WITHIN_S else None


def _identity(operation: Operation) -> str | None:
    """Whom an answer names must be whose token was sent."""
    claim = read(operation.token)
    if claim is None or not operation.is_done:
        return None
    told = operation.json
    named = {
        "verify": (operation.header("X-Auth-User-Id"), operation.header("X-Auth-Session-Id-Hash")),
        "introspect": (told.get("sub"), told.get("sid")) if told.get("active") else None,
        "me": (told.get("id"), id_hash(operation.token)) if told.get("email") == operation.account else ("", ""),
    }
    named["verify_proof"] = named["verify"]
    expected = (claim.user_id, claim.id_hash)
    if named.get(operation.op, expected) in (expected, None):
        return None
    return f"{operation.op} names {named[operation.op]}, whose token was not sent"
