"""Measures how well the devices behind user agents are named, by weighted visits, and what naming one costs."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.callers.client_info import read_client
from app.callers.location import Locations
from app.callers.user_agents import describe
from app.rules.device_names import kind_of, made_up_name
from app.stores.session_records import Client

_ROUNDS = 3  # the quickest counts


@dataclass
class Report:
    """Weights of visits.

    Attributes:
        devices: By name and kind.
        unknown: User agents without a kind or a name.
        on_unknown: User agents whose name ends in "on Unknown".
    """

    devices: Counter[tuple[str, str]] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    on_unknown: Counter[str] = field(default_factory=Counter)


def read(lines: Iterable[str]) -> list[tuple[str, float]]:
    """Return user agents and their weights. A line without a weight counts 1; empty lines are passed over.

    Raises:
        ValueError: A weight is no number.
    """
    parts = (line.rstrip("\r\n").partition("\t") for line in lines)
    return [(user_agent, float(weight or 1)) for user_agent, _, weight in parts if user_agent.strip()]


def measure(visits: Iterable[tuple[str, float]]) -> Report:
    report = Report()
    for user_agent, weight in visits:
        client = _client_of(user_agent)
        name, kind = made_up_name(client), kind_of(client)
        report.devices[name, kind] += weight  # type: ignore[assignment]
        if kind == "unknown" or name == "Unknown device":
            report.unknown[user_agent] += weight  # type: ignore[assignment]
        if name.lower().endswith("on unknown"):
            report.on_unknown[user_agent] += weight  # type: ignore[assignment]
    return report


def cost_us(user_agents: Sequence[str]) -> tuple[float, float]:
    """Return the processor's time for a new user agent, and for one that was met lately, in microseconds."""
    new = []
    for number in range(_ROUNDS):
        fresh = [f"{user_agent} {number}" for user_agent in user_agents]  # so that no cache has met them
        describe.cache_clear()
        new.append(_time_us(fresh))
    last = user_agents[:1000]  # less than the cache keeps
    _time_us(last)
    return min(new), min(_time_us(last) for _ in range(_ROUNDS))


def _time_us(user_agents: Sequence[str]) -> float:
    began = time.thread_time()
    for user_agent in user_agents:
        _client_of(user_agent)
    return (time.thread_time() - began) / len(user_agents) * 1e6


def _client_of(user_agent: str) -> Client:
    return read_client("", user_agent, None, Locations(None))


def _share(part: Counter[str], total: float) -> str:
    return f"{sum(part.values()) / total:.3%} of visits, {len(part)} user agents"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/user_agents", description=__doc__)
    parser.add_argument("file", type=Path, help="a user agent on each line, and its weight after a tab")
    parser.add_argument("--names", type=int, default=20, metavar="N", help="list the N most frequent names (20)")
    parser.add_argument("--unknown", action="store_true", help="list the user agents without a kind or a name")
    wanted = parser.parse_args(arguments)
    visits = read(wanted.file.read_text(encoding="utf-8", errors="replace").splitlines())
    if not visits:
        sys.exit("The file has no user agents.")
    report = measure(visits)
    total = sum(weight for _, weight in visits)
    new, met = cost_us(list({user_agent for user_agent, _ in visits}))
    print(f"no kind or no name  {_share(report.unknown, total)}")
    print(f'"on Unknown"        {_share(report.on_unknown, total)}')
    print(f"cost                {new:.1f} µs for a new one, {met:.1f} µs for one that was met lately")
    for (name, kind), weight in report.devices.most_common(wanted.names):
        print(f"{weight / total:8.3%}  {kind:8} {name}")
    for user_agent, weight in report.unknown.most_common() if wanted.unknown else []:
        print(f"{weight / total:8.3%}  {user_agent}")


if __name__ == "__main__":
    main(sys.argv[1:])
