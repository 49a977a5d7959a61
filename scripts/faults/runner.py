"""Runs one row: clients under way, fault after fault, and then the judgement."""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import orjson
from fakeredis import FakeRedis

from app import create_app
from app.config import load_settings
from scripts.faults.answers import AnswerJudge, Finding, Outage
from scripts.faults.api import GATEWAY_SECRET
from scripts.faults.journal import LATE_S, Operation, read_all
from scripts.faults.judge import Fault, judge, seconds_until_back
from scripts.faults.rows import Row
from scripts.faults.service import Service
from tests.conformance import Document, document_of
from tests.conftest import ENVIRONMENT
from tests.servers import wait_until

_PROCESSES, _PEOPLE, _READERS = 3, 3, 1
_WARM_UP_BYTES = 100_000  # in the journal of each process of clients: then all are under way
_CALM_S = (2.0, 3.0)  # between two faults
_STOCK_S = 300  # for the clients to look at all that there was


@dataclass(frozen=True)
class Result:
    """back_s: seconds until the service was back, for each fault"""

    row: Row
    faults: Sequence[Fault]
    operations: int
    acknowledged: int
    slowest_s: float
    findings: Sequence[Finding]
    back_s: Sequence[float]

    def count(self, kind: str) -> int:
        return sum(finding.kind == kind for finding in self.findings)

    @property
    def is_good(self) -> bool:
        demanded = ["resurrected", "wrong", *(["lost"] if self.row.must_keep else [])]
        return not any(self.count(kind) for kind in demanded)

    @property
    def after_redis_s(self) -> list[float]:
        """The same from when Redis was back, where it was away."""
        faults = zip(self.faults, self.back_s, strict=True)
        return [max(0.0, fault.at + back_s - fault.redis_back_at) for fault, back_s in faults if fault.redis_back_at]


class Clients:
    """The processes of clients, each with a journal in the folder."""

    def __init__(self, port: int, folder: Path, seed: int) -> None:
        self._processes = [
            subprocess.Popen([sys.executable, "-m", "scripts.faults.clients"], stdin=subprocess.PIPE)
            for _ in range(_PROCESSES)
        ]
        for number, process in enumerate(self._processes):
            asked = {"port": port, "journal": str(folder / f"{number}.journal"), "seed": f"{seed}/{number}"}
            process.stdin.write(orjson.dumps(asked | {"people": _PEOPLE, "readers": _READERS}) + b"\n")
            process.stdin.flush()
        self._journals = [folder / f"{number}.journal" for number in range(_PROCESSES)]

    def are_under_way(self) -> bool:
        return all(path.exists() and path.stat().st_size > _WARM_UP_BYTES for path in self._journals)

    def stop(self) -> None:
        """Let them finish, and take stock."""
        for process in self._processes:
            process.stdin.close()
        for process in self._processes:
            if process.wait(_STOCK_S):
                raise RuntimeError("a client ended with an error")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            process.stdin.close()


def run(row: Row, seconds: float, seed: int, keep_in: Path) -> Result:
    """keep_in: a folder; journals and log stay there where something was found"""
    random = Random(f"{seed}/{row.name}")  # noqa: S311
    faults: list[Fault] = []
    outages: list[Outage] = []
    folder = Path(tempfile.mkdtemp(prefix=f"{row.name}-", dir=keep_in))
    with ExitStack() as open_ones:
        stack = open_ones.enter_context(closing(row.make_stack(seed)))
        service = Service(folder / "log", REDIS_URL=stack.url, **row.environment)
        open_ones.enter_context(closing(service))
        clients = open_ones.enter_context(closing(Clients(service.port, folder, seed)))
        wait_until(clients.are_under_way, "the clients did not come under way", within_s=60)
        end = time.monotonic() + seconds
        while not faults or time.monotonic() < end:
            fault, away = row.fault(stack, service, random)
            faults.append(fault)
            outages += away
            time.sleep(random.uniform(*_CALM_S))
        time.sleep(LATE_S)  # what is looked at now is what stays
        clients.stop()
    return _judged(row, faults, read_all(folder), AnswerJudge(document(), outages))


def document() -> Document:
    """What the service says of itself, on every surface."""
    settings = load_settings(ENVIRONMENT | {"GATEWAY_SECRET": GATEWAY_SECRET})
    return document_of(create_app(settings, FakeRedis(protocol=2)))


def _judged(row: Row, faults: Sequence[Fault], operations: Sequence[Operation], answers: AnswerJudge) -> Result:
    return Result(
        row,
        faults,
        operations=len(operations),
        acknowledged=sum(operation.is_done for operation in operations),
        slowest_s=max(operation.answered_at - operation.sent_at for operation in operations),
        findings=judge(operations, answers),
        back_s=seconds_until_back(operations, faults),
    )


def told(findings: Sequence[Finding]) -> str:
    """How often each was found, and the first of them."""
    counts = Counter(f"{finding.kind}: {finding.what}" for finding in findings)
    firsts = {f"{finding.kind}: {finding.what}": finding.operation for finding in reversed(findings)}
    return "\n".join(
        f"  {count} x {what}\n    {firsts[what].id} {firsts[what].op} of {firsts[what].account},"
        f" sent at {firsts[what].sent_at:.3f}, status {firsts[what].status}"
        for what, count in counts.most_common(20)
    )
