"""The Lua scripts. Each is one atomic step. Their callers: stores/scripts.py for sessions, stores/jobs.py for jobs.

A script is joined from files: first the openings, shared files (session.lua, factors.lua, jobs.lua), then its own file.
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
_LINE = re.compile(r"(?:user_script|\]):(\d+)")  # the line of a script, in messages of Redis, Valkey or fakeredis


@dataclass(frozen=True, slots=True)
class Script:
    """
    Attributes:
        source: The text that Redis runs.
        starts: For each file in `source`, the number of lines before it, and its name.
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
    """Return a script on a user's sessions. The script returns its own result and the events that it reported."""
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
