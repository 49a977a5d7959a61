"""The scripts: what must change together. `session.lua` opens each of them with what they share."""

from pathlib import Path

_HERE = Path(__file__).parent


def lua(name: str) -> str:
    """The source of a script, behind the common opening."""
    return "\n".join((_HERE / f"{file}.lua").read_text(encoding="utf-8") for file in ("session", name))
