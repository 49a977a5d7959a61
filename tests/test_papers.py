"""What the papers promise is there: each requirement has its line, and each line names rooms that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = 38


def rows():
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    return [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| [0-9]", line)]


def test_every_requirement_has_a_line():
    numbers = {int(number) for row in rows() for number in row[0].split(",")}
    assert numbers == set(range(1, REQUIREMENTS + 1))


def test_every_line_names_files_that_exist():
    missing = []
    for number, promise, *places in rows():
        paths = re.findall(r"`([\w./]+(?:\.\w+|/))`", " ".join(places))
        assert paths, promise
        for path in paths:
            found = [place for place in (ROOT / path, ROOT / "app" / path, ROOT / "app/stores" / path) if place.exists()]
            missing += [] if found or path[0].isupper() else [f"{number}: {path}"]
    assert missing == []
