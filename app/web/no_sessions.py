"""Flask's own sessions are off. It would make an empty one for each request. Keyrack's sessions: rules/devices.py."""

from typing import Any

from flask.sessions import NullSession, SessionInterface

_NONE = NullSession()


class NoSessions(SessionInterface):
    def open_session(self, *_: Any) -> NullSession:
        return _NONE

    def save_session(self, *_: Any) -> None: ...
