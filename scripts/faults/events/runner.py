"""The run of one row: people sign in and out, fault follows fault, and the receiver writes down what it is told."""

import base64
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median

import orjson

from scripts.faults.events.judge import SECRET, Judgement, judge, missing, read_log
from scripts.faults.events.people import Account, Person
from scripts.faults.events.rows import EventRow
from scripts.faults.service import Service
from tests.ports import lasting_port

_DELIVERERS, _PEOPLE = 2, 6
_WHSEC = f"whsec_{base64.b64encode(SECRET).decode()}"


@dataclass(frozen=True)
class EventResult:
    row: EventRow
    faults: int
    judgement: Judgement

    @property
    def is_good(self) -> bool:
        return self.judgement.is_good(must_keep=self.row.must_keep)


class Deliverers:
    """The processes that deliver events. One that is killed is started again."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._processes = [self._start() for _ in range(_DELIVERERS)]

    def _start(self) -> "subprocess.Popen[bytes]":
        return self._service.start_command("deliver-events")

    def kill(self, random: Random) -> None:
        number = random.randrange(_DELIVERERS)
        self._processes[number].kill()
        self._processes[number].wait()
        self._processes[number] = self._start()

    def stop(self) -> None:
        """End them as a supervisor does."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            if process.wait(30):
                raise RuntimeError("what delivers events ended with an error")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


class ReceiverProcess:
    def __init__(self, row: EventRow, log: Path, seed: int) -> None:
        self.port = lasting_port()
        self.log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.faults.events.receiver"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        asked = {"port": self.port, "log": str(log), "seed": seed}
        odd = {"late_one_in": row.late_one_in, "broken_one_in": row.broken_one_in}
        self._process.stdin.write(orjson.dumps(asked | odd) + b"\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the receiver did not start")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class People:
    def __init__(self, port: int, seed: int) -> None:
        self._people = [Person(port, f"{seed}/{number}") for number in range(_PEOPLE)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=one.live, args=[self._stop]) for one in self._people]
        for thread in self._threads:
            thread.start()

    @property
    def events(self) -> int:
        return sum(one.events for one in self._people)

    @property
    def accounts(self) -> list[Account]:
        return [account for one in self._people for account in one.accounts]

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def run(row: EventRow, events: int, seed: int, keep_in: Path, most_s: float = 900) -> EventResult:
    """Run a row until so many events must have come, and judge it.

    Args:
        keep_in: The folder for logs.
        most_s: It ends after this time with fewer.
    """
    random = Random(f"{seed}/{row.name}")  # noqa: S311
    folder = Path(tempfile.mkdtemp(prefix=f"{row.name}-", dir=keep_in))
    faults = 0
    with ExitStack() as open_ones:
        stack = open_ones.enter_context(closing(row.make_stack(seed)))
        receiver = open_ones.enter_context(closing(ReceiverProcess(row, folder / "told", seed)))
        environment = {"WEBHOOK_URLS": f"http://127.0.0.1:{receiver.port}/hook", "WEBHOOK_SECRETS": _WHSEC}
        environment |= {"REDIS_URL": stack.url, "SMTP_URL": "", "MAIL_FROM": ""} | row.environment
        service = open_ones.enter_context(closing(Service(folder / "log", **environment)))
        deliverers = open_ones.enter_context(closing(Deliverers(service)))
        people = open_ones.enter_context(closing(People(service.port, seed)))
        end = time.monotonic() + most_s
        while people.events < events and time.monotonic() < end:
            row.fault(stack, service, deliverers, random)
            faults += 1
            time.sleep(random.uniform(*row.calm_s))
        people.close()
        accounts = people.accounts
        patient_until = time.monotonic() + row.patience_s
        while missing(accounts, read_log(receiver.log)) and time.monotonic() < patient_until:
            time.sleep(1)
        time.sleep(2)  # what comes again, comes
        deliverers.stop()
    return EventResult(row, faults, judge(accounts, read_log(receiver.log)))


def summarize(result: EventResult) -> str:
    """Return a line on a row, and how often each was found."""
    found = result.judgement
    counts = Counter(finding.kind for finding in found.findings)
    firsts = {finding.kind: finding.what for finding in reversed(found.findings)}
    first = f"{result.row.name}: {result.faults} faults, {found.expected} events, {found.again} came again"
    return "\n".join([first, *(f"  {count} x {kind}, as {firsts[kind]}" for kind, count in counts.most_common())])


_HEAD = [
    *("fault", "faults", "events", "lost", "out of order", "two ids", "made up", "came again, same id"),
    "seconds until told, median / most",
]


def table(results: Sequence[EventResult]) -> str:
    """Return the results as a table in Markdown."""
    lines = [_HEAD, ["---"] + ["---:"] * (len(_HEAD) - 1)]
    for one in results:
        found = one.judgement
        kinds = [str(found.count(kind)) for kind in ("lost", "out of order", "two ids", "made up")]
        waits = f"{median(found.waits_s):.2f} / {max(found.waits_s):.1f}" if found.waits_s else "–"
        counts = [f"{one.faults:,}", f"{found.expected:,}"]
        lines.append([one.row.what, *counts, *kinds, f"{found.again:,}", waits])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
