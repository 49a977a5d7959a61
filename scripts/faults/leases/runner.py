"""The run of one row: two processes ask all the time, people end sessions, fault follows fault; then it is judged."""

import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import orjson
import requests
from prometheus_client.parser import text_string_to_metric_families

from scripts.faults.leases.checks import Seen
from scripts.faults.leases.endings import CAP, PATIENCE_S, WAYS, Away, Person
from scripts.faults.leases.rows import LeaseRow
from scripts.faults.service import Service

_WORKERS, _PROCESSES, _CONNECTIONS, _PEOPLE = 4, 2, 50, 2
# Longer than the default of 50ms: on a machine that these processes fill, workers get their turn too late for that one.
# A yes that is wrong would be so for longer, and found more easily.
_LEASE = "250ms"
_GOES_ON_S = 2.5  # after the last ending
_COMMAND = "an operator's command"
_COMMANDS_EVERY_S = 8.0
_MOST_WATCHED = 60  # sessions at a time, so that each is asked about often
_METRICS_SECRET = "the-secret-of-prometheus"  # noqa: S105 - of a service that lives as long as a run


@dataclass(frozen=True)
class Finding:
    kind: str  # "late yes", "foreign yes" or "wrong no"
    what: str


@dataclass(frozen=True)
class LeaseResult:
    """
    Attributes:
        from_memory: The part of the checks that workers answered from memory, as their metrics say.
        endings: How many sessions were ended, by the way.
        slowest_s: The longest time from the first try of an ending to its answer. Commands take seconds to start.
    """

    row: LeaseRow
    faults: int
    checks: int
    from_memory: float
    endings: Mapping[str, int]
    slowest_s: float
    findings: Sequence[Finding]

    def count(self, kind: str) -> int:
        return sum(finding.kind == kind for finding in self.findings)

    @property
    def is_good(self) -> bool:
        return not self.findings


class Hammers:
    """The processes of checks.py."""

    def __init__(self, port: int, seed: int) -> None:
        self._lock = threading.Lock()
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "scripts.faults.leases.checks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for _ in range(_PROCESSES)
        ]
        for number, process in enumerate(self.processes):
            self._write(process, {"port": port, "connections": _CONNECTIONS, "seed": f"{seed}/{number}"})

    def _write(self, process: Any, line: dict[str, Any]) -> None:
        with self._lock:
            process.stdin.write(orjson.dumps(line) + b"\n")
            process.stdin.flush()

    def tell_all(self, line: dict[str, Any]) -> None:
        for process in self.processes:
            self._write(process, line)

    def end(self, line: dict[str, Any], number: int) -> None:
        """Let one of the processes end sessions, and ask at once."""
        self._write(self.processes[number % _PROCESSES], line)

    def finish(self) -> list[dict[str, Any]]:
        """Return what each process found."""
        for process in self.processes:
            process.stdin.close()
        found = [orjson.loads(process.stdout.read()) for process in self.processes]
        return [one | {"seen": {token: Seen(**seen) for token, seen in one["seen"].items()}} for one in found]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()


class People:
    """Threads that make sessions and let them be ended."""

    def __init__(self, row: LeaseRow, service: Service, hammers: Hammers, seed: int) -> None:
        self._row, self._service, self._hammers = row, service, hammers
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(_PEOPLE + 1)
        randoms = [Random(f"{seed}/{number}") for number in range(_PEOPLE)]  # noqa: S311
        self._lives = [self._pool.submit(self._live, random) for random in randoms]
        self._lives.append(self._pool.submit(self._command))

    def _live(self, random: Random) -> None:
        pause_s = _PEOPLE * 3 * _GOES_ON_S / _MOST_WATCHED
        while not self._stop.wait(random.uniform(0.5, 1.0) * pause_s):
            try:
                person = Person(self._service.port)
            except Away:
                continue
            way = random.choice(self._row.ways)
            ended, request = WAYS[way](person)
            for token in ended:
                self._hammers.tell_all({"watch": token})
            line = {"end": ended, "way": way, "request": request, "after_s": random.uniform(0.5, 1.5)}
            self._hammers.end(line, random.randrange(_PROCESSES))

    def _command(self) -> None:
        """End sessions by an operator's command, now and then."""
        while not self._stop.wait(_COMMANDS_EVERY_S):
            try:
                person = Person(self._service.port)
            except Away:
                continue
            for token in person.tokens:
                self._hammers.tell_all({"watch": token})
            time.sleep(0.3)
            asked_at = time.monotonic()
            if self._service.run_command("users", "disable", person.email, "--yes") == 0:
                told = {"asked_at": asked_at, "told_at": time.monotonic()}
                self._hammers.tell_all({"told": person.tokens, "way": _COMMAND} | told)

    def stop(self) -> None:
        self._stop.set()
        self._pool.shutdown()
        for life in self._lives:
            life.result()


def run(row: LeaseRow, checks: int, seed: int, keep_in: Path, most_s: float = 600) -> LeaseResult:
    """Run a row until it has made so many checks, and judge it.

    Args:
        keep_in: The folder for logs.
        most_s: It ends after this time with fewer.
    """
    random = Random(f"{seed}/{row.name}")  # noqa: S311
    folder = Path(tempfile.mkdtemp(prefix=f"{row.name}-", dir=keep_in))
    faults = 0
    with ExitStack() as open_ones:
        stack: Any = open_ones.enter_context(closing(row.make_stack(seed)))
        environment = {"WEB_CONCURRENCY": str(_WORKERS), "VERIFY_LEASE": _LEASE, "MAX_SESSIONS_PER_USER": str(CAP)}
        environment |= {"REDIS_URL": stack.url, "METRICS_SECRET": _METRICS_SECRET}
        environment |= row.environment | getattr(stack, "environment", {})
        service = open_ones.enter_context(closing(Service(folder / "log", **environment)))
        hammers = open_ones.enter_context(closing(Hammers(service.port, seed)))
        people = People(row, service, hammers, seed)
        try:
            end = time.monotonic() + most_s
            lanes: Counter[str] = Counter()
            while lanes.total() < checks and time.monotonic() < end:
                row.fault(stack, service, random)
                faults += 1
                time.sleep(random.uniform(*row.calm_s))
                lanes = _lanes(service) or lanes
        finally:
            people.stop()
        time.sleep(_GOES_ON_S)
        lanes = _lanes(service) or lanes
        found = hammers.finish()
    return judge(row, faults, lanes, found)


def _lanes(service: Service) -> Counter[str]:
    """Return how many checks were answered in which lane; nothing if the service does not say now."""
    headers = {"Authorization": f"Bearer {_METRICS_SECRET}"}
    try:
        answer = requests.get(f"http://127.0.0.1:{service.port}/metrics", headers=headers, timeout=PATIENCE_S)
    except requests.RequestException:
        return Counter()
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    found = {one.labels["lane"]: int(one.value) for one in samples if one.name == "keyrack_verify_total"}
    return Counter(found)


def judge(row: LeaseRow, faults: int, lanes: Counter[str], found: Sequence[Mapping[str, Any]]) -> LeaseResult:
    """Put together what the processes found.

    Args:
        lanes: How many checks were answered in which lane.
        found: The processes' checks, and what they saw of each session, by its token.
    """
    endings: Counter[str] = Counter()
    slowest_s = 0.0
    findings: list[Finding] = []
    for token in {token for one in found for token in one["seen"]}:
        seen = _join([one["seen"][token] for one in found if token in one["seen"]])
        if seen.ending:
            endings[seen.ending] += 1
        if seen.ending and seen.ending != _COMMAND:
            slowest_s = max(slowest_s, seen.told_at - seen.asked_at)
        if seen.last_yes_at > seen.told_at:
            late_ms = (seen.last_yes_at - seen.told_at) * 1000
            findings.append(Finding("late yes", f"sent {late_ms:.1f} ms after the answer to: {seen.ending}"))
        if seen.is_foreign:
            findings.append(Finding("foreign yes", "of another session"))
        if seen.first_no_at < seen.asked_at and not row.loses_sessions:
            findings.append(Finding("wrong no", f"before the ending was sent: {seen.ending or 'none was'}"))
    checks = sum(one["checks"] for one in found)
    return LeaseResult(row, faults, checks, lanes["memory"] / (lanes.total() or 1), endings, slowest_s, findings)


def _join(seen: Sequence[Seen]) -> Seen:
    return Seen(
        last_yes_at=max(one.last_yes_at for one in seen),
        first_no_at=min(one.first_no_at for one in seen),
        asked_at=min(one.asked_at for one in seen),
        told_at=min(one.told_at for one in seen),
        ending=next((one.ending for one in seen if one.ending), ""),
        is_foreign=any(one.is_foreign for one in seen),
    )


def summarize(result: LeaseResult) -> str:
    """Return a line on a row, and how often each was found."""
    counts = Counter(f"{finding.kind}: {finding.what}" for finding in result.findings)
    first = f"{result.row.name}: {result.faults} faults, {result.checks} checks, {dict(result.endings)}"
    return "\n".join([first, *(f"  {count} x {what}" for what, count in counts.most_common(20))])


_HEAD = [
    "fault",
    "faults",
    "checks",
    "from memory",
    "endings",
    "late yes",
    "foreign yes",
    "wrong no",
    "slowest ending, s",
]


def table(results: Sequence[LeaseResult]) -> str:
    """Return the results as a table in Markdown."""
    lines = [_HEAD, ["---"] + ["---:"] * (len(_HEAD) - 1)]
    for one in results:
        counts = [f"{count:,}" for count in (one.faults, one.checks)]
        found = [str(one.count(kind)) for kind in ("late yes", "foreign yes")]
        found.append("–" if one.row.loses_sessions else str(one.count("wrong no")))
        share = f"{one.from_memory:.0%}"
        lines.append([one.row.what, *counts, share, f"{sum(one.endings.values()):,}", *found, f"{one.slowest_s:.1f}"])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
