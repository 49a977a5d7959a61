"""`flask doctor` without a gateway: what each check says, what the command ends with. tests/live has the gateways."""

import contextlib
import json
import socket
import threading
from pathlib import Path

import pytest

from app import create_app
from app.cli.canary import Connection, ProbeError
from app.cli.doctor import check_location, check_mail, judge_address
from app.config import load_settings
from app.setting_parsers import MailServer
from app.stores.connection.connect import connect
from tests.conftest import ENVIRONMENT

PLAIN = {"SMTP_URL": "", "PUBLIC_URL": ""}
RANDOM = "wJ0cR4k9ZpQx7tLm2vBn8sHd5fGy3uEa"
DAY = 24 * 3600


@pytest.fixture
def examine(make_app):
    def run(*args, **environment):
        ran = make_app(**(PLAIN | environment)).test_cli_runner().invoke(args=["doctor", *args])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exc_info
        return ran

    return run


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_warnings_alone_end_with_1(examine):
    """This Redis keeps to itself what it does; one line a check, the worst is what the command ends with."""
    ran = examine(SECRET_KEYS=RANDOM)
    assert ran.exit_code == 1
    assert [line.split()[0] for line in ran.stdout.splitlines()] == [
        *["ok", "ok", "ok", "ok", "WARN", "WARN", "WARN", "ok", "ok", "ok", "ok", "ok", "ok"],
    ]
    assert examine().exit_code == 5


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_all_is_well(examine, redis):
    redis.config_set("appendonly", "yes")
    try:
        ran = examine("--json", SECRET_KEYS=RANDOM)
    finally:
        redis.config_set("appendonly", "no")
    assert ran.exit_code == 0
    assert {json.loads(line)["level"] for line in ran.stdout.splitlines()} == {"ok"}
    assert RANDOM not in ran.output


def test_redis_away_is_told_as_a_finding():
    app = create_app(load_settings(ENVIRONMENT | PLAIN), connect("redis://127.0.0.1:1"))
    ran = app.test_cli_runner().invoke(args=["doctor", "--json"])
    assert ran.exit_code == 3
    assert json.loads(ran.stdout.splitlines()[-1])["check"] == "redis"
    assert ran.stderr == "Error: Nothing more can be looked at.\n"


@pytest.mark.parametrize(("days", "level"), [(1, "ok"), (59, "ok"), (61, "warn")])
def test_the_age_of_the_location_database(city_database, days, level):
    built_at = city_database.stat().st_mtime
    assert check_location(city_database, built_at + days * DAY + 3600).level == level
    assert check_location(None, 0).level == "ok"


@contextlib.contextmanager
def mail_server(offers):
    """Answers one caller; offers: what it says to EHLO."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError), listener.accept()[0] as caller:
            caller.sendall(b"220 here\r\n")
            while line := caller.recv(1024):
                answers = {b"ehlo": offers, b"QUIT": b"221 bye\r\n"}
                caller.sendall(answers.get(line[:4], b"250 ok\r\n"))

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@pytest.mark.parametrize(("user", "level", "said"), [("", "ok", "answers"), ("ada", "fail", "no STARTTLS")])
def test_a_mail_server(user, level, said):
    """No password is sent in the clear."""
    with mail_server(b"250 here\r\n") as port:
        found = check_mail(MailServer("127.0.0.1", port, user, "hunter22", implicit_tls=False))
    assert (found.level, said in found.said) == (level, True)
    assert "hunter22" not in str(found)


@pytest.mark.parametrize("implicit_tls", [False, True])
def test_a_mail_server_that_is_away(implicit_tls):
    found = check_mail(MailServer("127.0.0.1", 1, "", "", implicit_tls=implicit_tls))
    assert (found.level, "127.0.0.1:1" in found.said) == ("fail", True)


def test_mail_into_a_folder(tmp_path):
    assert check_mail(tmp_path).level == "warn"
    assert check_mail(Path("/proc/nowhere")).level == "fail"
    assert check_mail(None).level == "ok"


@pytest.mark.parametrize(
    ("seen", "own", "trusted", "level"),
    [
        ("9.9.9.9", "10.0.0.5", "10.0.0.1", "ok"),
        ("10.0.0.5", "10.0.0.5", "10.0.0.1", "ok"),
        ("10.0.0.1", "10.0.0.5", "", "warn"),
        ("127.0.0.1", "127.0.0.1", "", "warn"),
        ("10.0.0.1", "10.0.0.5", "10.0.0.2", "warn"),
        ("2001:db8::1", "fd00::5", "", "ok"),
        ("192.0.2.77", "10.0.0.5", "", "fail"),
        ("192.0.2.77", "10.0.0.5", "10.0.0.1", "fail"),
        ("192.0.2.77", "10.0.0.1", "10.0.0.1", "warn"),
        (None, "10.0.0.5", "", "warn"),
    ],
)
def test_the_address_that_is_seen(seen, own, trusted, level):
    settings = load_settings(ENVIRONMENT | {"TRUSTED_PROXIES": trusted})
    judged, advice = judge_address(seen, own, settings.trusted_proxies)
    assert (judged, bool(advice)) == (level, level != "ok")


@pytest.mark.parametrize(
    "url",
    [
        *("", "gateway", "ftp://gateway", "http://", "http://[::1", "http://gateway:x", "http://gateway:99999"),
        *("http://\u2100", "http://a\0b", "http://a..b", "http://127.0.0.1:1/\u00e9", "http://127.0.0.1:1/a b"),
    ],
)
def test_a_url_that_leads_nowhere_is_told_of(url):
    with pytest.raises(ProbeError), contextlib.closing(Connection(url)) as connection:
        connection.ask("GET", "/healthz")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://[2001:db8::1]", "2001:db8::1", 80),
        ("https://[2001:db8::a]/auth", "2001:db8::a", 443),
        ("http://[::1]:8080", "::1", 8080),
    ],
)
def test_an_address_of_ipv6_is_asked_at_the_port_that_is_meant(url, host, port):
    with contextlib.closing(Connection(url)) as connection:
        assert (connection._connection.host, connection._connection.port) == (host, port)
