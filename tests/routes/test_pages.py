"""The pages, as a browser without JavaScript uses them."""

import re
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from html.parser import HTMLParser

import pyotp
import pytest

from app import tokens
from tests.device import PASSWORD

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
LOGIN = {"login": "alice@example.com", "password": PASSWORD}
NEW_PASSWORD = "another horse battery"


class Page(HTMLParser):
    """What a page says, and the fields of its forms by the form's action."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.status = answer.status_code
        self.forms: dict[str, list[tuple[str, str]]] = {}
        self._action = ""
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(answer.text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        told = dict(attributes)
        self.tags.append(tag)
        if tag == "form":
            self._action = told.get("action", "")
            self.forms[self._action] = []
        if tag in ("input", "button") and told.get("name") and "form" not in told:
            self.forms[self._action].append((told["name"], told.get("value", "")))

    def handle_data(self, data):
        self.words.append(data)

    def field(self, action, name):
        return [value for field, value in self.forms[action] if field == name]


@pytest.fixture
def new_browser(app):
    def make(user_agent=FIREFOX):
        browser = app.test_client()
        browser.environ_base["HTTP_USER_AGENT"] = user_agent
        return browser

    return make


def show(browser, path):
    answer = browser.get(path, follow_redirects=True)
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    return Page(answer)


def fill(browser, path, **fields):
    """Send a form and go where that leads."""
    return Page(browser.post(path, data=fields, follow_redirects=True))


def log_in(browser):
    answer = browser.post("/login/form", data=LOGIN)
    assert answer.status_code == 303
    return browser


@pytest.fixture
def alice(new_browser):
    browser = new_browser()
    page = fill(browser, "/register/form", email="alice@example.com", username="alice", password=PASSWORD)
    assert "Current Session" in page.text
    return browser


@pytest.fixture
def alices_other(alice, new_browser):
    return log_in(new_browser("Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) Version/17.0 Mobile/15E148 Safari/604.1"))


def is_signed_in(browser):
    return browser.get("/settings/sessions").status_code == 200


def set_up_totp(browser, clock):
    """Turn TOTP on by the page; the secret that it showed, and the backup codes."""
    secret = show(browser, "/settings/security/totp").field("/settings/security/totp", "secret")[0]
    code = pyotp.TOTP(secret).at(int(clock()))
    answer = browser.post("/settings/security/totp", data={"secret": secret, "password": PASSWORD, "code": code})
    assert answer.status_code == 200, answer.text
    clock.advance(30)
    return secret, re.findall(r"<code>([a-z0-9]{8})</code>", answer.text)


# The way in


@pytest.mark.parametrize("path", ["/settings/sessions", "/settings/security", "/settings/security/totp"])
def test_a_visitor_is_led_to_login_and_back(alice, new_browser, path):
    browser = new_browser()
    answer = browser.get(path)
    assert (answer.status_code, answer.location) == (303, f"/login?next={path}")
    page = show(browser, answer.location)
    [wanted] = page.field("/login/form", "next")
    entered = browser.post("/login/form", data=LOGIN | {"next": wanted})
    assert (entered.status_code, entered.location) == (303, path)


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "evil",
        "/a\\b",
        "",
        "/\u2028x",
        "/a b",
    ],
)
def test_nobody_is_led_elsewhere(alice, new_browser, wanted):
    answer = new_browser().post("/login/form", data=LOGIN | {"next": wanted})
    assert (answer.status_code, answer.location) == (303, "/settings/sessions")
    assert alice.get("/login", query_string={"next": wanted}).location == "/settings/sessions"


def test_the_way_back_keeps_letters_of_all_scripts(alice, new_browser):
    answer = new_browser().post("/login/form", data=LOGIN | {"next": "/déjà?q=ä"})
    assert answer.location == "/d%C3%A9j%C3%A0?q=%C3%A4"
    assert alice.get("/login", query_string={"next": "/d%C3%A9j%C3%A0"}).location == "/d%C3%A9j%C3%A0"


def test_a_wrong_login_shows_the_form_again(alice, new_browser):
    page = fill(new_browser(), "/login/form", login="alice@example.com", password="wrong password")
    assert page.status == 400
    assert "Login or password is invalid." in page.text
    assert page.field("/login/form", "login") == ["alice@example.com"]
    assert page.field("/login/form", "password") == [""]


def test_a_login_with_a_second_factor(alice, new_browser, clock):
    """Password, then code; a backup code passes too; a wrong one may be tried again."""
    secret, backup_codes = set_up_totp(alice, clock)
    for right in (lambda: pyotp.TOTP(secret).at(int(clock())), lambda: backup_codes[0]):
        browser = new_browser()
        page = fill(browser, "/login/form", **LOGIN, next="/settings/security")
        [ticket] = page.field("/login/code", "ticket")
        again = fill(browser, "/login/code", ticket=ticket, code="000000", next="/settings/security")
        assert "That code is wrong or was used already." in again.text
        assert again.field("/login/code", "ticket") == [ticket]
        entered = browser.post("/login/code", data={"ticket": ticket, "code": right(), "next": "/settings/security"})
        assert (entered.status_code, entered.location) == (303, "/settings/security")
        assert is_signed_in(browser)


def test_a_ticket_that_is_over_leads_back_to_the_password(new_browser):
    page = fill(new_browser(), "/login/code", ticket="gone", code="123456")
    assert "Please log in again." in page.text
    assert "/login/form" in page.forms


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("password", "short", "Must be between 8 and 72 in length."),
        ("password", "password123", "Password is too weak or common to use."),
        ("email", "alice@example.com", "Email is already registered."),
        ("username", "", "This field is required"),
    ],
)
def test_a_registration_that_does_not_fit(alice, new_browser, field, value, problem):
    fields = {"email": "carol@example.com", "username": "carol", "password": PASSWORD} | {field: value}
    browser = new_browser()
    page = fill(browser, "/register/form", **fields)
    assert page.status == 400
    assert problem in page.text
    assert PASSWORD not in page.text + str(page.forms)
    assert not is_signed_in(browser)


@pytest.mark.parametrize("path", ["/login/form", "/login/code", "/register/form", "/logout/form"])
def test_the_address_of_a_form_opened_by_hand(new_browser, path):
    assert show(new_browser(), path).status == 200


def test_too_many_logins_are_told_to_wait(make_app):
    browser = make_app(RATE_LIMIT_LOGIN="1 per hour").test_client()
    fill(browser, "/login/form", **LOGIN)
    page = fill(browser, "/login/form", **LOGIN)
    assert page.status == 429
    assert re.search(r"Too many tries\. Please try again in (60|61) minutes\.", page.text)


FORMS = [
    *("/login/form", "/login/code", "/register/form", "/logout/form"),
    *("/settings/sessions/end", "/settings/sessions/confirm"),
    *(
        "/settings/security/password",
        "/settings/security/totp",
        "/settings/security/totp/off",
        "/settings/security/codes",
    ),
]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_sites_form_changes_nothing(alice, alices_other, path, headers):
    answer = alice.post(path, data=LOGIN | {"all": "all"}, headers=headers)
    assert answer.status_code == 403
    assert "only done from a page of this site" in Page(answer).text
    assert "Set-Cookie" not in answer.headers
    assert is_signed_in(alice)
    assert is_signed_in(alices_other)


PAGES_WITH_EMAIL = [("/login", "login"), ("/register", "email"), ("/forgot", "login")]


@pytest.mark.parametrize(("path", "name"), PAGES_WITH_EMAIL)
def test_an_email_field_sends_what_was_typed(new_browser, path, name):
    """A browser's own idea of an address (type=email) refuses some that exist, and sends others than were typed."""
    text = new_browser().get(path).text
    assert 'type="email"' not in text
    [field] = re.findall(rf'<input[^>]*name="{name}"[^>]*>', text)
    for attribute in ('type="text"', 'inputmode="email"', 'autocapitalize="none"', 'spellcheck="false"'):
        assert attribute in field
    assert re.search('autocomplete="username[ "]', field)  # what a password manager fills in is what one logs in with
    assert text.count('autocomplete="username') == 1


@pytest.mark.parametrize(("path", "name"), PAGES_WITH_EMAIL)
@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("mia@stra\u00dfe.example", "mia@xn--strae-oqa.example"),
        ("mia@\uff45xample.com", "mia@example.com"),
        (" Mia@Example.com ", None),
        ("mia@xn--strae-oqa.example", None),
        ("mia", None),
    ],
)
def test_the_page_says_how_an_address_was_understood(new_browser, path, name, typed, understood):
    """Where mail for it would go to a domain that is written in another way than it was typed."""
    fields = {name: typed, "password": "wrong", "username": "mia"}
    page = fill(new_browser(), f"{path}/form", **fields)
    assert ("nderstood" in page.text) is (understood is not None)
    if understood:
        assert understood in page.text


def test_the_security_page_says_where_mail_goes(new_browser):
    browser = new_browser()
    fill(browser, "/register/form", email=" mia@stra\u00dfe.example ", username="mia", password=PASSWORD)
    page = show(browser, "/settings/security")
    assert "How you log in as mia@stra\u00dfe.example . Mail goes to mia@xn--strae-oqa.example" in page.text
    assert is_signed_in(browser)


def is_kept(answer):
    """Whether the browser keeps the session's cookie when it is closed."""
    [cookie] = [cookie for cookie in answer.headers.getlist("Set-Cookie") if cookie.startswith("__Host-session=")]
    return "Max-Age=" in cookie


@pytest.mark.parametrize(("ticked", "expected"), [({}, True), ({"public_computer": "on"}, False)])
def test_a_tick_says_that_the_computer_is_a_public_one(alice, new_browser, clock, ticked, expected):
    """At a registration and a login, with a code too; a refused form comes back with it."""
    fields = {"email": "carol@example.com", "username": "carol", "password": PASSWORD}
    assert is_kept(new_browser().post("/register/form", data=fields | ticked)) is expected
    assert is_kept(new_browser().post("/login/form", data=LOGIN | ticked)) is expected
    _, codes = set_up_totp(alice, clock)
    browser = new_browser()
    [ticket] = fill(browser, "/login/form", **LOGIN, **ticked).field("/login/code", "ticket")
    assert is_kept(browser.post("/login/code", data={"ticket": ticket, "code": codes[0]})) is expected
    again = browser.post("/login/form", data={"login": "nobody@example.com", "password": "wrong"} | ticked)
    assert ("checked" in again.text) is not expected


# Devices


def test_the_list_says_what_there_is(alice, alices_other, clock):
    clock.advance(3600)
    page = show(alice, "/settings/sessions")
    for text in ("Current Session", "Other Sessions", "Firefox on Linux", "Safari on iPad", "This device"):
        assert text in page.text
    for text in ("Place unknown", "127.0.0.1", "1 hour ago", "less than an hour ago", "Log Out of Session"):
        assert text in page.text
    assert "Log Out All Other Sessions" in page.text
    assert "change your password at once" in page.text
    assert len(page.field("/settings/sessions/end", "session")) == 1


def test_nothing_else_to_list(alice):
    page = show(alice, "/settings/sessions")
    assert "You are logged in nowhere else." in page.text
    assert "No session ended in the last 30 days." in page.text
    assert "/settings/sessions/end" not in page.forms


@pytest.mark.parametrize(("days", "words"), [("1", "the last day."), ("7", "the last 7 days.")])
def test_what_ended_is_told_of_for_as_long_as_is_set(make_app, days, words):
    """RETENTION_DAYS is what the page says and what the list goes by."""
    browser = make_app(RETENTION_DAYS=days).test_client()
    page = fill(browser, "/register/form", email="alice@example.com", username="alice", password=PASSWORD)
    assert f"No session ended in {words}" in page.text


def test_one_is_ended_by_its_button(alice, alices_other):
    [session] = show(alice, "/settings/sessions").field("/settings/sessions/end", "one")
    page = fill(alice, "/settings/sessions/end", one=session)
    assert "1 session is logged out." in page.text
    assert "You signed it out from Firefox on Linux" in page.text
    assert not is_signed_in(alices_other)


def test_several_are_ended_by_ticking_them(alice, alices_other, new_browser):
    third, fourth = log_in(new_browser()), log_in(new_browser())
    sessions = show(alice, "/settings/sessions").field("/settings/sessions/end", "session")
    kept = show(fourth, "/settings/sessions").field("/settings/sessions/end", "session")
    ticked = [session for session in sessions if session in kept]
    page = fill(alice, "/settings/sessions/end", session=ticked)
    assert "2 sessions are logged out." in page.text
    assert [is_signed_in(browser) for browser in (alice, alices_other, third, fourth)] == [True, False, False, True]


def test_all_others_are_ended(alice, alices_other, new_browser):
    third = log_in(new_browser())
    page = fill(alice, "/settings/sessions/end", all="all")
    assert "2 sessions are logged out." in page.text
    assert [is_signed_in(browser) for browser in (alice, alices_other, third)] == [True, False, False]


@pytest.mark.parametrize("pressed", [{}, {"none": "none"}])
def test_nothing_ticked_is_said(alice, alices_other, pressed):
    """Nor does Enter on a box end anything: it presses a button that is there for that."""
    [session] = show(alice, "/settings/sessions").field("/settings/sessions/end", "session")
    ticked = {"session": session} if pressed else {}
    assert "Tick the sessions to log out, then" in fill(alice, "/settings/sessions/end", **ticked, **pressed).text
    assert is_signed_in(alices_other)


def test_the_password_is_asked_on_a_page_of_its_own(alice, alices_other, clock):
    """With what was asked for kept, a wrong answer shown in place, and no second question for five minutes."""
    clock.advance(301)
    [session] = show(alice, "/settings/sessions").field("/settings/sessions/end", "session")
    page = fill(alice, "/settings/sessions/end", session=session)
    assert "Enter Password to Log Out Session" in page.text
    assert page.field("/settings/sessions/confirm", "session") == [session]
    wrong = fill(alice, "/settings/sessions/confirm", session=session, answer="wrong password")
    assert "Password does not match." in wrong.text
    assert wrong.field("/settings/sessions/confirm", "session") == [session]
    assert is_signed_in(alices_other)
    assert (
        "1 session is logged out." in fill(alice, "/settings/sessions/confirm", session=session, answer=PASSWORD).text
    )
    assert not is_signed_in(alices_other)
    log_in(alices_other)
    assert "1 session is logged out." in fill(alice, "/settings/sessions/end", all="all").text


def test_the_code_is_asked_on_a_page_of_its_own(alice, alices_other, new_browser, clock):
    secret, backup_codes = set_up_totp(alice, clock)
    sessions = show(alice, "/settings/sessions").field("/settings/sessions/end", "session")
    page = fill(alice, "/settings/sessions/end", session=sessions * 3)
    assert "Enter Auth Code to Log Out 3 Sessions" in page.text
    wrong = fill(alice, "/settings/sessions/confirm", session=sessions, answer=PASSWORD)
    assert "That code is wrong" in wrong.text
    code = pyotp.TOTP(secret).at(int(clock()))
    assert "1 session is logged out." in fill(alice, "/settings/sessions/confirm", session=sessions, answer=code).text
    clock.advance(301)
    other = new_browser()
    [ticket] = fill(other, "/login/form", **LOGIN).field("/login/code", "ticket")
    fill(other, "/login/code", ticket=ticket, code=backup_codes[0])
    ended = fill(alice, "/settings/sessions/confirm", all="all", answer=backup_codes[1])
    assert "1 session is logged out." in ended.text
    assert not is_signed_in(other)


def test_answers_are_limited(make_app, clock):
    app = make_app(RATE_LIMIT_STEP_UP="1 per hour")
    alice = app.test_client()
    fill(alice, "/register/form", email="alice@example.com", username="alice", password=PASSWORD)
    log_in(app.test_client())
    clock.advance(301)
    fill(alice, "/settings/sessions/confirm", all="all", answer="wrong password")
    page = fill(alice, "/settings/sessions/confirm", all="all", answer=PASSWORD)
    assert page.status == 429
    assert "Too many tries." in page.text


def test_foreign_and_own_sessions_are_not_ended(alice, new_browser):
    bob = new_browser()
    fill(bob, "/register/form", email="bob@example.com", username="bob", password=PASSWORD)
    third = log_in(new_browser())
    [own] = show(third, "/settings/sessions").field("/settings/sessions/end", "session")
    assert "Tick the sessions" in fill(alice, "/settings/sessions/end", session=own).text
    bobs = bob.get("/me/sessions").json[0]["id"]
    answer = alice.post("/settings/sessions/end", data={"session": bobs})
    assert answer.location == "/settings/sessions?done=over", "as of one that never was"
    assert all(is_signed_in(browser) for browser in (alice, bob, third))


HOSTILE = "<script>alert(1)</script>\"'>\u202emoc\u200b"


def test_what_clients_say_is_shown_as_text(new_browser):
    """Markup in the user agent, the properties, the names and the address bar; what is hidden is dropped."""
    browser = new_browser(HOSTILE.encode().decode("latin-1"))
    fill(browser, "/register/form", email="alice@example.com", username="<script>", password=PASSWORD)
    session = browser.get("/me/sessions").json[0]["id"]
    browser.patch("/me/sessions/" + session, json={"name": "<script>alert(2)</script>"})
    for path in ("/settings/sessions", "/login?next=/<script>", "/settings/sessions?done=<script>"):
        answer = browser.get(path, follow_redirects=True)
        assert Page(answer).tags.count("script") <= 2, "our own modules alone"
        assert "<script>" not in answer.text
        assert "\u202e" not in answer.text
    assert "<script>alert(2)</script>" in unescape(browser.get("/settings/sessions").text)


@pytest.mark.parametrize("end", ["one", "all"])
def test_an_ended_session_hears_why(alice, alices_other, end, clock):
    fill(
        alice, "/settings/sessions/end", **{end: show(alice, "/settings/sessions").field("/settings/sessions/end", end)}
    )
    clock.advance(120)
    answer = alices_other.get("/settings/sessions")
    assert answer.status_code == 303
    assert (
        "This device was logged out from Firefox on Linux, 2 minutes ago." in show(alices_other, answer.location).text
    )


def test_a_changed_password_is_why(alice, alices_other):
    fields = {"password": PASSWORD, "new_password": NEW_PASSWORD}
    assert "Your password is changed." in fill(alice, "/settings/security/password", **fields).text
    assert "Your password was changed on another device" in show(alices_other, "/login").text


def test_an_expired_session_is_why(alice, alices_other, clock):
    clock.advance(31 * 24 * 3600)
    assert not is_signed_in(alice)
    assert "expired" in show(alices_other, "/login").text


def test_who_logged_out_elsewhere_by_the_same_session_hears_nothing(alice, app):
    """As by a program that has the token of the browser."""
    token = alice.get_cookie("__Host-session").value
    assert app.test_client().post("/api/v9/auth/logout", headers={"Authorization": token}).status_code == 204
    assert 'class="notice"' not in alice.get("/login").text


def test_whoever_guesses_learns_nothing(alice, alices_other, new_browser):
    """Only the token of the session that ended is told why. One that is made up hears what any would."""
    fill(alice, "/settings/sessions/end", all="all")
    user, *rest = alices_other.get_cookie("__Host-session").value.split(".")
    made_up = ".".join([user, rest[0], rest[1][:-4] + "AAAA"])
    guesser = new_browser()
    guesser.set_cookie("__Host-session", made_up, secure=True)
    of_nobody = new_browser()
    of_nobody.set_cookie("__Host-session", tokens.issue("7", 0), secure=True)
    seen = [re.findall('class="notice"[^>]*>([^<]*)', one.get("/login").text) for one in (guesser, of_nobody)]
    assert seen == [["Your session is over. Please log in again."]] * 2


def test_log_out(alice, alices_other):
    answer = alice.post("/logout/form")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert "Clear-Site-Data" in answer.headers
    assert not is_signed_in(alice)
    assert is_signed_in(alices_other)
    assert "Your session" not in show(alice, "/login").text, "who logged out is not told that they are out"


# What one signs in with


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"password": "wrong password", "new_password": NEW_PASSWORD}, "Password does not match."),
        ({"password": PASSWORD, "new_password": "short"}, "Must be between 8 and 72 in length."),
        ({"password": PASSWORD}, "This field is required"),
    ],
)
def test_a_password_change_that_does_not_fit(alice, alices_other, fields, problem):
    page = fill(alice, "/settings/security/password", **fields)
    assert page.status == 400
    assert problem in page.text
    assert is_signed_in(alices_other)


def test_a_password_change_asks_for_the_second_factor(alice, clock):
    """In the same form. Neither a mistyped password nor a bad new one spends a code."""
    secret, _ = set_up_totp(alice, clock)
    form = "/settings/security/password"
    fields = {"password": PASSWORD, "new_password": NEW_PASSWORD}
    assert show(alice, "/settings/security").field(form, "answer") == [""]
    assert "That code is wrong" in fill(alice, form, **fields, answer="000000").text
    assert "That code is wrong" in fill(alice, form, **fields).text
    code = pyotp.TOTP(secret).at(int(clock()))
    page = fill(alice, form, **fields | {"password": "wrong password"}, answer=code)
    assert "Password does not match." in page.text
    holding = fill(alice, form, **fields | {"new_password": "alice@example.com"}, answer=code)
    assert "name or e-mail address" in holding.text
    assert "Your password is changed." in fill(alice, form, **fields, answer=code).text


def test_totp_is_set_up_with_a_picture_and_a_text(alice, clock):
    page = show(alice, "/settings/security/totp")
    [secret] = page.field("/settings/security/totp", "secret")
    assert secret in page.text.replace(" ", "")
    assert "svg" in page.tags
    fields = {"secret": secret, "password": PASSWORD}
    wrong = fill(alice, "/settings/security/totp", **fields, code="000000")
    assert "That code is wrong" in wrong.text
    assert wrong.field("/settings/security/totp", "secret") == [secret], "the app has this one by now"
    assert (
        "Password does not match."
        in fill(alice, "/settings/security/totp", **fields | {"password": "x"}, code="1").text
    )
    code = pyotp.TOTP(secret).at(int(clock()))
    done = fill(alice, "/settings/security/totp", **fields, code=code)
    assert "Two-factor authentication is on" in done.text
    assert len(re.findall(r"\b[a-z0-9]{8}\b", done.text)) >= 10
    assert is_signed_in(alice)
    assert "On Logging in asks for a code" in show(alice, "/settings/security/totp").text, "no second set-up"


@pytest.mark.parametrize("secret", ["", "short", "A" * 5000, "<script>"])
def test_a_secret_that_is_none_is_replaced(alice, secret):
    page = fill(alice, "/settings/security/totp", secret=secret, password=PASSWORD, code="123456")
    assert page.status == 400
    assert len(page.field("/settings/security/totp", "secret")[0]) == 32


def test_totp_off_and_new_codes_ask_for_a_code(alice, clock):
    _, codes = set_up_totp(alice, clock)
    assert "10 of your backup codes are unused." in show(alice, "/settings/security").text
    assert "That code is wrong" in fill(alice, "/settings/security/totp/off", answer="00000000").text
    fields = {"password": PASSWORD, "answer": codes[0]}
    renewed = alice.post("/settings/security/codes", data=fields)
    assert renewed.status_code == 200
    fresh = re.findall(r"<code>([a-z0-9]{8})</code>", renewed.text)
    assert len(fresh) == 10
    assert not set(fresh) & set(codes)
    alice.delete_cookie("__Secure-recent_mfa")
    assert "That code is wrong" in fill(alice, "/settings/security/totp/off", answer=codes[1]).text, "old ones are dead"
    assert "Two-factor authentication is off." in fill(alice, "/settings/security/totp/off", answer=fresh[0]).text
    assert is_signed_in(alice)


def test_without_a_second_factor_there_is_nothing_to_turn_off(alice):
    page = fill(alice, "/settings/security/codes", answer=PASSWORD, password=PASSWORD)
    assert page.status == 400
    assert "not enrolled" in page.text
    assert "Two-factor authentication is off." in fill(alice, "/settings/security/totp/off", answer=PASSWORD).text


# The files


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("keyrack.css", "text/css"),
        ("sessions.js", "text/javascript"),
        ("ask.js", "text/javascript"),
        ("mark.svg", "image/svg+xml"),
    ],
)
def test_files_are_asked_about_again_and_found_unchanged(new_browser, name, kind):
    answer = new_browser().get("/keyrack/" + name, buffered=True)
    assert (answer.status_code, answer.mimetype) == (200, kind)
    assert answer.headers["Cache-Control"] == "no-cache"
    unchanged = {"If-None-Match": answer.headers["ETag"]}
    again = new_browser().get("/keyrack/" + name, headers=unchanged, buffered=True)
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["/login", "/register", "/settings/sessions", "/settings/security", "/settings/security/totp"]
)
def test_pages_have_nothing_inline_and_nothing_from_elsewhere(alice, path):
    """The policy forbids it, and no page asks for it."""
    text = alice.get(path, follow_redirects=True).text
    assert "<style" not in text
    assert " style=" not in text
    assert not re.search(r"\son[a-z]+=", text)
    assert not re.search(r"<script(?![^>]* src=)", text)
    assert not re.findall(r"(?:src|href|action)=\"(?!/|#)", text)


def test_trouble_is_a_page_too(alice):
    answer = alice.delete("/settings/sessions")
    assert answer.status_code == 405


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 413), ({"Sec-Fetch-Site": "cross-site"}, 403)], ids=["too large", "of another site"]
)
def test_a_form_that_is_too_large_is_a_page(new_browser, headers, status):
    """Whatever is refused, the page that says so asks nothing of the form."""
    answer = new_browser().post("/login/form", data={"login": "x" * 70_000}, headers=headers)
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/settings/nothing", 404),
        ("GET", "/settings", 404),
        ("GET", "/keyrack/nothing.js", 404),
        ("POST", "/settings/sessions", 405),
        ("PUT", "/login/form", 405),
    ],
)
def test_an_address_that_is_none_is_a_page(new_browser, method, path, status):
    answer = new_browser().open(path, method=method)
    assert (answer.status_code, answer.mimetype) == (status, "text/html")


def test_the_address_of_a_form_leads_to_the_page_that_has_it(app):
    client = app.test_client()
    pages = {
        "/login": ["/login/form", "/login/code", "/logout/form"],
        "/register": ["/register/form"],
        "/forgot": ["/forgot/form"],
        "/reset": ["/reset/form", "/reset/code"],
        "/not-me": ["/not-me/form"],
        "/revert": ["/revert/form"],
        "/settings/sessions": ["/settings/sessions/end", "/settings/sessions/confirm"],
        "/settings/security": [f"/settings/security/{form}" for form in ("password", "totp/off", "codes")],
    }
    for page, forms in pages.items():
        assert [client.get(form).location for form in forms] == [page] * len(forms)


# Forms that are sent twice


def live(browser):
    return len(browser.get("/me/sessions").json)


def sent_twice(new_browser, path, data):
    """As a browser does at a double click: both without the other's cookie; it keeps that of the last answer."""
    first, second = new_browser(), new_browser()
    answers = [browser.post(path, data=data) for browser in (first, second)]
    assert [answer.status_code for answer in answers] == [303, 303]
    return first, second


@pytest.mark.parametrize("tick", [{}, {"public_computer": "on"}])
def test_a_login_that_is_sent_twice_leaves_one_session(alice, new_browser, tick):
    """The first of the two ends; another page of the login opens another session."""
    before = live(alice)
    [nonce] = show(new_browser(), "/login").field("/login/form", "nonce")
    first, second = sent_twice(new_browser, "/login/form", LOGIN | tick | {"nonce": nonce})
    assert [is_signed_in(browser) for browser in (first, second)] == [False, True]
    assert live(alice) == before + 1
    [other] = show(new_browser(), "/login").field("/login/form", "nonce")
    assert other != nonce
    third = new_browser()
    third.post("/login/form", data=LOGIN | {"nonce": other})
    assert [is_signed_in(browser) for browser in (second, third)] == [True, True]


def test_a_registration_that_is_sent_twice_signs_in(new_browser):
    """And says nothing of a taken address; with another password or page it does."""
    [nonce] = show(new_browser(), "/register").field("/register/form", "nonce")
    form = {"email": "alice@example.com", "username": "alice", "password": PASSWORD, "nonce": nonce}
    first, second = sent_twice(new_browser, "/register/form", form)
    assert [is_signed_in(browser) for browser in (first, second)] == [False, True]
    assert live(second) == 1
    for otherwise in ({"password": NEW_PASSWORD}, {"nonce": "another"}, {"nonce": ""}):
        refused = fill(new_browser(), "/register/form", **(form | otherwise))
        assert "Email is already registered." in refused.text
    assert live(second) == 1


def test_a_code_that_is_sent_twice_signs_in(alice, new_browser, clock):
    """Its ticket is used up by the first; nothing but the same ticket with the same code opens anything."""
    _, codes = set_up_totp(alice, clock)
    [ticket] = fill(new_browser(), "/login/form", **LOGIN).field("/login/code", "ticket")
    before = live(alice)
    first, second = sent_twice(new_browser, "/login/code", {"ticket": ticket, "code": codes[0]})
    assert [is_signed_in(browser) for browser in (first, second)] == [False, True]
    assert live(alice) == before + 1
    assert "Please log in again." in fill(new_browser(), "/login/code", ticket=ticket, code=codes[1]).text
    answer = new_browser().post("/login/mfa", json={"ticket": ticket, "code": codes[0]})
    assert answer.status_code == 400, "what is no form is answered as before"


@pytest.mark.parametrize("after", ["a minute", "a use", "its end", "another password"])
def test_a_form_is_known_for_a_moment_alone(alice, new_browser, clock, after):
    """Nobody signs in later by what was used up."""
    _, codes = set_up_totp(alice, clock)
    [ticket] = fill(new_browser(), "/login/form", **LOGIN).field("/login/code", "ticket")
    form = {"ticket": ticket, "code": codes[0]}
    browser = new_browser()
    assert browser.post("/login/code", data=form).status_code == 303
    if after in ("a minute", "a use"):
        clock.advance(61)
    if after == "a use":
        assert is_signed_in(browser)
    if after == "its end":
        browser.post("/logout/form")
    if after == "another password":
        change = {"password": PASSWORD, "new_password": NEW_PASSWORD, "answer": codes[1]}
        assert alice.post("/settings/security/password", data=change).status_code == 303
    assert "Please log in again." in fill(new_browser(), "/login/code", **form).text


def test_a_session_of_before_ends_at_a_login_in_the_same_browser(alice, new_browser):
    """Its cookie is replaced, so nobody could end it by its token."""
    browser = log_in(new_browser())
    before = live(alice)
    log_in(browser)
    assert live(alice) == before


def test_what_is_over_is_said_to_be_over(alice, alices_other, new_browser):
    """Ending twice, in two tabs or by a double click, is no error; so for one, several, all."""
    third = log_in(new_browser())
    page = show(alice, "/settings/sessions")
    sessions = page.field("/settings/sessions/end", "session")
    assert "1 session is logged out." in fill(alice, "/settings/sessions/end", one=sessions[0]).text
    for form in ({"one": sessions[0]}, {"session": [sessions[0]] * 2}):
        answer = alice.post("/settings/sessions/end", data=form)
        assert (answer.status_code, answer.location) == (303, "/settings/sessions?done=over")
    assert "That was over already." in fill(alice, "/settings/sessions/end", one=sessions[0]).text
    assert "1 session is logged out." in fill(alice, "/settings/sessions/end", session=sessions).text, "one of the two"
    assert "All other sessions were over already." in fill(alice, "/settings/sessions/end", all="all").text
    assert [is_signed_in(browser) for browser in (alice, alices_other, third)] == [True, False, False]


def test_nobody_is_asked_to_prove_themselves_to_end_what_is_over(alice, alices_other, clock):
    """The answer that was right for the first click is used up at the second."""
    [session] = show(alice, "/settings/sessions").field("/settings/sessions/end", "session")
    clock.advance(301)
    confirmed = {"session": session, "answer": PASSWORD}
    assert "1 session is logged out." in fill(alice, "/settings/sessions/confirm", **confirmed).text
    clock.advance(301)
    assert "That was over already." in fill(alice, "/settings/sessions/end", one=session).text
    assert "That was over already." in fill(alice, "/settings/sessions/confirm", session=session, answer="no").text
    assert "over already" in fill(alice, "/settings/sessions/confirm", all="all", answer="no").text


def test_a_log_out_that_is_sent_twice(alice):
    """The second comes with the cookie of the first: it clears it, and leads to the login."""
    token = alice.get_cookie("__Host-session").value
    assert alice.post("/logout/form").status_code == 303
    alice.set_cookie("__Host-session", token, secure=True)
    answer = alice.post("/logout/form")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert any("Max-Age=0" in cookie for cookie in answer.headers.getlist("Set-Cookie"))


def test_a_second_factor_that_is_turned_off_twice(alice, clock):
    _, codes = set_up_totp(alice, clock)
    for code in codes[:2]:
        page = fill(alice, "/settings/security/totp/off", answer=code)
        assert page.status == 200
        assert "Two-factor authentication is off." in page.text


def test_codes_that_are_renewed_twice(alice, clock):
    """The code that was given is used up, and said to be; the next one makes the codes that count."""
    _, codes = set_up_totp(alice, clock)
    form = {"password": PASSWORD, "answer": codes[0]}
    fresh = re.findall(r"<code>([a-z0-9]{8})</code>", alice.post("/settings/security/codes", data=form).text)
    assert len(fresh) == 10
    assert "was used already" in fill(alice, "/settings/security/codes", **form).text
    assert fill(alice, "/settings/security/codes", **(form | {"answer": fresh[0]})).status == 200


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_forms_that_are_sent_at_once_leave_one_session(app):
    """Whichever comes first. A registration may hear that the address is taken while the first is being written."""
    nonce = {"nonce": "n" * 43}
    register = {"email": "alice@example.com", "username": "alice", "password": PASSWORD} | nonce
    for path, form in (("/register/form", register), ("/login/form", LOGIN | nonce)):
        browsers = [app.test_client() for _ in range(6)]
        with ThreadPoolExecutor(len(browsers)) as pool:
            answers = list(pool.map(lambda browser, to=(path, form): browser.post(to[0], data=to[1]), browsers))
        assert {answer.status_code for answer in answers} <= ({303} if path == "/login/form" else {303, 400})
        [signed_in] = [browser for browser in browsers if is_signed_in(browser)]
        assert live(signed_in) == 1
