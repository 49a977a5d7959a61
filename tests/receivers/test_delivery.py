"""What follows from each answer of a receiver, and from none."""

import email.utils
import threading
import time

import pytest

from app.receivers import delivery
from tests.ports import lasting_port
from tests.raw_server import RawServer, drips
from tests.receivers.conftest import FIRST_HASH, SECOND_HASH, event, says

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)

KINDS = ["webhook", "logout", "ssf"]


def tell(delivering, *users):
    """Queue an event of each user, and let a worker do what is due. Return False if the receiver is away."""
    for user_id in users or ("7",):
        delivering.queue.put(event(user_id=user_id), user_id)
    return delivering.make_worker().deliver_due(threading.Event())


def outcome_of(delivering):
    """What became of one event: "done", "waits" or the reason of its death; and whether the receiver is left alone."""
    status = delivering.queue.status()
    dead = [one.failure for one in delivering.queue.dead(9)]
    left = " off" if status.off_since else " away" if status.away_since else ""
    return (dead[0] if dead else "waits" if status.waiting else "done") + left


ANSWERS = [
    *(("webhook", status, b"", "done") for status in (200, 201, 202, 204, 299)),
    *(("webhook", status, b"", "waits") for status in (301, 302, 307, 308, 400, 401, 403, 404, 500, 502)),
    ("webhook", 410, b"", "waits off"),
    *(("logout", status, b"", "done") for status in (200, 204)),
    *(("logout", status, b"", "waits") for status in (201, 202, 302, 307, 400, 401, 404, 410, 500)),
    ("logout", 400, b'{"error": "application_error", "error_description": "store is away"}', "waits"),
    *(("ssf", status, b"", "done") for status in (200, 202, 204)),
    *(("ssf", status, b"", "waits") for status in (201, 302, 400, 401, 403, 404, 410, 500)),
    *(
        ("ssf", 400, b'{"err": "%s"}' % code, "waits")
        for code in (b"invalid_key", b"authentication_failed", b"access_denied", b"of_its_own")
    ),
    *(
        ("ssf", 400, b'{"err": "%s", "description": "no"}' % code, f"status 400, {code.decode()}: no")
        for code in (b"invalid_request", b"invalid_issuer", b"invalid_audience")
    ),
    *(("ssf", 400, body, "waits") for body in (b"[]", b"{", b'{"err": 7}', b'"invalid_request"', b"\xff")),
    *((kind, status, b"", "waits away") for kind in KINDS for status in (429, 503)),
]


@pytest.mark.parametrize(("kind", "status", "body", "outcome"), ANSWERS)
def test_an_answer_says_whether_an_event_was_taken(telling, receiver, kind, status, body, outcome):
    delivering = telling(kind)
    receiver.answers = [says(status, body)]
    tell(delivering)
    assert outcome_of(delivering) == outcome
    assert len(receiver.got) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(telling, receiver, kind, status):
    receiver.answers = [says(status, Location=receiver.url.replace("told", "elsewhere"))]
    tell(telling(kind))
    assert [line for line, _, _ in receiver.got] == ["POST /told?from=keyrack HTTP/1.1"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "wait_s"),
    [("120", 120), ("in a date", 240), ("0", 1), ("999999", 3600), ("soon", 1), ("-5", 1), ("1e9", 1), ("9" * 30, 1)],
)
def test_a_receiver_is_left_alone_for_as_long_as_it_asks(telling, receiver, clock, kind, status, asked, wait_s):
    """In seconds or until a time, an hour at most."""
    clock.now = float(int(clock.now))
    if asked == "in a date":
        asked = email.utils.formatdate(clock.now + wait_s, usegmt=True)
    delivering = telling(kind)
    receiver.answers = [says(status, Retry_After=asked)]
    assert not tell(delivering)
    clock.advance(wait_s - 0.5)
    assert not tell(delivering, "8")
    assert len(receiver.got) == 1
    clock.advance(1)
    assert delivering.make_worker().deliver_due(threading.Event())
    assert outcome_of(delivering) == "done"
    assert len(receiver.got) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_receiver_that_is_back_gets_all_that_waits(telling, receiver, clock, kind):
    """However long what failed would have waited."""
    delivering = telling(kind)
    receiver.answers = [says(503)] * 8
    users = [str(number) for number in range(20, 30)]
    tell(delivering, *users)
    for _ in range(7):
        clock.advance(60)
        delivering.make_worker().deliver_due(threading.Event())
    assert len(receiver.got) == 8
    clock.advance(60)
    assert delivering.make_worker().deliver_due(threading.Event())
    assert outcome_of(delivering) == "done"
    assert len(receiver.got) == 18


@pytest.mark.parametrize("kind", KINDS)
def test_a_receiver_that_is_not_there_is_away(telling, clock, kind):
    url = {"webhook": "WEBHOOK_URLS", "logout": "BACKCHANNEL_LOGOUT_URLS", "ssf": "SSF_PUSH_URLS"}[kind]
    delivering = telling(kind, **{url: f"http://127.0.0.1:{lasting_port()}"})
    assert not tell(delivering)
    assert outcome_of(delivering) == "waits away"
    assert delivering.queue.status().failure == "no connection"


def test_a_receiver_that_takes_too_long_is_away(telling, monkeypatch):
    """After five seconds for the whole exchange, however each byte comes in time."""
    assert delivery.WITHIN_MS == 5000
    monkeypatch.setattr(delivery, "WITHIN_MS", 500)
    server = RawServer(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x", 0.05))
    delivering = telling("webhook", WEBHOOK_URLS=server.url)
    began = time.monotonic()
    assert not tell(delivering)
    assert time.monotonic() - began < 3
    assert delivering.queue.status().failure == "no whole answer in 500 ms"
    server.close()


def test_a_success_whose_body_has_no_end_is_one(telling):
    """Its status says that the event was taken. 64 KiB are read."""
    server = RawServer(drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096))
    delivering = telling("webhook", WEBHOOK_URLS=server.url)
    assert tell(delivering, "7", "8")
    assert outcome_of(delivering) == "done"
    server.close()


def test_an_event_at_which_a_receiver_hangs_up_holds_up_no_other(telling, receiver):
    delivering = telling("webhook")
    receiver.answers = [b""]
    tell(delivering, "7", "8")
    assert len(receiver.got) == 2
    assert delivering.queue.status().waiting == 1


def test_a_receiver_that_wants_nothing_any_more_is_not_asked_again(telling, receiver, clock):
    delivering = telling("webhook")
    receiver.answers = [says(410)]
    tell(delivering, "7", "8")
    clock.advance(100_000)
    tell(delivering, "9")
    assert len(receiver.got) == 1
    delivering.queue.switch_on()
    assert tell(delivering, "9")
    assert outcome_of(delivering) == "done"
    assert len(receiver.got) == 5


def test_an_event_is_given_up_after_three_days_of_failures(telling, receiver, clock):
    delivering = telling("webhook")
    receiver.answers = [says(500)] * 1000
    worker = delivering.make_worker()
    delivering.queue.put(event(), "7")
    began, waits, at = clock.now, [], clock.now
    while not delivering.queue.status().dead:
        worker.deliver_due(threading.Event())
        if len(receiver.got) > len(waits):
            waits.append(clock.now - at)
            at = clock.now
        clock.advance(1 if len(waits) < 8 else 60)
    assert 3 * 86400 <= at - began < 3 * 86400 + 3700
    assert [wait <= 2**number + 1 for number, wait in enumerate(waits[1:8])] == [True] * 7
    assert max(waits) <= 3600 + 60
    assert outcome_of(delivering) == "status 500"


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        ("x" * 500, "x" * 200 + " …"),
        (r"a\nb\u001b[31mc\u202ed", "a b [31mc d"),
        ("Zoë", "Zoë"),
    ],
)
def test_what_a_receiver_says_is_cut_and_steers_no_terminal(telling, receiver, description, shown):
    delivering = telling("ssf")
    receiver.answers = [says(400, f'{{"err": "invalid_request", "description": "{description}"}}'.encode())]
    tell(delivering)
    assert outcome_of(delivering) == f"status 400, invalid_request: {shown}"


def test_another_success_than_202_is_said_once(telling, receiver, caplog):
    delivering = telling("ssf")
    receiver.answers = [says(202), says(200), says(204), says(200)]
    tell(delivering, "1", "2", "3", "4")
    lines = [line for line in caplog.messages if "in place of 202" in line]
    assert lines == [f"{delivering.receiver.place} answers 200 in place of 202"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_is_kept_from_one_event_to_the_next(telling, receiver, kind):
    tell(telling(kind), "1", "2", "3")
    assert (len(receiver.got), receiver.connections) == (3, 1)


def test_an_event_of_several_tokens_is_done_when_all_were_taken(telling, receiver, clock):
    delivering = telling("logout")
    receiver.answers = [says(204), says(500)]
    delivering.queue.put(event(former_auth_session_id_hashes=[FIRST_HASH, SECOND_HASH]), "7")
    delivering.make_worker().deliver_due(threading.Event())
    assert outcome_of(delivering) == "waits"
    clock.advance(2)
    delivering.make_worker().deliver_due(threading.Event())
    assert outcome_of(delivering) == "done"
    assert len(receiver.got) == 5


def test_a_text_that_is_no_event_is_dead_and_not_sent(telling, receiver):
    delivering = telling("webhook")
    for text in (b"", b"{", b"[]", b'{"id": 7, "type": "x", "at": "y"}', b'{"type": "x"}', b"\xff"):
        delivering.queue.put(text, "7")
    delivering.make_worker().deliver_due(threading.Event())
    assert (receiver.got, delivering.queue.status().dead) == ([], 6)


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_logged_or_kept(telling, receiver, caplog, redis, kind):
    """The query of a URL may be one, and so is a bearer token."""
    caplog.set_level("DEBUG")
    url = {"webhook": "WEBHOOK_URLS", "logout": "BACKCHANNEL_LOGOUT_URLS", "ssf": "SSF_PUSH_URLS"}[kind]
    options = {"SSF_PUSH_TOKENS": "open-sesame"} if kind == "ssf" else {}
    delivering = telling(kind, **{url: f"{receiver.url}&key=open-sesame"}, **options)
    receiver.answers = [says(500), says(503), says(400, b'{"err": "invalid_request"}')]
    for number in range(3):
        tell(delivering, str(number))
    assert "sesame" not in caplog.text
    assert "sesame" not in "".join(map(repr, map(redis.type, redis.keys("*")))) + "".join(redis.keys("*"))
    assert "sesame" not in repr(redis.hgetall(delivering.queue.queue.keys.state))


def test_a_failed_test_says_why(telling, receiver):
    receiver.answers = [says(401, b"who are you?"), b""]
    tried = telling("webhook").send_test()
    assert (tried.status, tried.said, tried.failure) == (401, "who are you?", "status 401")
    with pytest.raises(delivery.JobFailed, match="it ends the connection without a whole answer"):
        telling("webhook").send_test()
