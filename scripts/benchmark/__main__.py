"""Measures Keyrack part by part, and prints tables of medians."""

import argparse
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.benchmark.chart import Chart, draw
from scripts.benchmark.crowd import measure_crowd
from scripts.benchmark.events import measure_events
from scripts.benchmark.gateway import measure_gateway
from scripts.benchmark.kinds import format_kinds, measure_kinds
from scripts.benchmark.logins import measure_logins
from scripts.benchmark.machinery import ROOT
from scripts.benchmark.memory import measure_memory
from scripts.benchmark.passkeys import measure_passkeys
from scripts.benchmark.peers import read_peers
from scripts.benchmark.report import Section
from scripts.benchmark.routes import measure_routes
from scripts.benchmark.sizes import measure_sizes

Found = Section | tuple[Section, Sequence[Chart]]
PARTS: dict[str, Callable[[argparse.Namespace], Found]] = {
    "routes": lambda options: measure_routes(options.rounds, options.base and options.base.resolve()),
    "logins": lambda options: measure_logins(options.rounds),
    "passkeys": lambda options: measure_passkeys(options.rounds),
    "events": lambda options: measure_events(options.rounds, options.base and options.base.resolve()),
    "memory": lambda _: measure_memory(),
    "sizes": lambda options: measure_sizes(options.rounds),
    "gateway": lambda options: measure_gateway(options.rounds),
    "crowd": lambda _: measure_crowd(),
    "peers": lambda options: read_peers(options.peers),
}
_IMAGES = {"routes": "performance.svg", "peers": "peers.svg"}


def main() -> None:
    options = _read_options()
    if options.kinds:
        print(format_kinds(measure_kinds(options.rounds)))
        return
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for name in options.only:
        found = PARTS[name](options)
        section, charts = found if isinstance(found, tuple) else (found, ())
        print(f"\n## {name}\n\n{section.text()}", flush=True)
        if options.write:
            section.write()
            if charts:
                draw(charts, ROOT / "docs/images" / _IMAGES[name])


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, of which the median is shown")
    parser.add_argument("--only", metavar="NAMES", help=f"these parts alone, with commas: {', '.join(PARTS)}")
    parser.add_argument(
        "--base", type=Path, metavar="CHECKOUT", help="an earlier build, with its .venv, to compare with"
    )
    parser.add_argument("--peers", type=Path, metavar="FILE", help="figures of other services to show, see peers.py")
    parser.add_argument("--write", action="store_true", help="put tables and bars into docs/performance.md")
    parser.add_argument("--kinds", action="store_true", help="nothing but each kind of Redis beside one server")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else [name for name in PARTS if name != "peers"]
    if options.peers and "peers" not in options.only:
        options.only.append("peers")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}")
    if "peers" in options.only and not options.peers:
        parser.error("the part peers needs --peers FILE")
    return options


if __name__ == "__main__":
    main()
