"""Runs the fuzzer: several senders, one judge, and a folder with the findings."""

import argparse
import re
import secrets
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from scripts.fuzzing.judge import Answer, Hang, exchange, find_problem
from scripts.fuzzing.requests import Maker, Request, bodies, routes
from scripts.fuzzing.service import Account, Target, is_live, new_account

_LOOK_EVERY = 40  # after so many requests, check that the account is still live and the log is clean
_WRONG = re.compile(r'"level":"(error|critical)"')


class Run:
    """The requests and findings of all senders so far."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._lock = threading.Lock()
        self._log_read = 0
        self.sent = 0
        self.statuses: Counter[int] = Counter()
        self.findings: Counter[str] = Counter()
        self.slowest: list[tuple[float, str]] = []

    def note(self, request: Request, answer: Answer) -> None:
        with self._lock:
            self.sent += 1
            self.statuses[answer.status] += 1
            what = f"{request.method!r} {request.path[:60]!r}, {len(request.raw)} bytes, {answer.status}"
            self.slowest = sorted([*self.slowest, (answer.seconds, what)], reverse=True)[:10]

    def find(self, problem: str, raw: bytes = b"", answer: Answer | None = None) -> None:
        """Count a finding. The first ten of a kind are kept as files."""
        with self._lock:
            self.findings[problem] += 1
            count = self.findings[problem]
        if count <= 10:
            name = re.sub(r"[^a-z0-9]+", "-", problem.lower())[:80]
            (self._folder / f"{name}.{count}").write_bytes(raw)
            if answer:
                (self._folder / f"{name}.{count}.answer").write_text(repr(answer), encoding="utf-8")
            print(f"FOUND {problem}: {raw[:300]!r}", flush=True)

    def look_at_service(self, raw: bytes, known: Sequence[str] = ()) -> None:
        """Check that all processes live, and that the new lines of the log have no error and no secret.

        Args:
            raw: The request before this check.
            known: Secrets that no line of the log may have.
        """
        if not self._target.lives():
            self.find("a process of the service ended", raw)
        with self._lock:
            with self._target.log.open("rb") as log:
                log.seek(self._log_read)
                lines = log.read().decode("utf-8", "replace").splitlines(keepends=True)
            if lines and not lines[-1].endswith("\n"):
                lines.pop()
            self._log_read += sum(len(line.encode()) for line in lines)
        for line in lines:
            if "Traceback" in line or _WRONG.search(line):
                self.find(f"the log says: {line.strip()[-120:]}", raw)
            if any(secret in line for secret in known) and "Invalid request from" not in line:
                self.find("the log has a secret", line.encode())


def send_until(end: float, run: Run, target: Target, maker: Maker, number: int) -> None:
    """Send requests until a time, with an own account. If a request ends its session, make another account."""
    account: Account | None = None
    count = 0
    while time.monotonic() < end:
        if account is None or (count % _LOOK_EVERY == 0 and not is_live(target, account)):
            account = new_account(target, number, with_totp=count // _LOOK_EVERY % 2 == 1)
        count += 1
        request = maker.make(account)
        try:
            answer = exchange(target.port, request)
        except Hang:
            run.find("no end of an answer within ten seconds", request.raw)
            continue
        run.note(request, answer)
        named = {account.user_id} if account.token.encode() in request.raw else set()
        if problem := find_problem(request, answer, named):
            run.find(f"{problem} ({answer.status})", request.raw, answer)
        if count % _LOOK_EVERY == 0:
            run.look_at_service(request.raw, account.never_logged)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/fuzz")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--senders", type=int, default=3)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="keyrack-fuzz-"))
    print(f"seed {asked.seed}, findings and log in {folder}", flush=True)
    target = Target(folder / "log")
    known_routes, known_bodies = routes(), bodies()
    run = Run(target, folder)
    began = time.monotonic()
    end = began + asked.minutes * 60
    makers = [Maker(Random(f"{asked.seed}/{number}"), known_routes, known_bodies) for number in range(asked.senders)]  # noqa: S311
    senders = [
        threading.Thread(target=send_until, args=(end, run, target, maker, number), daemon=True)
        for number, maker in enumerate(makers)
    ]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        for sender in senders:
            sender.join(20)
        _report(run, time.monotonic() - began)
    run.look_at_service(b"")
    target.close()
    raise SystemExit(1 if run.findings else 0)


def _report(run: Run, seconds: float) -> None:
    statuses = ", ".join(f"{status or 'none'}: {count}" for status, count in sorted(run.statuses.items()))
    print(f"{seconds:.0f} s, {run.sent} requests, {sum(run.findings.values())} findings ({statuses})", flush=True)
    for took, what in run.slowest[:3]:
        print(f"  slowest {took:.2f} s: {what}", flush=True)
    for problem, count in run.findings.most_common():
        print(f"  {count} x {problem}", flush=True)


if __name__ == "__main__":
    main()
