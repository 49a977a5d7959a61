"""The bars in docs/images/, as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_NOW, _BEFORE, _OTHERS = "#3b5bdb", "#91a7ff", "#9aa4b2"


@dataclass(frozen=True, slots=True)
class Bar:
    """
    Attributes:
        is_ours: It is of Keyrack, in blue. Others are grey.
        is_now: It is of this build as it is set by default; else the blue is pale.
    """

    name: str
    per_second: float
    is_ours: bool = False
    is_now: bool = False

    @property
    def colour(self) -> str:
        ours = _NOW if self.is_now else _BEFORE
        return ours if self.is_ours else _OTHERS


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    bars: Sequence[Bar]


def draw(charts: Sequence[Chart], path: Path) -> None:
    """Draw charts one below the other."""
    import matplotlib as mpl  # noqa: PLC0415 - only a run that writes needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "keyrack"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after its backend is chosen

    counts = [len(chart.bars) for chart in charts]
    figure, all_axes = plt.subplots(
        len(charts), figsize=(8, 0.3 * sum(counts) + 0.9 * len(charts)), layout="constrained", height_ratios=counts,
        squeeze=False,
    )  # fmt: skip
    for chart, axes in zip(charts, all_axes[:, 0], strict=True):
        names = [bar.name for bar in chart.bars]
        drawn = axes.barh(names, [bar.per_second for bar in chart.bars], color=[bar.colour for bar in chart.bars])
        axes.bar_label(drawn, fmt="{:,.0f}", padding=4)
        axes.invert_yaxis()
        axes.set_xlabel(f"{chart.title} a second, more is better")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.12)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
