"""The memory that a session takes: in Redis, and in a worker that keeps it."""

from contextlib import closing

from scripts.benchmark.load import Load, Request
from scripts.benchmark.machinery import Keyrack, Redis
from scripts.benchmark.report import Goal, Section
from scripts.benchmark.routes import VERIFY
from scripts.benchmark.seeds import Seeds

_KEPT = 100_000
_AT_ONCE = 10_000
_MOST_LOADS = 5


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
    for _ in range(_KEPT // 5 // _AT_ONCE):
        _meet(keyrack, sessions)
    before, kept_before, of_redis = keyrack.server.memory(), _count_kept(keyrack), 0
    for _ in range((_KEPT - _KEPT // 5) // _AT_ONCE):
        of_redis += _meet(keyrack, sessions)
    kept = _count_kept(keyrack)
    count = max(1, kept - kept_before)
    rss, pss = ((now - then) / count for now, then in zip(keyrack.server.memory(), before, strict=True))
    return rss, pss, of_redis / count, kept


def _meet(keyrack: Keyrack, sessions: int) -> int:
    """Let a worker keep more sessions. Return the bytes by which Redis grew.

    They are so few that no use of them is to be noted yet, which would take memory for a while.
    """
    checks = [Request("GET", VERIFY, token) for token in keyrack.seeds.tokens(_AT_ONCE, sessions)]
    redis_before, kept_before = keyrack.redis.used_memory(), _count_kept(keyrack)
    kept = 0
    for _ in range(_MOST_LOADS):
        keyrack.measure(checks[kept:], Load(seconds=2))
        kept = _count_kept(keyrack) - kept_before
        if kept > 0.99 * _AT_ONCE:  # a few were on their way when the load before ended
            break
    return keyrack.redis.used_memory() - redis_before


def _count_kept(keyrack: Keyrack) -> int:
    return int(keyrack.server.metrics("keyrack_sessions_kept").get("", 0))


def _bytes_a_session() -> float:
    """Return the bytes of Redis' memory that a session takes, with its share of a user who has five."""
    with closing(Redis()) as redis:
        seeds = Seeds(redis.client, redis.raw)
        seeds.crowd(200)
        before = redis.used_memory()
        seeds.crowd(20_000)
        return (redis.used_memory() - before) / 100_000
