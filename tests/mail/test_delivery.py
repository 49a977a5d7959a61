"""The delivery: nothing lost, nothing twice, whatever the mail server, Redis or a mail is like."""

import logging
import threading
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from itertools import pairwise

import pytest

from app.mail.bounded_smtp import LONGEST_S
from app.mail.delivery import TAKEN_OVER_AFTER_S, Delivery
from app.mail.refusals import LoginRefused, ServerAway
from app.mail.transport import SmtpServer
from app.mail_settings import MailServer
from app.snowflakes import NOBODY
from app.stores.keys import unprefixed as keys
from app.stores.mail import MailStore, Notice
from app.stores.scripts import ForeignKey
from app.stores.session_records import Client
from tests import mail_server
from tests.queues import left, open_jobs
from tests.servers import RedisServer, redis_at

DAY_S = 24 * 60 * 60


@pytest.fixture
def mails(store, clock):
    return MailStore(store, clock)


@pytest.fixture
def composed():
    """The notices that a mail was made of."""
    return []


@pytest.fixture
def deliver(mails, clock, composed):
    """Delivers to a server all that is due, in the way of one worker."""
    workers = {}

    def compose(notice):
        composed.append(notice)
        if notice.user_id == "gone":
            return None
        if notice.user_id == "odd":
            raise ValueError("odd@example.com")
        if notice.user_id == "foreign":
            raise ForeignKey
        message = EmailMessage(policy=SMTP)
        message["From"] = Address("", "no-reply", "example.com")
        message["To"] = Address("", notice.user_id, "example.com")
        message.set_content(notice.kind)
        return message

    def deliver_due(server):
        if server.port not in workers:
            route = MailServer("127.0.0.1", server.port, "", "", implicit_tls=False)
            workers[server.port] = Delivery(mails, SmtpServer(route, "keys.example.com"), compose, clock)
        return workers[server.port].deliver_due(threading.Event())

    return deliver_due


@pytest.fixture
def add(mails, clock):
    def add_for(*users, kind="sign_in"):
        for user_id in users:
            mails.add(Notice(kind, user_id, clock(), Client()))

    return add_for


@pytest.fixture
def log(caplog):
    """What the delivery says at WARNING and above."""
    caplog.set_level(logging.INFO, "app")
    of_delivery = ("app.jobs", "app.mail")
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith(of_delivery)
    ]


def next_due(redis, clock):
    """Seconds until the first that was put aside is due."""
    return redis.zrange(keys.mail.due, 0, 0, withscores=True)[0][1] - clock()


def test_all_that_is_due_is_delivered_in_its_order(smtp, add, deliver, redis, log):
    server = smtp()
    add("ada", "bob", "cleo")
    assert deliver(server)
    assert server.recipients == ["ada@example.com", "bob@example.com", "cleo@example.com"]
    assert (left(redis), log()) == ((0, 0, 0), [])
    assert server.connections == 1


def test_the_waits_of_a_mail_grow_from_five_seconds_to_an_hour(smtp, add, deliver, redis, clock):
    """Each is a fifth shorter at most, so that mails that failed together are not tried together."""
    server = smtp(refusals={"ada@example.com": "450 greylisted"})
    add("ada")
    waits = []
    for _ in range(12):
        deliver(server)
        assert left(redis) == (0, 1, 0)
        waits.append(next_due(redis, clock))
        clock.advance(waits[-1] - 0.5)
        deliver(server)
        assert next_due(redis, clock) == pytest.approx(0.5, abs=0.01)
        clock.advance(0.5)
    expected = [5 * 2**attempts for attempts in range(10)] + [3600] * 2
    assert [wait for wait, longest in zip(waits, expected, strict=True) if not 0.8 * longest <= wait <= longest] == []


def test_a_server_that_is_down_and_comes_back(smtp, add, deliver, redis, clock, composed, log):
    """All mails come within a minute, however long they have waited; no link is issued in vain."""
    server = mail_server.SmtpServer()
    add("ada", "bob")
    for _ in range(120):
        assert not deliver(server)
        clock.advance(60)
    assert composed == []
    server.start()
    try:
        assert deliver(server)
    finally:
        server.stop()
    assert (sorted(server.recipients), left(redis)) == (["ada@example.com", "bob@example.com"], (0, 0, 0))
    assert log() == [
        "the mail server is away, mails wait: connection failed, ConnectionRefusedError",
        "the mail server is back",
    ]


def test_while_the_server_is_down_the_mails_are_not_all_tried(add, deliver, redis):
    add(*"abcde")
    assert not deliver(mail_server.SmtpServer())
    assert left(redis) == (4, 1, 0)


def test_after_a_day_of_failures_a_mail_is_given_up(add, deliver, redis, clock, log):
    """Counted from the first: a day in which nobody tried is none of them."""
    server = mail_server.SmtpServer()
    add("ada")
    clock.advance(3 * DAY_S)
    deliver(server)
    assert left(redis) == (0, 1, 0)
    clock.advance(DAY_S - 1)
    deliver(server)
    assert left(redis) == (0, 1, 0)
    clock.advance(10)
    deliver(server)
    assert left(redis) == (0, 0, 1)
    assert log()[1:] == ["a mail is given up: sign_in, user ada, 3 attempts, connection failed, ConnectionRefusedError"]


def test_what_waited_for_a_delivery_that_did_not_run_is_tried_once_at_least(smtp, add, deliver, redis, clock):
    server = smtp()
    add("ada")
    clock.advance(3 * DAY_S)
    deliver(server)
    assert (len(server.inbox), left(redis)) == (1, (0, 0, 0))


def test_what_was_given_up_can_be_tried_again(smtp, add, deliver, mails, redis, clock):
    server = smtp(refusals={"ada@example.com": "550 5.1.1 unknown"})
    add("ada")
    deliver(server)
    clock.advance(2 * DAY_S)
    server.refusals = {"ada@example.com": "450 greylisted"}
    assert mails.revive() == 1
    deliver(server)
    assert left(redis) == (0, 1, 0)
    server.refusals = {}
    clock.advance(5)
    deliver(server)
    assert (len(server.inbox), left(redis)) == (1, (0, 0, 0))


@pytest.mark.parametrize(
    ("answer", "hours"), [("550 Unrouteable address", 4), ("550 5.7.1 blocked", 24), ("450 greylisted", 24)]
)
def test_a_recipient_that_hardly_exists_is_given_up_after_hours(smtp, add, deliver, redis, clock, answer, hours, log):
    """A bare 550 mostly is of the mailbox. What has a status code, or is for now, has its day."""
    server = smtp(refusals={"bob@example.com": answer})
    add("bob")
    for _ in range(hours * 12 - 1):
        assert deliver(server)
        clock.advance(300)
    assert left(redis) == (0, 1, 0)
    for _ in range(15):
        assert deliver(server)
        clock.advance(300)
    assert left(redis) == (0, 0, 1)
    [line] = log()
    attempts = int(line.split(", ")[2].split()[0])
    assert attempts <= (15 if hours == 4 else 40)


def test_a_decoy_is_done_without_a_word_and_without_the_server(add, deliver, redis, caplog):
    """It was queued for an address without an account. It waits for no mail server, nor says that one is back."""
    caplog.set_level(logging.DEBUG, "app")
    add(NOBODY, kind="reset")
    assert deliver(mail_server.SmtpServer())
    assert (left(redis), caplog.messages) == ((0, 0, 0), [])
    add("ada", NOBODY, kind="reset")
    assert not deliver(mail_server.SmtpServer())
    assert left(redis) == (1, 1, 0)


def test_each_try_is_told_at_debug_level_alone(smtp, add, deliver, caplog):
    caplog.set_level(logging.DEBUG, "app")
    add("ada")
    deliver(smtp(refusals={"ada@example.com": "450 4.2.0 greylisted"}))
    [record] = caplog.records
    assert (record.levelno, record.getMessage().startswith("a mail is tried again in ")) == (logging.DEBUG, True)


def test_a_server_that_ends_connections_is_not_away(scripted, add, deliver, redis, log):
    """No mail waits for it, and nobody is told that it is away and back."""
    server = scripted(MAIL=["250 ok"] * 3 + ["421 no more"] + ["250 ok"])
    add(*"abcde")
    assert deliver(server)
    assert (server.told.count("content"), server.connections, left(redis), log()) == (5, 2, (0, 0, 0), [])


def test_one_recipient_that_is_refused_for_good(smtp, add, deliver, redis, log):
    """Is given up at once, the others have theirs, and the log has no address."""
    server = smtp(refusals={"bob@example.com": "550 5.1.1 <bob@example.com> unknown"})
    add("ada", "bob", "cleo")
    assert deliver(server)
    assert server.recipients == ["ada@example.com", "cleo@example.com"]
    assert left(redis) == (0, 0, 1)
    assert log() == ["a mail is given up: sign_in, user bob, 1 attempts, RCPT refused, 550 5.1.1"]


@pytest.mark.parametrize(
    "refusals", [{"bob@example.com": "450 greylisted"}, {"bob@example.com": "550 relay not permitted"}]
)
def test_one_recipient_that_is_refused_for_now(smtp, add, deliver, redis, clock, refusals, log):
    server = smtp(refusals=refusals)
    add("ada", "bob", "cleo")
    assert deliver(server)
    assert left(redis) == (0, 1, 0)
    server.refusals = {}
    clock.advance(5)
    assert deliver(server)
    assert server.recipients == ["ada@example.com", "cleo@example.com", "bob@example.com"]
    assert log() == []


def test_what_is_the_operators_to_mend_is_tried_on(smtp, add, deliver, redis, clock, log):
    server = smtp(refusals={"MAIL": "550 5.7.1 you may not send as no-reply@example.com"})
    add("ada")
    for _ in range(5):
        assert not deliver(server)
        clock.advance(3600)
    assert left(redis) == (0, 1, 0)
    server.refusals = {}
    assert deliver(server)
    assert server.recipients == ["ada@example.com"]
    assert log() == [
        "the mail server is away, mails wait: MAIL refused, 550 5.7.1 you may not send as",
        "the mail server is back",
    ]


def test_a_server_that_dies_in_the_middle_of_a_mail(smtp, add, deliver, redis, clock):
    server = smtp(deaths=2)
    add("ada", "bob")
    for _ in range(4):
        deliver(server)
        clock.advance(10)
    assert sorted(server.recipients) == ["ada@example.com", "bob@example.com"]
    assert left(redis) == (0, 0, 0)


def test_a_server_that_accepts_late_has_one_mail_and_not_two(smtp, add, deliver, redis, clock, monkeypatch):
    """It accepts even what it was not waited for."""
    monkeypatch.setattr("app.mail.bounded_smtp.STEP_S", 1)
    server = smtp(late={"ada@example.com"})
    add("ada")

    def answer_late():
        server.hung_up.wait(1.5)
        server.late = set()

    slow = threading.Thread(target=answer_late)
    slow.start()
    deliver(server)
    slow.join()
    clock.advance(5)
    assert deliver(server)
    assert (server.recipients, left(redis)) == (["ada@example.com"], (0, 0, 0))


def test_a_server_that_never_answers_to_one_content(smtp, add, deliver, redis, clock, monkeypatch, log):
    """No other mail waits for it once it was waited for, and nobody says that the server is away."""
    monkeypatch.setattr("app.mail.bounded_smtp.ANSWER_TO_CONTENT_S", 0.1)
    server = smtp(late={"ada@example.com"})
    add("ada", "bob")
    assert deliver(server)
    assert "bob@example.com" in server.recipients
    assert (left(redis), log()) == ((0, 1, 0), [])


class Pauses(threading.Event):
    """Notes how long a worker would wait, and lets that time pass at once; it stops it after a few."""

    def __init__(self, most, clock):
        super().__init__()
        self.pauses_s = []
        self._most = most
        self._clock = clock

    def wait(self, timeout=None):
        self.pauses_s.append(timeout)
        self._clock.advance(timeout)
        if len(self.pauses_s) == self._most:
            self.set()
        return self.is_set()


@pytest.mark.parametrize(
    ("failure", "pauses_s"),
    [(ServerAway, [1, 2, 4, 8, 16, 32, 60, 60]), (LoginRefused, [300] * 8)],
)
def test_a_server_that_is_away_is_asked_more_and_more_rarely(mails, add, clock, failure, pauses_s):
    """Where it refuses the login, so rarely that it bans nobody: fail2ban counts five failures in ten minutes."""
    asked_at = []

    class Away:
        def connect(self):
            asked_at.append(clock())
            raise failure("away")

        def close(self):
            pass

    add(*"abcdefgh")
    Delivery(mails, Away(), lambda _: None, clock).run(Pauses(200, clock))
    assert [round(later - at) for at, later in pairwise(asked_at[: len(pauses_s) + 1])] == pauses_s


def test_a_mail_is_not_taken_over_from_a_worker_that_is_still_at_it():
    assert TAKEN_OVER_AFTER_S > LONGEST_S + 60  # some time for Redis, and for addresses that do not answer


def test_nobody_is_there_to_be_told(smtp, add, deliver, redis):
    server = smtp()
    add("gone", "ada")
    assert deliver(server)
    assert (server.recipients, left(redis)) == (["ada@example.com"], (0, 0, 0))


def test_a_link_that_was_asked_for_an_hour_ago_is_not_sent(smtp, add, deliver, redis, clock, composed, caplog):
    caplog.set_level(logging.INFO, "app")
    server = smtp()
    add("ada", kind="reset")
    clock.advance(3600)
    add("bob", kind="reset")
    add("cleo")
    clock.advance(1)
    assert deliver(server)
    assert [notice.user_id for notice in composed] == ["bob", "cleo"]
    assert "a mail is dropped, its link was asked for too long ago: reset, user ada" in caplog.messages
    assert left(redis) == (0, 0, 0)


def test_an_older_reset_does_not_take_the_place_of_a_newer(smtp, add, deliver, redis, clock, composed, caplog):
    """Of several that wait, the newest is sent alone."""
    caplog.set_level(logging.INFO, "app")
    server = smtp(refusals={"ada@example.com": "450 greylisted"})
    add("ada", "bob", kind="reset")
    deliver(server)
    server.refusals = {}
    clock.advance(2)
    add("ada", kind="reset")
    add("ada")
    deliver(server)
    composed.clear()
    clock.advance(10)
    assert deliver(server)
    assert (composed, left(redis)) == ([], (0, 0, 0))
    assert "a mail is dropped, a newer one was asked for: reset, user ada" in caplog.messages
    assert server.recipients == ["bob@example.com", "ada@example.com", "ada@example.com"]
    assert [message.get_content().strip() for message in server.inbox] == ["reset", "reset", "sign_in"]


def test_a_reset_that_failed_is_tried_again(smtp, add, deliver, clock):
    """Itself is not what makes it an older one."""
    server = smtp(refusals={"ada@example.com": "450 greylisted"})
    add("ada", kind="reset")
    deliver(server)
    server.refusals = {}
    clock.advance(5)
    assert deliver(server)
    assert server.recipients == ["ada@example.com"]


def test_a_mail_that_cannot_be_composed_stands_in_no_others_way(smtp, add, deliver, redis, caplog):
    caplog.set_level(logging.DEBUG, "app")
    server = smtp()
    add("odd", "ada")
    assert deliver(server)
    assert (server.recipients, left(redis)) == (["ada@example.com"], (0, 1, 0))
    assert "ValueError" in caplog.text
    assert "odd@example.com" not in caplog.text


def test_a_user_whose_keys_another_application_wrote_stands_in_no_others_way(smtp, add, deliver, redis, log):
    server = smtp()
    add("foreign", "ada")
    assert deliver(server)
    assert (server.recipients, left(redis)) == (["ada@example.com"], (0, 1, 0))
    assert log() == []


def test_an_entry_that_cannot_be_read_stands_in_no_mails_way(smtp, add, deliver, redis, log):
    server = smtp()
    redis.xadd(keys.mail.waiting, {"notice": b"\xff ada@example.com"})
    add("ada")
    assert deliver(server)
    assert (len(server.inbox), left(redis)) == (1, (0, 0, 1))
    [line] = log()
    assert line.startswith("a mail is given up: entry ")
    assert "ada" not in line


def test_neither_addresses_nor_words_are_in_the_log(smtp, add, deliver, clock, caplog):
    caplog.set_level(logging.DEBUG, "app")
    server = smtp(
        refusals={"1@example.com": "550 5.1.1 <1@example.com>", "2@example.com": "450 <2@example.com>"}, deaths=1
    )
    add("1", "2", "3")
    for _ in range(3):
        deliver(server)
        clock.advance(10)
    assert server.recipients == ["3@example.com"]
    assert len(caplog.records) > 3
    assert "example.com" not in caplog.text


def test_told_to_stop_it_ends_after_the_mail_under_way(smtp, add, mails, redis, clock):
    """And leaves nothing behind that another worker would have to wait for."""
    server = smtp()
    server.go_on.clear()
    stop = threading.Event()
    add("ada", "bob")
    route = MailServer("127.0.0.1", server.port, "", "", implicit_tls=False)

    def compose(notice):
        message = EmailMessage(policy=SMTP)
        message["From"] = message["To"] = Address("", notice.user_id, "example.com")
        return message

    worker = threading.Thread(
        target=Delivery(mails, SmtpServer(route, "keys.example.com"), compose, clock).run, args=(stop,)
    )
    worker.start()
    assert server.reading.wait(10)
    stop.set()
    server.go_on.set()
    worker.join(10)
    assert not worker.is_alive()
    assert server.recipients == ["ada@example.com"]
    assert redis.xlen(keys.mail.waiting) == 1
    assert left(redis) == (1, 0, 0)
    assert open_jobs(redis) == {}


class TestRedisAway:
    """A Redis of its own, that keeps what it holds when it is stopped."""

    @pytest.fixture
    def redis_of_its_own(self):
        server = RedisServer("--appendonly", "yes", "--appendfsync", "always")
        yield server
        server.close()

    @pytest.fixture
    def redis(self, redis_of_its_own):
        with redis_at(redis_of_its_own.url) as client:
            yield client

    def test_a_mail_that_was_sent_is_not_sent_again_when_redis_is_back(
        self, redis_of_its_own, smtp, add, deliver, redis, log
    ):
        server = smtp()
        server.go_on.clear()
        add("ada", "bob")

        def stop_redis_under_way():
            server.reading.wait(10)
            redis_of_its_own.stop()
            server.go_on.set()

        stopper = threading.Thread(target=stop_redis_under_way)
        stopper.start()
        assert not deliver(server)
        stopper.join()
        assert not deliver(server)
        assert server.recipients == ["ada@example.com"]
        redis_of_its_own.start()
        assert deliver(server)
        assert server.recipients == ["ada@example.com", "bob@example.com"]
        assert left(redis) == (0, 0, 0)
        away, back = log()
        assert away.startswith("Redis is away, mails wait: ConnectionError: ")
        assert back == "Redis is back"
