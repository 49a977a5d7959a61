"""The table for docs/reliability.md."""

from collections.abc import Sequence
from statistics import median

from scripts.faults.runner import Result

_HEAD = [
    "fault",
    "faults",
    "operations",
    "acknowledged",
    "lost",
    "resurrected",
    "wrong answers",
    "half done",
    "slowest, s",
    "seconds until back, median / most",
    "after Redis, median / most",
]


def table(results: Sequence[Result]) -> str:
    """Return the results as a table in Markdown."""
    lines = [_HEAD, ["---"] + ["---:"] * (len(_HEAD) - 1), *(_cells(result) for result in results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(result: Result) -> list[str]:
    counts = [len(result.faults), result.operations, result.acknowledged]
    found = [str(result.count(kind)) for kind in ("lost", "resurrected", "wrong")]
    found.append(str(result.count("half done")) if result.row.refuses_whole else "–")
    times = [f"{result.slowest_s:.1f}", _times(result.back_s), _times(result.after_redis_s)]
    return [result.row.what, *(f"{count:,}" for count in counts), *found, *times]


def _times(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.1f} / {max(seconds):.1f}" if seconds else "–"
