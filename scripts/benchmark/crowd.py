"""A platform in use: 100,000 sessions that each ask ten times a minute at random, over four workers."""

from contextlib import closing

from scripts.benchmark.load import Load, Request, Run
from scripts.benchmark.machinery import Keyrack
from scripts.benchmark.report import Goal, Section
from scripts.benchmark.routes import VERIFY, verify
from scripts.benchmark.sizes import keep_all

_SESSIONS, _OF_A_USER, _TIMES_A_MINUTE, _WORKERS = 100_000, 2, 10, 4
_WANTED = _SESSIONS * _TIMES_A_MINUTE / 60  # a second
_NOTED_EVERY_S = 60  # a use of a session is noted so often
_CONNECTIONS = 512
_ANSWER_MS = 2  # about what a connection waits for an answer
_PAUSE_MS = round(2 * (1000 * _CONNECTIONS / _WANTED - _ANSWER_MS))
_SETTLES_S, _MEASURED_S = 15, 60


def measure_crowd() -> Section:
    """Let the workers meet the sessions as fast as they can, then ask at the platform's pace."""
    with closing(Keyrack(workers=_WORKERS)) as keyrack:
        tokens = keyrack.seeds.tokens(_SESSIONS, _OF_A_USER, used_within_s=_NOTED_EVERY_S)
        checks = [Request("GET", VERIFY, token) for token in tokens]
        keep_all(keyrack, checks, _WORKERS)
        pace = Load(connections=_CONNECTIONS, seconds=_SETTLES_S, pause_ms=_PAUSE_MS, is_random=True)
        keyrack.measure(checks, pace)
        lanes, redis_cpu_s = keyrack.server.metrics("keyrack_verify_total"), keyrack.redis.cpu_s()
        run = keyrack.measure(checks, Load(_CONNECTIONS, _MEASURED_S, _PAUSE_MS, is_random=True))
        redis_us = 1e6 * (keyrack.redis.cpu_s() - redis_cpu_s) / run.count
        counted = {
            lane: count - lanes.get(lane, 0) for lane, count in keyrack.server.metrics("keyrack_verify_total").items()
        }
        plain = keyrack.measure(verify(keyrack.seeds), Load(seconds=5))
    from_memory = counted.get("memory", 0) / sum(counted.values())
    rows = [
        ("the platform", *_figures(run)),
        ("200 sessions, as fast as can be", *_figures(plain)),
    ]
    goals = [
        Goal("answered from memory", from_memory, 0.95, digits=3),
        Goal("CPU of a check / that of 200 sessions", run.cpu_us / plain.cpu_us, at_most=2),
    ]
    how = (
        f"{_SESSIONS:,} sessions, {_OF_A_USER} of each user, over {_WORKERS} processes, chosen at random for "
        f"{_MEASURED_S} s after all had been met. {_WANTED:,.0f} checks a second are ten a minute for each; "
        f"{_CONNECTIONS} connections pause so that they come near it. Each use that is due is noted, as always. Redis "
        f"took {redis_us:.0f} µs for a check, the notes included."
    )
    return Section("crowd", how, ("what", "checks/s", "p50 ms", "p99 ms", "CPU µs"), rows, goals)


def _figures(run: Run) -> tuple[str, ...]:
    return f"{run.per_second:,.0f}", f"{run.p50_ms:.2f}", f"{run.p99_ms:.1f}", f"{run.cpu_us:.0f}"
