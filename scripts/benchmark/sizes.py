"""Checks and lists with few and many sessions in Redis, and with few and many in the workers' memory."""

from collections.abc import Sequence
from contextlib import closing

from scripts.benchmark.load import Load, Request, Series, in_turn
from scripts.benchmark.machinery import WORKERS, Keyrack
from scripts.benchmark.report import Goal, Section
from scripts.benchmark.routes import VERIFY, listing, verify

_MANY, _KEPT = 1_000_000, 100_000
_MOST_LOADS = 20


def measure_sizes(rounds: int) -> Section:
    """Measure two Keyracks with few sessions kept, and one with many, in turn."""
    with closing(Keyrack()) as few, closing(Keyrack()) as many, closing(Keyrack(beside=many)) as kept:
        many.seeds.crowd((_MANY - _KEPT) // 5)
        to_keep = [Request("GET", VERIFY, token) for token in many.seeds.tokens(_KEPT)]
        targets = {
            "5 in Redis, 1 kept": (few, verify(few.seeds, 1), listing(few.seeds, 1), Load()),
            "1,000,000 in Redis, 200 kept": (many, verify(many.seeds), listing(many.seeds), Load()),
            "1,000,000 in Redis, 100,000 kept": (kept, to_keep, listing(many.seeds), Load(is_random=True)),
        }
        keep_all(kept, to_keep)
        measured = {name: (Series(), Series()) for name in targets}
        for number in range(rounds):
            for name, (keyrack, checks, lists, load) in in_turn(targets, number):
                measured[name][0].append(keyrack.measure(checks, load))
                measured[name][1].append(keyrack.measure(lists))
    rows = [
        (name, f"{checked.per_second:,.0f}", f"{checked.cpu_us:.0f}", f"{listed.per_second:,.0f}")
        for name, (checked, listed) in measured.items()
    ]
    few_in_redis, many_in_redis, many_kept = measured.values()
    goals = [
        Goal("verify, 1,000,000 sessions / 5", many_in_redis[0].per_second / few_in_redis[0].per_second, 0.9),
        Goal("verify, 100,000 kept / 200 kept", many_kept[0].per_second / many_in_redis[0].per_second, 0.9),
        Goal("list, 1,000,000 sessions / 5", many_in_redis[1].per_second / few_in_redis[1].per_second, 0.9),
    ]
    how = f"{WORKERS} processes each. Of 100,000 that each of them keeps, any is asked about at random."
    return Section("sizes", how, ("sessions", "verify/s", "CPU µs", "list/s"), rows, goals)


def keep_all(keyrack: Keyrack, checks: Sequence[Request], workers: int = WORKERS) -> None:
    """Let each worker meet nearly all of these sessions, as fast as it can. Give up after some time."""
    for _ in range(_MOST_LOADS):
        keyrack.measure(checks, Load(connections=64, seconds=5, is_random=True))
        if keyrack.server.metrics("keyrack_sessions_kept").get("", 0) > 0.95 * workers * len(checks):
            return
