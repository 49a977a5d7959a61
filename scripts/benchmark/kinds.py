"""The cost of a check and of a sign-out on each kind of Redis, with and without waiting for a replica."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

from app.stores.connection.connect import connect
from scripts.benchmark.load import SECONDS, Request, Series
from scripts.benchmark.machinery import Server, measure
from scripts.benchmark.routes import API, VERIFY
from scripts.benchmark.seeds import Seeds
from tests.ports import lasting_port
from tests.servers import RedisServer
from tests.sets import ClusterSet, SentinelSet


class Single:
    """One server. It listens on a port, as the other kinds do."""

    def __init__(self, *options: str) -> None:
        port = lasting_port()
        self._server = RedisServer("--port", str(port), *options)
        self.plain_url = f"redis://127.0.0.1:{port}/0"

    def close(self) -> None:
        self._server.close()


_KEPT = ("--appendonly", "yes")
_WAITS = {"REDIS_WAIT_REPLICAS": "1"}
KINDS: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    "one server": (Single, {}),
    "Sentinels, two replicas": (SentinelSet, {}),
    "Sentinels, one replica waited for": (SentinelSet, _WAITS),
    "Cluster of three, a replica each": (ClusterSet, {}),
    "Cluster of three, the replica waited for": (ClusterSet, _WAITS),
}


def measure_kinds(rounds: int) -> dict[str, tuple[Series, Series]]:
    """Measure verify and log out on each kind in turn, round after round. Return the figures of both by kind."""
    measured = {name: (Series(), Series()) for name in KINDS}
    with ExitStack() as started:
        targets = {}
        for name, (make_set, environment) in KINDS.items():
            url = started.enter_context(closing(make_set(*_KEPT))).plain_url
            client = started.enter_context(connect(url))
            server = started.enter_context(closing(Server("wsgi:app", url, **environment)))
            targets[name] = (server, Seeds(client))
        for _ in range(rounds):
            for name, (server, seeds) in targets.items():
                verify, log_out = measured[name]
                checks = [Request("GET", VERIFY, seeds.user()[1][0]) for _ in range(200)]
                verify.append(measure(server, checks))
                tokens = [token for _ in range(SECONDS * 900) for token in seeds.user()[1]]
                log_out.append(measure(server, [Request("POST", f"{API}/auth/logout", token) for token in tokens]))
    return measured


def format_kinds(measured: dict[str, tuple[Series, Series]]) -> str:
    """Return a table with requests a second, their ratio to one server, and the median time of an answer."""
    lines = ["| Redis | verify/s | to one server | log out/s | to one server | p50 ms |", "| --- " * 6 + "|"]
    first_checks, first_ends = measured["one server"]
    for name, (checks, ends) in measured.items():
        ratios = checks.per_second / first_checks.per_second, ends.per_second / first_ends.per_second
        figures = f"{checks.per_second:,.0f} | {ratios[0]:.2f} | {ends.per_second:,.0f} | {ratios[1]:.2f}"
        lines.append(f"| {name} | {figures} | {ends.p50_ms:.1f} |")
    return "\n".join(lines)
