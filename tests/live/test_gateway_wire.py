"""HTTP as clients speak it, through each gateway: HTTP/2 with TLS, bodies in chunks, HEAD, a WebSocket over TLS."""

import asyncio
import http.client
import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, RemoteSettingsChanged, ResponseReceived, StreamReset

from tests.device import PASSWORD
from tests.live.gateways import new_device, values

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def alice(gateway):
    return new_device(gateway).register("alice@example.com")


@pytest.fixture
def trust(authority):
    return ssl.create_default_context(cafile=authority.certificate)


@pytest.fixture
def http2(gateway, trust):
    """A client that speaks HTTP/2, as browsers do."""
    url = f"https://127.0.0.1:{gateway.tls_port}"
    with httpx2.Client(http1=False, http2=True, verify=trust, base_url=url, timeout=20, trust_env=False) as client:
        yield client


def identity(arrived):
    return [values(arrived["headers"], name) for name in ("X-Auth-User-Id", "X-Auth-Session-Id-Hash")]


def test_http2_reaches_the_application_with_an_identity(http2, alice, application):
    """Method, path, query and body as they were sent; of the client's own word for who it is nothing."""
    sent = {"Authorization": alice.token, "X-Auth-User-Id": "1", "x_auth_user_id": "1"}
    answer = http2.post("/channels/1?before=2", json={"text": "x" * 100_000}, headers=sent)
    assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
    [arrived] = application.requests
    assert (arrived["method"], arrived["path"]) == ("POST", "/channels/1?before=2")
    assert len(arrived["body"]) > 100_000
    assert identity(arrived) == [[alice.user_id], [alice.id_hash]]


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_http2_of_somebody_who_is_not_signed_in_hears_why(http2, application, method):
    answer = http2.request(method, "/channels/1", headers={"X-Auth-User-Id": "1"})
    assert answer.status_code == 401
    assert method == "HEAD" or answer.json() == {"code": 0, "message": "401: Unauthorized"}
    assert application.requests == []


def test_http2_has_a_whole_step_up(http2, alice, application):
    signed_in = {"Authorization": alice.token}
    challenge = http2.get("/admin/users", headers=signed_in)
    assert (challenge.status_code, challenge.json()["code"]) == (401, 60003)
    assert challenge.headers["WWW-Authenticate"].startswith("Bearer error=")
    answer = {"ticket": challenge.json()["mfa"]["ticket"], "mfa_type": "password", "data": PASSWORD}
    proof = http2.post("/api/v9/mfa/finish", json=answer, headers=signed_in).json()["token"]
    assert application.requests == []
    assert http2.get("/admin/users", headers=signed_in | {"X-Discord-MFA-Authorization": proof}).status_code == 200


def test_http2_may_send_its_cookies_in_pieces(http2, alice, application):
    """RFC 9113, 8.2.3: a browser may, so that they compress better."""
    pieces = [("Cookie", "theme=dark"), ("Cookie", f"__Host-session={alice.token}"), ("Cookie", "locale=en")]
    assert http2.get("/channels/1", headers=pieces).status_code == 200
    assert http2.get("/me/sessions", headers=pieces).status_code == 200
    assert [identity(arrived)[0] for arrived in application.requests] == [[alice.user_id]]


def test_http2_logs_in_and_refuses_odd_paths(http2, alice, application):
    named = {"login": alice.email, "password": PASSWORD}
    assert http2.post("/api/v9/auth/login", json=named).json()["user_id"] == alice.user_id
    signed_in = {"Authorization": alice.token}
    for path in ("/admin;x/users", "/admin%2fusers"):
        assert http2.get(path, headers=signed_in).status_code == 400
    assert application.requests == []


def test_one_connection_of_http2_carries_many_requests_at_once(gateway, trust, alice):
    """Each has its own answer, and those of nobody a no."""
    url = f"https://127.0.0.1:{gateway.tls_port}"

    async def ask_all():
        async with httpx2.AsyncClient(http1=False, http2=True, verify=trust, timeout=20, trust_env=False) as client:
            tokens = [{"Authorization": alice.token} if number % 2 else {} for number in range(60)]
            asked = [client.get(f"{url}/channels/{number}", headers=sent) for number, sent in enumerate(tokens)]
            return await asyncio.gather(*asked)

    with ThreadPoolExecutor(1) as thread:  # Playwright, for other tests, leaves a loop that runs in this one
        answers = thread.submit(asyncio.run, ask_all()).result()
    assert [answer.status_code for answer in answers] == [401, 200] * 30
    assert [answer.json()["path"] for answer in answers[1::2]] == [f"/channels/{number}" for number in range(1, 60, 2)]


@pytest.mark.parametrize("proof", [True, False])
def test_a_websocket_opens_over_tls(gateway, trust, alice, application, proof):
    """By HTTP/1.1, which is what clients choose for it."""
    trust.set_alpn_protocols(["http/1.1"])
    token = alice.token if proof else "x"
    lines = [
        *("GET /socket HTTP/1.1", f"Host: 127.0.0.1:{gateway.tls_port}", "Connection: Upgrade", "Upgrade: websocket"),
        *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Authorization: {token}"),
    ]
    with (
        socket.create_connection(("127.0.0.1", gateway.tls_port), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        answer = http.client.HTTPResponse(tls)
        answer.begin()
        assert answer.status == (101 if proof else 401)
        answer.close()
    assert len(application.requests) == proof


def extended_connect(gateway, trust, path, headers, protocol="websocket"):
    """Ask for a WebSocket within HTTP/2 (RFC 8441), whether it is offered or not.

    Returns: the status of the answer, None where the stream or the connection was closed instead
    """
    trust.set_alpn_protocols(["h2"])
    wire = H2Connection(H2Configuration(validate_outbound_headers=False, header_encoding="utf-8"))
    asked = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":path", path)]
    with (
        socket.create_connection(("127.0.0.1", gateway.tls_port), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        wire.initiate_connection()
        wire.send_headers(1, [*asked, (":authority", f"127.0.0.1:{gateway.tls_port}"), *headers])
        wire.send_data(1, b"GET /forged HTTP/1.1\r\nHost: x\r\nX-Auth-User-Id: 1\r\n\r\n")
        tls.sendall(wire.data_to_send())
        while data := tls.recv(65536):
            for event in wire.receive_data(data):
                if isinstance(event, ResponseReceived):
                    return int(dict(event.headers)[":status"])
                if isinstance(event, StreamReset | ConnectionTerminated):
                    return None
            tls.sendall(wire.data_to_send())
    return None


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users", "/login"])
@pytest.mark.parametrize("protocol", ["websocket", "h2c", "connect-tcp"])
def test_a_websocket_within_http2_passes_nobody_who_is_not_signed_in(gateway, trust, application, path, protocol):
    """Whatever else the request looks like, a preflight among them."""
    preflight = [("origin", "https://chat.example.com"), ("access-control-request-method", "PUT")]
    told = extended_connect(gateway, trust, path, [*preflight, ("sec-websocket-version", "13")], protocol)
    assert told is None or told >= 400
    assert application.requests == []


@pytest.mark.parametrize("evil", [[("origin", "https://evil.example")], [("sec-fetch-site", "cross-site")]])
def test_another_page_opens_none_within_http2_with_this_ones_cookie(gateway, trust, alice, application, evil):
    cookie = ("cookie", f"__Host-session={alice.token}")
    told = extended_connect(gateway, trust, "/channels/1", [cookie, ("sec-websocket-version", "13"), *evil])
    assert told is None or told >= 400
    assert application.requests == []


def test_no_gateway_offers_a_websocket_within_http2(gateway, trust):
    """A browser takes such an offer, and the application speaks HTTP/1.1."""
    trust.set_alpn_protocols(["h2"])
    wire = H2Connection()
    with (
        socket.create_connection(("127.0.0.1", gateway.tls_port), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        wire.initiate_connection()
        tls.sendall(wire.data_to_send())
        told = []
        while not any(isinstance(event, RemoteSettingsChanged) for event in told):
            told += wire.receive_data(tls.recv(65536))
        assert not wire.remote_settings.enable_connect_protocol


def in_chunks(gateway, path, body, **headers):
    """Send a body without saying how long it is."""
    pieces = (body[start : start + 70_000] for start in range(0, len(body), 70_000))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("POST", path, pieces, JSON | headers, encode_chunked=True)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


@pytest.mark.parametrize("path", ["/api/v9/auth/login", "/login"])
def test_a_login_may_come_in_chunks(gateway, alice, application, path):
    """Some clients do not count before they send. The gateway knows how long it is when it is whole."""
    named = {"login": alice.email, "password": PASSWORD}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    body = json.dumps(named).encode()
    connection.request("POST", path, iter([body[:5], body[5:30], body[30:]]), JSON, encode_chunked=True)
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    assert answer.status in (200, 303), told
    assert application.requests == []


def test_an_upload_in_chunks_reaches_the_application_whole(gateway, alice, application):
    body = json.dumps({"file": "x" * 3_000_000}).encode()
    status, _ = in_chunks(gateway, "/upload", body, Authorization=alice.token)
    assert status == 200
    [arrived] = application.requests
    assert arrived["body"].encode() == body
    assert identity(arrived) == [[alice.user_id], [alice.id_hash]]


def test_an_upload_in_chunks_of_somebody_who_is_not_signed_in_reaches_nobody(gateway, application):
    """In one piece with its head: a gateway may answer and hang up before it has read more."""
    head = "POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as one:
        one.sendall(f"{head}d\r\n{{'file': 'x'}}\r\n0\r\n\r\n".encode())
        answer = http.client.HTTPResponse(one)
        answer.begin()
        assert answer.status == 401
        answer.close()
    assert application.requests == []


@pytest.mark.parametrize(
    ("path", "signed_in", "status"),
    [
        ("/channels/1", True, 200),
        ("/channels/1", False, 401),
        ("/admin/users", True, 401),
        ("/api/v9/users/@me", True, 200),
        ("/api/v9/users/@me", False, 401),
        ("/login", False, 200),
    ],
)
def test_head_is_answered_as_get_is_without_a_body(gateway, alice, application, path, signed_in, status):
    """The connection is good for the next request: nothing of a body is left in it."""
    headers = {"Authorization": alice.token} if signed_in else {}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    for method in ("HEAD", "HEAD", "GET"):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        assert (answer.status, bool(body)) == (status, method == "GET")
        if path == "/admin/users":
            assert answer.headers["WWW-Authenticate"].startswith("Bearer error=")
    connection.close()
    reached = ["HEAD", "HEAD", "GET"] if path == "/channels/1" and signed_in else []
    assert [arrived["method"] for arrived in application.requests] == reached
