"""Both lanes of a gateway's check, without sockets: what gunicorn and the application answer, and the fast lane.

The answers are compared as bytes. Date is left out, and the id of the request where Keyrack makes one up.
"""

import re

from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.parser import RequestParser
from werkzeug.test import TestResponse

from app import Keyrack, tokens
from app.stores.connection.connect import StoreError

CLIENT = ("127.0.0.1", 40_000)
_MADE_UP = re.compile(rb"X-Request-Id: [0-9a-f]{16}\r\n")
_DATE = re.compile(rb"Date: [^\r]*\r\n")


class _Socket:
    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, raw: bytes) -> None:
        self.sent += raw

    send = sendall

    def settimeout(self, seconds: float | None) -> None: ...


def gunicorn_config(parser: str = "auto") -> Config:
    """The settings of gunicorn.conf.py that change what a request is taken for."""
    config = Config()
    config.set("http_parser", parser)
    config.set("limit_request_field_size", 64 * 1024)
    config.set("forwarded_allow_ips", "")
    config.set("forwarder_headers", "")
    config.set("secure_scheme_headers", {})
    return config


def ask_slow(app: Keyrack, raw: bytes, parser: str = "auto") -> bytes:
    """What gunicorn and the application answer to the first request in these bytes; b"" if gunicorn refuses it."""
    config, sock = gunicorn_config(parser), _Socket()
    try:
        request = next(RequestParser(config, iter([raw]), CLIENT))
        response, environ = wsgi.create(request, sock, CLIENT, ("127.0.0.1", 8000), config)
    except Exception:
        return b""
    for part in app.wsgi_app(environ, response.start_response):
        response.write(part)
    response.close()
    return sock.sent


def ask_fast(app: Keyrack, raw: bytes) -> bytes | None:
    """What the fast lane answers, if the last use is known; None if it leaves that to the slow lane."""
    question = app.fast_lane.read(raw, CLIENT)
    last_used_at = question and look_up(app, question.claim)
    return None if last_used_at is None else app.fast_lane.answer(question, last_used_at, "memory")


def look_up(app: Keyrack, claim: tokens.Claim) -> float | None:
    store = app.extensions["keyrack"].devices._store
    try:
        [last_used_at] = store.look_up(store.last_use(claim.user_id, claim.id_hash))
    except StoreError:
        return None
    return last_used_at


def comparable(answer: bytes) -> bytes:
    """An answer without what differs from one to the next."""
    return _MADE_UP.sub(b"X-Request-Id: made up\r\n", _DATE.sub(b"Date: now\r\n", answer))


def compare(app: Keyrack, answer: TestResponse) -> bytes | None:
    """Ask the fast lane what a test has asked. It may say nothing, or what the test was answered."""
    environ = answer.request.environ
    names = {name: name[5:].replace("_", "-").title() for name in environ if name.startswith("HTTP_")}
    fields = {names[name]: environ[name] for name in names} | {
        name.replace("_", "-"): environ[name] for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(name)
    }
    target = environ["PATH_INFO"] + (f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else "")
    lines = [f"{environ['REQUEST_METHOD']} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items())]
    fast = ask_fast(app, "\r\n".join([*lines, "", ""]).encode("latin-1"))
    if fast is not None:
        of_server = [("Server", "gunicorn"), ("Date", "now"), ("Connection", "keep-alive")]
        shown = "".join(f"{name}: {text}\r\n" for name, text in [*of_server, *answer.headers])
        assert comparable(fast) == comparable(f"HTTP/1.1 {answer.status}\r\n{shown}\r\n".encode("latin-1"))
    return fast
