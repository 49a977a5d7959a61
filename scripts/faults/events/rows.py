"""The rows on events for other systems. Each is a service, its Redis, what delivers, a receiver, and a fault."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from scripts.faults.service import Service
from scripts.faults.stacks import Cluster, Sentinels, Single, Stack

_DOWN_S = (0.0, 2.0)
_WAITS = {"REDIS_WAIT_REPLICAS": "1", "REDIS_WAIT_MS": "500"}
_WAITS_NOT = {"REDIS_WAIT_REPLICAS": "0"}
_SWEPT_S = 330.0  # what is left in an outbox is found within five minutes


class Deliverers(Protocol):
    def kill(self, random: Random) -> None:
        """Send SIGKILL to one of them, and start another in its place."""


Fault = Callable[[Any, Service, Deliverers, Random], None]


@dataclass(frozen=True)
class EventRow:
    """
    Attributes:
        fault: Makes the fault and mends it.
        calm_s: Between two faults.
        late_one_in, broken_one_in: Of how many webhooks the receiver answers one too late, and one not at all.
        patience_s: For which the last events are waited for.
        must_keep: Nothing may be lost, out of order, or told under two ids. A Redis that loses writes loses events.
    """

    name: str
    what: str
    make_stack: Callable[[int], Stack]
    fault: Fault
    calm_s: tuple[float, float] = (1.0, 2.0)
    late_one_in: int = 0
    broken_one_in: int = 0
    patience_s: float = 120.0
    must_keep: bool = True
    environment: dict[str, str] = field(default_factory=dict)


def _nothing(*_: Any) -> None:
    time.sleep(0.5)


def _kill_deliverer(_: Any, __: Service, deliverers: Deliverers, random: Random) -> None:
    deliverers.kill(random)


def _kill_worker(_: Any, service: Service, __: Deliverers, random: Random) -> None:
    service.kill_worker(random)


def _crash(stack: Single, _: Service, __: Deliverers, random: Random) -> None:
    stack.crash(random.uniform(*_DOWN_S))


def _fail_over(stack: Sentinels | Cluster, _: Service, __: Deliverers, random: Random) -> None:
    stack.fail_over(random.uniform(*_DOWN_S), random)


def _always(_: int) -> Single:
    return Single("--appendonly", "yes", "--appendfsync", "always")


EVENT_ROWS = [
    EventRow("events-kill", "`deliver-events` is killed", _always, _kill_deliverer),
    EventRow(
        "events-late",
        "the receiver answers too late, or breaks off",
        _always,
        _nothing,
        late_one_in=1000,
        broken_one_in=50,
    ),
    EventRow("events-redis", "Redis is killed, `appendfsync always`", _always, _crash),
    EventRow("events-worker", "a gunicorn worker is killed", _always, _kill_worker),
    EventRow(
        "events-failover-1",
        "the Sentinel primary is killed, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Sentinels(),
        _fail_over,
        environment=_WAITS,
    ),
    EventRow(
        "events-failover-0",
        "the Sentinel primary is killed, `REDIS_WAIT_REPLICAS=0`",
        lambda _: Sentinels(),
        _fail_over,
        must_keep=False,
        environment=_WAITS_NOT,
    ),
    EventRow(
        "events-cluster",
        "a gunicorn worker is killed, on a Cluster",
        lambda _: Cluster(),
        _kill_worker,
        patience_s=_SWEPT_S,
        environment=_WAITS_NOT,
    ),
    EventRow(
        "events-cluster-failover",
        "a Cluster primary is killed, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Cluster(),
        _fail_over,
        patience_s=_SWEPT_S,
        environment=_WAITS,
    ),
]
