"""The rows of the table. Each is a service, its Redis, and a fault that is made again and again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from scripts.faults.answers import Outage
from scripts.faults.judge import Fault
from scripts.faults.service import Service
from scripts.faults.stacks import Cluster, Named, Proxied, Refusing, Sentinels, Single, valkey

_BROKEN_S = 0.5  # connections to a killed process break at once, but a client may notice later
_DOWN_S = (0.0, 2.0)  # time for which a killed server is away, or the network is broken
_STALL_S = (0.5, 4.0)  # no longer than LATE_S


@dataclass(frozen=True)
class Row:
    """A kind of fault.

    Attributes:
        make_stack: Starts the Redis, from a seed.
        fault: Makes the fault and mends it. Returns the fault, and the times in which gunicorn was away.
        must_keep: Nothing that was acknowledged may be lost. Resurrected sessions and wrong answers are never allowed.
        refuses_whole: What is refused by 503 did not happen, as nothing is ever on its way for long.
    """

    name: str
    what: str
    make_stack: Callable[[int], Any]
    fault: Callable[[Any, Service, Random], tuple[Fault, list[Outage]]]
    must_keep: bool = True
    refuses_whole: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def _kill_worker(_: Any, service: Service, random: Random) -> tuple[Fault, list[Outage]]:
    at = service.kill_worker(random)
    return Fault(at), [Outage(at, at + _BROKEN_S)]


def _kill_master(_: Any, service: Service, __: Random) -> tuple[Fault, list[Outage]]:
    at, back_at = service.kill_master()
    return Fault(at), [Outage(at, back_at + _BROKEN_S)]


def _crash(stack: Single, _: Service, random: Random) -> tuple[Fault, list[Outage]]:
    return Fault(*stack.crash(random.uniform(*_DOWN_S))), []


def _fail_over(stack: Sentinels | Cluster, _: Service, random: Random) -> tuple[Fault, list[Outage]]:
    return Fault(*stack.fail_over(random.uniform(*_DOWN_S), random)), []


def _disturb(how: str, for_s: tuple[float, float]) -> Callable[[Any, Service, Random], tuple[Fault, list[Outage]]]:
    def disturb(stack: Proxied, _: Service, random: Random) -> tuple[Fault, list[Outage]]:
        at = time.monotonic()
        getattr(stack.proxy, how)()
        time.sleep(random.uniform(*for_s))
        stack.proxy.restore()
        return Fault(at, time.monotonic()), []

    return disturb


def _make(how: str, for_s: tuple[float, float]) -> Callable[[Any, Service, Random], tuple[Fault, list[Outage]]]:
    """Return the fault that a method of the stack makes, with a time by chance."""

    def make(stack: Any, _: Service, random: Random) -> tuple[Fault, list[Outage]]:
        return Fault(*getattr(stack, how)(random.uniform(*for_s), random)), []

    return make


def _single(*options: str) -> Callable[[int], Single]:
    return lambda _: Single(*options)


_ALWAYS = _single("--appendonly", "yes", "--appendfsync", "always")
_WAITS = {"REDIS_WAIT_REPLICAS": "1", "REDIS_WAIT_MS": "500"}
_WAITS_NOT = {"REDIS_WAIT_REPLICAS": "0"}

ROWS = [
    Row("worker", "a gunicorn worker is killed", _ALWAYS, _kill_worker),
    Row("master", "the gunicorn master is killed", _ALWAYS, _kill_master),
    Row("redis-always", "Redis is killed, `appendfsync always`", _ALWAYS, _crash),
    Row(
        "redis-everysec",
        "Redis is killed, `appendfsync everysec`",
        _single("--appendonly", "yes", "--appendfsync", "everysec"),
        _crash,
        must_keep=False,
    ),
    Row("stall", "the network to Redis stands still", Proxied, _disturb("stall", _STALL_S)),
    Row("reset", "the network to Redis breaks", Proxied, _disturb("reset", _DOWN_S)),
    Row("delay", "the network to Redis is slow", Proxied, _disturb("delay", _STALL_S)),
    Row(
        "sentinel-1",
        "the Sentinel primary is killed, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Sentinels(),
        _fail_over,
        environment=_WAITS,
    ),
    Row(
        "sentinel-0",
        "the Sentinel primary is killed, `REDIS_WAIT_REPLICAS=0`",
        lambda _: Sentinels(),
        _fail_over,
        must_keep=False,
        environment=_WAITS_NOT,
    ),
    Row(
        "cluster-1",
        "a Cluster primary is killed, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Cluster(),
        _fail_over,
        environment=_WAITS,
    ),
    Row(
        "cluster-0",
        "a Cluster primary is killed, `REDIS_WAIT_REPLICAS=0`",
        lambda _: Cluster(),
        _fail_over,
        must_keep=False,
        environment=_WAITS_NOT,
    ),
    Row("full", "Redis is full", lambda _: Refusing(), _make("fill", _STALL_S), refuses_whole=True),
    Row("right", "a right is taken away", lambda _: Refusing(), _make("take_right", _STALL_S), refuses_whole=True),
    Row(
        "replica-away",
        "the replica is away, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Named(),
        _make("lose_replica", _STALL_S),
        environment=_WAITS,
    ),
    Row(
        "name",
        "another server behind the name, the former one goes on answering",
        lambda _: Named(),
        _make("fail_over", _STALL_S),
        environment=_WAITS_NOT,
    ),
    Row(
        "hang",
        "the Sentinel primary hangs and goes on, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Sentinels(),
        _make("hang", _DOWN_S),
        environment=_WAITS,
    ),
    Row(
        "sentinel-by-hand",
        "failover by hand at a Sentinel, writes paused first",
        lambda _: Sentinels(),
        _make("fail_over_by_hand", _DOWN_S),
        environment=_WAITS_NOT,
    ),
    Row(
        "sentinel-coordinated",
        "the same at Valkey's, `COORDINATED`",
        lambda _: Sentinels(valkey(), down_after_ms=3000),
        _make("fail_over_coordinated", _DOWN_S),
        environment=_WAITS_NOT,
    ),
    Row(
        "cluster-by-hand",
        "`CLUSTER FAILOVER`, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Cluster(),
        _make("fail_over_by_hand", _DOWN_S),
        environment=_WAITS,
    ),
    Row(
        "cluster-slots",
        "slots of a Cluster move, `REDIS_WAIT_REPLICAS=1`",
        lambda _: Cluster(),
        _make("move_slots", _DOWN_S),
        environment=_WAITS,
    ),
    Row(
        "cluster-whole-slots",
        "the same at Valkey's, as a whole",
        lambda _: Cluster(valkey()),
        _make("move_whole_slots", _DOWN_S),
        environment=_WAITS,
    ),
]

# A check of the judge, not a row of the table: this Redis keeps nothing, so that the run must end with losses.
FORGETFUL = Row("forgetful", "Redis is killed that keeps nothing", _single(), _crash)
