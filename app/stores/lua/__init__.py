"""The scripts, for what must change together in Redis. scripts.py runs those on sessions, jobs.py those on queues.

A script is made of files: its openings, which define what several scripts share, then the file of its own name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_OPENINGS = {
    "redeem_ticket": ("session", "factors"),
    "change_user": ("session", "factors"),
}
_LINE = re.compile(r"(?:user_script|\]):(\d+)")  # the line of a script, as Redis and Valkey, or fakeredis, name it


@dataclass(frozen=True, slots=True)
class Script:
    """
    Attributes:
        source: The text that Redis runs.
        starts: For each file in it, the number of lines before it, and its name.
    """

    name: str
    source: str
    starts: Sequence[tuple[int, str]]

    def place_of(self, error: Exception) -> str:
        """Return the file and line in which an error of Redis occurred, as in "open_session.lua:6"."""
        found = _LINE.search(str(error))
        if not found:
            return f"{self.name}.lua"
        line = int(found[1])
        start, name = max(known for known in self.starts if known[0] < line)
        return f"{name}.lua:{line - start}"


@cache
def session_script(name: str) -> Script:
    """Return a script on a user's sessions. It returns its own result, and the events that it reported."""
    return _joined(
        name, [*_OPENINGS.get(name, ("session",))], "local function run()", "end\nreturn { run(), reported }"
    )


@cache
def job_script(name: str) -> Script:
    """Return a script on a queue of jobs."""
    return _joined(name, ["jobs"])


def _joined(name: str, openings: Sequence[str], before: str = "", after: str = "") -> Script:
    lines: list[str] = []
    starts = []
    for file in (*openings, name):
        if file == name and before:
            lines.append(before)
        starts.append((len(lines), file))
        lines += (_HERE / f"{file}.lua").read_text(encoding="utf-8").splitlines()
    return Script(name, "\n".join([*lines, after, ""]), starts)
