"""Log lines: JSON for machines, a readable form on a terminal. Each says which request it belongs to.

What a client sent is never in them: messages are ours, and of an exception within a request only its type and where it
happened are told, as what it says may quote a secret.
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

import orjson

from app.watch import context

AUDIT = "keyrack.audit"


class LogSettings(Protocol):
    """What of the settings (config.py) says how lines are written."""

    @property
    def log_format(self) -> str: ...
    @property
    def log_level(self) -> str: ...


def configure(settings: LogSettings, stream: TextIO = sys.stdout) -> None:
    """Send every line to one place."""
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler(settings, stream)], force=True)
    logging.getLogger(AUDIT).setLevel(logging.INFO)  # whatever the level of the others
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # it would tell each hit again, in words of its own


def handler(settings: LogSettings, stream: TextIO) -> logging.Handler:
    """Writes lines in the form that the settings choose."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())
    writer = logging.StreamHandler(stream)
    writer.setFormatter(JsonLine() if as_json else TextLine())
    return writer


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(_told(record), default=str).decode()


class TextLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = _told(record)
        trace = told.pop("traceback", "")
        named = [told.pop(name) for name in ("time", "level", "logger", "message")]
        rest = [f"{name}={orjson.dumps(value, default=str).decode()}" for name, value in told.items()]
        line = " ".join([*named, *rest])
        # What is not printable moves a terminal's cursor, or turns its letters round.
        escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        return f"{escaped}\n{trace}" if trace else escaped


def _told(record: logging.LogRecord) -> dict[str, Any]:
    """What a line tells, by name."""
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    current = context.current()
    return {
        "time": at,
        "level": record.levelname.lower(),
        "logger": record.name,
        # orjson takes no half of a surrogate pair, which is how Python reads bytes that are no text
        "message": record.getMessage().encode("utf-8", "backslashreplace").decode(),
        "process": record.process,
        **({"request_id": current.request_id} if current and current.request_id else {}),
        **getattr(record, "fields", {}),
        **({"traceback": _trace(record)} if record.exc_info and record.exc_info[1] else {}),
    }


def _trace(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    if context.current() is None and not getattr(record, "is_private", False):  # at start: there is nobody's secret yet
        return "".join(traceback.format_exception(error))
    chain = []
    while error is not None:
        frames = "".join(traceback.format_tb(error.__traceback__))
        chain.append(f"{frames}{type(error).__module__}.{type(error).__qualname__}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nwhich led to\n\n".join(reversed(chain))
