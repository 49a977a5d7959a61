"""`flask deliver-mail` as ops run it: started, stopped and killed, on a real Redis and a real mail server."""

import email
import re
import signal
import threading
import time
from collections import Counter
from email.policy import SMTP

import pytest
import requests

from app.mail.delivery import Delivery
from app.mail.transport import SmtpServer
from app.mail_settings import MailServer
from app.stores.connection.connect import from_redis_py
from app.stores.keys import unprefixed as keys
from app.stores.mail import MailStore, Notice
from app.stores.session_records import Client
from tests.conftest import ENVIRONMENT
from tests.live.server import Service, finished
from tests.queues import left, let_all_be_due
from tests.servers import RedisServer, redis_at, wait_until


@pytest.fixture
def deliver(start_command, live_server):
    """Starts `flask deliver-mail`."""

    def start(smtp_url, *options, redis_url=live_server.url):
        return start_command("deliver-mail", *options, SMTP_URL=smtp_url, REDIS_URL=redis_url)

    return start


@pytest.fixture
def make_users(real_redis):
    """Writes users as the store does, and a notice for each."""

    def make(*names, redis=real_redis):
        mails = MailStore(from_redis_py(redis))
        for name in names:
            record = {
                "email": f"{name}@example.com",
                "username": name,
                "password_hash": "",
                "epoch": 1,
                "created_at": 0,
            }
            redis.hset(keys.user(name), mapping=record)
            mails.add(Notice("suspicious", name, time.time(), Client()))

    return make


@pytest.fixture
def worker_here(real_redis):
    """Makes a worker in this process, which takes no time to start."""

    def compose(notice):
        return email.message_from_string(
            f"From: no-reply@example.com\r\nTo: {notice.user_id}@example.com\r\n\r\n", policy=SMTP
        )

    def make(server, **how):
        transport = SmtpServer(MailServer("127.0.0.1", server.port, "", "", implicit_tls=False), "keys.example.com")
        return Delivery(MailStore(from_redis_py(real_redis)), transport, compose, **how)

    return make


def link_in(message) -> str:
    return re.search(r"https?://\S+#\S+", message.get_body(["plain"]).get_content())[0]


def test_a_second_device_is_told_of_and_its_link_ends_it(live_server, real_redis, smtp, deliver):
    """From the login over the queue and the mail server to the page that the link leads to."""
    server = smtp()
    service = Service(live_server.url, SMTP_URL=server.url)
    deliver(server.url)
    try:
        alice = service.device().register("alice@example.com")
        phone = service.device(
            **{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"}
        )
        phone.log_in(alice)
        wait_until(lambda: len(server.inbox) == 2, "no mail came", within_s=30)
        message = server.inbox[-1]  # the first is about the address
        assert message["To"] == "alice@example.com"
        assert "Firefox on Linux" in message.get_body(["plain"]).get_content()
        page, _, secret = link_in(message).partition("#")
        assert page == ENVIRONMENT["PUBLIC_URL"] + "/not-me"
        headers = {"Sec-Fetch-Site": "same-origin"}
        answer = requests.post(service.url + "/not-me/form", {"token": secret}, headers=headers, timeout=10)
        assert answer.status_code == 200
        assert [device.is_signed_in for device in (alice, phone)] == [True, False]
        assert left(real_redis) == (0, 0, 0)
    finally:
        service.close()


def test_many_mails_two_workers_and_a_stop_in_the_middle(real_redis, smtp, deliver, make_users, worker_here):
    """Each comes exactly once; who is told to stop ends the mail under way, and says that all went well."""
    names = [f"user{number}" for number in range(120)]
    server = smtp()
    make_users(*names)
    first, second = deliver(server.url), deliver(server.url)
    wait_until(lambda: server.connections >= 2, "they did not start", within_s=30)
    wait_until(lambda: len(server.inbox) >= 30, "no mails came", within_s=30)
    first.send_signal(signal.SIGTERM)
    assert finished(first)[0] == 0
    wait_until(lambda: len(server.inbox) >= 60, "no more mails came", within_s=30)
    second.send_signal(signal.SIGINT)
    code, said = finished(second)
    assert code == 0
    assert "@example.com" not in said
    assert worker_here(server).deliver_due(threading.Event())
    assert Counter(server.recipients) == Counter(f"{name}@example.com" for name in names)
    assert left(real_redis) == (0, 0, 0)


def test_what_a_killed_worker_had_is_taken_over(real_redis, smtp, deliver, make_users, worker_here):
    """Once it is late."""
    server = smtp()
    server.go_on.clear()
    make_users("ada")
    worker = deliver(server.url)
    assert server.reading.wait(30)
    worker.kill()
    assert server.hung_up.wait(10)
    server.go_on.set()
    assert worker_here(server).deliver_due(threading.Event())
    assert (server.inbox, left(real_redis)) == ([], (1, 0, 0))
    let_all_be_due(real_redis)
    assert worker_here(server).deliver_due(threading.Event())
    assert (server.recipients, left(real_redis)) == (["ada@example.com"], (0, 0, 0))


def test_a_mail_that_comes_twice_is_one_mail_with_one_living_link(live_server, real_redis, smtp, deliver):
    """The server took it, the worker died before it knew, and another sent it again."""
    server = smtp(late={"alice@example.com"})
    service = Service(live_server.url, SMTP_URL=server.url)
    try:
        alice = service.device().register("alice@example.com")
        real_redis.delete(keys.mail.waiting)  # the mail about the address
        alice.post("/auth/forgot", {"login": alice.email})
        worker = deliver(server.url)
        assert server.reading.wait(30)
        worker.kill()
        wait_until(lambda: server.inbox, "it did not accept the mail", within_s=30)
        server.late = set()
        let_all_be_due(real_redis)
        assert finished(deliver(server.url, "--once"))[0] == 0
        first, again = server.inbox
        assert (first["Message-ID"], link_in(first)) == (again["Message-ID"], link_in(again))
        secret = link_in(first).partition("#")[2]
        reset = {"token": secret, "password": "another horse battery"}
        assert service.device().post("/auth/reset", reset).status_code == 200
    finally:
        service.close()


def test_a_worker_outlives_redis_and_the_mail_server(smtp, deliver, make_users):
    """And a mail that was queued while either was away comes, once, when it is back."""
    live_server = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    server = smtp()
    said = []
    try:
        with redis_at(live_server.url) as redis:
            worker = deliver(server.url, redis_url=live_server.url)
            reader = threading.Thread(target=lambda: said.extend(iter(worker.stderr.readline, "")))
            reader.start()
            make_users("ada", redis=redis)
            wait_until(lambda: server.recipients == ["ada@example.com"], "no mail came", within_s=30)
            server.stop()
            make_users("bob", redis=redis)
            wait_until(lambda: "the mail server is away" in "".join(said), "it did not notice", within_s=30)
            wait_until(lambda: left(redis) == (0, 1, 0), "it was not put aside")
            live_server.stop()
            server.start()
            wait_until(lambda: "Redis is away" in "".join(said), "it did not notice", within_s=30)
            live_server.start()
            let_all_be_due(redis)
            wait_until(lambda: len(server.inbox) == 2, "no second mail came", within_s=30)
            wait_until(lambda: left(redis) == (0, 0, 0), "it was not forgotten")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
        reader.join(10)
        assert server.recipients == ["ada@example.com", "bob@example.com"]
        for name in ("Redis", "the mail server"):
            assert "".join(said).count(f"{name} is away, mails wait") == 1
            assert "".join(said).count(f"{name} is back") == 1
    finally:
        live_server.close()


def test_once_says_so_when_not_all_was_delivered(real_redis, smtp, deliver, make_users, worker_here, tmp_path):
    """And what was given up can be tried again."""
    server = smtp(refusals={"ada@example.com": "550 5.1.1 unknown"})
    server.stop()
    make_users("ada")
    code, said = finished(deliver(server.url, "--once"))
    assert (code, left(real_redis)) == (1, (0, 1, 0))
    assert "not all that is due was delivered" in said
    server.start()
    let_all_be_due(real_redis)
    assert worker_here(server).deliver_due(threading.Event())
    assert left(real_redis) == (0, 0, 1)
    code, said = finished(deliver(f"file:{tmp_path}/mail", "--once", "--retry-dead"))
    assert (code, left(real_redis)) == (0, (0, 0, 0))
    assert "1 mails that were given up are queued again" in said
    [file] = (tmp_path / "mail").iterdir()
    assert email.message_from_bytes(file.read_bytes(), policy=SMTP)["To"] == "ada@example.com"


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_without_a_mail_server_it_says_what_to_set(make_app):
    ended = make_app(SMTP_URL="").test_cli_runner().invoke(args=["deliver-mail"])
    assert ended.exit_code == 2
    assert ended.output == "Error: mails are off; set SMTP_URL, MAIL_FROM and PUBLIC_URL\n"
