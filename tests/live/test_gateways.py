"""The configurations of docs/gateway as they stand, in front of the service and an application that echoes.

nginx runs always; Caddy, Traefik, Envoy and HAProxy wherever they are on the PATH.
"""

import contextlib
import http.client
import itertools
import socket
import time
from urllib.parse import unquote

import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.authenticator import Authenticator
from tests.device import PASSWORD
from tests.live.gateways import ORIGIN, SECRET, Application, Gateway, Relay, ask, new_device, values
from tests.live.server import Service
from tests.passkeys import begin, request_of
from tests.passkeys import finish as finish_passkey
from tests.servers import RedisServer, wait_until

SLOW = 160  # connections, so that each of the two processes has more than its 32 threads
CLIENT = "127.0.0.2"
TOO_LARGE = {"code": 40005, "message": "Request entity too large"}
UNAUTHORIZED = {"code": 0, "message": "401: Unauthorized"}
ADDRESS_HEADERS = ("X-Forwarded-For", "X_Forwarded_For", "x-forwarded_for", "X-Real-IP", "Forwarded", "True-Client-IP")
WEBSOCKET = [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
IDENTITY = ("X-Auth-User-Id", "X-Auth-Session-Id-Hash")


@pytest.fixture
def alice(gateway):
    """Alice's device, which knows of the gateway alone."""
    return new_device(gateway).register("alice@example.com")


def finish(device, ticket):
    body = {"ticket": ticket, "mfa_type": "password", "data": PASSWORD}
    return device.post("/mfa/finish", body)


def test_who_is_signed_in_reaches_the_application_with_an_identity(gateway, alice, application):
    """Method, path, query and body as they were sent; who it is, once."""
    body = {"text": "x" * 100_000}
    answer = ask(gateway, "/channels/1?before=2&before=3", "POST", body, Authorization=alice.token)
    assert answer.status_code == 200
    [arrived] = application.requests
    assert (arrived["method"], arrived["path"]) == ("POST", "/channels/1?before=2&before=3")
    assert len(arrived["body"]) > 100_000
    assert values(arrived["headers"], "X-Auth-User-Id") == [alice.user_id]
    assert values(arrived["headers"], "X-Auth-Session-Id-Hash") == [alice.id_hash]


@pytest.mark.parametrize("token", [None, "x", "MQ.AAAA.AAAA"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_who_is_not_signed_in_hears_why_and_does_not_reach_it(gateway, application, method, token):
    body = None if method == "GET" else {"text": "x" * 10_000}
    answer = ask(gateway, method=method, json=body, **({"Authorization": token} if token else {}))
    assert (answer.status_code, answer.json) == (401, UNAUTHORIZED)
    assert answer.headers["Content-Type"] == "application/json"
    assert application.requests == []


def test_a_session_that_ended_is_refused_by_the_next_request(gateway, alice, application):
    """By its own logout and by another device, over the connection that was just good."""
    phone, tablet = new_device(gateway).log_in(alice), new_device(gateway).log_in(alice)
    assert [ask(gateway, Authorization=one.token).status_code for one in (phone, tablet)] == [200, 200]
    assert phone.post("/auth/logout").status_code == 204
    assert alice.end([tablet.id_hash]).status_code == 204
    assert [ask(gateway, Authorization=one.token).status_code for one in (phone, tablet)] == [401, 401]
    assert ask(gateway, Authorization=alice.token).status_code == 200
    assert len(application.requests) == 3


def spellings(name):
    """In either case, and with any character for a - that a header's name may have: to CGI they are one header."""
    parts = name.split("-")
    for mark in "!#$%&'*+._`|~^":
        for marks in itertools.product("-" + mark, repeat=len(parts) - 1):
            spelled = parts[0] + "".join(mark + part for mark, part in zip(marks, parts[1:], strict=True))
            yield from (spelled, spelled.lower(), spelled.upper())


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users"])
def test_an_identity_that_the_client_sends_never_arrives(gateway, alice, application, path):
    """In no spelling, signed in or not."""
    headers = {"Authorization": alice.token, "X-Discord-MFA-Authorization": alice.prove()}
    forged = sorted({spelled for header in IDENTITY for spelled in spellings(header)})
    for some in (forged[start : start + 50] for start in range(0, len(forged), 50)):
        lies = dict.fromkeys(some, "1")
        assert gateway.http.open(path, "GET", headers | lies).status_code == 200
        assert gateway.http.open(path, "GET", lies).status_code == 401
    assert len(application.requests) == len(forged) // 50 + 1
    for arrived in application.requests:
        assert values(arrived["headers"], "X-Auth-User-Id") == [alice.user_id]
        assert values(arrived["headers"], "X-Auth-Session-Id-Hash") == [alice.id_hash]


def test_step_up_through_the_gateway(gateway, alice, application):
    """The challenge comes whole, is answered through the gateway, and the proof passes as header and as cookie."""
    challenge = ask(gateway, "/admin/users", Authorization=alice.token)
    assert (challenge.status_code, challenge.json["code"]) == (401, 60003)
    assert challenge.json["mfa"]["methods"] == [{"type": "password"}]
    assert challenge.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_user_authentication", max_age="300"'
    )  # once: requests joins what comes twice
    assert challenge.headers["Cache-Control"] == "no-store"
    assert application.requests == []
    for _ in range(20):  # what the page asks in the background while the person types
        assert ask(gateway, "/admin/poll", Authorization=alice.token).status_code == 401
    finished = finish(alice, challenge.json["mfa"]["ticket"])
    assert finished.status_code == 200
    proof = finished.json["token"]
    assert f"__Secure-recent_mfa={proof};" in finished.headers["Set-Cookie"]
    passed = [
        ask(gateway, "/admin/users", "POST", Authorization=alice.token, X_Discord_MFA_Authorization=proof),
        ask(gateway, "/admin/users", Authorization=alice.token, Cookie=f"__Secure-recent_mfa={proof}"),
    ]
    assert [answer.status_code for answer in passed] == [200, 200]
    assert len(application.requests) == 2
    phone = new_device(gateway).log_in(alice)
    other = ask(gateway, "/admin/users", Authorization=phone.token, X_Discord_MFA_Authorization=proof)
    assert (other.status_code, other.json["code"]) == (401, 60003)
    assert ask(gateway, "/admin/users").json == UNAUTHORIZED
    assert len(application.requests) == 2


def test_a_challenge_with_as_many_passkeys_as_there_can_be_comes_whole(gateway, alice):
    """Ten, with the longest ids that WebAuthn allows: nginx has the challenge in a header."""
    for number in range(10):
        key = Authenticator()
        begun = begin(alice, **({"X_Discord_MFA_Authorization": alice.prove()} if number else {}))
        made = key.make(begun["challenge"], cred_id=bytes([number]) * 1023)
        answer = finish_passkey(alice, begun, made)
        assert answer.status_code == 200, answer.json
        alice.backup_codes += [code["code"] for code in answer.json["backup_codes"]]
    challenge = ask(gateway, "/admin/users", Authorization=alice.token)
    assert (challenge.status_code, challenge.json["code"]) == (401, 60003)
    assert request_of(challenge.json["mfa"]).count('"public-key"') == 10


@pytest.mark.parametrize(
    ("method", "sent", "status"),
    [
        ("GET", {}, 200),
        ("GET", {"Sec_Fetch_Site": "cross-site"}, 200),
        ("POST", {"Sec_Fetch_Site": "same-origin"}, 200),
        ("POST", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("DELETE", {"Sec_Fetch_Site": "same-site"}, 403),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "https://evil.example", "X_Forwarded_Method": "GET"}, 403),
    ],
)
def test_a_cookie_acts_from_its_own_origin_alone(gateway, alice, application, method, sent, status):
    """Keyrack judges by the method and the host of the original request."""
    answer = ask(gateway, method=method, Cookie=f"__Host-session={alice.token}", **sent)
    assert answer.status_code == status
    assert len(application.requests) == (status == 200)
    if status == 403:
        assert answer.json == {"code": 0, "message": "403: Forbidden"}


def test_an_origin_is_compared_with_the_host_that_the_client_named(gateway, alice, application):
    """For browsers without Sec-Fetch-Site. Traefik asks under Keyrack's own host, so there it is a no."""
    answer = ask(gateway, method="POST", Cookie=f"__Host-session={alice.token}", Origin=gateway.url)
    assert answer.status_code == (403 if gateway.name == "traefik" else 200)
    assert len(application.requests) == (answer.status_code == 200)


class Conversation:
    """A connection to the gateway that sends what it is told to."""

    def __init__(self, gateway):
        self._host = f"127.0.0.1:{gateway.port}"
        self._socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def ask(self, path, headers, method="GET", body=b""):
        """Returns: the status of the answer, None where the gateway hung up"""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", *(f"{name}: {value}" for name, value in headers)]
        try:
            self._socket.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body)
            answer = http.client.HTTPResponse(self._socket, method=method)
            answer.begin()
            if answer.status != 101:
                answer.read()
        except (ConnectionError, http.client.HTTPException):
            return None
        return answer.status


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users"])
@pytest.mark.parametrize(
    "named", [["h2c"], ["H2C"], ["x-tunnel"], ["websocket, h2c"], ["h2c", "websocket"], ["websocket", "h2c"]]
)
def test_no_upgrade_passes_but_to_websocket(gateway, alice, application, path, named):
    """Another one would be a tunnel to the application, and what is sent in it is asked about by nobody."""
    signed_in = [("Authorization", alice.token), ("X-Discord-MFA-Authorization", alice.prove())]
    upgrade = [("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"), *WEBSOCKET]
    with Conversation(gateway) as conversation:
        opened = conversation.ask(path, [*signed_in, *upgrade, *(("Upgrade", one) for one in named)])
        inside = conversation.ask("/forged", [("X-Auth-User-Id", "1")])
    for arrived in application.requests[:1]:
        assert values(arrived["headers"], "Upgrade") == (["websocket"] if opened == 101 else [])
    if opened == 101:
        assert "websocket" in ", ".join(named)  # HAProxy 2.8.25 takes h2c out of such a header by itself
    else:
        assert inside in (401, None)
        assert [arrived["path"] for arrived in application.requests] in ([path], [])


PREFLIGHT = [("Origin", "https://chat.example.com"), ("Access-Control-Request-Method", "PUT")]
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), *WEBSOCKET]


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users"])
@pytest.mark.parametrize(
    ("method", "headers", "body"),
    [
        ("OPTIONS", [*PREFLIGHT, *UPGRADE], b""),
        ("OPTIONS", [*UPGRADE, *PREFLIGHT], b""),
        ("OPTIONS", [*PREFLIGHT, *WEBSOCKET, ("Connection", "upgrade"), ("Upgrade", "WebSocket")], b""),
        ("OPTIONS", [*PREFLIGHT, *UPGRADE, ("Upgrade", "")], b""),
        ("OPTIONS", [*PREFLIGHT, ("Upgrade", ""), *UPGRADE], b""),
        ("OPTIONS", [*PREFLIGHT, *UPGRADE, ("Upgrade", "websocket")], b""),
        ("OPTIONS", [*PREFLIGHT, *UPGRADE, ("Content-Length", "4")], b"text"),
        ("OPTIONS", [*PREFLIGHT, ("Connection", "Upgrade"), ("Upgrade", "h2c")], b""),
        ("OPTIONS", [*PREFLIGHT, ("Content-Length", "4")], b"text"),
        ("OPTIONS", [*PREFLIGHT, ("Transfer-Encoding", "chunked")], b"4\r\ntext\r\n0\r\n\r\n"),
        ("POST", [*UPGRADE, ("Content-Length", "4")], b"text"),
        ("POST", [*UPGRADE, ("Transfer-Encoding", "chunked")], b"4\r\ntext\r\n0\r\n\r\n"),
        ("HEAD", UPGRADE, b""),
        ("CONNECT", UPGRADE, b""),
    ],
)
def test_nobody_who_is_not_signed_in_opens_a_tunnel(gateway, application, path, method, headers, body):
    """A preflight asks for no upgrade: what looks like one and does is asked about, and so is what follows."""
    with Conversation(gateway) as conversation:
        assert conversation.ask(path, headers, method, body) != 101
        assert conversation.ask("/forged", [("X-Auth-User-Id", "1")]) in (401, None)
    for arrived in application.requests:
        assert (arrived["method"], arrived["path"]) == ("OPTIONS", path)
        assert values(arrived["headers"], "Upgrade") in ([], [""])
        assert [value for header in IDENTITY for value in values(arrived["headers"], header) if value] == []


@pytest.mark.parametrize("target", ["/channels/1", "127.0.0.1:9000", "http://127.0.0.1:9000/channels/1"])
def test_connect_opens_no_tunnel_to_the_application(gateway, alice, application, target):
    """Not for who is signed in either: what is sent in it is asked about by nobody."""
    with Conversation(gateway) as conversation:
        conversation.ask(target, [("Authorization", alice.token)], "CONNECT")
        assert conversation.ask("/forged", [("X-Auth-User-Id", "1")]) in (400, 401, None)
    assert "/forged" not in [arrived["path"] for arrived in application.requests]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/login"), ("POST", "/api/v9/auth/login"), ("GET", "/me/sessions")]
)
def test_keyracks_own_routes_open_no_tunnel(gateway, application, method, path):
    with Conversation(gateway) as conversation:
        assert conversation.ask(path, UPGRADE, method) != 101
        assert conversation.ask("/gateway/introspect", [("Authorization", f"Bearer {SECRET}")], "POST") in (404, None)
    assert application.requests == []


@pytest.fixture
def handshake(gateway, alice):
    """Asks for a WebSocket with Alice's cookies; what it returns says whether the application can be spoken to."""
    cookies = f"__Host-session={alice.token}; __Secure-recent_mfa={alice.prove()}"

    def shake(path, upgrade="websocket", credentials=("Cookie", cookies), **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with Conversation(gateway) as conversation:
            sent = [("Connection", "Upgrade"), ("Upgrade", upgrade), *WEBSOCKET, credentials, *named.items()]
            status = conversation.ask(path, sent)
            return conversation.ask("/inside", []) if status == 101 else status

    return shake


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users"])
@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket"])
@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "https://evil.example"},  # some browsers send no Sec-Fetch-Site with a handshake
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "http://other.127.0.0.1", "Sec_Fetch_Site": "same-site", "X_Forwarded_Method": "GET"},
    ],
)
def test_another_page_cannot_open_a_websocket_with_this_ones_cookie(handshake, application, path, upgrade, foreign):
    """A handshake is a GET, and yet no other page may make one."""
    assert handshake(path, upgrade, **foreign) == 403
    assert application.requests == []


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users"])
def test_a_websocket_opens_for_its_own_page_and_for_who_sends_a_token(gateway, alice, handshake, application, path):
    assert handshake(path, Origin=gateway.url) == 200
    assert handshake(path, Origin=gateway.url, Sec_Fetch_Site="same-origin") == 200
    assert handshake(path) == 200  # no browser
    token = ("Authorization", alice.token)
    proof = alice.prove()
    with_token = {"Origin": "https://other.example", "X_Discord_MFA_Authorization": proof}
    assert handshake(path, credentials=token, **with_token) == 200
    assert handshake(path, credentials=("Authorization", "x"), **with_token) == 401
    opened = [arrived for arrived in application.requests if arrived["path"] == path]
    assert [values(arrived["headers"], "Upgrade") for arrived in opened] == [["websocket"]] * 4
    assert [values(arrived["headers"], "X-Auth-User-Id") for arrived in opened] == [[alice.user_id]] * 4


KEYRACKS = [
    *(("GET", "/api/v9/users/%40me"), ("DELETE", f"/me/sessions/{'a/' * 21}a=")),
    *(
        ("GET", "/api/v9/users/@me"),
        ("PATCH", "/api/v6/users/@me/"),
        ("GET", "/api/users/@me"),
        ("OPTIONS", "/api/v10/users/@me"),
    ),
    *(("POST", "/api/auth/login"), ("POST", "/api/v7/auth/login/"), ("GET", "/api/v10/auth/sessions?extended=true")),
    *(("POST", "/api/v8/mfa/finish"), ("POST", "/api/v9/users/@me/mfa/totp/enable"), ("POST", "/logout")),
    *(
        ("GET", "/login"),
        ("GET", "/settings/sessions"),
        ("POST", "/me/sessions/revoke"),
        ("GET", "/keyrack/keyrack.css"),
    ),
]
APPLICATIONS = [
    *(("PUT", "/api/v9/users/@me"), ("DELETE", "/api/v9/users/@me/"), ("GET", "/api/v9/users/@me/guilds")),
    *(
        ("PATCH", "/api/v9/users/@me/settings"),
        ("GET", "/api/v9/users/@me/relationships"),
        ("GET", "/api/v9/users/@me/mfa"),
    ),
    *(
        ("POST", "/api/v9/auth/generate-registration-tokens"),
        ("GET", "/api/policies/instance/domains"),
        ("GET", "/api/ping"),
    ),
    *(("GET", "/.well-known/spacebar"), ("GET", "/settings"), ("GET", "/loginx"), ("GET", "/api/v5/users/@me")),
    *(("GET", "/api/v11/auth/sessions"), ("GET", "/api/v9/auth/sessions/more"), ("GET", "/static"), ("GET", "/me")),
    *(("GET", "/static/keyrack.css"), ("GET", "/keyrack"), ("GET", "/logout/mfa"), ("POST", "/forgot/code")),
    *(("GET", "/settings/security/x"), ("GET", "/settings/sessions/x"), ("GET", "/me/sessions/"), ("GET", "/login/")),
    *(
        ("GET", "/gateway"),
        ("GET", "/gatewayx"),
        ("GET", "/Gateway/verify"),
        ("GET", "/metrics/x"),
        ("GET", "/Metrics"),
    ),
    *(("GET", "/search?require=approval"), ("GET", "/API/v9/users/@me"), ("GET", "/Login")),
]


@pytest.mark.parametrize(("method", "path"), KEYRACKS)
def test_keyracks_own_routes_reach_it_in_every_version(gateway, alice, application, method, path):
    """By method and path; a slash at the end is passed over."""
    answer = ask(gateway, path, method, Authorization=alice.token)
    assert answer.status_code != 404 or answer.json == {"error": "Session not found"}
    assert application.requests == []


@pytest.mark.parametrize(("method", "path"), APPLICATIONS)
def test_all_other_routes_are_the_applications(gateway, alice, application, method, path):
    """An application of the same API has its own, beside Keyrack's and under the same prefix."""
    assert ask(gateway, path, method, Authorization=alice.token).status_code == 200
    [arrived] = application.requests
    assert (arrived["method"], arrived["path"]) == (method, path)
    assert values(arrived["headers"], "X-Auth-User-Id") == [alice.user_id]


@pytest.mark.parametrize("path", ["/channels/1", "/api/v9/users/@me/guilds", "/admin/users"])
def test_a_preflight_for_the_application_goes_there_unasked(gateway, application, path):
    """A browser sends neither token nor cookie with it; the application alone knows which origins it serves."""
    preflight = {"Origin": "https://chat.example.com", "Access_Control_Request_Method": "PUT"}
    assert ask(gateway, path, "OPTIONS", X_Auth_User_Id="1", **preflight).status_code == 200
    [arrived] = application.requests
    assert (arrived["method"], arrived["path"]) == ("OPTIONS", path)
    assert [value for header in IDENTITY for value in values(arrived["headers"], header) if value] == []


@pytest.mark.parametrize(
    "sent", [{}, {"Origin": "https://a.example"}, {"Origin": "a,b"}, {"Access_Control_Request_Method": "PUT"}]
)
def test_options_that_is_no_preflight_is_asked_about(gateway, application, sent):
    assert ask(gateway, "/channels/1", "OPTIONS", **sent).status_code == 401
    assert application.requests == []


@pytest.mark.parametrize("path", ["/%61dmin/users", "/adm%69n/users", "/admi%6E/users", "/%41dmin/users/.."])
def test_no_spelling_of_a_path_spares_the_proof(gateway, alice, application, path):
    """What the application would read as /admin/ is asked about as that, or refused."""
    for answer in ask_raw(gateway, path, alice.token)[:1]:
        assert answer.status in (400, 401, 301, 307) or "/admin" not in unquote(path)
    assert not [arrived for arrived in application.requests if unquote(arrived["path"]).startswith("/admin/")]


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users"])
def test_a_client_cannot_take_the_identity_off_its_request(gateway, alice, application, path):
    """A proxy takes off the headers that Connection names, and an application may trust a request without identity."""
    named = "close, X-Auth-User-Id, X-Auth-Session-Id-Hash"
    proof = alice.prove()
    answer = ask(gateway, path, Authorization=alice.token, X_Discord_MFA_Authorization=proof, Connection=named)
    assert answer.status_code in (200, 400)
    for arrived in application.requests:
        assert values(arrived["headers"], "X-Auth-User-Id") == [alice.user_id]
        assert values(arrived["headers"], "X-Auth-Session-Id-Hash") == [alice.id_hash]
        assert "X-Auth" not in "".join(values(arrived["headers"], "Connection"))


def test_an_upload_reaches_the_application_whole(gateway, alice, application):
    """nginx takes 1 MB by itself, and its check would take no more either."""
    body = {"file": "x" * 3_000_000}
    assert ask(gateway, "/upload", "POST", body, Authorization=alice.token).status_code == 200
    assert len(application.requests[0]["body"]) > 3_000_000


def test_an_upload_of_somebody_who_is_not_signed_in_is_refused_at_its_start(gateway, application):
    """The answer does not wait for the end of the body."""
    head = "POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 50000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as one:
        one.sendall(head.encode() + b"x" * 400_000)  # Caddy answers when it has read 256 KiB
        answer = http.client.HTTPResponse(one)
        answer.begin()
        assert answer.status == 401
    assert application.requests == []


def test_an_answer_may_take_long(gateway, alice, application):
    """Event streams and slow reports are the application's; some gateways cut them after 15 seconds by default."""
    application_waits = {"X_Wait": "20"}
    assert ask(gateway, "/slow", Authorization=alice.token, **application_waits).status_code == 200


def test_headers_may_be_long(gateway, alice):
    assert ask(gateway, Authorization=alice.token, X_Super_Properties="e" * 60_000).status_code == 200
    assert (
        ask(gateway, "/api/v9/auth/sessions", Authorization=alice.token, X_Super_Properties="e" * 60_000).status_code
        == 200
    )


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users"])
def test_head_is_asked_about_as_get_is(gateway, alice, application, path):
    assert ask(gateway, path, "HEAD").status_code == 401
    assert application.requests == []


def test_keyracks_own_routes_need_no_session(gateway, alice, application):
    for path in ("/api/v9/auth/sessions", "/api/v9/users/@me"):
        assert ask(gateway, path, Authorization=alice.token).status_code == 200
        assert ask(gateway, path).json == UNAUTHORIZED
    wrong = {"login": alice.email, "password": "wrong"}
    assert ask(gateway, "/api/v9/auth/login", "POST", wrong).json["code"] == 50035
    assert application.requests == []


@pytest.mark.parametrize("path", ["/api/v9/auth/login", "/login", "/channels/1"])
@pytest.mark.parametrize(
    ("length", "begun"),
    [
        ("Content-Length: 60000", b"x" * 20_000),
        ("Content-Length: 100000", b"x" * 90_000),
        ("Transfer-Encoding: chunked", b"4e20\r\n" + b"x" * 20_000 + b"\r\n"),
        ("Transfer-Encoding: chunked", b"15f90\r\n" + b"x" * 90_000 + b"\r\n"),
    ],
)
def test_bodies_that_never_end_keep_nobody_waiting(gateway, alice, path, length, begun):
    """More of them than Keyrack has threads: they wait in the gateway, and the checks go on."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    with contextlib.ExitStack() as slow:
        for _ in range(SLOW):
            one = slow.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=10))
            with contextlib.suppress(ConnectionError):  # refused already
                one.sendall(head.encode() + begun)
        time.sleep(0.5)  # all of them have come as far as they will
        began = time.monotonic()
        assert [ask(gateway, Authorization=alice.token).status_code for _ in range(10)] == [200] * 10
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("path", ["/api/v9/auth/login", "/login"])
def test_a_body_that_is_too_long_is_refused_as_that(gateway, path):
    """Whether it says beforehand how long it is or not.

    Now and then a gateway finds the connection closed before it has read the answer, and says 503 in its place: once is
    chance, three times are not.
    """
    body = b"x" * 100_000
    for sent in (body, iter([body])):
        # Hung up before all was sent, which says it as well
        with contextlib.suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            sent_as = {"Content-Type": "application/json"}
            answers = [requests.post(gateway.url + path, data=sent, headers=sent_as, timeout=10)]
            while answers[-1].status_code == 503 and len(answers) < 3:
                again = iter([body]) if sent is not body else body
                answers.append(requests.post(gateway.url + path, data=again, headers=sent_as, timeout=10))
            assert answers[-1].status_code == 413
            if gateway.name == "traefik":
                assert answers[-1].text == "Request Entity Too Large"
            else:  # Caddy may have passed the head on, so that Keyrack says it
                assert answers[-1].json() in (TOO_LARGE, {"error": TOO_LARGE["message"]})


def ask_raw(gateway, path, authorization):
    """Ask with the path as it is written; requests would tidy it."""
    answers = []
    for method, body in (("GET", None), ("POST", "token=x")):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        sent = {"Authorization": authorization, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, path, body, sent)
        answers.append(connection.getresponse())
        answers[-1].body = answers[-1].read()
        connection.close()
    return answers


@pytest.mark.parametrize("path", ["/gateway/verify", "/gateway/introspect", "/gateway/reconcile", "/metrics"])
def test_what_is_for_the_gateway_alone_is_not_outside(gateway, alice, application, path):
    """Neither for who is signed in nor for who has the right secret."""
    for authorization in (alice.token, f"Bearer {SECRET}"):
        assert [answer.status for answer in ask_raw(gateway, path, authorization)] == [404, 404]
    assert application.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "//gateway/introspect",
        "/./gateway/introspect",
        "/%67ateway/introspect",
        "/gateway%2Fintrospect",
        "/api/v9/auth/../../../gateway/introspect",
        "/api/v9/auth/%2e%2e/%2e%2e/%2e%2e/gateway/introspect",
        "/api/v9/auth/..%2f..%2f..%2fgateway/introspect",
        "/login/../gateway/introspect",
        "/_keyrack/verify",
    ],
)
def test_no_spelling_of_a_path_leads_there(gateway, alice, application, path):
    """Redirected, refused or taken for a path of the application's, which the secret does not open."""
    for answer in ask_raw(gateway, path, f"Bearer {SECRET}"):
        assert answer.status in (301, 307, 400, 401, 404)
        assert b"active" not in answer.body
    for answer in ask_raw(gateway, path, alice.token):
        assert answer.headers.get("X-Auth-User-Id") is None
        assert b"active" not in answer.body


@pytest.mark.parametrize("path", ["/channels/1", "/api/v9/auth/sessions"])
def test_the_clients_own_address_arrives(gateway, alice, real_redis, path):
    """The address that the client's connection has, whatever it says of others, and its description along with it."""
    sent = {"Authorization": alice.token, "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0"}
    with requests.Session() as elsewhere:
        elsewhere.trust_env = False
        elsewhere.mount("http://", From(CLIENT))
        for forged in ({}, *({header: "203.0.113.9"} for header in ADDRESS_HEADERS)):
            note_use_again(real_redis, alice)
            assert elsewhere.get(gateway.url + path, headers=sent | forged, timeout=10).status_code == 200
            wait_until(lambda: last_used(real_redis, alice) > time.time() - 60, "the use was not noted")
            [session] = alice.get("/auth/sessions?extended=true").json["user_sessions"]
            assert session["last_seen_ip"] == CLIENT
            assert session["client_info"]["platform"] == "Firefox"


def note_use_again(redis, device):
    """As if the device was last used two minutes ago, by nobody in particular."""
    [id_hash] = device.id_hashes()
    redis.zincrby(f"user:{{{device.user_id}}}:last_used", -120, id_hash)


def last_used(redis, device):
    """When the device's only session was used last. It is not noted before a check is answered, but right behind it."""
    [(_, at)] = redis.zrange(f"user:{{{device.user_id}}}:last_used", 0, -1, withscores=True)
    return at


class From(HTTPAdapter):
    """Connects from an address of its own."""

    def __init__(self, address):
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args, **options):
        super().init_poolmanager(*args, source_address=(self._address, 0), **options)


@pytest.fixture
def cuttable(name, keyrack):
    """A gateway whose way to Keyrack is counted and can be cut."""
    application, relay = Application(), Relay(keyrack.port)
    gateway = Gateway(name, relay.port, application.port)
    yield gateway, application, relay
    gateway.close()
    relay.close()
    application.close()


def test_connections_are_kept(cuttable, keyrack):
    """A connection to Keyrack and to the application serves many requests, refusals among them."""
    gateway, application, relay = cuttable
    alice = keyrack.device().register("alice@example.com")
    for _ in range(30):
        assert ask(gateway, Authorization=alice.token).status_code == 200
        assert ask(gateway).status_code == 401
    assert len(application.requests) == 30
    assert relay.accepted <= 4
    assert len(application.connections) <= 4


def is_unavailable(gateway, answer, *, asked=True):
    """Whether an answer is what docs/gateway.md says a client hears when Keyrack cannot be asked, or reached."""
    assert not values(answer.headers.items(), "X-Auth-User-Id")
    if gateway.name == "traefik":
        return answer.status_code == (500 if asked else 503)
    told = answer.status_code, answer.json, answer.headers.get("Retry-After")
    return told == (503, {"code": 0, "message": "503: Service Unavailable"}, "1")


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users", "/api/v9/users/@me"])
def test_keyrack_away_is_a_no(cuttable, keyrack, path):
    gateway, application, relay = cuttable
    alice = keyrack.device().register("alice@example.com")
    proof = alice.prove()
    assert ask(gateway, path, Authorization=alice.token, X_Discord_MFA_Authorization=proof).status_code == 200
    reached = len(application.requests)
    relay.cut()
    for token in (alice.token, "x"):
        answer = ask(gateway, path, Authorization=token, X_Discord_MFA_Authorization=proof)
        assert is_unavailable(gateway, answer, asked=path != "/api/v9/users/@me")
    assert len(application.requests) == reached


def test_a_keyrack_that_answers_nothing_is_a_no(cuttable, keyrack):
    """After 5 seconds; HAProxy before 2.8 asks four times, and Traefik waits for 30 seconds."""
    gateway, application, relay = cuttable
    alice = keyrack.device().register("alice@example.com")
    relay.fall_silent()
    began = time.monotonic()
    assert is_unavailable(gateway, ask(gateway, Authorization=alice.token))
    assert time.monotonic() - began < {"traefik": 40, "haproxy": 25}.get(gateway.name, 10)
    assert application.requests == []


def test_keyracks_own_routes_are_unavailable_too_if_it_answers_nothing(cuttable):
    """After the 30 seconds that a login may wait for its turn, and in one form with all other failures."""
    gateway, _, relay = cuttable
    relay.fall_silent()
    began = time.monotonic()
    answer = requests.post(f"{gateway.url}/api/v9/auth/login", json={}, timeout=60)
    assert 25 < time.monotonic() - began < 40
    told = answer.status_code, answer.text.strip(), answer.headers.get("Retry-After")
    if gateway.name == "traefik":
        assert told == (503, "", None)
    else:
        assert told == (503, '{"code": 0, "message": "503: Service Unavailable"}', "1")
        assert answer.headers["Content-Type"] == "application/json"


def is_readable_elsewhere(answer):
    """Whether a page of an origin that Keyrack lets call it may read an answer, its headers included."""
    exposed = answer.headers.get("Access-Control-Expose-Headers", "")
    told = answer.headers.get("Access-Control-Allow-Origin"), answer.headers.get("Vary")
    return told == (ORIGIN, "Origin") and "WWW-Authenticate" in exposed and "Retry-After" in exposed


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_an_allowed_origin_may_read_why_it_is_refused(gateway, alice, method):
    """Of the application's routes as of Keyrack's own: else a browser tells it "Failed to fetch", and nothing more."""
    cookie = {"Cookie": f"__Host-session={alice.token}", "Sec_Fetch_Site": "cross-site"}
    refused = [
        (401, ask(gateway, method=method, Origin=ORIGIN)),
        (401, ask(gateway, "/admin/users", method, Authorization=alice.token, Origin=ORIGIN)),
        (401, ask(gateway, "/api/v9/users/@me", Origin=ORIGIN)),
        (403, ask(gateway, method="DELETE", Origin=ORIGIN, **cookie)),
    ]
    for status, answer in refused:
        assert answer.status_code == status
        assert is_readable_elsewhere(answer), answer.headers
        assert answer.headers["X-Request-Id"]
    other = ask(gateway, method=method, Origin="https://evil.example")
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize("path", ["/channels/1", "/admin/users", "/api/v9/users/@me"])
def test_redis_away_is_a_no(name, path):
    """Keyrack's 503 goes to the client as one, and the request to nobody."""
    redis = RedisServer()
    service, application = Service(redis.url, ALLOWED_ORIGINS=ORIGIN), Application()
    gateway = Gateway(name, service.port, application.port)
    try:
        alice = service.device().register("alice@example.com")
        redis.stop()
        answer = ask(gateway, path, Authorization=alice.token, Origin=ORIGIN)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json == {"code": 0, "message": "503: Service Unavailable"}
        assert is_readable_elsewhere(answer) or (name == "envoy" and not path.startswith("/api"))
        assert application.requests == []
    finally:
        for one in (gateway, application, service, redis):
            one.close()


@pytest.mark.parametrize(
    "path",
    ["/docs", "/openapi.json", "/keyrack/keyrack.css", "/not-me", "/not-me/form", "/forgot/form", "/reset/code"],
)
def test_pages_that_mails_and_forms_name_are_keyracks(gateway, application, path):
    """The application's are 401 for somebody who is not signed in."""
    assert ask(gateway, path).status_code in (200, 302, 303)
    assert application.requests == []


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs/more"])
def test_what_is_not_for_outside_is_not_keyracks(gateway, application, alice, path):
    assert ask(gateway, path).status_code == 401
    assert ask(gateway, path, Authorization=alice.token).status_code == 200
    assert [arrived["path"] for arrived in application.requests] == [path]
