"""What the papers promise is there: each requirement has its line, and each path that they name exists."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from app import errors, form_errors
from scripts.benchmark import report
from scripts.benchmark.__main__ import PARTS

ROOT = Path(__file__).parents[1]
REQUIREMENTS = {*range(1, 56)}
CODE = sorted(path for path in (ROOT / "app").rglob("*") if path.suffix in (".py", ".lua"))
PAPERS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "findings").glob("*.md")])


def rows():
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    return [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| [0-9]", line)]


def test_every_requirement_has_a_line():
    numbers = {int(number) for row in rows() for number in row[0].split(",")}
    assert numbers == REQUIREMENTS


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


def test_clients_are_told_of_codes_that_are_there():
    """By number and status, as the classes of app/errors.py and app/form_errors.py have them."""
    table = re.findall(r"^\| ([0-9, ]+) \| ([0-9]{3}) \|", (ROOT / "docs/clients.md").read_text(encoding="utf-8"), re.M)
    told = {(int(code), int(status)) for codes, status in table for code in codes.split(",")}
    known = {(kind.code, kind.status) for kind in (vars(errors) | vars(form_errors)).values() if hasattr(kind, "code")}
    assert len(told) > 10
    assert told - known == {(40005, 413)}  # that of a body, in app/web/error_handlers.py


def said_in(code):
    """Docstrings and comments of a file."""
    text = code.read_text(encoding="utf-8")
    if code.suffix == ".lua":
        return re.findall(r"--.*", text)
    nodes = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    )
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return [*(ast.get_docstring(node) or "" for node in nodes), *comments]


@pytest.mark.parametrize("code", CODE, ids=lambda code: str(code.relative_to(ROOT)))
def test_every_path_that_a_docstring_or_comment_names_is_there(code):
    """Paths are written whole, from the top, or from app/, app/stores/ or the file's own folder."""
    said = "\n".join(said_in(code))
    named = re.findall(r"(?<![\w./-])[\w./@-]+\.(?:conf|lua|md|py)\b", said)
    named += re.findall(r"(?<![\w./-])(?:app|cli|docs|lua|mail|routes|rules|stores|tests|web|wire)/(?![\w.])", said)
    folders = (ROOT, ROOT / "app", ROOT / "app/stores", code.parent)
    assert [path for path in named if not any((folder / path).exists() for folder in folders)] == []


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


def test_the_page_of_speed_has_a_place_for_each_part_of_the_benchmark():
    page = report.PAGE.read_text(encoding="utf-8")
    assert {part: page.count(report.begin_of(part)) for part in PARTS} == dict.fromkeys(PARTS, 1)
    assert page.count("<!-- to here -->") == len(PARTS)
