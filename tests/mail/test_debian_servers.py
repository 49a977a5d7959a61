"""Mails through Debian's Postfix and Exim, as it ships them: what aiosmtpd does not do as real servers do."""

import ssl
import threading

import pytest

from app import create_app
from app.config import load_settings
from app.mail.letters import compose_test
from app.mail.refusals import RecipientRefused, RecipientUnlikely, ServerAway
from app.mail.transport import SmtpServer
from app.mail_settings import MailServer, read_mail_address
from app.stores.keys import unprefixed as keys
from app.stores.mail import MailStore, Notice
from app.stores.session_records import Client
from app.web.services import EXTENSION
from tests.conftest import ENVIRONMENT
from tests.debian_mail import Exim, Postfix
from tests.mail_server import certificate_for
from tests.servers import wait_until

NAME = "keys.example.com"
TWELVE = 12  # more than Exim delivers at once over one connection


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    _, pem = certificate_for(tmp_path_factory.mktemp("certificate"))
    return pem


@pytest.fixture
def start(certificate):
    servers = []

    def start(kind, *args, **more):
        servers.append(kind(certificate, *args, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect(certificate):
    """Makes a transport to a server; `user` and `password` where it asks for them."""
    transports = []

    def make(server, name=NAME, user="", password=""):
        route = MailServer("127.0.0.1", server.port, user, password, implicit_tls=False)
        transports.append(SmtpServer(route, name, lambda: ssl.create_default_context(cafile=certificate)))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()


def send(transport, person="ada"):
    transport.connect()
    transport.send(
        compose_test(
            read_mail_address("no-reply@example.org"), f"{person}@example.com", "https://k", "Keyrack", 1700000000
        )
    )


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@pytest.mark.parametrize("kind", [Postfix, Exim])
def test_notices_arrive_all_at_once_and_are_as_they_were_sent(start, kind, store, users, clock, redis):
    """Twelve in a row, of which none is left lying, and one that is queued twice: the same mail with the same link."""
    server = start(kind)
    app = create_app(load_settings(ENVIRONMENT | {"SMTP_URL": f"smtp://127.0.0.1:{server.port}"}), store, clock)
    for user_id, name in (("1", "ada"), ("2", "bob"), ("3", "nobody")):
        address = f"{name}@example.com"
        users.create(user_id, address, email=address, username=name, global_name=None, password_hash="", created_at=0)
    mails = MailStore(store, clock)
    for _ in range(TWELVE):
        mails.add(Notice("sign_in", "1", clock(), Client(os="Linux", platform="Firefox"), "S" * 43 + "="))
    twice = Notice("reset", "2", clock(), Client(), secrets_version="0")
    for notice in (twice, twice, Notice("suspicious", "3", clock(), Client())):
        mails.add(notice)
    with app.app_context():
        assert app.extensions[EXTENSION].delivery.deliver_due(threading.Event())
    wait_until(lambda: len(server.inbox("ada")) == TWELVE, "mails are left lying", within_s=60)
    wait_until(lambda: len(server.inbox("bob")) == 2, "mails are left lying", within_s=60)
    assert len({message["Message-ID"] for message in server.inbox("ada")}) == TWELVE
    first, again = server.inbox("bob")
    assert (first["Message-ID"], first["Date"]) == (again["Message-ID"], again["Date"])
    first, again = (message.get_body(["plain"]).get_content() for message in (first, again))
    assert first == again
    assert "/reset#" in first
    # Exim says of the unknown mailbox a bare 550, so it is tried for some hours; Postfix has a status code.
    assert (redis.xlen(keys.mail.dead), redis.zcard(keys.mail.due)) == ((1, 0) if kind is Postfix else (0, 1))


@pytest.mark.parametrize(
    ("kind", "refusal", "reason"),
    [(Postfix, RecipientRefused, "RCPT refused, 550 5.1.1"), (Exim, RecipientUnlikely, "RCPT refused, 550")],
)
def test_an_unknown_mailbox(start, connect, kind, refusal, reason):
    transport = connect(start(kind))
    with pytest.raises(refusal) as refused:
        send(transport, "nobody")
    assert (type(refused.value), refused.value.reason) == (refusal, reason)


def test_exim_is_not_talked_to_beside_mails_and_may_end_connections(start, connect):
    """Fourteen mails where it takes five a connection, and nothing in its log of rejections."""
    server = start(Exim, "smtp_accept_max_per_connection = 5")
    transport = connect(server)
    for _ in range(14):
        send(transport)
    wait_until(lambda: len(server.inbox("ada")) == 14, "mails are lost", within_s=60)
    assert "too many nonmail commands" not in server.log()


def test_exim_lets_nobody_in_whose_name_has_an_underscore(start, connect):
    with pytest.raises(ServerAway, match=r"^EHLO refused, 501 Syntactically invalid EHLO argument\(s\)$"):
        connect(start(Exim), name="my_keys").connect()


def test_a_sign_in_succeeds_at_the_first_try_though_what_comes_first_cannot_be_checked(start, connect):
    """Each failure is a line that fail2ban counts."""
    server = start(Exim, needs_login=True)
    transport = connect(server, user="keyrack", password="sesame")
    for _ in range(TWELVE):
        send(transport)
    wait_until(lambda: len(server.inbox("ada")) == TWELVE, "mails are lost", within_s=60)
    assert "authenticator failed" not in server.log()
    with pytest.raises(ServerAway, match=r"^AUTH PLAIN refused, 535$"):
        connect(server, user="keyrack", password="wrong").connect()
    wait_until(lambda: "authenticator failed" in server.log(), "no failure is logged", within_s=60)
    assert server.log().count("plain authenticator failed") == server.log().count("authenticator failed")


@pytest.mark.parametrize("kind", [Postfix, Exim])
def test_an_address_beyond_ascii(start, connect, kind):
    """Debian's Exim does not offer SMTPUTF8."""
    server = start(kind)
    transport = connect(server)
    if kind is Postfix:
        send(transport, "zoë")
        wait_until(lambda: server.inbox("zoe"), "no mail came", within_s=60)
    else:
        with pytest.raises(RecipientRefused, match="no SMTPUTF8"):
            send(transport, "zoë")
