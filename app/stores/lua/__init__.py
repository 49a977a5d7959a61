"""The scripts: what must change together. An opening stands before each of them, with what they share."""

from pathlib import Path

_HERE = Path(__file__).parent


def lua(name: str, opening: str = "session") -> str:
    """The source of a script, behind its opening: `session.lua` for a user's sessions, `mail.lua` for the mails."""
    return "\n".join((_HERE / f"{file}.lua").read_text(encoding="utf-8") for file in (opening, name))
