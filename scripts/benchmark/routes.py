"""The requests that clients and gateways send, beside floors, VERIFY_LEASE=0 and an earlier build."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from app import tokens
from scripts.benchmark.chart import Bar, Chart
from scripts.benchmark.load import CONNECTIONS, SECONDS, Load, Request, Run, Series, in_turn
from scripts.benchmark.machinery import WORKERS, Keyrack, Redis, Server, measure
from scripts.benchmark.report import Goal, Section
from scripts.benchmark.seeds import Seeds

API = "/api/v9"
VERIFY, LIST, ME = "/gateway/verify", f"{API}/auth/sessions", f"{API}/users/@me"
EMPTY_FLASK = "empty Flask view"
_OF_GUNICORN = ("-k", "gthread")
_FLOORS: dict[str, tuple[str, ...]] = {
    EMPTY_FLASK: ("flask_empty", *_OF_GUNICORN),
    "empty Flask view in Keyrack's worker": ("flask_empty",),
    "Flask view, one Redis GET": ("flask_get", *_OF_GUNICORN),
    "empty WSGI application": ("wsgi_empty", *_OF_GUNICORN),
}
_NOW, _WITHOUT, _BASE = "now", "`VERIFY_LEASE=0`", "the build before"
# More than are sent: each may be sent once alone.
_MOST_NEW, _MOST_ENDINGS = 25_000 * SECONDS, 4_000 * SECONDS
# Workers hold leases only while they are asked. This asks them 160 times a second.
_CHECKS_BESIDE = Load(connections=8, seconds=SECONDS + 3, pause_ms=100)


def verify(seeds: Seeds, users: int = 200) -> list[Request]:
    """Return checks of a session of each user. Every worker soon keeps them in memory."""
    return [Request("GET", VERIFY, token) for token in seeds.callers(users)]


def verify_new(seeds: Seeds) -> list[Request]:
    """Return checks of sessions that no worker has met before."""
    return [Request("GET", VERIFY, token) for token in seeds.tokens(_MOST_NEW)]


def listing(seeds: Seeds, users: int = 200) -> list[Request]:
    """Return lists of five sessions."""
    return [Request("GET", LIST, token) for token in seeds.callers(users)]


def me(seeds: Seeds) -> list[Request]:
    return [Request("GET", ME, token) for token in seeds.callers()]


def endings(seeds: Seeds) -> list[Request]:
    """Return requests with a proof, each of which ends another session of the caller."""
    users = seeds.users(_MOST_ENDINGS // 4)
    return [
        Request("POST", f"{LIST}/logout", caller, proof, f'{{"session_id_hashes": ["{tokens.id_hash(other)}"]}}')
        for (_, (caller, *others)), proof in zip(users, seeds.proofs(users), strict=True)
        for other in others
    ]


def log_outs(seeds: Seeds) -> list[Request]:
    return [Request("POST", f"{API}/auth/logout", token) for token in seeds.tokens(_MOST_ENDINGS)]


@dataclass(frozen=True, slots=True)
class _Route:
    """
    Attributes:
        can_repeat: Each request may be sent any number of times.
        checks_beside: Sessions are checked meanwhile, so that there are leases that an ending waits for.
    """

    name: str
    make: Callable[[Seeds], list[Request]]
    can_repeat: bool = True
    checks_beside: bool = False
    load: Load = field(default=Load())


_ONE = Load(connections=1)
_ROUTES = (
    _Route("verify", verify),
    _Route("verify, one client", verify, load=_ONE),
    _Route("verify, met for the first time", verify_new, can_repeat=False),
    _Route("list of 5 sessions", listing),
    _Route("`/users/@me`", me),
    _Route("end one session", endings, can_repeat=False, checks_beside=True),
    _Route("end one session, one client", endings, can_repeat=False, checks_beside=True, load=_ONE),
    _Route("log out", log_outs, can_repeat=False, checks_beside=True),
)


def measure_routes(rounds: int, base: Path | None) -> tuple[Section, Sequence[Chart]]:
    """Measure the routes of each build in turn, round after round.

    Args:
        base: The folder of an earlier build, with its own .venv.
    """
    builds = {_NOW: {}, _WITHOUT: {"VERIFY_LEASE": "0"}} | ({_BASE: {"checkout": base}} if base else {})
    measured: dict[tuple[str, str], Series] = {}
    with ExitStack() as started:
        redis = started.enter_context(closing(Redis()))
        floors = {
            name: started.enter_context(closing(Server(f"scripts.benchmark.floors:{application}", redis.url, *options)))
            for name, (application, *options) in _FLOORS.items()
        }
        keyracks = {name: started.enter_context(closing(Keyrack(**how))) for name, how in builds.items()}
        for keyrack in keyracks.values():
            keyrack.measure(verify(keyrack.seeds), Load(seconds=1))  # the first requests of a process are slow
        for number in range(rounds):
            for name, server in in_turn(floors, number):
                measured.setdefault((name, ""), Series()).append(measure(server, [Request("GET", "/")]))
            for route in _ROUTES:
                for name, keyrack in in_turn(keyracks, number):
                    measured.setdefault((route.name, name), Series()).append(_measure(route, keyrack))
    return _section(measured, _BASE if base else _WITHOUT), _charts(measured)


def _measure(route: _Route, keyrack: Keyrack) -> Run:
    requests = route.make(keyrack.seeds)
    if route.checks_beside:
        with _CHECKS_BESIDE.beside(keyrack.server.url, verify(keyrack.seeds)):
            run = keyrack.measure(requests, route.load)
    else:
        run = keyrack.measure(requests, route.load)
    if not route.can_repeat and run.count > len(requests):
        raise SystemExit(f"{route.name}: {run.count} requests were sent, and only {len(requests)} could be sent once")
    return run


def _section(measured: dict[tuple[str, str], Series], before: str) -> Section:
    """
    Args:
        before: The build that this one is compared with.
    """
    section = Section(
        "routes",
        f"{WORKERS} processes, {CONNECTIONS} connections of wrk on the same cores, {SECONDS} s each; medians of rounds "
        "in turn. CPU is that of the processes, without Redis. While sessions end, 160 others are checked a second.",
        ("what", "requests/s", "p50 ms", "p99 ms", "CPU µs"),
    )
    for (name, build), series in measured.items():
        figures = (f"{series.per_second:,.0f}", f"{series.p50_ms:.2f}", f"{series.p99_ms:.1f}", f"{series.cpu_us:,.0f}")
        section.rows.append((f"{name}, {build}" if build in {_WITHOUT, _BASE} else name, *figures))

    def ratio(name: str, other: tuple[str, str]) -> float:
        return measured[name, _NOW].per_second / measured[other].per_second

    def to_before(name: str) -> float:
        return ratio(name, (name, before))

    floor, new, one = (EMPTY_FLASK, ""), "verify, met for the first time", "end one session, one client"
    section.goals = [
        Goal(f"verify / {EMPTY_FLASK}", ratio("verify", floor), 5),
        Goal(f"verify / {before}", to_before("verify"), 7),
        Goal("CPU of a check, µs", measured["verify", _NOW].cpu_us, at_most=45, digits=0),
        Goal(f"{new} / {before}", to_before(new), 1),
        Goal(f"`/users/@me` / {EMPTY_FLASK}", ratio("`/users/@me`", floor), 0.5),
        Goal(f"end one session / {before}", to_before("end one session"), 0.9),
        Goal(f"log out / {before}", to_before("log out"), 0.9),
        Goal(
            f"end one session, one client: p50 beyond that of {before}, ms",
            measured[one, _NOW].p50_ms - measured[one, before].p50_ms,
            at_most=5,
        ),
    ]  # fmt: skip
    if before == _BASE:
        section.goals.append(Goal(f"`/users/@me` / {before}", to_before("`/users/@me`"), 2))
    return section


def _charts(measured: dict[tuple[str, str], Series]) -> Sequence[Chart]:
    """Return the checks, and all other requests, which are ten times slower."""

    def bars(names: Sequence[str]) -> list[Bar]:
        floors = [Bar(name, series.per_second) for (name, build), series in measured.items() if not build]
        return floors + [
            Bar(
                f"{name.replace('`', '')}, {build.replace('`', '')}",
                series.per_second,
                is_ours=True,
                is_now=build == _NOW,
            )
            for (name, build), series in measured.items()
            if build and name in names
        ]

    checks = ("verify", "verify, met for the first time")
    others = ("list of 5 sessions", "`/users/@me`", "end one session", "log out")
    return Chart("checks", bars(checks)), Chart("other requests", bars(others))
