"""The results of a run, as a table, and as bars in docs/performance.md."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.machinery import CONNECTIONS, ROOT, SECONDS, Measured

FLASK, WSGI = "Flask view, one Redis GET", "WSGI application, one Redis GET"
LEAN = "WSGI application, one lean GET"
BEGIN, END = "<!-- scripts/bench writes from here -->", "<!-- to here -->"


@dataclass
class Report:
    throughput: dict[str, Measured]
    busiest_shares: list[float]
    by_size: dict[int, tuple[float, float]]
    bytes_a_session: float
    logins: Measured
    bare_bcrypt: float
    idle_p99_ms: float
    flooded_p99_ms: float

    def per_second(self, name: str) -> float:
        return self.throughput[name].median()[0]

    def goals(self) -> list[tuple[str, str, str]]:
        """Return each figure with its goal and the value that was reached."""

        def ratio(name: str, floor: str) -> str:
            return f"{self.per_second(name) / self.per_second(floor):.2f}"

        small, large = min(self.by_size), max(self.by_size)
        changes = [self.by_size[large][at] / self.by_size[small][at] for at in (0, 1)]
        return [
            (f"verify / {FLASK}", "1.3 or more", ratio("verify", FLASK)),
            (f"verify / {WSGI}", "0.80 or more", ratio("verify", WSGI)),
            (f"verify / {LEAN}", "0.80 or more", ratio("verify", LEAN)),
            (f"list of 5 sessions / {FLASK}", "0.65 or more", ratio("list of 5 sessions", FLASK)),
            (f"end one session / {FLASK}", "0.55 or more", ratio("end one session", FLASK)),
            ("verify, 1 million sessions / 1 thousand", "0.90 or more", f"{changes[0]:.2f}"),
            ("list, 1 million sessions / 1 thousand", "0.90 or more", f"{changes[1]:.2f}"),
            ("bytes a session", "520 or less", f"{self.bytes_a_session:.0f}"),
            ("logins / bare bcrypt, same cores", "0.90 or more", f"{self.logins.median()[0] / self.bare_bcrypt:.2f}"),
            ("verify's p99 while 16 log in / idle", "3 or less", f"{self.flooded_p99_ms / self.idle_p99_ms:.2f}"),
            ("busiest worker's share of verify, worst round", "–", f"{max(self.busiest_shares):.2f}"),
        ]  # fmt: skip


def table(report: Report) -> str:
    lines = ["| what | requests/s | p50 ms | p99 ms |", "| --- | --- | --- | --- |"]
    for name, measured in report.throughput.items():
        per_second, p50, p99 = measured.median()
        lines.append(f"| {name} | {per_second:,.0f} | {p50:.1f} | {p99:.1f} |")
    per_second, p50, p99 = report.logins.median()
    lines.append(f"| log in, 16 clients, bcrypt at 12 | {per_second:.1f} | {p50:,.0f} | {p99:,.0f} |")
    lines.append(f"| bare bcrypt at 12, a thread a core | {report.bare_bcrypt:.1f} | | |")
    lines += ["", "| sessions in Redis | verify/s | list/s |", "| --- | --- | --- |"]
    lines += [f"| {size:,} | {verify:,.0f} | {listing:,.0f} |" for size, (verify, listing) in report.by_size.items()]
    lines += ["", "| figure | wanted | reached |", "| --- | --- | --- |"]
    lines += [f"| {what} | {wanted} | {reached} |" for what, wanted, reached in report.goals()]
    return "\n".join(lines)


def write(report: Report) -> None:
    """Write the table between its marks in docs/performance.md, and draw the bars beside it."""
    _draw(report, ROOT / "docs/images/performance.svg")
    page = ROOT / "docs/performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    machine = (
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, Redis on a unix socket, "
        f"wrk with {CONNECTIONS} connections for {SECONDS} s on the same cores."
    )
    section = f"{BEGIN}\n\n{machine}\n\n{table(report)}\n\n{END}"
    page.write_text(before + section + after, encoding="utf-8")


def _draw(report: Report, path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only a run that writes needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "keyrack"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after its backend is chosen

    names = list(report.throughput)
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    colours = ["#9aa4b2" if " Redis" in name or "empty" in name else "#3b5bdb" for name in names]
    bars = axes.barh(names, [report.per_second(name) for name in names], color=colours)
    axes.bar_label(bars, fmt="{:,.0f}", padding=4)
    axes.invert_yaxis()
    axes.set_xlabel("requests a second, more is better; the floors in grey")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
