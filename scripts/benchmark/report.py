"""The sections of docs/performance.md that scripts/bench writes: tables of figures, and of goals."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scripts.benchmark.machinery import ROOT

PAGE = ROOT / "docs/performance.md"


def begin_of(name: str) -> str:
    """Return the mark in docs/performance.md behind which the section of a part stands."""
    return f"<!-- scripts/bench --only {name} writes from here -->"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is wanted.

    Attributes:
        at_least, at_most: The bound; one of the two is None.
        digits: How many are shown behind the point.
    """

    what: str
    reached: float
    at_least: float | None = None
    at_most: float | None = None
    digits: int = 2

    def row(self) -> tuple[str, str, str, str]:
        is_least = self.at_least is not None
        bound = self.at_least if is_least else self.at_most
        is_reached = self.reached >= bound if is_least else self.reached <= bound
        wanted = f"{bound:g} or {'more' if is_least else 'less'}"
        return self.what, wanted, f"{self.reached:,.{self.digits}f}", "yes" if is_reached else "**no**"


@dataclass(slots=True)
class Section:
    """What a part of the benchmark found.

    Attributes:
        name: That of the part, and of the marks in docs/performance.md between which the section stands.
        how: A sentence or two on how it was measured.
        head, rows: The table. The first column is a text, all others are numbers.
    """

    name: str
    how: str
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def text(self) -> str:
        """Return the section in Markdown."""
        parts = [self.how, _table(self.head, self.rows)]
        if self.goals:
            parts.append(_table(("figure", "wanted", "reached", ""), [goal.row() for goal in self.goals]))
        return "\n\n".join(parts)

    def write(self) -> None:
        """Put the section between its marks in docs/performance.md."""
        begin, end = begin_of(self.name), "<!-- to here -->"
        before, mark, rest = PAGE.read_text(encoding="utf-8").partition(begin)
        if not mark:
            raise SystemExit(f"{PAGE} has no mark {begin}")
        after = rest.partition(end)[2]
        PAGE.write_text(f"{before}{begin}\n\n{self.text()}\n\n{end}{after}", encoding="utf-8")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ("---", *("--:" for _ in head[1:])), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
