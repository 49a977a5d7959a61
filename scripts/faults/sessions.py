"""The check of sessions: each must be live from its beginning to its end, and over from then on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from app.tokens import id_hash
from scripts.faults.answers import Finding
from scripts.faults.journal import Operation

_REPLACES = {"change_password", "enable_totp", "disable_totp"}  # the caller's session goes on under another token
_OPENS = {"register", "login", "code_login", *_REPLACES}


@dataclass(frozen=True)
class Ending:
    """An operation that ended a session, or may have.

    Attributes:
        acknowledged_at: inf if the outcome is unknown. Then it happened by `settles_at`, or never.
    """

    sent_at: float
    acknowledged_at: float
    settles_at: float


@dataclass
class Life:
    """A session that was acknowledged."""

    token: str
    opened: Operation
    endings: list[Ending] = field(default_factory=list)
    yes: list[Operation] = field(default_factory=list)
    no: list[Operation] = field(default_factory=list)


def judge_sessions(operations: Sequence[Operation]) -> list[Finding]:
    """Return the findings on the sessions of one account.

    Args:
        operations: In the order of sending. One thread sent all those that change something.
    """
    lives, findings = _lives(operations)
    for operation in operations:
        _observe(operation, lives)
    return [*findings, *(finding for life in lives.values() for finding in _judge(life))]


def _lives(operations: Sequence[Operation]) -> tuple[dict[str, Life], list[Finding]]:
    """Return the sessions by token, with all that may have ended them, and findings on lists."""
    lives: dict[str, Life] = {}
    findings: list[Finding] = []
    sweeps: list[Operation] = []  # of unknown outcome: they may also end sessions that are opened meanwhile
    strangers = 0  # sessions that may have been opened without an answer
    for operation in operations:
        for token in _ended_by(operation, lives):
            lives[token].endings.append(_ending(operation))
        if operation.is_unknown:
            strangers += operation.op in _OPENS
            sweeps += [operation] if operation.op in ("end_others", "change_password") else []
        if operation.op in _OPENS and operation.is_done and (token := operation.json.get("token")):
            lives[token] = Life(token, operation)
            lives[token].endings += [_ending(sweep) for sweep in sweeps if sweep.settles_at > operation.sent_at]
        if operation.op == "list" and len(_listed(operation) - _hashes(lives)) > strangers:
            findings.append(Finding("wrong", "lists a session that nobody opened", operation))
    return lives, findings


def _ended_by(operation: Operation, lives: dict[str, Life]) -> list[str]:
    """Return the tokens of the sessions that an operation ended, or may have."""
    if not (operation.is_done or operation.is_unknown):
        return []
    own = [operation.token] if operation.token in lives else []
    if operation.op == "logout" or operation.op in _REPLACES - {"change_password"}:
        return own
    if operation.op == "change_password":
        return list(lives)
    if operation.op == "end_others":
        return [token for token in lives if token != operation.token]
    if operation.op == "end" and operation.proof:
        named = set(operation.body["session_id_hashes"])
        return [token for token in lives if id_hash(token) in named]
    return []


def _ending(operation: Operation) -> Ending:
    if operation.is_done:
        return Ending(operation.sent_at, operation.answered_at, inf)
    return Ending(operation.sent_at, inf, operation.settles_at)


def _listed(operation: Operation) -> set[str]:
    return {session["id_hash"] for session in operation.json.get("user_sessions", [])}


def _hashes(lives: dict[str, Life]) -> set[str]:
    return {id_hash(token) for token in lives}


def _observe(operation: Operation, lives: dict[str, Life]) -> None:
    """Note for each session whether an answer shows it as live or as over."""
    for token, is_live in _shown_by(operation, lives):
        life = lives.get(token)
        if life and operation.sent_at > life.opened.answered_at:
            (life.yes if is_live else life.no).append(operation)


def _shown_by(operation: Operation, lives: dict[str, Life]) -> Iterator[tuple[str, bool]]:
    if operation.is_unknown or operation.is_unsent or not operation.token:
        return
    if operation.op == "introspect":
        yield operation.token, operation.json.get("active") is True
        return
    yield operation.token, not (operation.status == 401 and operation.code == 0)
    if operation.op == "list" and operation.is_done:
        listed = _listed(operation)
        yield from ((token, id_hash(token) in listed) for token in lives if token != operation.token)
    if operation.op == "end" and operation.status == 404:
        named = set(operation.body["session_id_hashes"])
        yield from ((token, False) for token in lives if id_hash(token) in named)


def _judge(life: Life) -> Iterator[Finding]:
    """Yield the findings on one session, at most one of each kind."""
    ended_at = min((ending.acknowledged_at for ending in life.endings), default=inf)
    first_no = min((no.answered_at for no in life.no), default=inf)
    risen = next((yes for yes in life.yes if yes.sent_at > min(ended_at, first_no)), None)
    if risen:
        yield Finding("resurrected", f"a session said yes after {'its end' if ended_at < inf else 'a no'}", risen)
    denied = next((no for no in life.no if not _is_explained(no, life)), None)
    if denied and any(yes.sent_at > denied.answered_at for yes in life.yes):
        yield Finding("wrong", "no to a live session", denied)
    elif denied:
        yield Finding("lost", f"a session from {life.opened.op} that nobody ended", denied)


def _is_explained(no: Operation, life: Life) -> bool:
    """Tell whether an operation before this no may have ended the session, and no later yes shows that it did not."""
    last_yes = max((yes.sent_at for yes in life.yes if yes.answered_at < no.sent_at), default=-inf)
    return any(ending.sent_at <= no.answered_at and ending.settles_at > last_yes for ending in life.endings)
