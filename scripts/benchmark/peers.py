"""Keyrack beside other services that hold sessions, from one run of a program that measures them side by side.

That program is not here. It writes a JSON list of rounds. Each maps the name of a service to its figures, by what was
asked: verify, list, revoke and login. Each has "rps" (requests a second) and "cpu_ms" (of its processes, a request).
"""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmark.chart import Bar, Chart
from scripts.benchmark.report import Goal, Section

_NAMES = {
    "keyrack": "Keyrack",
    "keyrack-base": "Keyrack, the build before",
    "better-auth": "better-auth, sessions in Redis",
    "better-auth-cookiecache": "better-auth, cookie cache",
    "better-auth-pg": "better-auth, sessions in Postgres",
    "django-allauth": "django-allauth",
    "floor-flask": "an empty Flask view",
    "floor-node": "an empty server in Node",
}
_BEST = "better-auth"
_ASKED = {"verify": "who is signed in", "list": "list of 5 sessions", "revoke": "end one session", "login": "log in"}
_WANTED = {"verify": 20, "list": 2.5, "revoke": 2.2}


def read_peers(path: Path) -> tuple[Section, Sequence[Chart]]:
    """Return the section and the bars of a run.

    Args:
        path: The file with its figures.
    """
    rounds = json.loads(path.read_text(encoding="utf-8"))

    def median(name: str, asked: str, figure: str) -> float | None:
        found = [one[name][asked][figure] for one in rounds if asked in one.get(name, {})]
        return statistics.median(found) if found else None

    names = [name for name in _NAMES if name in rounds[0]]
    rates = {name: {asked: median(name, asked, "rps") for asked in _ASKED} for name in names}
    rows = []
    for name in names:
        cpu_ms = median(name, "verify", "cpu_ms")
        rows.append((_NAMES[name], *(_shown(rates[name][asked]) for asked in _ASKED), _shown(cpu_ms and 1000 * cpu_ms)))
    goals = [
        Goal(f"{_ASKED[asked]} / {_NAMES[_BEST]}", rates["keyrack"][asked] / rates[_BEST][asked], least)
        for asked, least in _WANTED.items()
        if {"keyrack", _BEST} <= set(names)
    ]  # fmt: skip
    measured = f"medians of {len(rounds)} rounds in turn" if len(rounds) > 1 else "of one round"
    how = (
        "![Requests a second of each service](images/peers.svg)\n\n"
        f"Requests a second, {measured}, with two processes each and 32 connections "
        "(8 to log in) on the same two cores. Each service hashes passwords by its own defaults."
    )
    head = ("service", *_ASKED.values(), "CPU µs to say who is signed in")
    charts = [
        Chart(
            f"{_ASKED[asked]}: requests",
            [
                Bar(_NAMES[name], rate, is_ours=name.startswith("keyrack"), is_now=name == "keyrack")
                for name in names
                if (rate := rates[name][asked])
            ],
        )
        for asked in ("verify", "list", "revoke")
    ]
    return Section("peers", how, head, rows, goals), charts


def _shown(figure: float | None) -> str:
    if figure is None:
        return "–"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}"
