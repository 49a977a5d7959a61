"""The rows on checks from memory. Each is a service with four workers, its Redis, and a fault."""

import os
import signal
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from redis import RedisError

from scripts.faults.leases.endings import WAYS
from scripts.faults.proxy import Proxy
from scripts.faults.service import Service
from scripts.faults.stacks import Named, Sentinels, Stack
from tests.servers import RedisServer, redis_at

_CLOCK_FOLDER = str(Path(__file__).parent / "clock")
_NO_LONGER_S = 1.5  # most stops are about as long as a lease, some as long as this
_CLOCK_SET_BY_S = (-7200, -120, -3, -0.03, 0.0, 0.03, 3, 120, 7200)


class Plain:
    """One server, which can be turned over."""

    def __init__(self, *options: str) -> None:
        self._server = RedisServer(*options)
        self.url = self._server.plain_url
        self._client = redis_at(self._server.url)

    def kill_tracking_connections(self, random: Random) -> None:
        """Close one of the workers' own connections, or all."""
        listed: Any = self._client.client_list()
        tracking = [one["id"] for one in listed if "t" in one["flags"]]
        for number in tracking if random.random() < 0.5 else tracking[:1]:
            self._client.client_kill_filter(_id=number)

    def flush(self, _: Random) -> None:
        self._client.flushdb()

    def swap(self, random: Random) -> None:
        """Let another database be in use for a while."""
        self._client.swapdb(0, 1)
        time.sleep(random.uniform(0.0, 0.5))
        self._client.swapdb(0, 1)

    def lose_registry(self, _: Random) -> None:
        for key in self._client.scan_iter("*leases*"):
            self._client.delete(key)

    def close(self) -> None:
        self._client.close()
        self._server.close()


class Clocked(Plain):
    """One server. The clock of the service can be set."""

    def __init__(self) -> None:
        super().__init__()
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - it is open as long as this is
        self.set_clock(0.0)
        self.environment = {"PYTHONPATH": _CLOCK_FOLDER, "CLOCK_AHEAD_BY": self._file.name}

    def set_clock(self, ahead_by_s: float) -> None:
        self._file.seek(0)
        self._file.write(struct.pack("d", ahead_by_s))
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()


class Networked:
    """One server behind a network that can fail."""

    def __init__(self, seed: int) -> None:
        self._server = RedisServer()
        self.proxy = Proxy(self._server.plain_url.removeprefix("unix://"), seed)
        self.url = f"redis://127.0.0.1:{self.proxy.port}/0"

    def close(self) -> None:
        self.proxy.close()
        self._server.close()


Fault = Callable[[Any, Service, Random], None]


@dataclass(frozen=True)
class LeaseRow:
    """
    Attributes:
        make_stack: Starts the Redis, from a seed.
        fault: Makes the fault and mends it.
        calm_s: Between two faults.
        loses_sessions: A session that nobody ended may be refused.
        ways: The ways to end sessions; see endings.py.
    """

    name: str
    what: str
    make_stack: Callable[[int], Stack]
    fault: Fault
    calm_s: tuple[float, float] = (0.1, 0.5)
    loses_sessions: bool = False
    ways: tuple[str, ...] = tuple(WAYS)
    environment: dict[str, str] = field(default_factory=dict)


def _nothing(*_: Any) -> None:
    time.sleep(0.5)


def _stop_workers(_: Any, service: Service, random: Random) -> None:
    """Stop some of the workers at any point, and let them go on."""
    workers = service.workers()
    stopped = random.sample(workers, random.randrange(1, len(workers))) if len(workers) > 1 else []
    with _standing_still(stopped):
        time.sleep(random.expovariate(1 / 0.05) if random.random() < 0.8 else random.uniform(0.1, _NO_LONGER_S))


@contextmanager
def _standing_still(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _kill_worker(_: Any, service: Service, random: Random) -> None:
    service.kill_worker(random)


def _set_clock(stack: Clocked, service: Service, random: Random) -> None:
    """Set the clock back and forth, now and then while a worker is stopped."""
    stack.set_clock(random.choice(_CLOCK_SET_BY_S))
    if random.random() < 0.5:
        _stop_workers(stack, service, random)


def _disturb(*ways: str) -> Fault:
    def disturb(stack: Networked, _: Service, random: Random) -> None:
        getattr(stack.proxy, random.choice(ways))()
        time.sleep(random.uniform(0.01, 0.4) if random.random() < 0.8 else random.uniform(0.4, 2.0))
        stack.proxy.restore()

    return disturb


def _call(method: str) -> Fault:
    """Return the fault that a method of the stack makes."""

    def call(stack: Any, _: Service, random: Random) -> None:
        with suppress(RedisError):
            getattr(stack, method)(random)

    return call


def _fail_over(method: str) -> Fault:
    def fail_over(stack: Any, _: Service, random: Random) -> None:
        getattr(stack, method)(random.uniform(0.0, 2.0), random)

    return fail_over


def _all_ways_but(*left_out: str) -> tuple[str, ...]:
    return tuple(way for way in WAYS if way not in left_out)


_RARELY = {"calm_s": (1.0, 2.0)}

LEASE_ROWS = [
    LeaseRow(
        "yes-calm", "nothing, `VERIFY_LEASE=50ms`", lambda _: Plain(), _nothing, environment={"VERIFY_LEASE": "50ms"}
    ),
    LeaseRow("yes-stopped", "workers are stopped and go on", lambda _: Plain(), _stop_workers),
    LeaseRow("yes-worker", "a worker is killed", lambda _: Plain(), _kill_worker, **_RARELY),
    LeaseRow(
        "yes-clock",
        "the clock of the workers is set back and forth",
        lambda _: Clocked(),
        _set_clock,
        ways=_all_ways_but("evict"),  # which session was used least recently is told by that clock
        loses_sessions=True,
    ),
    LeaseRow("yes-cut", "connections to Redis are reset", Networked, _disturb("reset")),
    LeaseRow(
        "yes-slow",
        "connections to Redis stand still or are slow",
        Networked,
        _disturb("stall", "delay", "lag", "lag", "lag"),
    ),
    LeaseRow(
        "yes-killed",
        "`CLIENT KILL` of the workers' own connections",
        lambda _: Plain(),
        _call("kill_tracking_connections"),
    ),
    LeaseRow("yes-flush", "`FLUSHDB`", lambda _: Plain(), _call("flush"), calm_s=(0.5, 2.0), loses_sessions=True),
    LeaseRow(
        "yes-swap", "`SWAPDB` with an empty database, and back", lambda _: Plain(), _call("swap"), loses_sessions=True
    ),
    LeaseRow("yes-registry", "the list of holders is deleted", lambda _: Plain(), _call("lose_registry")),
    LeaseRow(
        "yes-few-keys",
        "`tracking-table-max-keys 10`, workers are stopped",
        lambda _: Plain("--tracking-table-max-keys", "10"),
        _stop_workers,
    ),
    LeaseRow(
        "yes-sentinel",
        "the Sentinel primary is killed, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Sentinels(),
        _fail_over("fail_over"),
        **_RARELY,
        environment={"REDIS_WAIT_REPLICAS": "1", "REDIS_WAIT_MS": "500"},
    ),
    LeaseRow(
        "yes-hang",
        "the Sentinel primary hangs and goes on, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Sentinels(),
        _fail_over("hang"),
        **_RARELY,
        environment={"REDIS_WAIT_REPLICAS": "1", "REDIS_WAIT_MS": "500"},
    ),
    LeaseRow(
        "yes-name",
        "another server behind the name, the former one goes on answering",
        lambda _: Named(),
        _fail_over("fail_over"),
        **_RARELY,
    ),
]

# A check of the judge, not a row of the table: endings wait for nobody here, so the run must end with late answers.
IMPATIENT = LeaseRow(
    "impatient",
    "endings wait for nobody, and connections to Redis are slow",
    Networked,
    _disturb("lag"),
    environment={
        "VERIFY_LEASE": "1s",
        "PYTHONPATH": f"{Path(__file__).parent / 'impatient'}:{Path(__file__).parents[3]}",
    },
)
