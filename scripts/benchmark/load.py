"""The load on a server: wrk with requests that are ready to be sent, and what it measured."""

import json
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

CONNECTIONS = 32
SECONDS = 2
Target = TypeVar("Target")
_SCRIPT = Path(__file__).with_name("replay.lua")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    token: str = ""
    proof: str = ""
    body: str = ""

    def raw(self) -> bytes:
        """Return the request as it is sent, with the headers that any client sends."""
        headers = {"Host": "keyrack.example", "User-Agent": "bench", "Accept": "*/*", "Authorization": self.token}
        headers |= {"X-Discord-MFA-Authorization": self.proof} if self.proof else {}
        headers |= {"Content-Type": "application/json"} if self.body else {}
        headers |= {"Content-Length": str(len(self.body))} if self.method == "POST" else {}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run.

    Attributes:
        cpu_us: Processor time that the server's workers took for a request; 0 if it was not measured.
    """

    count: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


class Series(list[Run]):
    """The runs of one thing, round after round. Each figure is the median of its runs."""

    def _median(self, figure: str) -> float:
        return statistics.median(getattr(run, figure) for run in self)

    @property
    def per_second(self) -> float:
        return self._median("per_second")

    @property
    def p50_ms(self) -> float:
        return self._median("p50_ms")

    @property
    def p99_ms(self) -> float:
        return self._median("p99_ms")

    @property
    def cpu_us(self) -> float:
        return self._median("cpu_us")


def in_turn(targets: Mapping[str, Target], round_number: int) -> list[tuple[str, Target]]:
    """Return what is compared with each other, in another order in each round, so that none is always the first."""
    items = list(targets.items())
    first = round_number % len(items)
    return items[first:] + items[:first]


@dataclass(frozen=True, slots=True)
class Load:
    """How requests are sent.

    Attributes:
        pause_ms: The longest pause of a connection before a request. 0: it sends as fast as it is answered.
        is_random: Each request is any of them; else they are sent one after the other, over and over.
    """

    connections: int = CONNECTIONS
    seconds: int = SECONDS
    pause_ms: int = 0
    is_random: bool = False

    def run(self, url: str, requests: Sequence[Request]) -> Run:
        """Send the requests, and return what wrk measured. A refusal or a lost connection ends the benchmark."""
        with self._start(url, requests) as process:
            output = process.communicate()[0]
        found = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
        if not found:
            raise SystemExit(f"wrk failed:\n{output}")
        told = json.loads(found[1])
        if told.pop("refused") or told.pop("failed"):
            raise SystemExit(f"answers were refused or lost, so the figures would mean nothing:\n{output}")
        return Run(**told)

    @contextmanager
    def beside(self, url: str, requests: Sequence[Request]) -> Iterator[None]:
        """Send the requests while the `with` block runs, which must take no longer than the load."""
        with self._start(url, requests) as process:
            try:
                yield
            finally:
                process.terminate()
                process.communicate()

    @contextmanager
    def _start(self, url: str, requests: Sequence[Request]) -> Iterator[subprocess.Popen[str]]:
        with tempfile.NamedTemporaryFile(prefix="keyrack-bench-") as file:
            for raw in (request.raw() for request in requests):
                file.write(b"%d\n%b" % (len(raw), raw))
            file.flush()
            options = ["-t1", f"-c{self.connections}", f"-d{self.seconds}", "--timeout", "30", "-s", str(_SCRIPT)]
            arguments = [file.name, str(self.pause_ms), "random" if self.is_random else "turn"]
            command = ["wrk", *options, url, "--", *arguments]
            yield subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
