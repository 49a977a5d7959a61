"""Paths in odd spellings, through each gateway: read in one way by the gateway and what stands behind it, or refused.

The table of docs/gateway.md is what is tested.
"""

import http.client
import itertools
import json
import re
import socket

import pytest

from tests.live.gateways import DOCS, new_device, values

WRONG = {"login": "nobody@example.com", "password": "a wrong password"}
COLUMNS = ["nginx", "caddy", "traefik", "envoy", "haproxy"]


def table():
    """Returns: the rows of the page: what is odd, some paths, and what becomes of them by gateway"""
    lines = DOCS.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    head = next(line for line in lines if line.startswith("| spelling |"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[lines.index(head) + 2 :])
    for row in rows:
        odd, paths, *told = row.strip("| ").split(" | ")
        yield odd, re.findall("`([^`]+)`", paths), dict(zip(COLUMNS, told, strict=True))


ROWS = list(table())


@pytest.fixture
def alice(gateway):
    return new_device(gateway).register("alice@example.com")


def ask(gateway, path, token=None):
    """Ask with the path as it is written; a login where it looks like one."""
    body = json.dumps(WRONG) if "auth" in path.lower() else None
    headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.request("POST" if body else "GET", path, body, headers)
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    return answer.status, json.loads(told) if told.startswith(b"{") else {}


def outcome(status, told, reached):
    """What became of a request of somebody who is signed in."""
    if reached:
        return "application"
    if told.get("code") == 60003:
        return "proof"
    if told.get("code") == 50035 or "username" in told:
        return "Keyrack"
    return "refused" if status == 400 else f"{status} {told}"


def test_the_table_has_rows():
    assert len(ROWS) > 15


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_path_is_read_in_one_way_or_refused(gateway, application, alice, row):
    """Nobody reaches the application without a check, nor what needs a proof without one.

    A gateway may clean a path and pass it on so: then it is answered as the clean path is.
    """
    _, paths, told = row
    for path in paths:
        wanted = told[gateway.name]
        if wanted == "cleaned":
            wanted = "proof" if "dmin" in path else "Keyrack"
        answer = ask(gateway, path)
        assert answer[0] != 200, path
        assert application.requests == [], path
        answer = ask(gateway, path, alice.token)
        assert outcome(*answer, application.requests) == wanted, path
        for arrived in application.requests:
            assert values(arrived["headers"], "X-Auth-User-Id") == [alice.user_id]
        application.requests.clear()


@pytest.mark.parametrize(
    "path", [b"/\xc0\xafadmin/users", b"/admin\xc0\xafusers", b"/admin\0/users", b"/admin\x7f", b"/admin\t/users"]
)
def test_what_no_path_may_have_is_refused_unescaped_too(gateway, application, alice, path):
    lines = [b"Host: 127.0.0.1", f"Authorization: {alice.token}".encode(), b"Connection: close", b"", b""]
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as one:
        one.sendall(b"\r\n".join([b"GET " + path + b" HTTP/1.1", *lines]))
        told = b"".join(iter(lambda: one.recv(65536), b""))
    assert not told.startswith(b"HTTP/1.1 200")
    assert application.requests == []


def test_a_whole_url_for_a_path_is_no_way_round(gateway, application, alice):
    """As a proxy would be asked."""
    for path in ("/admin;x/users", "//admin/users", "/admin%2fusers", "/Admin/users"):
        ask(gateway, f"http://127.0.0.1:{gateway.port}{path}", alice.token)
    assert application.requests == []


@pytest.mark.parametrize("name_of_path", ["X-Original-URL", "X-Rewrite-URL"])
@pytest.mark.parametrize("mark", ["-", "_", "."])
@pytest.mark.parametrize("path", ["/channels/1", "/socket"])
def test_no_header_tells_the_application_another_path(gateway, application, alice, name_of_path, mark, path):
    """Some applications and servers serve the path of such a header, which no gateway has judged."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    sent = {"Authorization": alice.token, name_of_path.replace("-", mark): "/admin/users"}
    if path == "/socket":
        handshake = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
        sent |= {"Connection": "Upgrade", "Upgrade": "websocket"} | handshake
    connection.request("GET", path, headers=sent)
    answer = connection.getresponse()
    assert answer.status == (101 if path == "/socket" else 200)
    answer.close()
    connection.close()
    [arrived] = application.requests
    assert values(arrived["headers"], name_of_path) == []
