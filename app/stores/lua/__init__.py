"""The Lua scripts. Each is one atomic step. Their callers: stores/scripts.py for sessions, stores/jobs.py for jobs.

A script is one or more shared files, the openings (queueing.lua, telling.lua, session.lua, factors.lua, sign_in.lua,
remembered.lua, forgetting.lua, told_changes.lua, change.lua, queue.lua), then its own file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.stores.keys import QUEUE_TYPES, USER_TYPES
from app.stores.lua.rights import commands_in, refuse_without
from app.stores.lua.types import refuse_foreign_keys

_HERE = Path(__file__).parent
_TELLING = ("queueing", "telling")
_CHANGING = ("session", "factors", "sign_in", "remembered", "told_changes", "change")
_OPENINGS = {
    "end_sessions": ("session", "forgetting"),
    "forget_remembered": ("session", "forgetting"),
    "open_session": ("session", "sign_in"),
    "adopt_session": ("session", "sign_in"),
    "redeem_ticket": _CHANGING,
    "sign_in_by_passkey": _CHANGING,
    "sign_in_remembered": _CHANGING,
    "change_user": _CHANGING,
}
_JOB_SCRIPTS = {
    **dict.fromkeys(("put_job", "queue_rows"), ("queueing",)),
    **dict.fromkeys(("turn", "hurry_jobs", "revive_jobs"), ("queueing", "queue")),
}
_LINE = re.compile(r"(?:user_script|\]):(\d+)")  # the line of a script, as Redis and Valkey, or fakeredis, name it


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
    """Return a script on a user's sessions. It returns its own result, the events that it reported, what it has done to
    tell others, and the holders of leases, if it asks them."""
    openings = (*_TELLING, *_OPENINGS.get(name, ("session",)))
    after = "end\nlocal result = run()\nreturn { result, reported, told, ask_holders() }"
    return _joined(name, openings, USER_TYPES, "local function run()", after, last_key="last_key")


@cache
def telling_script(name: str) -> Script:
    """Return a script on a user that knows no sessions. It returns its result, and what it has done to tell others."""
    after = "end\nlocal result = run()\nreturn { result, told }"
    return _joined(name, _TELLING, USER_TYPES, "local function run()", after, last_key="last_key")


@cache
def user_script(name: str) -> Script:
    """Return a script on a user that tells nobody of anything."""
    return _joined(name, (), USER_TYPES)


@cache
def job_script(name: str) -> Script:
    """Return a script on a queue of jobs."""
    return _joined(name, _JOB_SCRIPTS[name], QUEUE_TYPES)


def _joined(
    name: str,
    openings: Sequence[str],
    types: Mapping[str, str],
    before: str = "",
    after: str = "",
    last_key: str = "#KEYS",
) -> Script:
    files = {file: (_HERE / f"{file}.lua").read_text(encoding="utf-8").splitlines() for file in (*openings, name)}
    checked = refuse_foreign_keys(types, last_key)
    telling = {*_TELLING} if {*_TELLING} <= files.keys() else set()
    always = commands_in([checked, *(line for file in files.keys() - telling for line in files[file])])
    if_told = {*commands_in(line for file in telling for line in files[file])} - {*always}
    # Whoever has nobody to tell is asked for fewer rights, which also takes less time.
    rights = [refuse_without(always), *([refuse_without(sorted(if_told), "#queues > 0")] if if_told else [])]
    lines: list[str] = []
    starts = []
    for file, own in files.items():
        if file == name:
            lines += [*rights, checked, *([before] if before else [])]
        starts.append((len(lines), file))
        lines += own
    return Script(name, "\n".join([*lines, after, ""]), starts)


@cache
def all_commands() -> Sequence[str]:
    """Return all commands of all scripts on sessions."""
    names = (path.stem for path in _HERE.glob("*.lua") if path.stem != "queue" and path.stem not in _JOB_SCRIPTS)
    lines = (line for name in names for line in (_HERE / f"{name}.lua").read_text(encoding="utf-8").splitlines())
    return commands_in([refuse_foreign_keys(USER_TYPES), *lines])
