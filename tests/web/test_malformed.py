"""Malformed everything: the contract's errors, never a 500."""

import base64
import json

import pytest

from app.web.services import EXTENSION
from tests.device import API, PASSWORD

NOT_FOUND = {"code": 0, "message": "404: Not Found"}
INVALID_JSON = {"code": 50109, "message": "The request body contains invalid JSON."}
UNAUTHORIZED = {"code": 0, "message": "401: Unauthorized"}

BODIES = [
    b"",
    b"{",
    b"\x00",
    b"\xff\xfe",
    b'{"login": "\xff", "password": "x"}',
    b'{"login": "\\ud800", "password": "x"}',
    b'{"login": NaN, "password": Infinity}',
    b'{"login": 1e999, "password": "x"}',
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b"[" * 20_000,
]
SHAPES = [
    None, True, 0, 2**63, 2**64, 10**300, 1.5, "", "x", "\x00", "\u202e", "é" * 5000, [], [[]], {}, {"a": {"b": []}},
]  # fmt: skip
ROUTES = [
    ("POST", "/auth/register", ["email", "username", "password", "global_name"]),
    ("POST", "/auth/login", ["login", "password"]),
    ("POST", "/auth/mfa/totp", ["ticket", "code", "login_instance_id"]),
    ("POST", "/auth/mfa/backup", ["ticket", "code"]),
    ("POST", "/auth/mfa/webauthn", ["ticket", "code"]),
    ("POST", "/auth/conditional/finish", ["ticket", "credential"]),
    ("POST", "/auth/sessions/logout", ["session_id_hashes"]),
    ("POST", "/mfa/finish", ["ticket", "mfa_type", "data"]),
    ("PATCH", "/users/@me", ["password", "new_password", "username", "global_name", "code"]),
    ("POST", "/users/@me/mfa/totp/enable", ["password", "secret", "code"]),
    ("POST", "/users/@me/mfa/codes", ["password", "regenerate"]),
]
GOOD = {
    **{"email": "carol@example.com", "username": "carol", "password": PASSWORD, "login": "alice@example.com"},
    **{"ticket": "x", "code": "000000", "session_id_hashes": ["A" * 43 + "="], "mfa_type": "password", "data": "x"},
    **{"new_password": "long enough", "secret": "x", "regenerate": True, "global_name": "Carol", "credential": "{}"},
}


@pytest.fixture
def send(app, alice):
    """Sends a raw body as Alice."""

    def send_one(method, path, data, content_type="application/json", **headers):
        headers = {"Authorization": alice.token} | headers
        client = app.test_client(use_cookies=False)
        answer = client.open(API + path, method=method, data=data, content_type=content_type, headers=headers)
        if path == "/users/@me" and answer.status_code == 200:
            alice.token = answer.json.get("token", alice.token)  # another one after a new password
        return answer

    return send_one


@pytest.mark.parametrize(("method", "path", "_fields"), ROUTES)
def test_bodies_that_are_not_json(send, method, path, _fields):
    for body in BODIES:
        answer = send(method, path, body)
        assert (answer.status_code, answer.json) == (400, INVALID_JSON), body[:40]


@pytest.mark.parametrize(("method", "path", "_fields"), ROUTES)
def test_bodies_of_another_type(send, method, path, _fields):
    """A form, a text, nothing said: the body is JSON and says so."""
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "", "nonsense"):
        answer = send(method, path, json.dumps(GOOD), content_type)
        assert (answer.status_code, answer.json) == (400, INVALID_JSON), content_type


@pytest.mark.parametrize(("method", "path", "fields"), ROUTES)
def test_fields_of_every_wrong_shape(send, method, path, fields):
    """Each field in each shape: a 4xx in the contract's form, or for what is only odd, an ordinary answer."""
    for shape in SHAPES:
        answer = send(method, path, json.dumps(shape))
        changes_nothing = method == "PATCH" and isinstance(shape, dict)
        assert (answer.status_code, answer.json.get("code")) == ((200, None) if changes_nothing else (400, 50035))
        for field in fields:
            answer = send(method, path, json.dumps(GOOD | {field: shape}))
            assert answer.status_code in (200, 201, 204, 400, 401), (field, shape)
            if answer.status_code == 400:
                assert answer.json["code"] in (50035, 60002, 60005, 60006, 60008), (field, shape)


def test_a_body_that_is_too_large(send):
    answer = send("POST", "/auth/login", b" " * (64 * 1024 + 1))
    assert (answer.status_code, answer.json) == (413, {"code": 40005, "message": "Request entity too large"})


@pytest.mark.parametrize(
    "token",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "x" * 5000,
        "a.b.c",
        "...",
        "MQ.AAAAAA." + "A" * 43,
        "MQ==.AAAAAA==." + "A" * 43,
        "MTI.AAAAAA." + "A" * 5000,
        "é.é.é",
        "\x7f",
        "e30.AAAAAA." + "A" * 43,
        "MXs.AAAAAA." + "A" * 43,
        "A.AAAAAA." + "A" * 43,
    ],
)
def test_odd_tokens_are_nobodys(app, token):
    client = app.test_client(use_cookies=False)
    for headers in ({"Authorization": token}, {"Cookie": f"__Host-session={token}"}):
        answer = client.get(API + "/auth/sessions", headers=headers)
        assert (answer.status_code, answer.json) == (401, UNAUTHORIZED)


@pytest.mark.parametrize(
    "properties",
    [
        "",
        "not base64 !",
        "é",
        base64.b64encode(b"not json").decode(),
        base64.b64encode(b"[1]").decode(),
        base64.b64encode(b'{"os": 5, "browser": {"a": 1}}').decode(),
        base64.b64encode(b'{"os": "\\ud800", "browser": null}').decode(),
        base64.b64encode(b"[" * 6000).decode(),
        base64.b64encode(b'{"os": "' + b"x" * 20_000 + b'"}').decode(),
    ],
)
def test_odd_client_headers_are_never_an_error(alice, new_device, properties):
    """What cannot be read is unknown, and the device signs in all the same."""
    device = new_device(X_Super_Properties=properties, User_Agent="\x01" * 5000).log_in(alice)
    [session] = [one for one in device.get("/auth/sessions").json["user_sessions"] if one["id_hash"] == device.id_hash]
    assert session["client_info"] == {"os": None, "platform": None, "location": None}


@pytest.mark.parametrize(
    "path", ["/api", API, API + "/", API + "/auth", API + "/auth/sessions//", "/%00", "/%ff", "/api//v9/users/@me"]
)
def test_unknown_routes(app, path):
    answer = app.test_client().get(path)
    assert (answer.status_code, answer.json) == (404, NOT_FOUND)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_wrong_methods(app, method):
    answer = app.test_client().open(API + "/auth/login", method=method)
    assert (answer.status_code, answer.json) == (405, {"code": 0, "message": "405: Method Not Allowed"})
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/login", "/login/mfa", "/register", "/logout", "/me/sessions"])
def test_wrong_methods_of_the_cookie_surface(app, path):
    answer = app.test_client().put(path)
    assert (answer.status_code, answer.json) == (405, {"error": "405: Method Not Allowed"})


def test_an_error_that_nobody_expected_shows_nothing_of_the_inside(alice, app, monkeypatch):
    """500 in the contract's shape, with the request's id; here a rule that gives back what it never does."""
    monkeypatch.setattr(app.extensions[EXTENSION].devices, "end_expired", lambda _: ["no session"])
    app.testing = False
    answer = alice.get("/auth/sessions", X_Request_Id="gateway-7")
    assert answer.status_code == 500
    assert answer.json == {"code": 0, "message": "500: Internal Server Error"}
    assert answer.headers["X-Request-Id"] == "gateway-7"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<script>"])
def test_every_answer_has_a_request_id_of_harmless_form(app, given):
    answer = app.test_client().get("/", headers={"X-Request-Id": given})
    assert len(answer.headers["X-Request-Id"]) == 16
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
