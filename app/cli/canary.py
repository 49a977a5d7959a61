"""A throw-away user for `flask doctor`, and the requests that are made for it through a gateway."""

import http.client
import json
import secrets
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from app.stores.user_records import User
from app.web.front import API
from app.web.services import Services

PRETENDED = "192.0.2.77"  # an address for documentation, which no host has (RFC 5737)
_TIMEOUT_S = 10
_TRIES = 10  # on the open connection, and as many on new connections
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class ProbeError(Exception):
    """A request without an answer, or with an unexpected answer.

    The text follows the URL, as in "URL: it answers 500 to a login".
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the gateway.

    Attributes:
        own_address: The address of this end of the connection.
    """

    status: int
    body: bytes
    own_address: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body.

        Raises:
            ProbeError: The body is something else.
        """
        try:
            content = json.loads(self.body)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise ProbeError("it answers with something else than a JSON object")
        return content


_CONNECTIONS: dict[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}


class Connection:
    """One connection to Keyrack through a URL. It stays open between requests.

    Raises:
        ProbeError: The URL cannot be used.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            parts = urlsplit(url)
            kind = _CONNECTIONS[parts.scheme]
            # The port is always passed. Otherwise http.client looks for it in the host, and finds the colons of IPv6.
            self._connection = kind(parts.hostname or "", parts.port or kind.default_port, timeout=_TIMEOUT_S)
        except (KeyError, ValueError, http.client.HTTPException):
            raise ProbeError("it is no http:// or https:// URL") from None
        if not parts.hostname:
            raise ProbeError("it is no http:// or https:// URL")
        self._prefix = parts.path.rstrip("/")

    def ask(self, method: str, path: str, token: str = "", body: Any = None) -> Reply:
        """Send a request and read the answer.

        Args:
            path: The part after the URL of this connection.
            body: The body, which is sent as JSON.

        Raises:
            ProbeError: No answer came.
        """
        headers = {"X-Forwarded-For": PRETENDED, "User-Agent": "Keyrack-doctor"}
        headers |= {"Authorization": token} if token else {}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        sent = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, self._prefix + path, sent, headers)
            own_address = self._connection.sock.getsockname()[0]
            response = self._connection.getresponse()
            return Reply(response.status, response.read(), own_address)
        except (OSError, http.client.HTTPException, UnicodeError) as problem:  # a host or path may cause UnicodeError
            self._connection.close()
            raise ProbeError(f"it cannot be asked: {type(problem).__name__}") from None

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Canary:
    """The throw-away user, and the password to sign in with."""

    user: User
    password: str

    def log_in(self, connection: Connection) -> tuple[str, Reply]:
        """Return a new token, and the response that contained it.

        Raises:
            ProbeError: The login failed.
        """
        body = {"login": self.user.email, "password": self.password}
        reply = connection.ask("POST", f"{API}/auth/login", body=body)
        token = reply.json().get("token") if reply.is_success else None
        if not token:
            raise ProbeError(f"it answers {reply.status} to a login")
        return str(token), reply


@contextmanager
def throw_away_user(services: Services) -> Iterator[Canary]:
    """Create a throw-away user, and delete it at the end: also after Ctrl-C, SIGTERM, or when the terminal closes.

    If Redis goes away meanwhile, or this process is killed, the user stays. Its creation is in the audit log already,
    so it can be found.
    """
    name = f"doctor-{secrets.token_hex(8)}"
    email, password = f"{name}@doctor.invalid", secrets.token_urlsafe(24)
    before = {number: signal.signal(number, signal.default_int_handler) for number in _ENDING_SIGNALS}
    try:
        yield Canary(services.operators.create(email, name, None, password), password)
    finally:
        for number in _ENDING_SIGNALS:  # a second Ctrl-C must not cut this short
            signal.signal(number, signal.SIG_IGN)
        try:
            user = services.operators.find(email)
            if user:  # it may exist even if the answer to its creation was lost
                services.operators.delete(user)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def find_seen_address(connection: Connection, token: str) -> str | None:
    """Return the caller's address that Keyrack sees on this connection; None if it sees no address.

    Raises:
        ProbeError: The list of sessions could not be read.
    """
    reply = connection.ask("GET", f"{API}/auth/sessions?extended=true", token)
    listed = reply.json().get("user_sessions", []) if reply.is_success else []
    current = [session for session in listed if session.get("is_current")]
    if not current:
        raise ProbeError(f"it answers {reply.status} to a question for the sessions")
    address: str | None = current[0].get("last_seen_ip")
    return address


def try_paths(url: str, open_connection: Connection, paths: Sequence[str], token: str) -> Sequence[str]:
    """Ask for each path many times, alternately over the open connection and a new one.

    Returns:
        The path of each successful answer. A path may occur several times.

    Raises:
        ProbeError: A request had no answer.
    """
    admitted: list[str] = []
    for number in range(2 * _TRIES):
        with closing(Connection(url)) as fresh:
            connection = fresh if number % 2 else open_connection
            admitted += [path for path in paths if connection.ask("GET", path, token).is_success]
    return admitted
