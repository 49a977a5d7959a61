"""A throw-away user who signs in through a gateway, to see what it makes of a session that ends."""

import http.client
import json
import secrets
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from app.routes import API
from app.stores.users import User
from app.web.services import Services

PRETENDED = "192.0.2.77"  # an address that nobody has, for documentation (RFC 5737)
_TIMEOUT_S = 10
_TIMES = 10
_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Trouble(Exception):
    """An answer that was not to be expected, or none; in a sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """own_address: from which this end of the connection asked."""

    status: int
    body: bytes
    own_address: str

    @property
    def is_yes(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        try:
            told = json.loads(self.body)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise Trouble("it answers with something else than a JSON object")
        return told


_KINDS: dict[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}


class Way:
    """A way to Keyrack by a URL, over one connection that is kept open."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            parts = urlsplit(url)
            kind = _KINDS[parts.scheme]
            # A port is named always: http.client looks for one in the host, and would find it in IPv6's colons.
            self._connection = kind(parts.hostname or "", parts.port or kind.default_port, timeout=_TIMEOUT_S)
        except (KeyError, ValueError, http.client.HTTPException):
            raise Trouble("it is no http:// or https:// URL") from None
        if not parts.hostname:
            raise Trouble("it is no http:// or https:// URL")
        self._prefix = parts.path.rstrip("/")

    def ask(self, method: str, path: str, token: str = "", body: Any = None) -> Answer:
        """Raises: Trouble"""
        headers = {"X-Forwarded-For": PRETENDED, "User-Agent": "Keyrack-doctor"}
        headers |= {"Authorization": token} if token else {}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        sent = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, self._prefix + path, sent, headers)
            own_address = self._connection.sock.getsockname()[0]
            answer = self._connection.getresponse()
            return Answer(answer.status, answer.read(), own_address)
        except (OSError, http.client.HTTPException, UnicodeError) as problem:  # UnicodeError: of a host or path
            self._connection.close()
            raise Trouble(f"it cannot be asked: {type(problem).__name__}") from None

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Canary:
    user: User
    password: str

    def log_in(self, way: Way) -> tuple[str, Answer]:
        """The token, and the answer it came with. Raises: Trouble"""
        body = {"login": self.user.email, "password": self.password}
        answer = way.ask("POST", f"{API}/auth/login", body=body)
        token = answer.json().get("token") if answer.is_yes else None
        if not token:
            raise Trouble(f"it answers {answer.status} to a login")
        return str(token), answer


@contextmanager
def canary(services: Services) -> Iterator[Canary]:
    """Makes a throw-away user, and deletes them again, also where it is told to end or its terminal goes.

    Where Redis goes away meanwhile, or nothing is left to act, the user stays; the log has named them before.
    """
    name = f"doctor-{secrets.token_hex(8)}"
    email, password = f"{name}@doctor.invalid", secrets.token_urlsafe(24)
    before = {number: signal.signal(number, signal.default_int_handler) for number in _ENDINGS}
    try:
        yield Canary(services.operators.create(email, name, None, password), password)
    finally:
        for number in _ENDINGS:  # a second Ctrl-C does not cut this short
            signal.signal(number, signal.SIG_IGN)
        try:
            user = services.operators.find(email)
            if user:  # also where making them was not heard to succeed
                services.operators.delete(user)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def seen_address(way: Way, token: str) -> str | None:
    """The address that Keyrack has of whoever asks on this way. Raises: Trouble"""
    answer = way.ask("GET", f"{API}/auth/sessions?extended=true", token)
    listed = answer.json().get("user_sessions", []) if answer.is_yes else []
    current = [session for session in listed if session.get("is_current")]
    if not current:
        raise Trouble(f"it answers {answer.status} to a question for the sessions")
    address: str | None = current[0].get("last_seen_ip")
    return address


def yeses(url: str, open_way: Way, paths: Sequence[str], token: str) -> Sequence[str]:
    """What of the paths is answered with a yes, over the connection that is open and over fresh ones.

    Raises: Trouble
    """
    said: list[str] = []
    for number in range(2 * _TIMES):
        with closing(Way(url)) as fresh:
            way = fresh if number % 2 else open_way
            said += [path for path in paths if way.ask("GET", path, token).is_yes]
    return said
