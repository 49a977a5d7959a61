"""The scripts: what must change together. An opening stands before each of them, with what they share."""

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


def session_script(name: str) -> str:
    """The source of a script on a user's sessions; it returns its own result, and which sessions it ended and why."""
    opening, script = _read("session"), _read(name)
    return f"{opening}\nlocal function run()\n{script}\nend\nlocal result = run()\nreturn {{ result, finished }}\n"


@cache
def mail_script(name: str) -> str:
    """The source of a script on the mails."""
    return "\n".join((_read("mail"), _read(name)))


def _read(name: str) -> str:
    return (_HERE / f"{name}.lua").read_text(encoding="utf-8")
