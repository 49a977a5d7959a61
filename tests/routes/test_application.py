"""The user as Keyrack and the application behind the gateway have it together (APPLICATION_URL)."""

import json
import logging
import subprocess
import threading
import time

import pytest

from app.web.application import REST_S
from tests.application import Application, drips, says
from tests.certificates import Authority
from tests.device import PASSWORD, Device, errors
from tests.watch.test_metrics import Growth

NEW = "another long one"
OWN = {"id", "username", "global_name", "email", "verified", "mfa_enabled", "authenticator_types"}
UNAVAILABLE = "503: Service Unavailable. Changed: "
BAD = {
    "code": 50035,
    "message": "Invalid Form Body",
    "errors": {"avatar": {"_errors": [{"code": "X", "message": "y"}]}},
}

AWAY = {
    "an error": says(500, {"bio": "x"}),
    "a redirect": says(302, {"bio": "x"}, Location="/elsewhere"),
    "no JSON": says(200, "<html>"),
    "a list": says(200, [1]),
    "a text": says(200, '"text"'),
    "bytes": says(200, b"\xff\xfe"),
    "too long": says(200, {"bio": "x" * 70_000}),
    "too deep": says(200, '{"bio": ' + "[" * 500 + "]" * 500 + "}"),
    "no HTTP": lambda _, out: out.write(b"nonsense\r\n\r\n"),
    "nothing": lambda *_: None,
    "half an answer": lambda _, out: out.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
    "endless": drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 9000, 0),
}
SLOW = {
    "a body byte by byte": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "),
    "a header byte by byte": drips(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "headers without end": drips(b"HTTP/1.1 200 OK\r\n", b"X-Header: x\r\n"),
    "1xx without end": drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "silence": lambda *_: time.sleep(4),
}


@pytest.fixture
def application():
    application = Application()
    yield application
    application.close()


@pytest.fixture
def device(make_app, application):
    app = make_app(APPLICATION_URL=application.url)
    return Device(app.test_client(use_cookies=False)).register("alice@example.com")


@pytest.fixture
def alone(make_app, device):
    """Asks a Keyrack that has no application, on the same store."""
    other = Device(make_app().test_client(use_cookies=False))
    return lambda: other.get("/users/@me", Authorization=device.token).json


def test_what_the_application_has_is_shown_beside_keyracks_own(device, application, alone):
    application.users[device.user_id] = {"bio": "of numbers", "avatar": "a1", "theme": {"dark": True}, "flags": 64}
    answer = device.get("/users/@me")
    assert answer.json == alone() | application.users[device.user_id]
    assert "Set-Cookie" not in answer.headers
    assert "X-Of-Application" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def test_keyracks_own_fields_are_never_the_applications_to_tell(device, application, alone):
    """Nor is a token: clients would take it for theirs."""
    lies = dict.fromkeys(OWN, "lie") | {"token": "lie", "password": "lie", "disabled": True, "bio": "true"}
    application.users[device.user_id] = lies
    assert device.get("/users/@me").json == alone() | {"bio": "true"}
    application.answers = says(200, lies)
    assert device.patch("/users/@me", {"bio": "true"}).json == alone() | {"bio": "true"}


def test_the_application_hears_who_it_is_and_no_secret(device, application):
    answer = device.get(
        "/users/@me", Cookie="a=b", X_Request_Id="asked-1", X_Auth_User_Id="1", X_Super_Properties="e30="
    )
    assert answer.status_code == 200
    heard = application.requests[-1]
    assert (heard.method, heard.path, heard.raw) == ("GET", "/api/v9/users/@me", b"")
    names = {"x-auth-user-id": device.user_id, "x-auth-session-id-hash": device.id_hash, "x-request-id": "asked-1"}
    assert {name: heard.headers[name] for name in names} == names
    assert set(heard.headers) <= {*names, "host", "accept", "user-agent"}


def test_a_change_of_both_is_done_here_then_passed_on(device, application, new_device):
    """Its own fields, secrets and the token stay here; the session is named as it is after the change."""
    secrets = {"password": PASSWORD, "new_password": NEW, "code": "123456", "token": device.token}
    own = {"username": "ada", "global_name": "Ada", "email": device.email}
    forbidden = {"id": "1", "verified": True, "mfa_enabled": False, "authenticator_types": [], "disabled": False}
    theirs = {"bio": "x", "avatar": None, "deep": {"password": 1}, "ünï": [1.5, 2**40]}
    answer = device.patch("/users/@me", secrets | own | forbidden | theirs)
    assert answer.status_code == 200
    device.token = answer.json["token"]
    heard = application.requests[-1]
    assert (heard.method, heard.path, heard.json) == ("PATCH", "/api/v9/users/@me", theirs)
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["x-auth-session-id-hash"] == device.id_hash
    assert answer.json == device.get("/users/@me").json | {"token": device.token}
    assert answer.json.items() >= {"username": "ada", "global_name": "Ada", "bio": "x"}.items()
    assert PASSWORD not in str([request.headers for request in application.requests])


def test_a_change_of_keyracks_own_alone_is_none_of_the_applications(device, application):
    """The answer is what a look would be."""
    application.users[device.user_id] = {"bio": "x"}
    answer = device.patch("/users/@me", {"username": "ada", "password": PASSWORD, "captcha_key": None})
    assert application.requests[-1].method == "PATCH"  # captcha_key may be anybody's
    answer = device.patch("/users/@me", {"username": "eva", "password": PASSWORD})
    assert [request.method for request in application.requests[-2:]] == ["PATCH", "GET"]
    assert answer.json == device.get("/users/@me").json
    assert answer.json["bio"] == "x"


def test_an_answer_without_a_body_is_a_yes(device, application):
    """What it has is asked for then."""

    def answer(request, out):
        (says(204, "") if request.method == "PATCH" else says(200, {"bio": "new"}))(request, out)

    application.answers = answer
    assert device.patch("/users/@me", {"bio": "new"}).json["bio"] == "new"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "x", "password": PASSWORD}, "username"),
        ({"username": "ada", "password": "wrong"}, "password"),
        ({"username": "ada"}, "password"),
        ({"new_password": "short", "password": PASSWORD}, "new_password"),
        ({"email": "nonsense", "password": PASSWORD}, "email"),
    ],
)
def test_nothing_is_passed_on_if_keyrack_refuses(device, application, body, field):
    asked = len(application.requests)
    assert errors(device.patch("/users/@me", body | {"bio": "x"}), field)
    assert len(application.requests) == asked


def test_nothing_is_passed_on_before_a_proof(device, application, clock):
    device.enable_totp(clock())
    asked = len(application.requests)
    body = {"username": "ada", "password": PASSWORD, "bio": "x"}
    assert device.patch("/users/@me", body).json["code"] == 60003
    assert device.patch("/users/@me", body | {"code": "000000"}).json["code"] == 60008
    assert len(application.requests) == asked
    assert device.patch("/users/@me", {"bio": "x"}).status_code == 200
    assert device.patch("/users/@me", body | {"code": device.backup_codes.pop()}).json["bio"] == "x"


def test_what_no_json_can_hold_is_refused_before_anything_is_done(device, application, alone):
    before, asked = alone(), len(application.requests)
    deep = '{"global_name": "Ada", "bio": ' + "[" * 400 + "]" * 400 + "}"
    client, sent = device._client, {"Authorization": device.token, "Content-Type": "application/json"}
    answer = client.patch("/api/v9/users/@me", data=deep, headers=sent)
    assert (answer.status_code, answer.json["code"]) == (400, 50109)
    assert (alone(), len(application.requests)) == (before, asked)


@pytest.mark.parametrize("how", AWAY)
def test_an_application_that_is_broken_hides_no_user_and_loses_no_change(device, application, alone, how):
    """A look tells what Keyrack knows; a change of both says what was done."""
    application.answers = AWAY[how]
    assert device.get("/users/@me").json == alone()
    answer = device.patch("/users/@me", {"global_name": "Ada", "bio": "x"})
    assert (answer.status_code, answer.json["code"]) == (503, 0)
    assert answer.json["message"].startswith(UNAVAILABLE + "global_name. The application gave no whole answer")
    assert answer.headers["Retry-After"] == "1"
    assert alone()["global_name"] == "Ada"
    own = device.patch("/users/@me", {"global_name": "Lady"})
    assert (own.status_code, own.json) == (200, alone())


@pytest.mark.parametrize("redis", ["fake"], indirect=True)  # whatever the store is, it takes seconds
@pytest.mark.parametrize("how", SLOW)
def test_a_slow_application_holds_a_request_for_two_seconds_at_most(device, application, alone, how, clock):
    """Then nobody is asked for a second: a look tells what Keyrack knows, and a change is refused at once."""
    application.answers = SLOW[how]
    began = time.monotonic()
    assert device.get("/users/@me").json == alone()
    assert 1.5 < time.monotonic() - began < 3.5
    asked, began = len(application.requests), time.monotonic()
    clock.advance(REST_S - 0.1)
    assert device.get("/users/@me").json == alone()
    said = device.patch("/users/@me", {"bio": "x"}).json["message"]
    assert said == UNAVAILABLE + "nothing. The application is away, and has not changed the rest."
    assert len(application.requests) == asked
    assert time.monotonic() - began < 1.5
    clock.advance(0.2)
    said = device.patch("/users/@me", {"bio": "x"}).json["message"]
    assert said.startswith(UNAVAILABLE + "nothing. The application gave")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 429])
def test_a_refusal_of_the_application_is_told_with_its_problems(device, application, alone, status):
    application.answers = says(status, BAD)
    answer = device.patch("/users/@me", {"global_name": "Ada", "avatar": "x"})
    assert answer.status_code == 503
    assert answer.json["message"] == UNAVAILABLE + "global_name. The application has refused the rest."
    assert answer.json["errors"] == BAD["errors"]
    assert device.get("/users/@me").json == alone()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://application.invalid"])
def test_an_application_that_is_away_has_changed_nothing(make_app, device, alone, url):
    """Keyrack is ready nevertheless."""
    app = make_app(APPLICATION_URL=url)
    lonely = Device(app.test_client(use_cookies=False))
    answer = lonely.patch("/users/@me", {"avatar": "x"}, Authorization=device.token)
    assert answer.json["message"] == UNAVAILABLE + "nothing. The application is away, and has not changed the rest."
    assert lonely.get("/users/@me", Authorization=device.token).json == alone()
    assert app.test_client().get("/readyz").status_code == 200


def test_https_needs_a_certificate_that_this_system_knows(make_app, device, alone, tmp_path, monkeypatch, clock):
    authority = Authority(tmp_path)
    application = Application(authority.issue("application"))
    application.users[device.user_id] = {"bio": "x"}
    client = make_app(APPLICATION_URL=application.url).test_client()

    def look():
        return client.get("/api/v9/users/@me", headers={"Authorization": device.token}).json

    assert look() == alone()
    clock.advance(REST_S)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    assert look() == alone() | {"bio": "x"}
    folder = tmp_path / "known"
    folder.mkdir()
    hashed = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", authority.certificate], capture_output=True, check=True
    )
    (folder / f"{hashed.stdout.decode().strip()}.0").write_bytes(authority.certificate.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    client = make_app(APPLICATION_URL=application.url).test_client()
    assert look() == alone() | {"bio": "x"}
    application.close()


@pytest.mark.parametrize("how", ["refused", "broken"])
def test_a_new_token_is_in_the_answer_whatever_the_application_says(device, application, how, make_app):
    application.answers = says(400, BAD) if how == "refused" else says(500, "")
    browser = make_app(APPLICATION_URL=application.url).test_client()
    assert browser.post("/login", json={"login": device.email, "password": PASSWORD}).status_code == 200
    body = {"password": PASSWORD, "new_password": NEW, "avatar": "x"}
    answer = device.patch("/users/@me", body)
    assert answer.status_code == 503
    assert answer.json["message"].startswith(UNAVAILABLE + "new_password. ")
    device.token = answer.json["token"]
    assert device.is_signed_in
    assert browser.get("/me/sessions").status_code == 401
    assert browser.post("/login", json={"login": device.email, "password": NEW}).status_code == 200
    again = browser.patch("/api/v9/users/@me", json=body | {"password": NEW, "new_password": PASSWORD})
    assert again.status_code == 503
    assert browser.get("/me/sessions").status_code == 200  # by the new cookie


def test_a_slow_application_leaves_threads_to_others(make_app, device, application, alone):
    """Of 12 threads 3 may ask it; who comes then hears at once what Keyrack knows."""
    app = make_app(APPLICATION_URL=application.url, WEB_THREADS="12", BCRYPT_QUEUE="2")
    waiting = threading.Event()
    application.answers = lambda *_: waiting.wait(10)

    def look():
        client = app.test_client(use_cookies=False)
        return client.get("/api/v9/users/@me", headers={"Authorization": device.token}).json

    asked = len(application.requests)
    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 2
    while len(application.requests) < asked + 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    own, began = alone(), time.monotonic()
    assert [look() for _ in range(10)] == [own] * 10
    assert time.monotonic() - began < 1.5
    assert len(application.requests) == asked + 3
    waiting.set()
    for thread in threads:
        thread.join()


def test_connections_are_kept_and_a_lost_one_is_replaced(device, application):
    for _ in range(3):
        assert device.get("/users/@me").status_code == 200
    assert len({request.port for request in application.requests[-3:]}) == 1
    application.users[device.user_id] = {"bio": "x"}
    application.answers = says(200, {"bio": "closed after this"})
    assert device.get("/users/@me").json["bio"] == "closed after this"
    application.answers = None
    assert device.get("/users/@me").json["bio"] == "x"


def test_a_change_is_never_sent_twice(device, application):
    """Though the connection that is kept ends without an answer: the application may have made the change."""
    assert device.get("/users/@me").status_code == 200
    application.answers = lambda *_: None
    for number in (1, 2):
        assert device.patch("/users/@me", {"bio": "x"}).status_code == 503
        assert [request.method for request in application.requests].count("PATCH") == number


def test_a_refused_answer_is_counted_and_logged_without_what_it_says(device, application, caplog):
    growth = Growth()
    application.answers = says(404, {"secret": "of-the-application"})
    caplog.set_level(logging.INFO, "app.web.application")
    device.get("/users/@me")
    assert growth("application_requests_total", method="GET", outcome="refused") == 1
    said = [record.getMessage() for record in caplog.records if record.name == "app.web.application"]
    assert said == ["application: GET is refused: 404: Not Found"]
    assert "of-the-application" not in json.dumps(said)


def test_a_path_of_the_application_goes_in_front(make_app, device, application):
    app = make_app(APPLICATION_URL=f"{application.url}/chat/")
    app.test_client().get("/api/users/@me/", headers={"Authorization": device.token})
    assert application.requests[-1].path == "/chat/api/v9/users/@me"


def test_no_proxy_of_the_environment_gets_identities(device, application, alone, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    application.users[device.user_id] = {"bio": "x"}
    assert device.get("/users/@me").json == alone() | {"bio": "x"}
