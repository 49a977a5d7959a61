"""Sign-ins by passkey beside those by password, and what a passkey takes in Redis."""

import statistics
import time
from collections.abc import Callable
from contextlib import closing

import bcrypt
import requests

from scripts.benchmark.load import Run, Series
from scripts.benchmark.machinery import Keyrack
from scripts.benchmark.report import Goal, Section
from scripts.benchmark.routes import API
from tests.authenticator import Authenticator

_BCRYPT_ROUNDS = 12
_PASSWORD = "correct horse battery"  # noqa: S105 - of a user that this run makes and drops
_PUBLIC_URL = "http://localhost:8000"
_BY_PASSKEY, _BY_PASSWORD = 400, 6  # sign-ins a round


def measure_passkeys(rounds: int) -> Section:
    """Measure one client that signs in again and again, by password and by passkey in turn."""
    by_password, by_passkey, device = Series(), Series(), Authenticator(_PUBLIC_URL)
    # Without leases: their upkeep costs a little all the time, whoever signs in.
    with closing(Keyrack(PUBLIC_URL=_PUBLIC_URL, VERIFY_LEASE="0")) as keyrack, requests.Session() as client:
        keyrack.seeds.user(bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(_BCRYPT_ROUNDS)).decode(), sessions=0)
        body = {"login": keyrack.seeds.last_email, "password": _PASSWORD}
        user_id, _ = keyrack.seeds.user(sessions=0)
        one = keyrack.seeds.passkey(user_id, device.add("localhost", user_id.encode()))

        def ask(path: str, sent: dict[str, str]) -> tuple[dict[str, str], float]:
            began = time.perf_counter()
            answer = client.post(f"{keyrack.server.url}{API}/auth/{path}", json=sent)
            answer.raise_for_status()
            return answer.json(), time.perf_counter() - began

        def sign_in_by_passkey() -> float:
            begun, first_s = ask("passwordless/start", {})
            credential = device.get(begun["challenge"])
            _, second_s = ask("conditional/finish", {"ticket": begun["ticket"], "credential": credential})
            return first_s + second_s

        for _ in range(rounds):
            by_password.append(_measure(keyrack, lambda: ask("login", body)[1], _BY_PASSWORD))
            by_passkey.append(_measure(keyrack, sign_in_by_passkey, _BY_PASSKEY))
        ten_user, _ = keyrack.seeds.user(sessions=0)
        ten = [keyrack.seeds.passkey(ten_user, device.add("localhost", ten_user.encode())) for _ in range(10)][-1]
    rows = [
        (what, f"{series.cpu_us / 1000:.2f}", f"{series.p50_ms:.1f}", f"{series.p99_ms:.1f}")
        for what, series in (
            (f"log in by password, bcrypt at {_BCRYPT_ROUNDS}", by_password),
            ("sign in by passkey (ES256), both requests", by_passkey),
        )
    ]
    goals = [
        Goal(
            "CPU of a sign-in by passkey / by password", by_passkey.cpu_us / by_password.cpu_us, at_most=0.01, digits=4
        ),
        Goal("bytes of a passkey in Redis, its field and value", one.field, at_most=600, digits=0),
        Goal("bytes of Redis' memory for each of a user's ten, with the key", ten.memory / 10, at_most=600, digits=0),
    ]
    how = (
        "One client, one sign-in after the other, with `VERIFY_LEASE=0`. CPU is that of the workers, without Redis and "
        "without the client."
    )
    return Section("passkeys", how, ("what", "CPU ms", "p50 ms", "p99 ms"), rows, goals)


def _measure(keyrack: Keyrack, sign_in: Callable[[], float], count: int) -> Run:
    before = sum(keyrack.server.cpu_s())
    took_ms = sorted(1000 * sign_in() for _ in range(count))
    cpu_us = 1e6 * (sum(keyrack.server.cpu_s()) - before) / count
    return Run(count, sum(took_ms) / 1000, statistics.median(took_ms), took_ms[int(0.99 * count)], cpu_us)
