"""Starts Keyrack and the floors, measures them in turn, round after round, and prints a table of medians."""

import argparse
import os
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import bcrypt

from app import tokens
from scripts.benchmark.kinds import format_kinds, measure_kinds
from scripts.benchmark.machinery import SECONDS, Measured, Redis, Seeds, Server, load, request
from scripts.benchmark.report import Report, table, write

API = "/api/v9"
VERIFY, SESSIONS = "/gateway/verify", f"{API}/auth/sessions"
FLOORS = {
    "empty Flask view": "flask_empty",
    "Flask view, one Redis GET": "flask_get",
    "empty WSGI application": "wsgi_empty",
    "WSGI application, one Redis GET": "wsgi_get",
    "WSGI application, one lean GET": "wsgi_get_lean",
}
SIZES = (1_000, 100_000, 1_000_000)
BCRYPT_ROUNDS = 12
LOGIN_CLIENTS = 16
LOGIN_SECONDS = 8
PASSWORD = "correct horse battery"  # noqa: S105 - of users that this run makes and drops


@dataclass
class Bench:
    redis: Redis
    seeds: Seeds
    floors: dict[str, Server]
    keyrack: Server
    rounds: int

    def measure_throughput(self) -> tuple[dict[str, Measured], list[float]]:
        """Measure every target in turn.

        Returns:
            The figures by target, and for each round the busiest worker's share of the work of verify.
        """
        measured: dict[str, Measured] = {}
        shares = []
        as_somebody = self._as_somebody()
        for _ in range(self.rounds):
            for name, server in self.floors.items():
                measured.setdefault(name, Measured()).add(load(server.url, [request("GET")]))
            before = self.keyrack.cpu_ticks()
            measured.setdefault("verify", Measured()).add(load(self.keyrack.url + VERIFY, as_somebody))
            used = [after - start for after, start in zip(self.keyrack.cpu_ticks(), before, strict=True)]
            shares.append(max(used) / sum(used))
            measured.setdefault("list of 5 sessions", Measured()).add(load(self.keyrack.url + SESSIONS, as_somebody))
            endings = self._endings()
            measured.setdefault("end one session", Measured()).add(
                load(self.keyrack.url + SESSIONS + "/logout", endings)
            )
            log_outs = [request("POST", token) for _ in range(SECONDS * 1500) for token in self.seeds.user()[1]]
            measured.setdefault("log out", Measured()).add(load(self.keyrack.url + f"{API}/auth/logout", log_outs))
        return measured, shares

    def measure_logins(self) -> tuple[Measured, float, float, float]:
        """Measure logins, bare bcrypt, and verify beside logins.

        Returns:
            The logins, the bare bcrypt hashes a second, and the p99 of verify (ms): for one client alone, and while 16
            others log in.
        """
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()
        self.seeds.user(hashed, sessions=0)
        body = f'{{"login": "{self.seeds.last_email}", "password": "{PASSWORD}"}}'
        as_somebody = self._as_somebody()
        logins, bare, idle, flooded = Measured(), [], Measured(), Measured()

        def log_in() -> str:
            url = self.keyrack.url + f"{API}/auth/login"
            return load(url, [request("POST", body=body)], connections=LOGIN_CLIENTS, seconds=LOGIN_SECONDS)

        with ThreadPoolExecutor(1) as background:
            for _ in range(self.rounds):
                bare.append(_bare_bcrypt_a_second(hashed))
                logins.add(log_in())
                idle.add(load(self.keyrack.url + VERIFY, as_somebody, connections=1))
                flood = background.submit(log_in)
                time.sleep(2)  # until the flood is under way
                flooded.add(load(self.keyrack.url + VERIFY, as_somebody, connections=1))
                flood.result()
        return logins, statistics.median(bare), idle.median()[2], flooded.median()[2]

    def _as_somebody(self) -> list[str]:
        return [request("GET", self.seeds.user()[1][0]) for _ in range(200)]

    def _endings(self) -> list[str]:
        """Return requests with a proof, each of which ends another session."""
        lines = []
        for _ in range(SECONDS * 1500):
            user_id, (caller, *others) = self.seeds.user()
            proof = self.seeds.proof(user_id, caller)
            bodies = (f'{{"session_id_hashes": ["{tokens.id_hash(other)}"]}}' for other in others)
            lines += [request("POST", caller, proof, body) for body in bodies]
        return lines


def measure_sizes(rounds: int) -> dict[int, tuple[float, float]]:
    """Measure verify and list with more and more sessions in Redis. Each size has its own Redis and Keyrack.

    Returns:
        Requests a second for verify and for list, by number of sessions.
    """
    redises = [Redis() for _ in SIZES]
    servers = [Server("wsgi:app", redis, port) for redis, port in zip(redises, _free_ports(len(SIZES)), strict=True)]
    measured = {size: (Measured(), Measured()) for size in SIZES}
    try:
        somebody = []
        for size, redis in zip(SIZES, redises, strict=True):
            seeds = Seeds(redis)
            somebody.append([request("GET", seeds.user()[1][0]) for _ in range(200)])
            seeds.crowd(size // 5 - 200)
        for _ in range(rounds):
            for size, server, requests in zip(SIZES, servers, somebody, strict=True):
                verify, listing = measured[size]
                verify.add(load(server.url + VERIFY, requests))
                listing.add(load(server.url + SESSIONS, requests))
    finally:
        for started in (*servers, *redises):
            started.close()
    return {size: (verify.median()[0], listing.median()[0]) for size, (verify, listing) in measured.items()}


def measure_bytes_a_session() -> float:
    """Return the bytes of Redis' memory that a session takes, with its share of a user who has five."""
    redis = Redis()
    try:
        seeds = Seeds(redis)
        seeds.user()
        before = redis.raw.info("memory")["used_memory"]
        seeds.crowd(20_000)
        return (redis.raw.info("memory")["used_memory"] - before) / 100_000
    finally:
        redis.close()


def _bare_bcrypt_a_second(hashed: str, seconds: float = 4) -> float:
    """Return how many passwords bcrypt checks in a second, with one thread a core and nothing else."""
    until = time.monotonic() + seconds

    def check() -> int:
        count = 0
        while time.monotonic() < until:
            bcrypt.checkpw(PASSWORD.encode(), hashed.encode())
            count += 1
        return count

    cores = os.cpu_count() or 1
    began = time.monotonic()
    with ThreadPoolExecutor(cores) as threads:
        count = sum(threads.map(lambda _: check(), range(cores)))
    return count / (time.monotonic() - began)


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, of which the median is shown")
    parser.add_argument("--write", action="store_true", help="put table and bars into docs/performance.md")
    parser.add_argument("--kinds", action="store_true", help="nothing but each kind of Redis beside one server")
    options = parser.parse_args()
    if options.kinds:
        print(format_kinds(measure_kinds(options.rounds)))
        return
    redis = Redis()
    ports = _free_ports(len(FLOORS) + 1)
    floors = {
        name: Server(f"scripts.benchmark.floors:{application}", redis, port)
        for (name, application), port in zip(FLOORS.items(), ports, strict=False)
    }
    keyrack = Server("wsgi:app", redis, ports[-1])
    try:
        bench = Bench(redis, Seeds(redis), floors, keyrack, options.rounds)
        throughput, share = bench.measure_throughput()
        logins = bench.measure_logins()
        report = Report(throughput, share, measure_sizes(2 * options.rounds + 1), measure_bytes_a_session(), *logins)
    finally:
        for server in (*floors.values(), keyrack):
            server.close()
        redis.close()
    print(table(report))
    if options.write:
        write(report)


if __name__ == "__main__":
    main()
