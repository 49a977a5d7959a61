"""The run of one row: clients start, fault follows fault, then the journals are judged."""

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
_WARM_UP_BYTES = 100_000  # once each journal has so many, all clients are under way
_CALM_S = (2.0, 3.0)  # between two faults
_STOCK_S = 300  # time for the clients to check all that there was


@dataclass(frozen=True)
class Result:
    """The result of a row.

    Attributes:
        back_s: Seconds until the service was back, for each fault.
    """

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
        demanded = ["resurrected", "wrong", "half done", *(["lost"] if self.row.must_keep else [])]
        return not any(self.count(kind) for kind in demanded)

    @property
    def after_redis_s(self) -> list[float]:
        """Return the seconds from the return of Redis to that of the service, for each fault that took Redis away."""
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
        """Let the clients finish and take stock, then wait for their end."""
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
    """Run a row, and judge it.

    Args:
        keep_in: The folder for journals and logs.
    """
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
        time.sleep(LATE_S)  # nothing changes by itself after that
        clients.stop()
    return _judge_run(row, faults, read_all(folder), AnswerJudge(document(), outages))


def document() -> Document:
    """Return the OpenAPI document of the service."""
    settings = load_settings(ENVIRONMENT | {"GATEWAY_SECRET": GATEWAY_SECRET})
    return document_of(create_app(settings, FakeRedis(protocol=2)))


def _judge_run(row: Row, faults: Sequence[Fault], operations: Sequence[Operation], answers: AnswerJudge) -> Result:
    return Result(
        row,
        faults,
        operations=len(operations),
        acknowledged=sum(operation.is_done for operation in operations),
        slowest_s=max(operation.answered_at - operation.sent_at for operation in operations),
        findings=judge(operations, answers, refuses_whole=row.refuses_whole),
        back_s=seconds_until_back(operations, faults),
    )


def summarize(findings: Sequence[Finding]) -> str:
    """Return how often each was found, and the first operation of each."""
    counts = Counter(f"{finding.kind}: {finding.what}" for finding in findings)
    firsts = {f"{finding.kind}: {finding.what}": finding.operation for finding in reversed(findings)}
    return "\n".join(
        f"  {count} x {what}\n    {firsts[what].id} {firsts[what].op} of {firsts[what].account},"
        f" sent at {firsts[what].sent_at:.3f}, status {firsts[what].status}"
        for what, count in counts.most_common(20)
    )
