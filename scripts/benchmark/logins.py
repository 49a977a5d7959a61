"""Logins beside bare bcrypt, and checks while many log in."""

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import bcrypt

from scripts.benchmark.load import Load, Request, Series
from scripts.benchmark.machinery import Keyrack
from scripts.benchmark.report import Goal, Section
from scripts.benchmark.routes import API, verify

_BCRYPT_ROUNDS = 12
_PASSWORD = "correct horse battery"  # noqa: S105 - of users that this run makes and drops
_FLOOD = Load(connections=16, seconds=8)
_ONE_CLIENT = Load(connections=1, seconds=4)


def measure_logins(rounds: int) -> Section:
    """Measure logins, bare bcrypt, and the checks of one client while nobody and while 16 others log in."""
    hashed = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(_BCRYPT_ROUNDS)).decode()
    logins, idle, flooded, bare = Series(), Series(), Series(), []
    with closing(Keyrack()) as keyrack:
        keyrack.seeds.user(hashed, sessions=0)
        body = f'{{"login": "{keyrack.seeds.last_email}", "password": "{_PASSWORD}"}}'
        log_in, checks = [Request("POST", f"{API}/auth/login", body=body)], verify(keyrack.seeds)
        keyrack.measure(checks, Load(seconds=1))
        with ThreadPoolExecutor(1) as background:
            for _ in range(rounds):
                bare.append(_bare_bcrypt_a_second(hashed))
                idle.append(keyrack.measure(checks, _ONE_CLIENT))
                flood = background.submit(keyrack.measure, log_in, _FLOOD)
                time.sleep(2)  # until the flood is under way
                flooded.append(keyrack.measure(checks, _ONE_CLIENT))
                logins.append(flood.result())
    logged_in, checked = "log in, 16 clients, bcrypt at 12", "verify, one client"
    rows = [
        (logged_in, f"{logins.per_second:.1f}", f"{logins.p50_ms:,.0f}", f"{logins.p99_ms:,.0f}"),
        ("bare bcrypt at 12, a thread a core", f"{statistics.median(bare):.1f}", "", ""),
        *(
            (what, f"{series.per_second:,.0f}", f"{series.p50_ms:.2f}", f"{series.p99_ms:.2f}")
            for what, series in ((checked, idle), (f"{checked}, while 16 log in", flooded))
        ),
    ]  # fmt: skip
    goals = [
        Goal("logins / bare bcrypt, same cores", logins.per_second / statistics.median(bare), 0.9),
        Goal("verify's p99 while 16 log in / idle", flooded.p99_ms / idle.p99_ms, at_most=2),
    ]
    how = "The client whose checks are measured sends one after the other, in the middle of the time of the logins."
    return Section("logins", how, ("what", "requests/s", "p50 ms", "p99 ms"), rows, goals)


def _bare_bcrypt_a_second(hashed: str, seconds: float = 4) -> float:
    """Return how many passwords bcrypt checks in a second, with one thread a core and nothing else."""
    until = time.monotonic() + seconds

    def check() -> int:
        count = 0
        while time.monotonic() < until:
            bcrypt.checkpw(_PASSWORD.encode(), hashed.encode())
            count += 1
        return count

    cores = os.cpu_count() or 1
    began = time.monotonic()
    with ThreadPoolExecutor(cores) as threads:
        count = sum(threads.map(lambda _: check(), range(cores)))
    return count / (time.monotonic() - began)
