"""What it costs that a webhook is told of endings, and how soon it is."""

import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from app import tokens
from app.receivers.receiver import Receiver
from app.stores.keys import unprefixed as keys
from scripts.benchmark.load import Load, Request, Series, in_turn
from scripts.benchmark.machinery import ROOT, Keyrack, wait_until
from scripts.benchmark.report import Goal, Section
from scripts.benchmark.routes import API, log_outs, verify
from tests.ports import free_port

_WAITING = 10_000
_A_SECOND, _SECONDS, _CONNECTIONS = 500, 10, 16
_DELIVERERS = 2
_WITHOUT, _QUEUED, _DELIVERED = "no webhook", "a webhook, nobody delivers", "a webhook, delivered meanwhile"
_BASE = "the build before"


class _Told:
    """A receiver, and the processes that deliver to it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.queue = keys.events(Receiver("webhook", self.url).id)
        secret = base64.b64encode(os.urandom(32)).decode()
        self.settings = {"WEBHOOK_URLS": self.url, "WEBHOOK_SECRETS": f"whsec_{secret}"}

    @contextmanager
    def delivered(self, redis_url: str) -> Iterator[Path]:
        """Deliver in the `with` block to a receiver, which writes down when each event came. Return its file."""
        log = Path(tempfile.mkdtemp(prefix="keyrack-bench-")) / "told"
        asked = {"port": self.port, "log": str(log), "seed": 1, "late_one_in": 0, "broken_one_in": 0}
        command = [sys.executable, "-m", "scripts.faults.events.receiver"]
        with ExitStack() as started:
            receiver = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            started.callback(_end, receiver)
            receiver.stdin.write(json.dumps(asked).encode() + b"\n")
            receiver.stdin.flush()
            receiver.stdout.readline()
            environment = os.environ | self.settings | {"REDIS_URL": redis_url, "SECRET_KEYS": "b" * 32}
            deliver = [sys.executable, "-m", "flask", "--app", "wsgi", "deliver-events"]
            for _ in range(_DELIVERERS):
                process = subprocess.Popen(deliver, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
                started.callback(_end, process)
            yield log


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def measure_events(rounds: int, base: Path | None) -> Section:
    """Measure endings with and without a webhook in turn, then how soon it is told, and what an event takes.

    Args:
        base: The folder of an earlier build, with its own .venv.
    """
    told = _Told()
    measured: dict[str, Series] = {}
    with ExitStack() as started:
        plain, telling = (started.enter_context(closing(Keyrack(**how))) for how in ({}, told.settings))
        targets = {_WITHOUT: plain, _QUEUED: telling, _DELIVERED: telling}
        if base:
            targets[_BASE] = started.enter_context(closing(Keyrack(checkout=base)))
        for keyrack in {*targets.values()}:
            keyrack.measure(verify(keyrack.seeds), Load(seconds=1))  # the first requests of a process are slow
        for number in range(rounds):
            for name, keyrack in in_turn(targets, number):
                requests = log_outs(keyrack.seeds)
                if name == _DELIVERED:
                    with told.delivered(keyrack.redis.url):
                        _wait_for_deliverers(telling)
                        run = keyrack.measure(requests)
                else:
                    run = keyrack.measure(requests)
                measured.setdefault(name, Series()).append(run)
                keyrack.redis.raw.delete(*told.queue.all())
        bytes_each = _bytes_of_waiting(telling, told)
        telling.redis.raw.delete(*told.queue.all())
        with told.delivered(telling.redis.url) as log:
            _wait_for_deliverers(telling)
            delays_ms = _delays_ms(telling, log)
    return _section(measured, delays_ms, bytes_each)


def _wait_for_deliverers(keyrack: Keyrack) -> None:
    wait_until(lambda: dict(keyrack.redis.raw.pubsub_numsub("auth-events")).get(b"auth-events", 0) >= _DELIVERERS)
    time.sleep(0.5)


def _bytes_of_waiting(keyrack: Keyrack, told: _Told) -> float:
    """Return what an event takes in Redis that waits among many."""
    raw = keyrack.redis.raw
    while raw.xlen(told.queue.waiting) < _WAITING:
        keyrack.measure(log_outs(keyrack.seeds))
    taken = sum(raw.memory_usage(key, samples=0) or 0 for key in told.queue.all())
    return taken / raw.xlen(told.queue.waiting)


def _delays_ms(keyrack: Keyrack, log: Path) -> Sequence[float]:
    """Log out at an even pace. Return for each the time from the answer until the receiver had the event."""
    count = _A_SECOND * _SECONDS
    held = keyrack.seeds.tokens(count)
    answered_at = asyncio.run(_log_out_all(keyrack.server.url, held))
    wait_until(lambda: log.exists() and log.read_bytes().count(b"\n") >= count)
    came = [json.loads(line) for line in log.read_bytes().splitlines()]
    came_at = {json.loads(one["body"])["auth_session_id_hash"]: one["at"] for one in came}
    return [1000 * (came_at[tokens.id_hash(token)] - at) for token, at in zip(held, answered_at, strict=True)]


async def _log_out_all(url: str, held: Sequence[str]) -> Sequence[float]:
    """Return when each answer was there, by the clock of all processes."""
    host, port = url.removeprefix("http://").split(":")
    requests = [Request("POST", f"{API}/auth/logout", token).raw() for token in held]
    answered_at = [0.0] * len(requests)
    begin = time.monotonic() + 0.2

    async def speak(first: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in range(first, len(requests), _CONNECTIONS):
            await asyncio.sleep(max(0.0, begin + number / _A_SECOND - time.monotonic()))
            writer.write(requests[number])
            head = await reader.readuntil(b"\r\n\r\n")
            answered_at[number] = time.monotonic()
            if not head.startswith(b"HTTP/1.1 204"):
                raise SystemExit(f"a session was not ended: {head!r}")
        writer.close()

    await asyncio.gather(*(speak(first) for first in range(_CONNECTIONS)))
    return answered_at


def _section(measured: dict[str, Series], delays_ms: Sequence[float], bytes_each: float) -> Section:
    how = (
        f"Sessions are logged out, on cores that all processes share. Then {_A_SECOND} are logged out a second, and "
        f"{_DELIVERERS} `deliver-events` tell a receiver: the times are from the 204 until it has the whole event. "
        f"Bytes are those of {_WAITING:,} events that wait, all keys of the queue together."
    )
    section = Section("events", how, ("endings", "requests/s", "p50 ms", "p99 ms", "CPU µs"))
    for name, series in measured.items():
        figures = (f"{series.per_second:,.0f}", f"{series.p50_ms:.2f}", f"{series.p99_ms:.1f}", f"{series.cpu_us:,.0f}")
        section.rows.append((name, *figures))
    p50, p99 = statistics.median(delays_ms), statistics.quantiles(delays_ms, n=100)[98]
    section.rows.append((f"from the 204 to the receiver, {_A_SECOND} a second", "", f"{p50:.1f}", f"{p99:.1f}", ""))
    share = measured[_QUEUED].per_second / measured[_WITHOUT].per_second
    section.goals = [
        Goal("endings with a webhook / without", share, 0.9),
        Goal("from the 204 to the receiver, p99, ms", p99, at_most=50, digits=1),
        Goal("bytes of Redis for an event that waits", bytes_each, at_most=1024, digits=0),
    ]
    if _BASE in measured:
        share = measured[_QUEUED].per_second / measured[_BASE].per_second
        section.goals.append(Goal(f"endings with a webhook / {_BASE}", share, 0.9))
    return section
