"""The form of log lines: JSON for machines, text on a terminal. Each line has the id of its request.

No line contains anything that a client sent. All messages are Keyrack's own. An exception within a request is logged
by type and place only, because its message may quote a secret.

Lines of the audit log: watch/audit.py. Lines of gunicorn: serving/server_log.py.
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
    """The settings that log lines depend on (config.py says what each means)."""

    @property
    def log_format(self) -> str: ...
    @property
    def log_level(self) -> str: ...


def configure(settings: LogSettings, stream: TextIO = sys.stdout) -> None:
    """Send every log line to one stream."""
    logging.basicConfig(level=settings.log_level.upper(), handlers=[make_handler(settings, stream)], force=True)
    logging.getLogger(AUDIT).setLevel(logging.INFO)  # audit lines do not depend on the level of other lines
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # its lines would only repeat each hit of a limit


def make_handler(settings: LogSettings, stream: TextIO) -> logging.Handler:
    """Return a handler that writes lines in the form of the settings."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())
    writer = logging.StreamHandler(stream)
    writer.setFormatter(JsonLine() if as_json else TextLine())
    return writer


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(_fields_of(record), default=str).decode()


class TextLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields_of(record)
        trace = fields.pop("traceback", "")
        first = [fields.pop(name) for name in ("time", "level", "logger", "message")]
        rest = [f"{name}={orjson.dumps(value, default=str).decode()}" for name, value in fields.items()]
        line = " ".join([*first, *rest])
        # Unprintable characters could move the terminal's cursor or reverse the writing direction.
        escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        return f"{escaped}\n{trace}" if trace else escaped


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a line by name."""
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    current = context.current()
    return {
        "time": at,
        "level": record.levelname.lower(),
        "logger": record.name,
        # Python turns invalid UTF-8 into lone surrogates, which orjson refuses.
        "message": record.getMessage().encode("utf-8", "backslashreplace").decode(),
        "process": record.process,
        **({"request_id": current.request_id} if current and current.request_id else {}),
        **getattr(record, "fields", {}),
        **({"traceback": _trace(record)} if record.exc_info and record.exc_info[1] else {}),
    }


def _trace(record: logging.LogRecord) -> str:
    """Return the traceback of a record.

    Exception messages are left out within a request and for records marked `is_private`.
    """
    error = record.exc_info[1] if record.exc_info else None
    if context.current() is None and not getattr(record, "is_private", False):  # at start, before any client
        return "".join(traceback.format_exception(error))
    chain = []
    while error is not None:
        frames = "".join(traceback.format_tb(error.__traceback__))
        chain.append(f"{frames}{type(error).__module__}.{type(error).__qualname__}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nwhich led to\n\n".join(reversed(chain))
