"""Every metric on /metrics, with its name, meaning and labels.

No label contains a user, an address or anything else that a client can make up. Each label has a small fixed set of
values. Under gunicorn each process writes its metrics into a file of PROMETHEUS_MULTIPROC_DIR, a folder that
gunicorn.conf.py makes. The process that answers /metrics adds up all files. Without that folder it returns only its own
metrics.
"""

import os
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import Literal, Protocol, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue

from app.watch.process import own_id

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
OTHER = "other"  # the label of all unknown paths

_FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")  # prometheus_client also reads the variable at import
if _FOLDER:
    # The library asks the system for the process's id each time that it counts. That takes longer than the counting.
    values.ValueClass = MultiProcessValue(own_id)  # type: ignore[no-untyped-call]  # the library's own
_REGISTRY = CollectorRegistry()


class Seconds(Histogram):
    """A histogram that also takes many times at once."""

    @property
    def bounds(self) -> Sequence[float]:
        """Return the longest time of each bucket. That of the last one is infinite."""
        return self._upper_bounds

    def add(self, counts: Sequence[int], total_s: float) -> None:
        """Add times: how many are in each bucket, and their sum."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(total_s)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"keyrack_{name}", meaning, labels, registry=_REGISTRY)


def _gauge(name: str, meaning: str) -> Gauge:
    return Gauge(f"keyrack_{name}", meaning, registry=_REGISTRY, multiprocess_mode="livesum")


def _seconds(name: str, meaning: str, *labels: str, up_to: float) -> Seconds:
    steps = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
    buckets = [step for step in steps if step <= up_to]
    return Seconds(f"keyrack_{name}_seconds", meaning, labels, registry=_REGISTRY, buckets=buckets)


def _told_by_redis(name: str, meaning: str, *labels: str) -> Gauge:
    """Return a gauge that is set at each scrape, by whichever process answers it."""
    return Gauge(f"keyrack_{name}", meaning, labels, registry=_REGISTRY, multiprocess_mode="mostrecent")


REQUEST_SECONDS = _seconds("request", "Requests, by how long their answers took", "route", "method", "status", up_to=15)
REDIS_SECONDS = _seconds("redis", "One in 16 of the trips to Redis on sessions, by how long it took", up_to=1)
REDIS_ERRORS = _counter("redis_errors", "Requests that were refused because Redis was away, late or refused", "kind")
BCRYPT_SECONDS = _seconds("bcrypt", "Password hashes computed, by how long each took", up_to=5)
BCRYPT_WAIT_SECONDS = _seconds("bcrypt_wait", "Password hashes computed, by how long each waited before", up_to=15)
BCRYPT_WAITING = _gauge("bcrypt_waiting", "Password hashes that wait for their turn now")
BCRYPT_RUNNING = _gauge("bcrypt_running", "Password hashes that are computed now")
BCRYPT_REFUSED = _counter("bcrypt_refused", "Password hashes refused because too many waited, or for too long")
SIGN_INS = _counter("sign_ins", "Sign-ins: success by how, failed by why, or a code was asked for", "outcome", "detail")
STEP_UPS = _counter("step_ups", "Answers to the question to prove oneself again", "outcome", "method")
SESSIONS_ENDED = _counter("sessions_ended", "Sessions that ended; evicted is over the cap, expired by time", "reason")
CREDENTIAL_CHANGES = _counter("credential_changes", "Changes of what users sign in with", "what")
APPLICATION_REQUESTS = _counter(
    "application_requests", "Requests to the application behind the gateway", "method", "outcome"
)
TOKENS_BEFORE = _counter(
    "tokens_before", "Uses of tokens of the service before: adopted, used again, or why they were refused", "outcome"
)
_VERIFY = _counter(
    "verify", "Checks of gateways, by who answered: a thread, or the loop of a worker, by memory or by Redis", "lane"
)
Lane = Literal["memory", "loop", "thread"]
VERIFY: dict[Lane, Counter] = {lane: _VERIFY.labels(lane) for lane in get_args(Lane)}
LEASES_HELD = _gauge("leases_held", "Processes that may answer checks from memory now")
LEASES_LOST = _counter("leases_lost", "Times that a process stopped answering checks from memory, by why", "reason")
SESSIONS_KEPT = _gauge("sessions_kept", "Sessions that processes keep in memory")
ENDING_WAIT_SECONDS = _seconds(
    "ending_wait", "Endings that asked the holders of leases, by how long they waited for them", up_to=1
)
DELETIONS_OVERDUE = _told_by_redis(
    "deletions_overdue",
    "Accounts, a hundred at most, that should have been deleted a day ago: `flask users tidy` does not run",
)
JOBS_LOST = _counter("jobs_lost", "Mails and events that are lost: too many wait, or Redis refused them", "queue")
QUEUE_WAITING = _told_by_redis("queue_waiting", "Mails, or events to a receiver, that it has not taken yet", "queue")
QUEUE_OLDEST_S = _told_by_redis("queue_oldest_age_seconds", "How long the oldest of them has waited", "queue")
QUEUE_DEAD = _told_by_redis("queue_dead", "Mails and events that were given up and are kept", "queue")
QUEUE_DELIVERED = _told_by_redis("queue_delivered", "Mails and events that were delivered, since ever", "queue")
QUEUE_FAILED = _told_by_redis("queue_failed_attempts", "Attempts to deliver that failed, since ever", "queue")
QUEUE_AWAY = _told_by_redis("queue_receiver_away", "1 if the receiver is away, or switched off by itself", "queue")
QUEUE_TURNED_S = _told_by_redis("queue_silent_seconds", "How long ago who delivers looked at the queue", "queue")
LIMIT_HITS = _counter("limit_hits", "Requests refused because a rate limit was reached", "limit")


class QueueFigures(Protocol):
    """What is known of a queue: QueueStatus in stores/job_records.py."""

    @property
    def waiting(self) -> int: ...
    @property
    def oldest_at(self) -> float | None: ...
    @property
    def dead(self) -> int: ...
    @property
    def turned_at(self) -> float | None: ...
    @property
    def delivered(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def away_since(self) -> float | None: ...
    @property
    def off_since(self) -> float | None: ...


@cache
def request_seconds(route: str, method: str, status: str) -> Seconds:
    """Return the histogram of one route. It is cached, because the library's look-up takes longer than counting."""
    return REQUEST_SECONDS.labels(route, method, status)


class CheckCounts:
    """The counts of checks that the worker's loop has answered. The library would take a tenth of the time of a check.

    Only the loop counts, and its counts only grow. So whichever thread passes on what they have grown by, none is lost.
    """

    def __init__(self) -> None:
        self._histogram = request_seconds("/gateway/verify", "any", "200")
        self._bounds = self._histogram.bounds
        self._by_lane: dict[Lane, int] = dict.fromkeys(VERIFY, 0)
        self._by_bucket = [0] * len(self._bounds)
        self._total_s = 0.0
        self._lock = Lock()
        self._passed_on = self._counts()

    def _counts(self) -> tuple[dict[Lane, int], list[int], float]:
        return self._by_lane.copy(), self._by_bucket.copy(), self._total_s

    def count(self, lane: Lane, seconds: float) -> None:
        self._by_lane[lane] += 1
        self._by_bucket[bisect_left(self._bounds, seconds)] += 1
        self._total_s += seconds

    def pass_on(self) -> None:
        """Let the metrics have what was counted so far."""
        with self._lock:
            by_lane, by_bucket, total_s = self._passed_on
            self._passed_on = self._counts()
            now_by_lane, now_by_bucket, now_total_s = self._passed_on
            for lane, count in now_by_lane.items():
                VERIFY[lane].inc(count - by_lane[lane])
            grown = [now - before for now, before in zip(now_by_bucket, by_bucket, strict=True)]
            self._histogram.add(grown, now_total_s - total_s)


CHECK_COUNTS = CheckCounts()


def set_queue(name: str, status: QueueFigures, now: float) -> None:
    """Set the figures of a queue.

    Args:
        now: Unix seconds.
    """
    QUEUE_WAITING.labels(name).set(status.waiting)
    QUEUE_OLDEST_S.labels(name).set(max(0, now - status.oldest_at) if status.oldest_at else 0)
    QUEUE_DEAD.labels(name).set(status.dead)
    QUEUE_DELIVERED.labels(name).set(status.delivered)
    QUEUE_FAILED.labels(name).set(status.failed)
    QUEUE_AWAY.labels(name).set(status.away_since is not None or status.off_since is not None)
    QUEUE_TURNED_S.labels(name).set(max(0, now - status.turned_at) if status.turned_at else float("inf"))


def render() -> bytes:
    """Return all metrics of all processes in Prometheus' text format."""
    CHECK_COUNTS.pass_on()
    if _FOLDER is None:
        return generate_latest(_REGISTRY)
    of_all_processes = CollectorRegistry()
    MultiProcessCollector(of_all_processes, _FOLDER)  # type: ignore[no-untyped-call]  # the library's own
    return generate_latest(of_all_processes)
