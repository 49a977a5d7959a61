"""What only shows on a socket: chunks, headers that a server in front of Flask would believe, what logs tell."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from http import HTTPStatus

import pytest

from tests.conftest import ENVIRONMENT
from tests.live.server import ROOT
from tests.ports import free_port


def send(service, raw):
    """The status of the answer to raw bytes, and its whole text."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(raw)
        with suppress(OSError):  # the server may have refused and hung up already
            connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split(b" ", 2)[1]), answer.decode("latin-1")


def post(path, body, *headers, content_type="application/json"):
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Type: {content_type}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(body, size=8192):
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


LOGIN = "/api/v9/auth/login"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("size", [65_536, 200_000])
def test_a_body_that_is_too_large_in_either_form(service, size):
    for raw in (post(LOGIN, b" " * size, f"Content-Length: {size}"), post(LOGIN, chunked(b" " * size), CHUNKED)):
        status, answer = send(service, raw)
        assert status == 413
        assert '"code":40005' in answer


def test_requests_on_one_connection_are_answered_in_order_and_each_in_one_piece(service):
    """Whether they come one after the other or together."""
    ask = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for _ in range(3):
            connection.sendall(ask % b"/api/v9/users/@me")
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert answer.endswith(b'{"code":0,"message":"401: Unauthorized"}')
        connection.sendall(ask % b"/healthz" + ask % b"/gateway/verify" + ask % b"/no/such/path")
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 3 or not answers.endswith(b"}"):
            answers += connection.recv(65536)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"401", b"404"]


def test_a_chunked_body_is_read(service):
    status, answer = send(service, post(LOGIN, chunked(b'{"login": "a@example.com", "password": "x"}', 5), CHUNKED))
    assert status == 400
    assert "INVALID_LOGIN" in answer


NO_CHUNKS = [b"ZZ\r\nabc\r\n0\r\n\r\n", b"5\r\nab", b"-1\r\n\r\n", b"1\r\na\r\n0\r\n"]


@pytest.mark.parametrize("body", NO_CHUNKS)
def test_chunks_that_are_none(service, body):
    status, answer = send(service, post(LOGIN, body, CHUNKED))
    assert status == 400
    assert '"code":50109' in answer


@pytest.mark.parametrize("body", NO_CHUNKS)
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forms_in_chunks_that_are_none(service, body, content_type):
    """A page says so, also where the refusal is about something else and only its words look at the form."""
    for path, expected, *headers in (("/login/form", 400), ("/login/form", 403, "Origin: https://evil.example")):
        status, answer = send(service, post(path, body, CHUNKED, *headers, content_type=content_type))
        assert status == expected
        assert "<!doctype html>" in answer.lower()


@pytest.mark.parametrize(
    "headers",
    [
        ["SCRIPT_NAME: /api"],
        ["Script-Name: /x"],
        ["PATH_INFO: /gateway/introspect"],
        ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"],
        ["X-Forwarded-Prefix: /x", "X-Forwarded-Host: evil.example", "Forwarded: for=6.6.6.6"],
    ],
)
def test_forwarding_headers_move_nothing(service, headers):
    """Clients behind a proxy on the same machine cannot steer the service."""
    status, answer = send(service, post(LOGIN, b"{}", "Content-Length: 2", *headers))
    assert status == 400
    assert '"code":50035' in answer


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /<script> HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nX-Super-Properties: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_no_route_sees_is_refused_in_the_same_form(service, raw, status):
    """gunicorn refuses these itself; nothing of what was sent is repeated."""
    answered, answer = send(service, raw)
    head, _, body = answer.partition("\r\n\r\n")
    assert answered == status
    assert json.loads(body) == {"code": 0, "message": f"{status}: {HTTPStatus(status).phrase}"}
    assert "Content-Type: application/json" in head
    assert f"Content-Length: {len(body)}" in head


def start_on(live_server, **where):
    """What a service says that cannot start."""
    environment = os.environ | ENVIRONMENT | {"REDIS_URL": live_server.url, **where}
    command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode != 0
    return ran.stderr


def test_a_port_that_is_taken_is_refused(service, live_server):
    """Each worker listens on its own; a second service on the port says so instead of sharing it."""
    port = service.url.rpartition(":")[2]
    said = start_on(live_server, PORT=port)
    assert f"Keyrack cannot listen on 127.0.0.1:{port}" in said
    assert "the setting PORT" in said


@pytest.mark.parametrize("host", ["x86_64-conda-linux-gnu", "192.0.2.1", "[2001:db8::1]"])
def test_a_host_that_is_not_here_is_named(live_server, host):
    """Some programs, such as conda, set HOST to something else."""
    said = start_on(live_server, HOST=host, PORT=str(free_port()))
    assert f"Keyrack cannot listen on {host}:" in said
    assert "the setting HOST" in said


def test_who_goes_quiet_within_a_head_is_let_go(service):
    """More of them than there are threads: the others are served when the time for a head is over."""
    host, port = service.url.removeprefix("http://").split(":")
    quiet = [socket.create_connection((host, int(port)), timeout=20) for _ in range(80)]
    for connection in quiet:
        connection.sendall(b"GET /gateway/verify HTTP/1.1\r\nHost: local")
    assert service.device().get("/gateway/verify").status_code == 401
    answers = {connection.recv(1) for connection in quiet}
    for connection in quiet:
        connection.close()
    assert answers == {b""}


def test_who_goes_quiet_within_a_body_is_let_go(service):
    """More of them than there are threads: the others are served when their five seconds are over."""
    host, port = service.url.removeprefix("http://").split(":")
    head = post(LOGIN, b"x" * 1000, "Content-Length: 60000")
    quiet = [socket.create_connection((host, int(port)), timeout=20) for _ in range(80)]
    for connection in quiet:
        connection.sendall(head)
    assert service.device().get("/gateway/verify").status_code == 401
    answers = {connection.recv(12) for connection in quiet}
    for connection in quiet:
        connection.close()
    assert answers == {b"HTTP/1.1 400"}


def test_half_a_form_is_waited_for_once(service):
    """A form's fields are asked for by more than one: the second does not wait for its own five seconds."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=9) as connection:
        form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 234\r\n\r\nnext=x"
        connection.sendall(b"POST /register/form HTTP/1.1\r\nHost: localhost\r\n" + form)
        assert connection.recv(12) == b"HTTP/1.1 400"
