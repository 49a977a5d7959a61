"""Sign-ins by passkey beside those by password, and what a passkey takes in Redis."""

import itertools
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import bcrypt
import requests

from app.rules.relying_party import RelyingParty
from app.rules.webauthn import new_challenge, verify_assertion
from scripts.benchmark.machinery import Keyrack
from scripts.benchmark.report import Goal, Section
from scripts.benchmark.routes import API
from scripts.benchmark.seeds import as_passkey
from tests.authenticator import Authenticator

_BCRYPT_ROUNDS = 12
_PASSWORD = "correct horse battery"  # noqa: S105 - of a user that this run makes and drops
_ORIGIN, _RP_ID = "http://localhost:8000", "localhost"
_CLIENTS = 8  # at once, each with users of its own
_BY_PASSKEY, _BY_PASSWORD = 50, 2  # sign-ins of each client a round
_A_USER = 40  # sign-ins of one user; the next one after 50 ends a session, which is other work


def measure_passkeys(rounds: int) -> Section:
    """Measure clients that sign in again and again, by password and by passkey in turn."""
    by_password, by_passkey, checks, device = [], [], [], Authenticator(_ORIGIN)
    # Without leases: their upkeep costs a little all the time, whoever signs in.
    with closing(Keyrack(PUBLIC_URL=_ORIGIN, VERIFY_LEASE="0")) as keyrack:
        keyrack.seeds.user(bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(_BCRYPT_ROUNDS)).decode(), sessions=0)
        body = {"login": keyrack.seeds.last_email, "password": _PASSWORD}
        a_client = 1 + rounds * _BY_PASSKEY // _A_USER
        users = [keyrack.seeds.user(sessions=0)[0] for _ in range(_CLIENTS * a_client)]
        made = [device.add(_RP_ID, user_id.encode()) for user_id in users]
        one = [keyrack.seeds.passkey(*each) for each in zip(users, made, strict=True)][-1]
        turns = [itertools.cycle(made[number::_CLIENTS]) for number in range(_CLIENTS)]

        def ask(client: requests.Session, path: str, sent: dict[str, str]) -> dict[str, str]:
            answer = client.post(f"{keyrack.server.url}{API}/auth/{path}", json=sent)
            answer.raise_for_status()
            return answer.json()

        def sign_in_by_password(client: requests.Session, _: int) -> None:
            ask(client, "login", body)

        def sign_in_by_passkey(client: requests.Session, number: int) -> None:
            begun = ask(client, "passwordless/start", {})
            challenge = json.loads(begun["challenge"])["publicKey"]["challenge"]
            credential = device.answer(next(turns[number]), challenge)
            ask(client, "conditional/finish", {"ticket": begun["ticket"], "credential": credential})

        for _ in range(rounds):
            by_password.append(_cpu_ms(keyrack, sign_in_by_password, _BY_PASSWORD))
            by_passkey.append(_cpu_ms(keyrack, sign_in_by_passkey, _BY_PASSKEY))
            checks.append(_cpu_ms_of_a_check())
        ten_user, _ = keyrack.seeds.user(sessions=0)
        ten = [keyrack.seeds.passkey(ten_user, device.add(_RP_ID, ten_user.encode())) for _ in range(10)][-1]
    password_ms, passkey_ms, check_ms = map(statistics.median, (by_password, by_passkey, checks))
    rows = [
        (f"log in by password, bcrypt at {_BCRYPT_ROUNDS}", f"{password_ms:.1f}"),
        ("sign in by passkey (ES256), both requests", f"{passkey_ms:.2f}"),
        ("of that the check of the answer", f"{check_ms:.2f}"),
    ]
    goals = [
        Goal("CPU of a sign-in by passkey / by password", passkey_ms / password_ms, at_most=0.01, digits=4),
        Goal("CPU of the check of a passkey / log in by password", check_ms / password_ms, at_most=0.01, digits=4),
        Goal("bytes of a passkey in Redis, its field and value", one.field, at_most=600, digits=0),
        Goal("bytes of Redis' memory for each of a user's ten, with the key", ten.memory / 10, at_most=600, digits=0),
    ]
    how = (
        f"{_CLIENTS} clients at once, with `VERIFY_LEASE=0`. CPU is that of the workers, without Redis and without the "
        "clients."
    )
    return Section("passkeys", how, ("what", "CPU ms"), rows, goals)


def _cpu_ms(keyrack: Keyrack, sign_in: Callable[[requests.Session, int], None], count: int) -> float:
    """Return the processor time that the workers take for a sign-in. Each client signs in so many times."""

    def run(number: int) -> None:
        with requests.Session() as client:
            for _ in range(count):
                sign_in(client, number)

    before = sum(keyrack.server.cpu_s())
    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(clients.map(run, range(_CLIENTS)))
    return 1000 * (sum(keyrack.server.cpu_s()) - before) / (_CLIENTS * count)


def _cpu_ms_of_a_check() -> float:
    device, challenge = Authenticator(_ORIGIN), new_challenge()
    made = device.add(_RP_ID, b"1")
    answers = [device.answer(made, challenge) for _ in range(_CLIENTS * _BY_PASSKEY)]
    party, passkeys = RelyingParty(_RP_ID, (_ORIGIN,)), [as_passkey(made)]
    began = time.process_time()
    for answer in answers:
        verify_assertion(party, answer, challenge, "1", passkeys, needs_uv=True)
    return 1000 * (time.process_time() - began) / len(answers)
