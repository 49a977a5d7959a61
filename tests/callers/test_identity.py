"""Credentials as browsers, proxies and HTTP/2 send them: one request has one answer on every surface."""

import pytest

from app.callers.identity import CLIENT_NAMES, PROOF_COOKIE, SESSION_COOKIE, read_own_cookie
from app.errors import Forbidden

OTHER = "MQ.aHg3gA." + "x" * 43  # has the form of a token, and is nobody's
FOREIGN = ["Basic c3RhZ2luZzpsZXRtZWlu", 'Digest username="a", realm="b"', "Negotiate abc", "", "Bearer", "Bearer "]
NONSENSE = ["Bearer undefined", "null", "Token abc", ",", "Basic a, Digest b"]


@pytest.fixture
def cookie(alice):
    return f"{SESSION_COOKIE}={alice.token}"


@pytest.mark.parametrize("authorization", FOREIGN + NONSENSE)
@pytest.mark.parametrize("path", ["/api/v9/users/@me", "/gateway/verify", "/me/sessions", "/settings/sessions"])
def test_what_is_no_token_of_ours_hides_no_cookie(app, cookie, authorization, path):
    headers = {"Cookie": cookie, "Authorization": authorization}
    assert app.test_client(use_cookies=False).get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("authorization", [None, *FOREIGN, OTHER, f"Bearer {OTHER}"])
def test_pages_and_the_login_page_never_lead_to_each_other(app, cookie, authorization):
    headers = {"Cookie": cookie} | ({} if authorization is None else {"Authorization": authorization})
    browser = app.test_client(use_cookies=False)
    page = browser.get("/settings/sessions", headers=headers)
    login = browser.get("/login", headers=headers)
    assert (page.status_code, login.status_code) in [(200, 303), (303, 200)]


@pytest.mark.parametrize("authorization", [OTHER, f"Bearer {OTHER}", f"Basic abc,{OTHER}"])
def test_a_token_of_our_form_that_is_over_stays_401(app, cookie, authorization):
    headers = {"Cookie": cookie, "Authorization": authorization}
    assert app.test_client(use_cookies=False).get("/api/v9/users/@me", headers=headers).status_code == 401


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer  {}", " {} ", "Basic abc,{}", "Basic abc, Bearer {}"])
def test_a_token_counts_beside_another_scheme_and_spaces(app, alice, form):
    headers = {"Authorization": form.format(alice.token)}
    assert app.test_client(use_cookies=False).get("/api/v9/users/@me", headers=headers).status_code == 200


@pytest.mark.parametrize("form", ["a=1,{}", "a=1, {}; c=2", "a=1; {}", "{}; {name}=x", "{name}=x; {}", "{name}=; {}"])
def test_a_cookie_counts_however_its_fields_were_joined(app, cookie, form):
    headers = {"Cookie": form.format(cookie, name=SESSION_COOKIE)}
    assert app.test_client(use_cookies=False).get("/api/v9/users/@me", headers=headers).status_code == 200


def test_a_proof_counts_behind_a_cookie_of_its_name_that_a_sibling_host_set(alice, app):
    proof = alice.prove()
    cookies = f"{PROOF_COOKIE}=x; {SESSION_COOKIE}={alice.token}; {PROOF_COOKIE}={proof}"
    answer = app.test_client(use_cookies=False).get("/gateway/verify?require=mfa", headers={"Cookie": cookies})
    assert answer.status_code == 200


def test_logging_out_beside_a_foreign_scheme_clears_the_cookie(app, alice, cookie):
    headers = {"Cookie": cookie, "Authorization": "Basic abc", "Sec-Fetch-Site": "same-origin"}
    answer = app.test_client(use_cookies=False).post("/logout", headers=headers)
    assert answer.status_code == 204
    assert SESSION_COOKIE in answer.headers["Set-Cookie"]
    assert alice.get("/users/@me").status_code == 401


@pytest.mark.parametrize(
    ("origin", "host", "is_same"),
    [
        ("https://a.example", "a.example", True),
        ("https://A.Example", "a.example:443", True),
        ("https://a.example:443", "A.EXAMPLE", True),
        ("http://a.example", "a.example:80", True),
        ("http://a.example:8000", "a.example:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://a.example:8000", "a.example", False),
        ("https://a.example", "a.example:80", False),
        ("https://b.example", "a.example", False),
        ("https://a.example:x", "a.example", False),
        ("null", "a.example", False),
        ("https://b@a.example", "a.example", False),
        ("", "", False),
        ("https://a.example", "a.example:99999", False),
    ],
)
def test_origin_and_host_are_compared_as_origins(alice, origin, host, is_same):
    environ = {"HTTP_COOKIE": f"{SESSION_COOKIE}={alice.token}", "HTTP_ORIGIN": origin, "HTTP_HOST": host}
    if is_same:
        assert read_own_cookie(environ, "POST") == alice.token
    else:
        with pytest.raises(Forbidden):
            read_own_cookie(environ, "POST")


class Watched(dict):
    """An environment that notes what is read of it."""

    def __init__(self, known):
        super().__init__(known)
        self.read = set()

    def get(self, name, default=None):
        self.read.add(name)
        return super().get(name, default)


def test_a_client_is_read_from_the_named_part_of_a_request(app):
    """Until a thread notes a use, only that part is kept of a request that needed none."""
    environ = Watched({"REMOTE_ADDR": "203.0.113.7", "HTTP_X_FORWARDED_FOR": "198.51.100.1"})
    app.extensions["keyrack"].callers.client(environ)
    assert environ.read == set(CLIENT_NAMES)
