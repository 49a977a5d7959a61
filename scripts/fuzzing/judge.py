"""The check of each answer, and the connection that it comes by."""

import json
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from app.web.surfaces import Surface, Surfaces
from scripts.fuzzing.requests import Request, application

HANGS_AFTER_S = 10
_OWN_PATH = re.compile(r"/(?![/\\])[!-~]*")
_WRITTEN_BY_GUNICORN = {400, 403, 408, 413, 414, 417, 431, 501, 505}  # before the application is reached


@dataclass(frozen=True)
class Answer:
    """The first answer on a connection.

    Attributes:
        status: 0 if there was no answer.
        is_whole: False if the connection broke within the body. Data that was sent and not read resets a connection.
    """

    status: int
    headers: dict[str, list[str]]
    body: bytes
    seconds: float
    is_whole: bool

    def one(self, name: str) -> str:
        return next(iter(self.headers.get(name, [])), "")


def exchange(port: int, request: Request) -> Answer:
    """Send a request, and return the first answer.

    Raises:
        Hang: The answer has no end within ten seconds.
    """
    began = time.monotonic()
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=HANGS_AFTER_S) as connection:
        with suppress(OSError):  # refused and hung up before all was sent
            connection.sendall(request.raw)
            if not request.stays_open:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while piece := _receive(connection, began):
                received += piece
                if request.stays_open and b"\r\n\r\n" in received:
                    break
    return _read(bytes(received), time.monotonic() - began)


def _receive(connection: socket.socket, began: float) -> bytes:
    left = began + HANGS_AFTER_S - time.monotonic()
    if left <= 0:
        raise Hang
    connection.settimeout(left)
    try:
        return connection.recv(65_536)
    except TimeoutError:
        raise Hang from None


class Hang(Exception):
    """An answer without an end within ten seconds."""


def _read(raw: bytes, seconds: float) -> Answer:
    while raw.startswith(b"HTTP/1.1 100 "):
        raw = raw.partition(b"\r\n\r\n")[2]
    head, _, rest = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = re.match(r"HTTP/1\.[01] (\d{3})", lines[0])
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    length = headers.get("content-length", [""])[0]
    body = rest[: int(length)] if length.isdecimal() else rest
    is_whole = not length.isdecimal() or len(body) == int(length)
    return Answer(int(status[1]) if status else 0, headers, body, seconds, is_whole)


def find_problem(request: Request, answer: Answer, users_named: set[str]) -> str | None:
    """Return what is wrong with an answer, None if nothing is.

    Args:
        users_named: The ids of the users whose live token was in the request.
    """
    if answer.status == 0:
        return None if request.mutated or request.stays_open else "no answer to a request that is none too odd"
    if answer.status in (500, 502, 503, 504):
        return f"status {answer.status}"
    if not answer.headers.get("x-request-id"):
        return None if answer.status in _WRITTEN_BY_GUNICORN else f"status {answer.status} from nobody"
    return _find_problem_in_headers(answer, users_named) or _find_problem_in_refusal(request, answer)


def _find_problem_in_headers(answer: Answer, users_named: set[str]) -> str | None:
    if len(answer.headers["x-request-id"]) != 1 or answer.one("x-content-type-options") != "nosniff":
        return "headers that every answer has are not there once"
    if answer.one("location") and not _OWN_PATH.fullmatch(answer.one("location")):
        return f"leads away: {answer.one('location')!r}"
    named = answer.one("x-auth-user-id")
    return f"names user {named}, whose token was not sent" if named and named not in users_named else None


def _find_problem_in_refusal(request: Request, answer: Answer) -> str | None:
    if answer.status < 400 or request.method == b"HEAD" or not answer.is_whole:
        return None
    kind = answer.one("content-type")
    try:
        body = json.loads(answer.body) if kind == "application/json" else None
    except ValueError:
        return "a body that says it is JSON is none"
    is_html = kind.startswith("text/html") and answer.body.lstrip().lower().startswith(b"<!doctype html")
    if request.mutated:  # a mutation may have changed the path, so any of the three forms is right
        return None if is_html or _is_api(answer.status, body) or _is_cookie(body) else "no form of refusal"
    path = request.path.decode("latin-1")
    surface = _surfaces().of_path(path)
    if surface is Surface.PAGES or (path in ("/login", "/register") and request.method == b"GET"):
        return None if is_html else "no page where a page is due"
    if surface is Surface.COOKIE_API:
        return None if _is_cookie(body) else "not the cookie API's form"
    return None if _is_api(answer.status, body) else "not the API's form"


@cache
def _surfaces() -> Surfaces:
    return Surfaces(application())


def _is_api(status: int, body: object) -> bool:
    if not isinstance(body, dict) or not isinstance(body.get("message"), str):
        return False
    if status == 429:
        return isinstance(body.get("retry_after"), float) and body.get("global") is False
    if type(body.get("code")) is not int:
        return False
    if body["code"] == 50035:
        return isinstance(body.get("errors"), dict) and bool(body["errors"])
    return body["code"] != 60003 or isinstance(body.get("mfa"), dict)


def _is_cookie(body: object) -> bool:
    return isinstance(body, dict) and isinstance(body.get("error"), str)
