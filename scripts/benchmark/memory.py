"""The memory that a session takes: in Redis, and in a worker that keeps it."""

from collections.abc import Sequence
from contextlib import closing

from scripts.benchmark.load import Load, Request
from scripts.benchmark.machinery import Keyrack, Redis
from scripts.benchmark.report import Goal, Section
from scripts.benchmark.routes import VERIFY
from scripts.benchmark.seeds import Seeds

_KEPT = 100_000
_MOST_LOADS = 15


def measure_memory() -> Section:
    """Measure the bytes for a session of a user who has five and of one who has one."""
    rows = []
    of_worker = []
    for sessions in (5, 1):
        with closing(Keyrack(workers=1)) as keyrack:
            rss, pss, of_redis, kept = _keep(keyrack, sessions)
        of_worker.append(pss)
        rows.append((f"{kept:,.0f} kept, {sessions} of each user", f"{rss:,.0f}", f"{pss:,.0f}", f"{of_redis:,.0f}"))
    goals = [
        Goal("bytes of a worker for a session kept", max(of_worker), at_most=400, digits=0),
        Goal("bytes of Redis a session, of five a user", _bytes_a_session(), at_most=520, digits=0),
    ]
    how = (
        "One process. The bytes are by what its memory (RSS, PSS) and that of Redis grew while it met the sessions, "
        "for each of them. Those of Redis are for `CLIENT TRACKING`."
    )
    return Section("memory", how, ("sessions", "worker, RSS", "worker, PSS", "Redis"), rows, goals)


def _keep(keyrack: Keyrack, sessions: int) -> tuple[float, float, float, float]:
    """Let a worker keep sessions. Return the bytes for each (RSS, PSS, of Redis), and how many it keeps at last.

    The first fifth is not counted: while a new process meets it, the process gets much memory once and for all.
    """
    checks = [Request("GET", VERIFY, token) for token in keyrack.seeds.tokens(_KEPT, sessions)]
    before, kept_before = _meet(keyrack, checks[: _KEPT // 5])
    after, kept = _meet(keyrack, checks)
    count = max(1, kept - kept_before)
    rss, pss, of_redis = ((now - then) / count for now, then in zip(after, before, strict=True))
    return rss, pss, of_redis, kept


def _meet(keyrack: Keyrack, checks: Sequence[Request]) -> tuple[Sequence[int], float]:
    """Let a worker keep these sessions.

    Returns:
        The bytes that it takes (RSS, PSS) and Redis takes, and how many sessions it keeps.
    """
    kept = 0.0
    for _ in range(_MOST_LOADS):
        keyrack.measure(checks[int(kept) :], Load(seconds=4))
        kept = keyrack.server.metrics("keyrack_sessions_kept").get("", 0)
        if kept > 0.99 * len(checks):  # a few were on their way when the load before ended
            break
    return (*keyrack.server.memory(), keyrack.redis.used_memory()), kept


def _bytes_a_session() -> float:
    """Return the bytes of Redis' memory that a session takes, with its share of a user who has five."""
    with closing(Redis()) as redis:
        seeds = Seeds(redis.client, redis.raw)
        seeds.crowd(200)
        before = redis.used_memory()
        seeds.crowd(20_000)
        return (redis.used_memory() - before) / 100_000
