"""The judgement of a run: all findings, and how long the service was away after each fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf

from scripts.faults.answers import AnswerJudge, Finding
from scripts.faults.credentials import CredentialJudge
from scripts.faults.journal import CHECKS, WRITES, Operation
from scripts.faults.sessions import judge_sessions

_WELL_S = 2  # the service counts as back after so long without a failure


@dataclass(frozen=True)
class Fault:
    """A fault that was made.

    Attributes:
        redis_back_at: The time when Redis could be reached again, or when another server first took a write.
    """

    at: float
    redis_back_at: float | None = None


def judge(operations: Sequence[Operation], answers: AnswerJudge, *, refuses_whole: bool = False) -> list[Finding]:
    """Return the findings of a run.

    Args:
        operations: The requests of all clients, in the order of sending.
        refuses_whole: A request that was refused by 503 did nothing; what it did all the same is "half done".
    """
    findings = [finding for operation in operations for finding in answers.judge(operation)]
    by_account = sorted(operations, key=lambda operation: operation.account)  # sorting is stable
    for _, group in groupby(by_account, key=lambda operation: operation.account):
        own = list(group)
        of_sessions = judge_sessions(own)
        findings += of_sessions
        if refuses_whole:
            findings += _half_done(own, of_sessions)
        findings += CredentialJudge().judge([one for one in own if one.op not in CHECKS])
    return findings


def _half_done(operations: Sequence[Operation], known: Sequence[Finding]) -> list[Finding]:
    """Return what is found on sessions, if what was refused by 503 is taken for not done, and not otherwise."""
    found = judge_sessions([one for one in operations if one.status != 503])
    explained = {(finding.what, finding.operation.id) for finding in known}
    return [
        Finding("half done", finding.what, finding.operation)
        for finding in found
        if (finding.what, finding.operation.id) not in explained
    ]


def seconds_until_back(operations: Sequence[Operation], faults: Sequence[Fault]) -> list[float]:
    """Return for each fault the time until a write and a check of a token succeeded for good. inf means never."""
    ends = [*(fault.at for fault in faults[1:]), inf]
    return [_back_at(operations, fault.at, end) - fault.at for fault, end in zip(faults, ends, strict=True)]


def _back_at(operations: Sequence[Operation], begin: float, end: float) -> float:
    during = [one for one in operations if begin <= one.answered_at < end]
    return max(_well_from([one for one in during if one.op in ops], begin) for ops in (WRITES, CHECKS))


def _well_from(operations: Sequence[Operation], begin: float) -> float:
    """Return the time of the first success that no failure follows within _WELL_S.

    Args:
        operations: In the order of sending.
    """
    last_failure = begin
    for failed in (one for one in operations if one.is_unknown or one.is_unsent):
        if failed.sent_at > last_failure + _WELL_S:
            break
        last_failure = max(last_failure, failed.sent_at)
    return min((one.answered_at for one in operations if one.sent_at > last_failure), default=inf)
