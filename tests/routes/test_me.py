"""The cookie API: sign in, and the devices signed in, for browsers and their like."""

import base64
import re
from datetime import UTC, datetime

import pyotp
import pytest

from tests.device import API, PASSWORD

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
LOGIN = {"login": "alice@example.com", "password": PASSWORD}
ACCOUNT = {"email": "alice@example.com", "username": "alice", "password": PASSWORD}
NOBODYS = "A" * 43
DAY_S = 24 * 60 * 60


@pytest.fixture
def new_browser(app):
    """Makes browsers: clients with a jar of cookies and a user agent."""

    def make(user_agent: str = FIREFOX):
        browser = app.test_client()
        browser.environ_base["HTTP_USER_AGENT"] = user_agent
        return browser

    return make


@pytest.fixture
def alice(new_browser):
    """Alice's first browser: she has registered in it."""
    return signed_in(new_browser(), "/register", ACCOUNT, 201)


@pytest.fixture
def alices_other(alice, new_browser):
    return signed_in(new_browser(CHROME), "/login", LOGIN)


@pytest.fixture
def bob(new_browser):
    return signed_in(new_browser(), "/register", ACCOUNT | {"email": "bob@example.com"}, 201)


def signed_in(browser, path, body, status=200):
    answer = browser.post(path, json=body)
    assert answer.status_code == status, answer.json
    return browser


def token_of(browser):
    return browser.get_cookie("__Host-session").value


def listed(browser):
    answer = browser.get("/me/sessions")
    assert answer.status_code == 200, answer.json
    return answer.json


def is_signed_in(browser):
    return browser.get("/me/sessions").status_code == 200


def current(browser):
    return next(session["id"] for session in listed(browser) if session["isCurrent"])


def enable_totp(browser, at):
    secret = pyotp.random_base32()
    body = {"password": PASSWORD, "secret": secret, "code": pyotp.TOTP(secret).at(int(at))}
    answer = browser.post(API + "/users/@me/mfa/totp/enable", json=body)
    assert answer.status_code == 200, answer.json
    return secret, [code["code"] for code in answer.json["backup_codes"]]


def challenged(answer):
    assert answer.status_code == 401
    assert answer.json["error"] == "Two factor is required for this operation"
    assert answer.json["code"] == 60003
    assert 'error="insufficient_user_authentication"' in answer.headers["WWW-Authenticate"]
    return answer.json["mfa"]


def finish(browser, mfa, mfa_type="password", data=PASSWORD):
    return browser.post(API + "/mfa/finish", json={"ticket": mfa["ticket"], "mfa_type": mfa_type, "data": data})


@pytest.mark.parametrize("path", ["/register", "/login"])
def test_the_token_is_in_the_cookie_alone(alice, new_browser, path):
    """The page's scripts never see it, and the cookie has exactly the contract's attributes."""
    answer = new_browser().post(path, json=LOGIN | ACCOUNT | {"email": "carol@example.com"})
    assert answer.status_code in (200, 201)
    [cookie] = answer.headers.getlist("Set-Cookie")
    name_value, *attributes = cookie.split("; ")
    token = name_value.removeprefix("__Host-session=")
    expected = {"HttpOnly", "Secure", "SameSite=Lax", "Path=/", f"Max-Age={365 * DAY_S}"}
    assert {attribute for attribute in attributes if not attribute.startswith("Expires=")} == expected
    assert token.count(".") == 2
    assert token not in answer.text
    assert "token" not in answer.json
    assert answer.headers["Cache-Control"] == "no-store"


def test_register_then_log_in_by_cookie(alice, new_browser):
    assert listed(alice)[0]["isCurrent"] is True
    again = new_browser(CHROME).post("/login", json=LOGIN)
    assert again.json["user_settings"] == {"locale": "en-US", "theme": "dark"}


def test_login_asks_for_the_second_factor(alice, new_browser, clock):
    """A right password alone sets no cookie; the code that follows does."""
    secret, backup_codes = enable_totp(alice, clock())
    browser = new_browser()
    asked = browser.post("/login", json=LOGIN)
    assert asked.json["mfa"] is True
    assert "Set-Cookie" not in asked.headers
    wrong = browser.post("/login/mfa", json={"ticket": asked.json["ticket"], "code": "000000"})
    assert (wrong.status_code, wrong.json) == (400, {"error": "Invalid two-factor code"})
    clock.advance(30)
    code = pyotp.TOTP(secret).at(int(clock()))
    right = browser.post("/login/mfa", json={"ticket": asked.json["ticket"], "code": code})
    assert right.status_code == 200
    assert "token" not in right.json
    assert is_signed_in(browser)
    third = new_browser()
    ticket = third.post("/login", json=LOGIN).json["ticket"]
    assert third.post("/login/mfa", json={"ticket": ticket, "code": backup_codes[0]}).status_code == 200


def test_a_new_login_ends_the_session_that_the_browser_had(alice, alices_other):
    """Its cookie is replaced, so nobody could use or end it from there."""
    former = current(alice)
    assert alice.post("/login", json=LOGIN).status_code == 200
    assert former not in [session["id"] for session in listed(alice)]
    assert len(listed(alice)) == 2
    assert is_signed_in(alices_other)


@pytest.mark.parametrize("cookies", ["__Host-session=x; __Host-session={}", "theme=dark, __Host-session={}"])
def test_a_new_login_ends_the_session_of_the_cookie_that_counts(app, alice, cookies):
    """A sibling host can set a cookie of that name, and a proxy can join two fields by a comma."""
    other = app.test_client(use_cookies=False)
    token = token_of(alice)
    answer = other.post(
        "/login", json=LOGIN, headers={"Cookie": cookies.format(token), "Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status_code == 200
    assert not is_signed_in(alice)


def test_list_has_the_fields_of_the_contract_and_no_secret(alice, alices_other):
    mine, other = listed(alice), listed(alices_other)
    assert {session["deviceName"] for session in mine} == {"Firefox on Linux", "Chrome on Windows"}
    for session in mine:
        fields = ["id", "deviceName", "ip", "location", "lastActiveAt", "createdAt", "isCurrent"]
        fields += ["endsAt", "publicComputer"]
        assert list(session) == fields
        assert len(session["id"]) == 43
        assert session["createdAt"].endswith("+00:00")
        assert session["ip"] == "127.0.0.1"
        assert session["location"] is None
    assert [session["isCurrent"] for session in mine] == [not session["isCurrent"] for session in other]
    assert token_of(alice) not in str(mine)


def test_one_browser_signs_the_other_out(alice, alices_other, bob):
    answer = alice.delete("/me/sessions/" + current(alices_other))
    assert (answer.status_code, answer.json) == (200, {"message": "Session revoked."})
    assert not is_signed_in(alices_other)
    assert is_signed_in(alice)
    assert is_signed_in(bob)


@pytest.mark.parametrize("escaped", [True, False])
def test_both_spellings_of_an_id_are_read(alice, new_browser, escaped):
    """Standard base64 has slashes, escaped in the path or not."""
    standard = ""
    while "/" not in standard:
        other = signed_in(new_browser(), "/login", LOGIN)
        standard = base64.b64encode(base64.urlsafe_b64decode(current(other) + "=")).decode()
    spelt = standard.replace("/", "%2F").replace("+", "%2B") if escaped else standard
    assert alice.delete("/me/sessions/" + spelt).status_code == 200
    assert not is_signed_in(other)


@pytest.mark.parametrize(
    "session_id", [NOBODYS, "AAAA" * 10 + "//A=", "/" + "A" * 42 + "=", "x", "a/b/c", "%F0%9F%94%91"]
)
@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_unknown_ids_get_one_answer(alice, method, session_id):
    answer = alice.open("/me/sessions/" + session_id, method=method, json={"name": "x"})
    assert (answer.status_code, answer.json) == (404, {"error": "Session not found"})


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_foreign_ids_get_the_same_answer(alice, bob, method):
    """Bob's session is as if it did not exist, and stays untouched."""
    answer = alice.open("/me/sessions/" + current(bob), method=method, json={"name": "x"})
    assert (answer.status_code, answer.json) == (404, {"error": "Session not found"})
    assert listed(bob)[0]["deviceName"] == "Firefox on Linux"


@pytest.mark.parametrize("spell", [lambda text: text, lambda text: text.replace("-", "%2B").replace("_", "%2F") + "="])
def test_ones_own_session_is_ended_by_logout(alice, spell):
    answer = alice.delete("/me/sessions/" + spell(current(alice)))
    assert (answer.status_code, answer.json) == (400, {"error": "Use POST /logout to end your current session."})
    assert is_signed_in(alice)


def test_several_end_as_one_step(alice, alices_other, new_browser, bob):
    third = signed_in(new_browser(), "/login", LOGIN)
    ids = [current(alices_other), current(third), current(bob)]
    answer = alice.post("/me/sessions/revoke", json={"ids": ids})
    assert (answer.status_code, answer.json) == (200, {"message": "Sessions revoked."})
    assert [is_signed_in(browser) for browser in (alice, alices_other, third, bob)] == [True, False, False, True]


@pytest.mark.parametrize("ids", [[], ["A"] * 65, "A", None, [1]])
def test_several_must_be_a_list_of_1_to_64(alice, ids):
    answer = alice.post("/me/sessions/revoke", json={"ids": ids})
    assert answer.status_code == 400
    assert answer.json["error"].startswith("ids: ")


def test_several_may_not_have_ones_own_among_them(alice, alices_other):
    answer = alice.post("/me/sessions/revoke", json={"ids": [current(alices_other), current(alice)]})
    assert answer.status_code == 400
    assert is_signed_in(alices_other)


def test_revoke_all_leaves_the_current_one(alice, alices_other, bob):
    answer = alice.post("/me/sessions/revoke-all")
    assert (answer.status_code, answer.json) == (200, {"message": "All other sessions have been revoked."})
    assert [is_signed_in(browser) for browser in (alice, alices_other, bob)] == [True, False, True]


def test_revoke_all_stops_a_login_under_way(alice, new_browser, clock):
    """Its password was checked before, its code is answered after: it may not finish."""
    secret, _ = enable_totp(alice, clock())
    thief = new_browser()
    ticket = thief.post("/login", json=LOGIN).json["ticket"]
    clock.advance(30)
    proved = finish(
        alice, challenged(alice.post("/me/sessions/revoke-all")), "totp", pyotp.TOTP(secret).at(int(clock()))
    )
    assert proved.status_code == 200
    assert alice.post("/me/sessions/revoke-all").status_code == 200
    clock.advance(30)
    code = pyotp.TOTP(secret).at(int(clock()))
    answer = thief.post("/login/mfa", json={"ticket": ticket, "code": code})
    assert (answer.status_code, answer.json) == (400, {"error": "Invalid two-factor auth ticket"})
    assert alice.post("/me/sessions/revoke-all").status_code == 200, "the five minutes go on"


ENDINGS = [
    ("DELETE", "/me/sessions/" + NOBODYS, None),
    ("POST", "/me/sessions/revoke", {"ids": [NOBODYS]}),
    ("POST", "/me/sessions/revoke-all", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ENDINGS)
def test_ending_others_needs_a_proof_once_the_login_is_old(alice, clock, method, path, body):
    clock.advance(299)
    assert alice.open(path, method=method, json=body).status_code != 401
    clock.advance(1)
    mfa = challenged(alice.open(path, method=method, json=body))
    assert mfa["methods"] == [{"type": "password"}]
    assert finish(alice, mfa, data="wrong password").json["message"] == "Password does not match."
    assert alice.open(path, method=method, json=body).status_code == 401
    assert finish(alice, mfa).status_code == 200
    assert alice.open(path, method=method, json=body).status_code != 401
    clock.advance(1)
    assert is_signed_in(alice)


def test_a_login_before_the_second_factor_is_no_proof(alice, alices_other, clock):
    """It asked for the password alone, which proves nothing any more."""
    _, backup_codes = enable_totp(alice, clock())
    for browser in (alice, alices_other):
        mfa = challenged(browser.post("/me/sessions/revoke-all"))
        assert [method["type"] for method in mfa["methods"]] == ["totp", "backup"]
    assert finish(alices_other, mfa, "backup", backup_codes[0]).status_code == 200
    assert alices_other.post("/me/sessions/revoke-all").status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v9/users/@me/mfa/codes", {"password": PASSWORD, "regenerate": True}),
        ("/api/v9/users/@me/mfa/totp/disable", {}),
    ],
)
def test_a_login_by_a_code_that_was_replaced_since_is_no_proof(alice, new_browser, clock, path, body):
    """Whoever had the old codes could end the owner's sessions for minutes after the owner replaced them."""
    _, backup_codes = enable_totp(alice, clock())
    clock.advance(1)
    thief = new_browser()
    ticket = thief.post("/login", json=LOGIN).json["ticket"]
    assert thief.post("/login/mfa", json={"ticket": ticket, "code": backup_codes[0]}).status_code == 200
    clock.advance(1)
    mfa = challenged(alice.post("/me/sessions/revoke-all"))
    assert finish(alice, mfa, "backup", backup_codes[1]).status_code == 200
    assert alice.post(path, json=body).status_code == 200
    assert thief.post("/me/sessions/revoke-all").status_code == 401
    assert is_signed_in(alice)


def test_a_login_with_the_second_factor_is_a_proof(alice, new_browser, clock):
    _, backup_codes = enable_totp(alice, clock())
    clock.advance(2)
    browser = new_browser()
    ticket = browser.post("/login", json=LOGIN).json["ticket"]
    browser.post("/login/mfa", json={"ticket": ticket, "code": backup_codes[0]})
    assert browser.post("/me/sessions/revoke-all").status_code == 200


ENDINGS = [
    ("POST", "/me/sessions/revoke-all", {}),
    ("POST", "/me/sessions/revoke", {"ids": ["{id}"]}),
    ("DELETE", "/me/sessions/{id}", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), ENDINGS)
def test_an_answer_in_the_body_is_a_proof(alice, alices_other, clock, method, path, body):
    """For clients that know no challenges, as in the API."""
    [other] = [session["id"] for session in alice.get("/me/sessions").json if not session["isCurrent"]]
    path, body = path.format(id=other), {name: [other] for name in body}
    clock.advance(301)
    for answer in ({"password": "wrong password"}, {"password": ""}, {"code": "123456"}, {}):
        refused = alice.open(path, method=method, json=body | answer)
        if answer.get("password"):
            assert (refused.status_code, refused.json) == (400, {"error": "Password does not match."})
        else:
            assert (refused.status_code, refused.json["code"]) == (401, 60003), answer
    assert is_signed_in(alices_other)
    assert alice.open(path, method=method, json=body | {"password": PASSWORD}).status_code == 200
    assert not is_signed_in(alices_other)


@pytest.mark.parametrize(("method", "path", "body"), ENDINGS)
def test_an_answer_in_the_body_is_looked_at_only_where_one_is_needed(alice, alices_other, method, path, body):
    [other] = [session["id"] for session in alice.get("/me/sessions").json if not session["isCurrent"]]
    body = {name: [other] for name in body} | {"password": "wrong password"}
    assert alice.open(path.format(id=other), method=method, json=body).status_code == 200


def test_the_proof_is_a_cookie_that_scripts_cannot_read(alice, clock):
    clock.advance(301)
    answer = finish(alice, challenged(alice.post("/me/sessions/revoke-all")))
    [cookie] = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith("__Secure-recent_mfa=")]
    assert set(cookie.split("; ")[1:]) >= {"HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=300"}


def test_logout(alice, alices_other):
    answer = alice.post("/logout")
    assert (answer.status_code, answer.data) == (204, b"")
    cleared = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith("__Host-session=;")]
    assert len(cleared) == 1
    assert "Max-Age=0" in cleared[0]
    assert "Secure" in cleared[0], "a browser takes no __Host- cookie without it, not even to clear one"
    assert answer.headers["Clear-Site-Data"] == '"prefetchCache", "prerenderCache"'
    assert not is_signed_in(alice)
    assert is_signed_in(alices_other)


def test_logout_of_a_session_that_is_over(alice, alices_other, app):
    """The browser forgets it all the same; who has no cookie, or shows a dead token, hears that."""
    assert alices_other.post("/me/sessions/revoke-all").status_code == 200
    answer = alice.post("/logout")
    assert answer.status_code == 204
    assert any(line.startswith("__Host-session=;") for line in answer.headers.getlist("Set-Cookie"))
    assert app.test_client().post("/logout").status_code == 401
    assert app.test_client().post("/logout", headers={"Authorization": "dead"}).status_code == 401


def test_an_expired_session_ended_when_its_time_was_over(alice, alices_other, clock):
    """Not when somebody noticed; and the list of what ended notices by itself."""
    began = clock()
    clock.advance(29 * 86400)
    assert is_signed_in(alice)
    clock.advance(10 * 86400)
    [row] = alice.get("/me/sessions/ended").json
    assert (row["reason"], row["explanation"]) == ("expired", "Expired")
    assert datetime.fromisoformat(row["endedAt"]).timestamp() == pytest.approx(began + 30 * 86400, abs=1)


def test_only_sign_out_clears_the_site(alice, alices_other):
    for answer in (alice.get("/me/sessions"), alice.post("/me/sessions/revoke-all"), alice.get("/settings/sessions")):
        assert "Clear-Site-Data" not in answer.headers


@pytest.mark.parametrize(
    ("path", "body"),
    [("/users/@me", {"password": PASSWORD, "new_password": "another horse battery"})],
)
def test_a_changed_password_leaves_the_browser_signed_in(alice, alices_other, path, body):
    """The v9 routes hand a browser its new cookie as well, or it would be signed out by its own wish."""
    before = token_of(alice)
    assert alice.patch(API + path, json=body).status_code == 200
    assert token_of(alice) != before
    assert is_signed_in(alice)
    assert not is_signed_in(alices_other)


def test_totp_on_and_off_leaves_the_browser_signed_in(alice, clock):
    _, backup_codes = enable_totp(alice, clock())
    assert is_signed_in(alice)
    mfa = alice.post(API + "/users/@me/mfa/totp/disable").json["mfa"]
    finish(alice, mfa, "backup", backup_codes[0])
    assert alice.post(API + "/users/@me/mfa/totp/disable").status_code == 200
    assert is_signed_in(alice)


def test_a_header_caller_gets_no_cookie(alice, new_browser, clock):
    """Where header and cookie are both there, the header counts, and the answer is in the body."""
    token = token_of(signed_in(new_browser(), "/login", LOGIN))
    body = {"password": PASSWORD, "new_password": "another horse battery"}
    answer = alice.patch(API + "/users/@me", json=body, headers={"Authorization": token})
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        *ENDINGS,
        ("PATCH", "/me/sessions/" + NOBODYS, {"name": "x"}),
        ("POST", "/logout", None),
        ("POST", "/login", LOGIN),
        ("POST", "/login/mfa", {"ticket": "x", "code": "x"}),
        ("POST", "/register", ACCOUNT),
    ],
)
def test_another_sites_page_changes_nothing(alice, alices_other, method, path, body, headers):
    """Nor does it sign a visitor in as somebody else."""
    answer = alice.open(path, method=method, json=body, headers=headers)
    assert (answer.status_code, answer.json) == (403, {"error": "403: Forbidden"})
    assert "Set-Cookie" not in answer.headers
    assert is_signed_in(alice)
    assert is_signed_in(alices_other)


@pytest.mark.parametrize("headers", [{"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}, {}])
def test_our_own_page_and_plain_curl_may(alice, headers):
    assert alice.post("/me/sessions/revoke-all", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/me/sessions", 401, "401: Unauthorized"),
        ("GET", "/me/sessions/ended", 401, "401: Unauthorized"),
        ("POST", "/logout", 401, "401: Unauthorized"),
        ("GET", "/me/nothing", 404, "404: Not Found"),
        ("PUT", "/me/sessions", 405, "405: Method Not Allowed"),
        ("DELETE", "/login", 405, "405: Method Not Allowed"),
    ],
)
def test_refusals_have_one_shape(new_browser, method, path, status, error):
    answer = new_browser().open(path, method=method)
    assert (answer.status_code, answer.json) == (status, {"error": error})


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/login", LOGIN | {"password": "wrong password"}, "Login or password is invalid."),
        ("/login", {"login": "nobody@example.com", "password": "wrong password"}, "Login or password is invalid."),
        ("/login", {}, "login: This field is required; password: This field is required."),
        ("/register", ACCOUNT, "email: Email is already registered."),
        ("/register", ACCOUNT | {"password": "short"}, "password: Must be between 8 and 72 in length."),
        ("/login/mfa", {"ticket": "x", "code": "1"}, "Invalid two-factor auth ticket"),
    ],
)
def test_what_is_wrong_is_one_sentence(alice, new_browser, path, body, error):
    answer = new_browser().post(path, json=body)
    assert (answer.status_code, answer.json) == (400, {"error": error})


def test_what_is_no_json_is_refused(new_browser):
    answer = new_browser().post("/login", data="login=a&password=b")
    assert (answer.status_code, answer.json) == (400, {"error": "The request body contains invalid JSON."})


@pytest.mark.parametrize(
    ("setting", "path", "body"),
    [
        ("RATE_LIMIT_LOGIN", "/login", LOGIN),
        ("RATE_LIMIT_LOGIN_ADDRESS", "/login", LOGIN),
        ("RATE_LIMIT_LOGIN", "/login/mfa", {"ticket": "x", "code": "1"}),
        ("RATE_LIMIT_REGISTER", "/register", {"email": "x@example.com", "username": "xx", "password": PASSWORD}),
    ],
)
def test_the_limits_are_those_of_the_other_surface(make_app, setting, path, body):
    """Tries on either surface count together."""
    client = make_app(**{setting: "1 per hour"}).test_client()
    v9 = {"/login": "/auth/login", "/login/mfa": "/auth/mfa/totp", "/register": "/auth/register"}[path]
    assert client.post(API + v9, json=body).status_code != 429
    answer = client.post(path, json=body)
    assert answer.status_code == 429
    assert answer.json == {"error": "You are being rate limited."}
    assert int(answer.headers["Retry-After"]) > 3000


def test_every_answer_has_the_headers_that_protect(alice, new_browser):
    for answer in (alice.get("/me/sessions"), new_browser().get("/me/sessions"), new_browser().get("/login")):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert not [name for name in answer.headers.keys() if name.lower().startswith("access-control-")]  # noqa: SIM118 - werkzeug's Headers iterate as pairs


# Names of one's own


def test_a_name_is_shown_in_place_of_the_one_made_up(alice, alices_other, clock):
    """Also after the device was used again, and in the rows that tell of its end and of what it ended."""
    kitchen = current(alices_other)
    answer = alice.patch("/me/sessions/" + kitchen, json={"name": "Kitchen tablet 🍳"})
    assert (answer.status_code, answer.json) == (200, {"message": "Session renamed."})
    clock.advance(120)
    assert alices_other.get("/me/sessions").status_code == 200
    assert {session["deviceName"] for session in listed(alice)} == {"Firefox on Linux", "Kitchen tablet 🍳"}
    alices_other.delete("/me/sessions/" + current(alice))
    [row] = alices_other.get("/me/sessions/ended").json
    assert row["explanation"] == "You signed it out from Kitchen tablet 🍳"


def test_a_name_can_be_taken_away(alice):
    mine = "/me/sessions/" + current(alice)
    alice.patch(mine, json={"name": "Mine"})
    assert listed(alice)[0]["deviceName"] == "Mine"
    assert alice.patch(mine, json={"name": None}).status_code == 200
    assert listed(alice)[0]["deviceName"] == "Firefox on Linux"


@pytest.mark.parametrize("name", ["x", "x" * 64, "<b>bold</b>", "名前"])
def test_names_that_fit(alice, name):
    assert alice.patch("/me/sessions/" + current(alice), json={"name": name}).status_code == 200
    assert listed(alice)[0]["deviceName"] == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\u202eb", "a\u200bb", " a", "a ", 7, ["a"]])
def test_names_that_do_not(alice, name):
    answer = alice.patch("/me/sessions/" + current(alice), json={"name": name})
    assert answer.status_code == 400
    assert answer.json["error"].startswith("name: ")
    assert listed(alice)[0]["deviceName"] == "Firefox on Linux"


# Recently ended


def ended(browser):
    answer = browser.get("/me/sessions/ended")
    assert answer.status_code == 200
    return [(row["deviceName"], row["reason"], row["explanation"]) for row in answer.json]


def test_what_ended_is_told_with_the_reason_newest_first(alice, alices_other, new_browser, clock):
    third = signed_in(new_browser(CHROME), "/login", LOGIN)
    alice.delete("/me/sessions/" + current(alices_other))
    clock.advance(1)
    third.post("/logout")
    assert ended(alice) == [
        ("Chrome on Windows", "logout", "You logged out"),
        ("Chrome on Windows", "revoked", "You signed it out from Firefox on Linux"),
    ]
    [newest, _] = alice.get("/me/sessions/ended").json
    expected = ["id", "deviceName", "ip", "location", "createdAt", "endedAt", "reason", "explanation"]
    assert list(newest) == expected


def test_a_changed_password_is_a_reason(alice, alices_other):
    alice.patch(API + "/users/@me", json={"password": PASSWORD, "new_password": "another horse battery"})
    assert ended(alice) == [("Chrome on Windows", "password_change", "Password changed")]


def test_room_being_made_is_a_reason(make_app):
    app = make_app(MAX_SESSIONS_PER_USER="1")
    first, second = app.test_client(), app.test_client()
    signed_in(first, "/register", ACCOUNT, 201)
    signed_in(second, "/login", LOGIN)
    assert [row[1:] for row in ended(second)] == [("evicted", "Signed out to make room")]


def test_expiry_and_operators_are_reasons(alice, alices_other, app, clock):
    clock.advance(29 * DAY_S)
    assert is_signed_in(alice)
    clock.advance(2 * DAY_S)
    assert len(listed(alice)) == 1
    assert ended(alice) == [("Chrome on Windows", "expired", "Expired")]
    user_id = alice.get(API + "/users/@me").json["id"]
    leaving = app.extensions["keyrack"].leaving
    clock.advance(1)
    leaving.disable(user_id)
    leaving.enable(user_id)
    clock.advance(1)
    signed_in(alice, "/login", LOGIN)
    assert ended(alice)[0] == ("Firefox on Linux", "admin", "By an operator")


def test_ones_own_among_others_is_said_plainly(alice, alices_other, clock):
    """Discord's clients may name the session they speak from."""
    clock.advance(301)
    answer = alices_other.post(API + "/auth/sessions/logout", json={"session_id_hashes": [NOBODYS + "="]})
    assert finish(alices_other, answer.json["mfa"]).status_code == 200
    own = base64.b64encode(base64.urlsafe_b64decode(current(alices_other) + "=")).decode()
    answer = alices_other.post(API + "/auth/sessions/logout", json={"session_id_hashes": [own]})
    assert answer.status_code == 204
    assert "Clear-Site-Data" in answer.headers
    assert ended(alice) == [("Chrome on Windows", "revoked", "You logged out")]


def test_ended_rows_are_told_for_30_days_and_to_their_user_alone(alice, alices_other, bob, clock):
    alices_other.post("/logout")
    assert ended(bob) == []
    for _ in range(6):
        clock.advance(5 * DAY_S - 1)
        assert is_signed_in(alice)
    assert len(ended(alice)) == 1
    clock.advance(7)
    assert ended(alice) == []


# How long the cookie is kept


def kept_for_s(answer):
    """Max-Age of the session's cookie in an answer; None if the browser forgets it when it is closed."""
    [cookie] = [cookie for cookie in answer.headers.getlist("Set-Cookie") if cookie.startswith("__Host-session=")]
    attributes = dict(part.partition("=")[::2] for part in cookie.split("; ")[1:])
    assert ("Expires" in attributes) == ("Max-Age" in attributes)
    return int(attributes["Max-Age"]) if "Max-Age" in attributes else None


@pytest.mark.parametrize(
    ("longest", "days"), [("90d", 90), ("365d", 365), ("3650d", 400)], ids=["short", "default", "no browser keeps it"]
)
def test_the_cookie_is_kept_as_long_as_the_session_may_last(make_app, longest, days):
    """At a registration and a login, 400 days at most."""
    browser = make_app(SESSION_MAX_AGE=longest).test_client()
    assert kept_for_s(browser.post("/register", json=ACCOUNT)) == days * DAY_S
    assert kept_for_s(browser.post("/login", json=LOGIN)) == days * DAY_S


def test_a_new_token_does_not_lengthen_the_session(alice, clock):
    """Whatever replaces the token, the cookie is kept until the session's own end; so at a login with a code."""
    clock.advance(10 * DAY_S)
    left_s = 355 * DAY_S
    body = {"password": PASSWORD, "new_password": "another horse battery"}
    assert kept_for_s(alice.patch(API + "/users/@me", json=body)) == pytest.approx(left_s, abs=1)
    secret = pyotp.random_base32()
    body = {"password": "another horse battery", "secret": secret, "code": pyotp.TOTP(secret).at(int(clock()))}
    enabled = alice.post(API + "/users/@me/mfa/totp/enable", json=body)
    assert kept_for_s(enabled) == pytest.approx(left_s, abs=1)
    codes = [code["code"] for code in enabled.json["backup_codes"]]
    mfa = challenged(alice.post("/me/sessions/revoke-all"))
    assert finish(alice, mfa, "backup", codes[0]).status_code == 200
    assert kept_for_s(alice.post(API + "/users/@me/mfa/totp/disable")) == pytest.approx(left_s, abs=1)


def test_a_login_with_a_code_sets_a_cookie_that_is_kept(alice, new_browser, clock):
    _, codes = enable_totp(alice, clock())
    for public_computer, expected in ((False, 365 * DAY_S), (True, None)):
        browser = new_browser()
        asked = browser.post("/login", json=LOGIN | {"public_computer": public_computer})
        answer = browser.post("/login/mfa", json={"ticket": asked.json["ticket"], "code": codes.pop()})
        assert answer.status_code == 200, answer.json
        assert kept_for_s(answer) == expected


def expires_at(browser):
    listed_sessions = browser.get(API + "/auth/sessions?extended=true").json["user_sessions"]
    [own] = [session for session in listed_sessions if session["is_current"]]
    return datetime.fromisoformat(own["expires_at"]).timestamp()


HOUR_S = 60 * 60


@pytest.fixture
def at_public_computer(alice, new_browser):
    """Alice at a computer that others use, too."""
    browser = new_browser(CHROME)
    answer = browser.post("/login", json=LOGIN | {"public_computer": True})
    assert answer.status_code == 200
    assert kept_for_s(answer) is None
    return browser


def use_every_hour(browser, clock, hours):
    for _ in range(hours):
        clock.advance(HOUR_S)
        assert is_signed_in(browser)


def test_a_session_on_a_public_computer_ends_soon_whatever_its_use(alice, at_public_computer, clock):
    """To the second, in each check; other sessions live on, and so does it in no list."""
    began_at = int(clock())
    own = current(at_public_computer)
    assert expires_at(at_public_computer) == began_at + 12 * HOUR_S
    use_every_hour(at_public_computer, clock, 11)
    clock.advance(HOUR_S - 2)
    assert is_signed_in(at_public_computer)
    clock.advance(2)
    assert not is_signed_in(at_public_computer)
    assert is_signed_in(alice)
    assert own not in [session["id"] for session in listed(alice)]
    [ended] = alice.get("/me/sessions/ended").json
    assert (ended["id"], ended["reason"]) == (own, "expired")
    assert datetime.fromisoformat(ended["endedAt"]).timestamp() == began_at + 12 * HOUR_S


def test_lists_tell_which_session_is_on_a_public_computer_and_when_it_ends(alice, at_public_computer, clock):
    """By the cookie API, in the extended list, and on the page."""
    ends_at = int(clock()) + 12 * HOUR_S
    public, other = sorted(listed(alice), key=lambda session: not session["publicComputer"])
    assert (public["id"], public["publicComputer"]) == (current(at_public_computer), True)
    assert datetime.fromisoformat(public["endsAt"]).timestamp() == ends_at
    assert (other["publicComputer"], other["endsAt"] > public["endsAt"]) == (False, True)
    extended = alice.get(API + "/auth/sessions?extended=true").json["user_sessions"]
    assert sorted((one["public_computer"], one["id"]) for one in extended) == [
        (False, other["id"]),
        (True, public["id"]),
    ]
    page = alice.get("/settings/sessions").text
    at = datetime.fromtimestamp(ends_at, UTC)
    assert re.search(rf"Public computer, ends by <time [^>]*>{at:%H:%M} UTC</time>", page)
    assert page.count("Public computer") == 1


def test_a_session_that_is_not_on_one_goes_on(alice, clock):
    """Used before its twelfth hour or not, and after it."""
    use_every_hour(alice, clock, 11)
    clock.advance(2 * HOUR_S)
    assert is_signed_in(alice)
    clock.advance(29 * DAY_S)
    assert is_signed_in(alice)


def test_a_new_token_keeps_the_early_end(at_public_computer, clock):
    ends_at = expires_at(at_public_computer)
    clock.advance(HOUR_S)
    body = {"password": PASSWORD, "new_password": "another horse battery"}
    answer = at_public_computer.patch(API + "/users/@me", json=body)
    assert answer.status_code == 200
    assert kept_for_s(answer) is None
    assert expires_at(at_public_computer) == ends_at
    clock.advance(11 * HOUR_S)
    assert not is_signed_in(at_public_computer)


def test_a_registration_on_a_public_computer(new_browser, clock):
    browser = new_browser()
    answer = browser.post("/register", json=ACCOUNT | {"public_computer": True})
    assert kept_for_s(answer) is None
    assert expires_at(browser) == int(clock()) + 12 * HOUR_S


def test_the_end_on_a_public_computer_is_a_setting(make_app, clock):
    """It lengthens no session: one that ends sooner for another reason still does."""
    for settings, hours in (
        ({"PUBLIC_COMPUTER_TTL": "1h"}, 1),
        ({"SESSION_TTL": "2h"}, 2),
        ({"SESSION_MAX_AGE": "3h"}, 3),
    ):
        browser = make_app(**settings).test_client()
        email = f"alice{hours}@example.com"
        assert browser.post("/register", json=ACCOUNT | {"email": email, "public_computer": True}).status_code == 201
        assert expires_at(browser) == pytest.approx(clock() + hours * HOUR_S, abs=1)


def test_a_shorter_setting_ends_what_was_opened_under_a_longer_one(make_app, at_public_computer, clock):
    """At the next noted use, at the latest."""
    use_every_hour(at_public_computer, clock, 5)
    shorter = make_app(PUBLIC_COMPUTER_TTL="1h").test_client()
    shorter.set_cookie("__Host-session", token_of(at_public_computer), secure=True)
    clock.advance(61)
    shorter.get("/me/sessions")
    assert not is_signed_in(shorter)


def test_a_logout_clears_a_cookie_that_is_kept(alice):
    answer = alice.post("/logout")
    cleared = answer.headers.getlist("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cleared] == ["__Host-session", "__Secure-recent_mfa"]
    assert all("Max-Age=0" in cookie for cookie in cleared)
    assert alice.get_cookie("__Host-session") is None


@pytest.mark.parametrize(
    ("name", "is_taken"),
    [
        ("\u06af\u0648\u0634\u06cc\u200c\u0645\u0646", True),
        ("Ada \U0001f469\u200d\U0001f4bb", True),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", True),
        ("Ada\u200d", False),
        ("A\u202eda", False),
    ],
)
def test_a_device_is_called_in_any_script(alice, name, is_taken):
    """A joiner within a word is part of it; what hides is not."""
    answer = alice.patch("/me/sessions/" + current(alice), json={"name": name})
    assert answer.status_code == (200 if is_taken else 400)
    assert (listed(alice)[0]["deviceName"] == name) is is_taken
    assert (name in alice.get("/settings/sessions").text) is is_taken
