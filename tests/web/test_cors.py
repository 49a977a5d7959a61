"""Pages of other origins: those of ALLOWED_ORIGINS may call the API with a token, all others may not."""

import pytest

from tests.device import Device

CHAT = "https://chat.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture
def client(make_app):
    return make_app(ALLOWED_ORIGINS=f"{CHAT}, http://localhost:3000").test_client()


def cors_headers(answer):
    return {name: value for name, value in answer.headers if name.startswith("Access-Control-") or name == "Vary"}


@pytest.mark.parametrize("path", ["/api/v9/users/@me", "/api/users/@me/", "/api/v9/auth/sessions/logout"])
def test_a_preflight_of_an_allowed_origin_is_answered(client, path):
    answer = client.options(path, headers={"Origin": CHAT} | PREFLIGHT)
    assert answer.status_code == 200
    assert cors_headers(answer) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": CHAT,
        "Access-Control-Allow-Methods": "GET, POST, PATCH, PUT, DELETE",
        "Access-Control-Allow-Headers": "authorization,content-type",
        "Access-Control-Max-Age": "600",
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v9/users/@me", None, 401),
        ("POST", "/api/v9/auth/login", {}, 400),
        ("PUT", "/api/v9/auth/login", None, 405),
        ("GET", "/api/v9/unknown", None, 404),
        ("POST", "/api/v9/auth/login", {"login": "x" * 70_000}, 413),
        ("GET", "/gateway/verify", None, 401),
    ],
)
def test_refusals_can_be_read_too(client, method, path, body, status):
    """A page that may not read a refusal is told only that fetching failed."""
    answer = client.open(path, method=method, json=body, headers={"Origin": CHAT})
    assert answer.status_code == status
    told = cors_headers(answer)
    assert (told["Access-Control-Allow-Origin"], told["Vary"]) == (CHAT, "Origin")
    assert {"Retry-After", "X-RateLimit-Reset-After"} <= set(told["Access-Control-Expose-Headers"].split(", "))


def test_a_page_of_an_allowed_origin_uses_the_api_with_its_token(client):
    device = Device(client, {"Origin": CHAT}).register("alice@example.com")
    answer = device.get("/auth/sessions")
    assert answer.headers["Access-Control-Allow-Origin"] == CHAT


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "null", "http://chat.example.com", "https://chat.example.com:8443"),
        *("https://chat.example.com.evil.example", "https://xchat.example.com", "*", "", "https://CHAT.example.com/"),
    ],
)
def test_other_origins_get_nothing(client, origin):
    for answer in (
        client.get("/api/v9/users/@me", headers={"Origin": origin}),
        client.options("/api/v9/users/@me", headers={"Origin": origin} | PREFLIGHT),
    ):
        assert cors_headers(answer) == {"Vary": "Origin"}


@pytest.mark.parametrize("path", ["/login", "/me/sessions", "/settings/sessions", "/healthz", "/logout"])
def test_pages_and_the_cookie_api_are_for_their_own_origin(client, path):
    """Pages are others by language, and none by who asks for them."""
    answer = client.options(path, headers={"Origin": CHAT} | PREFLIGHT)
    assert set(cors_headers(answer)) <= {"Vary"}
    assert "Origin" not in answer.vary


def test_no_answer_allows_cookies(client):
    """A cookie of an allowed origin's visitor changes nothing either."""
    client.set_cookie("__Host-session", Device(client).register("alice@example.com").token)
    answer = client.post("/api/v9/auth/logout", headers={"Origin": CHAT})
    assert answer.status_code == 403
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_without_the_setting_no_answer_speaks_of_origins(app):
    answer = app.test_client().options("/api/v9/users/@me", headers={"Origin": CHAT} | PREFLIGHT)
    assert cors_headers(answer) == {}
