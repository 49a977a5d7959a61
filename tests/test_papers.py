"""What the papers promise is there: each requirement has its line, and each path that they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = 38
PAPERS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "findings").glob("*.md")])


def rows():
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    return [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| [0-9]", line)]


def test_every_requirement_has_a_line():
    numbers = {int(number) for row in rows() for number in row[0].split(",")}
    assert numbers == set(range(1, REQUIREMENTS + 1))


def test_every_line_names_where_it_is_kept():
    for _, promise, *places in rows():
        assert re.findall(r"`[\w./]+`", " ".join(places)), promise


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_path_that_a_paper_names_is_there(paper):
    """Paths are written whole, from the top; links as the paper's own folder has them."""
    text = paper.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w./-])(?:\.ci|app|docs|findings|scripts|tests)/[\w./@-]*[\w/]", text)
    linked = re.findall(r"\]\(([^)#:]+)[)#]", text)
    missing = [path for path in named if not (ROOT / path).exists()]
    assert missing + [path for path in linked if not (paper.parent / path).exists()] == []


def test_the_house_names_every_package():
    """README's table has each package and module of the first level, in the order of the layers."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`app/(\w+)(?:/|\.py)`", readme[readme.index("## The house") :])
    there = {path.stem for path in (ROOT / "app").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(named) - {"templates", "static"} == there
    layers = re.findall(r"^    (\w+)$", (ROOT / "scripts/importlinter.ini").read_text(encoding="utf-8"), re.MULTILINE)
    known = [layer for layer in layers if layer in there]
    assert sorted(known, key=named.index) == known


def test_where_is_it_names_functions_that_are_there():
    """A name behind a path stands in that file."""
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`(app/[\w/]+\.\w+)`, `(\w+)`", table)
    assert named
    assert [(path, name) for path, name in named if name not in (ROOT / path).read_text(encoding="utf-8")] == []
