"""The fast lane answers what the slow lane answers, to the byte, or nothing."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import tokens
from app.stores.sessions import TOUCH_EVERY_S
from app.watch import metrics
from app.web import fast_lane
from tests.lanes import CLIENT, ask_fast, ask_slow, comparable, look_up

ORIGIN = "https://chat.example.com"
DAY = 24 * 3600
NOBODY = "MTIzNA.AAAAAA." + "A" * 43


@pytest.fixture
def app(make_app):
    return make_app(ALLOWED_ORIGINS=ORIGIN)


def head(*lines, method="GET", path="/gateway/verify", version="HTTP/1.1"):
    return "\r\n".join([f"{method} {path} {version}", *lines, "", ""]).encode("latin-1")


def bearer(device):
    return f"Authorization: {device.token}"


def cookie(device):
    return f"Cookie: a=b; __Host-session={device.token}; c=d"


def ask_both(app, raw):
    """What the fast lane says. If it says anything, it is what the slow lane says."""
    fast = ask_fast(app, raw)
    if fast is not None:
        assert comparable(fast) == comparable(ask_slow(app, raw))
        assert comparable(fast) == comparable(ask_slow(app, raw, parser="python"))
    return fast


ANSWERED = [
    [],
    ["Host: localhost"],
    ["X-Request-Id: of-the-gateway.7"],
    ["X-Request-Id: no id<>"],
    ["X-Request-Id: one", "X-Request-Id: two"],
    ["Connection: keep-alive"],
    ["connection:Keep-Alive "],
    ["Content-Length: 0"],
    ["X-Forwarded-Method: POST"],
    ["X-Forwarded-For: 203.0.113.9, 192.0.2.1", "X-Forwarded-Uri: /api/v9/channels?limit=50"],
    [f"Origin: {ORIGIN}"],
    ["Origin: https://evil.example"],
    ["Origin: null", "Sec-Fetch-Site: cross-site"],
    ["User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: */*", "Accept-Language: de, en;q=0.5"],
    ["X-Empty:", "X-Blank:  \t ", "X-Odd: \xe9\xff~"],
    ["Authorization: Basic YTpi"],
    ["Accept-Encoding: gzip", "TE: trailers", "Keep-Alive: timeout=5"],
    ["X-Super-Properties: " + "eyJ" * 500],
]


@pytest.mark.parametrize("lines", ANSWERED)
def test_a_live_session_is_answered(app, alice, lines):
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
        answer = ask_both(app, head(bearer(alice), *lines, method=method))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"X-Auth-User-Id: {alice.user_id}\r\nX-Auth-Session-Id-Hash: {alice.id_hash}\r\n".encode() in answer


def test_a_cookie_is_answered_for_safe_methods(app, alice):
    """Whether another page has sent it is looked at in the slow lane."""
    for method in ("GET", "HEAD", "OPTIONS"):
        assert ask_both(app, head(cookie(alice), method=method))
    for method in ("POST", "DELETE", "PROPFIND"):
        assert ask_fast(app, head(cookie(alice), method=method)) is None
        assert ask_fast(app, head(cookie(alice), f"X-Forwarded-Method: {method}")) is None
        assert ask_fast(app, head(cookie(alice), "Authorization: Basic YTpi", method=method)) is None
    assert ask_fast(app, head(cookie(alice), "X-Forwarded-Method: GET", method="POST")) is None


def test_another_origins_question_beforehand_is_answered(app, alice):
    """With the headers that it asks for, whatever they are."""
    asks = "Access-Control-Request-Method: GET"
    for wanted in ("authorization", "100%s %d", "\xe9"):
        lines = [bearer(alice), f"Origin: {ORIGIN}", asks, f"Access-Control-Request-Headers: {wanted}"]
        answer = ask_both(app, head(*lines, method="OPTIONS"))
        assert f"Access-Control-Allow-Headers: {wanted}\r\n".encode("latin-1") in answer


LEFT_TO_THE_SLOW_LANE = [
    {"path": "/gateway/verify?"},
    {"path": "/gateway/verify?require=mfa"},
    {"path": "/gateway/verify?a=b"},
    {"path": "/gateway/verify/"},
    {"path": "/gateway/%76erify"},
    {"path": "//gateway/verify"},
    {"path": "http://localhost/gateway/verify"},
    {"path": "/gateway/verify#a"},
    {"path": "/api/v9/users/@me"},
    {"version": "HTTP/1.0"},
    {"version": "HTTP/1.2"},
    {"version": "http/1.1"},
    {"method": "get"},
    {"method": "CONNECT"},
    {"method": "GE"},
    {"method": "A" * 21},
]


@pytest.mark.parametrize("asked", LEFT_TO_THE_SLOW_LANE)
def test_another_request_line_is_left_to_the_slow_lane(app, alice, asked):
    assert ask_fast(app, head(bearer(alice), **asked)) is None


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 1"],
        ["Content-Length: 00"],
        ["Content-Length: 0", "Content-Length: 0"],
        ["Transfer-Encoding: chunked"],
        ["Transfer-Encoding:"],
        ["Connection: close"],
        ["Connection:"],
        ["Connection: keep-alive, Upgrade"],
        ["Connection: keep-alive", "Connection: close"],
        ["Upgrade: h2c"],
        ["HTTP2-Settings: AAMAAABkAAQAAP__"],
        ["Expect: 100-continue"],
        ["Expect: nothing"],
        ["Trailer: X-A"],
        ["Host: a", "Host: a"],
        ["Content-Type: text/plain", "content-type: text/plain"],
        ["X_Request_Id: a"],
        ["X_Forwarded_For: 192.0.2.1"],
        ["X-A: b", " folded"],
        ["X-A: b", "\tfolded"],
        ["X-A : b"],
        [": b"],
        ["X-A"],
        ["X-A: \x00"],
        ["X-A: \x0b"],
        ["X-A: \x7f"],
        ["X-A: b\rc"],
        ["X-A: b\nX-C: d"],
        ["X-\xe9: b"],
        ["X(A): b"],
        ["X" * 101 + ": b"],
        ["X-A: b"] * 100,
    ],
)
def test_another_head_is_left_to_the_slow_lane(app, alice, lines):
    assert ask_fast(app, head(bearer(alice), *lines)) is None
    assert ask_fast(app, head(*lines, bearer(alice))) is None


def test_only_one_whole_head_is_answered(app, alice):
    whole = head("Host: localhost", bearer(alice))
    assert ask_fast(app, whole)
    assert [at for at in range(len(whole)) if ask_fast(app, whole[:at])] == []
    for more in (b"\r\n", b"x", whole, whole[:20]):
        assert ask_fast(app, whole + more) is None
    assert ask_fast(app, b"\r\n" + whole) is None
    assert ask_fast(app, whole.replace(b"\r\n", b"\n")) is None


def test_without_a_token_of_ours_nothing_is_answered(app, alice):
    for value in ("", "nonsense", "Bearer undefined", "x" * 5000, "a.b.c", NOBODY, f"Bearer {NOBODY}"):
        assert ask_fast(app, head(f"Authorization: {value}")) is None
        assert ask_fast(app, head(f"Cookie: __Host-session={value}")) is None
    assert ask_fast(app, head()) is None
    assert ask_fast(app, head(f"Authorization: {value}", cookie(alice))) is None, "the header counts, not the cookie"


def test_without_gunicorns_fast_parser_nothing_is_answered(app, alice, monkeypatch):
    monkeypatch.setattr(fast_lane, "parse_to_wsgi_environ", None)
    assert ask_fast(app, head(bearer(alice))) is None


def test_what_is_over_is_left_to_the_slow_lane(app, alice, clock):
    """It says no, and notes the end."""
    question = app.fast_lane.read(head(bearer(alice)), CLIENT)
    clock.advance(DAY)
    last_used_at = clock()
    clock.advance(30 * DAY - 1)
    assert app.fast_lane.answer(question, last_used_at, "memory")
    clock.advance(1)
    assert app.fast_lane.answer(question, last_used_at, "memory") is None
    clock.advance(334 * DAY)
    assert app.fast_lane.answer(question, clock(), "memory") is None, "it has its greatest age"


def test_where_only_its_record_tells_a_session_is_left_to_the_slow_lane(app, alice, clock):
    """One on a public computer ends after twelve hours, and one that is used after that is none."""
    question = app.fast_lane.read(head(bearer(alice)), CLIENT)
    last_used_at = look_up(app, question.claim)
    clock.advance(DAY / 2 - 2)
    assert app.fast_lane.answer(question, last_used_at, "memory")
    clock.advance(2)
    assert app.fast_lane.answer(question, last_used_at, "memory") is None
    assert app.fast_lane.answer(question, clock(), "memory")


def test_where_the_clock_of_redis_must_be_asked_nothing_is_answered(app, alice, monkeypatch):
    monkeypatch.setattr(app.fast_lane, "_redis_now", lambda: None)
    assert ask_fast(app, head(bearer(alice))) is None


def test_a_use_is_noted_afterwards_once(app, alice, clock):
    """In a thread, whatever number of checks found that it is due."""
    began = clock()
    raw = head(bearer(alice), "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0")
    clock.advance(TOUCH_EVERY_S - 1)
    assert ask_fast(app, raw)
    assert not app.fast_lane.has_uses
    clock.advance(2)
    for _ in range(3):
        assert ask_fast(app, raw)
    assert app.fast_lane.has_uses
    note = app.fast_lane.take_uses()
    assert not app.fast_lane.has_uses
    assert look_up(app, tokens.read(alice.token)) == pytest.approx(began, abs=0.1)
    note()
    [session] = app.extensions["keyrack"].devices.list(alice.user_id)
    assert (session.last_used_at, session.client.platform) == (pytest.approx(clock(), abs=0.1), "Firefox")
    assert ask_fast(app, raw)
    assert not app.fast_lane.has_uses


def test_it_is_counted_and_logged_as_in_the_slow_lane(make_app, alice, caplog):
    app = make_app(ACCESS_LOG="on")
    metrics.CHECK_COUNTS.pass_on()
    counts = metrics.request_seconds("/gateway/verify", "any", "200")
    before = counts._sum.get(), metrics.VERIFY["memory"]._value.get(), metrics.VERIFY["thread"]._value.get()
    with caplog.at_level(logging.INFO, "keyrack.access"):
        assert ask_both(app, head(bearer(alice), "X-Request-Id: seven"))
    fast, slow, _ = caplog.records
    assert fast.getMessage() == slow.getMessage() == "any /gateway/verify 200"
    assert fast.fields.keys() == slow.fields.keys()
    metrics.CHECK_COUNTS.pass_on()
    assert counts._sum.get() > before[0]
    assert metrics.VERIFY["memory"]._value.get() == before[1] + 1
    assert metrics.VERIFY["thread"]._value.get() == before[2] + 2


NAMES = st.sampled_from(
    [
        "Host",
        "host",
        "Connection",
        "Content-Length",
        "Content-Type",
        "Transfer-Encoding",
        "Cookie",
        "Authorization",
        "X-Request-Id",
        "X_Request_Id",
        "X-Forwarded-Method",
        "Origin",
        "Sec-Fetch-Site",
        "Expect",
        "Upgrade",
        "X-A",
        "X-A ",
        " X-A",
        "",
        "X\x00",
        "é",
    ]
)
VALUES = st.sampled_from(
    [
        "",
        " ",
        "0",
        "1",
        "a,b",
        "close",
        "keep-alive",
        "KEEP-ALIVE",
        "chunked",
        "POST",
        "GET",
        "x\x00",
        "ÿ",
        "a\rb",
        "__Host-session=TOKEN",
        "__Host-session=x; __Host-session=TOKEN",
        "TOKEN",
        "Bearer TOKEN",
        "Basic x, TOKEN",
        ORIGIN,
        "cross-site",
        "same-origin",
        "100-continue",
        "a\nb",
        "\tb\t",
    ]
)
LINES = st.lists(st.builds("{}{}{}".format, NAMES, st.sampled_from([":", ": ", " : ", ""]), VALUES), max_size=6)
METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "CONNECT", "get", "G E"])
ENDS = st.sampled_from(["\r\n\r\n"] * 8 + ["\r\n", "\n\n", "\r\n\r\n ", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", ""])


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@given(lines=LINES, method=METHODS, end=ENDS, at=st.integers(0, 6))
def test_of_odd_heads_the_fast_lane_knows_what_the_slow_lane_says(app, alice, lines, method, end, at):
    """Whatever gunicorn refuses or reads in another way has no answer here."""
    lines = [*lines[:at], bearer(alice), *lines[at:]]
    text = f"{method} /gateway/verify HTTP/1.1\r\n" + "\r\n".join(lines).replace("TOKEN", alice.token) + end
    ask_both(app, text.encode("latin-1"))


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@given(data=st.data())
def test_of_a_head_with_other_bytes_the_fast_lane_knows_what_the_slow_lane_says(app, alice, data):
    raw = bytearray(head("Host: localhost", bearer(alice), "X-Request-Id: abc", "Content-Length: 0"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        part = data.draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"_", b"\xff", b"A"]))
        raw[at : at + data.draw(st.integers(0, 1))] = part
    ask_both(app, bytes(raw))
