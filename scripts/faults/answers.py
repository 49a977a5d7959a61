"""The check of each answer alone: its status, form, time, and the user that it names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.tokens import id_hash, read
from scripts.faults.journal import Operation
from tests.conformance import Document, Undocumented

# Keyrack notices within 1.5 s that Redis is away (README). The rest allows for a busy machine, and for clients that
# wait at the port of a killed worker until the next one has booted.
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
    """A failure of the service.

    Attributes:
        kind: "lost", "resurrected", "wrong" or "half done".
    """

    kind: str
    what: str
    operation: Operation


@dataclass(frozen=True)
class Outage:
    """A time in which gunicorn, or a process of it, was gone. Requests under way have no answer then."""

    begins_at: float
    ends_at: float

    def touches(self, operation: Operation) -> bool:
        return operation.sent_at <= self.ends_at and operation.answered_at >= self.begins_at


class AnswerJudge:
    """The judge of single answers.

    Args:
        document: The OpenAPI document that each answer must fit.
        outages: The times in which gunicorn was gone.
    """

    def __init__(self, document: Document, outages: Sequence[Outage]) -> None:
        self._document = document
        self._outages = outages

    def judge(self, operation: Operation) -> list[Finding]:
        checks: Sequence[Callable[[Operation], str | None]]
        if operation.status == 0:
            checks = [self._check_presence]
        else:
            checks = [self._check_form, _check_status, _check_time, _check_identity]
        problems = [check(operation) for check in checks]
        return [Finding("wrong", problem, operation) for problem in problems if problem]

    def _check_presence(self, operation: Operation) -> str | None:
        if any(outage.touches(operation) for outage in self._outages):
            return None
        return f"no answer from a live gunicorn: {operation.problem or 'its client ended'}"

    def _check_form(self, operation: Operation) -> str | None:
        path = operation.path.partition("?")[0]
        body = operation.answer.encode()
        try:
            self._document.check(operation.method, path, operation.status, operation.headers, body)
        except Undocumented as problem:
            return f"not as documented: {problem}"
        if operation.status == 503 and not operation.header("Retry-After").isdecimal():
            return "503 without Retry-After"
        return None


def _check_status(operation: Operation) -> str | None:
    if operation.is_done or operation.status == 503:
        return None
    if (operation.status, operation.code) in _REFUSALS[operation.op]:
        return None
    return f"{operation.op} answered {operation.status}, code {operation.code}"


def _check_time(operation: Operation) -> str | None:
    took_s = operation.answered_at - operation.sent_at
    return f"{operation.op} took {took_s:.1f} s" if took_s > ANSWER_WITHIN_S else None


def _check_identity(operation: Operation) -> str | None:
    """Check that an answer names the user and session whose token was sent."""
    claim = read(operation.token)
    if claim is None or not operation.is_done:
        return None
    answer = operation.json
    named = {
        "verify": (operation.header("X-Auth-User-Id"), operation.header("X-Auth-Session-Id-Hash")),
        "introspect": (answer.get("sub"), answer.get("sid")) if answer.get("active") else None,
        "me": (answer.get("id"), id_hash(operation.token)) if answer.get("email") == operation.account else ("", ""),
    }
    named["verify_proof"] = named["verify"]
    expected = (claim.user_id, claim.id_hash)
    if named.get(operation.op, expected) in (expected, None):
        return None
    return f"{operation.op} names {named[operation.op]}, whose token was not sent"
