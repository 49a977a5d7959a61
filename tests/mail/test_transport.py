"""How mails leave, to a real SMTP server and into a folder."""

import email
import itertools
import socket
import ssl
import stat
import threading
from contextlib import suppress
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

import pytest

from app.mail.transport import Folder, NotDelivered, RecipientRefused, ServerAway, SmtpServer, open_transport
from app.setting_parsers import MailServer
from tests import mail_server
from tests.mail_server import PASSWORD, USER, certificate_for

# aiosmtpd does not count TLS from the first byte as TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@pytest.fixture
def connected():
    """A transport to a server, on which connect was called."""
    transports = []

    def connect(server, user="", password="", trusted=None, **how):
        route = MailServer("127.0.0.1", server.port, user, password, implicit_tls=server.implicit)
        transport = SmtpServer(replace(route, **how), lambda: ssl.create_default_context(cafile=trusted))
        transports.append(transport)
        transport.connect()
        return transport

    yield connect
    for transport in transports:
        transport.close()


def letter(to="ada@example.com"):
    message = EmailMessage(policy=SMTP if to.isascii() else SMTPUTF8)
    message["From"] = Address("Keyrack", "no-reply", "example.com")
    message["To"] = Address(username=to.split("@")[0], domain=to.split("@")[1])
    message["Subject"] = "Hello"
    message.set_content("One.\r\n.\r\nThree. Zürich\r\n", cte="quoted-printable")
    return message


def test_a_mail_is_handed_over_as_it_is(smtp, connected):
    server = smtp()
    connected(server).send(letter())
    assert (server.senders, server.recipients, server.encrypted) == (
        ["no-reply@example.com"],
        ["ada@example.com"],
        [False],
    )
    assert server.inbox[0].get_content().split() == letter().get_content().split() == ["One.", ".", "Three.", "Zürich"]


def test_a_connection_is_used_for_several_mails_in_a_row(smtp, connected):
    server = smtp()
    transport = connected(server)
    for _ in range(21):
        transport.connect()
        transport.send(letter())
    assert (len(server.inbox), server.connections) == (21, 2)


def test_a_connection_that_broke_while_it_was_idle_is_made_anew(smtp, connected):
    server = smtp()
    transport = connected(server)
    transport.send(letter())
    server.stop()
    server.start()
    transport.connect()
    transport.send(letter())
    assert (len(server.inbox), server.connections) == (2, 2)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_password_goes_over_tls_to_a_server_that_proves_who_it_is(smtp, connected, tmp_path, implicit):
    context, trusted = certificate_for(tmp_path)
    server = smtp(tls=context, password=True, implicit=implicit)
    connected(server, USER, PASSWORD, trusted).send(letter())
    assert server.encrypted == [True]
    assert server.logins == [PASSWORD.encode()]


@pytest.mark.parametrize("implicit", [False, True])
def test_no_password_goes_to_a_server_that_does_not_prove_who_it_is(smtp, connected, tmp_path, implicit):
    context, trusted = certificate_for(tmp_path, host="127.0.0.2")
    server = smtp(tls=context, password=True, implicit=implicit)
    for trust in (None, trusted):  # unknown to us; known, as another host
        with pytest.raises(ServerAway, match=r"^SSLCertVerificationError"):
            connected(server, USER, PASSWORD, trust)
    assert server.logins == []


def test_no_password_goes_in_the_clear(smtp):
    """Nor does a mail, in its place, with the next attempt."""
    server = smtp()
    transport = SmtpServer(MailServer("127.0.0.1", server.port, USER, PASSWORD, implicit_tls=False))
    for _ in range(2):
        with pytest.raises(ServerAway, match="no STARTTLS"):
            transport.connect()
        with pytest.raises(ServerAway, match="not connected"):
            transport.send(letter())
    assert (server.logins, server.inbox) == ([], [])


def test_a_wrong_password_is_the_operators_to_mend(smtp, connected, tmp_path):
    context, trusted = certificate_for(tmp_path)
    with pytest.raises(ServerAway, match=r"^SMTPAuthenticationError, 535$"):
        connected(smtp(tls=context, password=True), USER, "wrong", trusted)


def test_without_a_password_a_certificate_of_the_servers_own_making_will_do(smtp, connected, tmp_path):
    server = smtp(tls=certificate_for(tmp_path)[0])
    connected(server).send(letter())
    assert server.encrypted == [True]


def test_a_server_that_is_not_there(connected):
    with pytest.raises(ServerAway, match=r"^ConnectionRefusedError$"):
        connected(mail_server.SmtpServer())


def test_a_server_that_takes_its_time_over_the_content_is_waited_for(smtp, connected, monkeypatch):
    """It has the whole mail: to hang up now would be to send it twice."""
    monkeypatch.setattr("app.mail.transport.STEP_S", 1)
    server = smtp()
    server.go_on.clear()
    transport = connected(server)

    def accept_late():
        server.hung_up.wait(1.5)
        server.go_on.set()

    slow = threading.Thread(target=accept_late)
    slow.start()
    transport.send(letter())
    slow.join()
    assert len(server.inbox) == 1


def test_a_server_that_never_answers_to_the_content_is_that_mails_own_matter(smtp, connected, monkeypatch):
    monkeypatch.setattr("app.mail.transport.ANSWER_TO_CONTENT_S", 0.1)
    server = smtp(late={"ada@example.com"})
    transport = connected(server)
    with pytest.raises(NotDelivered, match=r"^no answer to the content, SMTPServerDisconnected$") as unanswered:
        transport.send(letter())
    assert type(unanswered.value) is NotDelivered
    assert server.hung_up.wait(10)
    transport.connect()
    transport.send(letter("bob@example.com"))
    assert server.recipients == ["ada@example.com", "bob@example.com"]


def test_no_step_begins_after_an_attempt_has_taken_too_long(smtp, connected, monkeypatch):
    server = smtp()
    transport = connected(server)
    monkeypatch.setattr("app.mail.transport.ATTEMPT_S", -1)
    with pytest.raises(ServerAway, match=r"^(SMTPServerDisconnected|TimeoutError)$"):
        transport.connect()


@pytest.fixture
def trickling():
    """Starts a server that says some bytes over and over, one after the other, and comes to an end after 60."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve(said):
        client, _ = listener.accept()
        with client, suppress(OSError):
            for byte in itertools.islice(itertools.cycle(said), 60):
                client.send(bytes([byte]))
                if ended.wait(0.05):
                    return
            client.send(b"\r\n250 at last\r\n")

    threads = []

    def start(said):
        threads.append(threading.Thread(target=serve, args=(said,)))
        threads[-1].start()
        return listener.getsockname()[1]

    yield start
    ended.set()
    for thread in threads:
        thread.join()
    listener.close()


@pytest.mark.parametrize("said", [b"2", b"250-and more\r\n"])
def test_an_answer_that_trickles_ends_with_the_attempt(trickling, monkeypatch, said):
    """Whether it is one line without an end or a line after the other."""
    monkeypatch.setattr("app.mail.transport.ATTEMPT_S", 0.5)
    route = MailServer("127.0.0.1", trickling(said), "", "", implicit_tls=False)
    with pytest.raises(ServerAway, match=r"^SMTPServerDisconnected$"):
        SmtpServer(route).connect()


def test_a_server_that_dies_over_a_mail_has_not_accepted_it(smtp, connected):
    """That one content may be what it died of, so this alone is not to say that the server is away."""
    server = smtp(deaths=1)
    transport = connected(server)
    with pytest.raises(NotDelivered, match=r"^no answer to the content, SMTPServerDisconnected$") as unanswered:
        transport.send(letter())
    assert type(unanswered.value) is NotDelivered
    transport.connect()
    transport.send(letter())
    assert len(server.inbox) == 1


@pytest.mark.parametrize(
    ("refusals", "error", "reason"),
    [
        ({"ada@example.com": "550 5.1.1 <ada@example.com> unknown"}, RecipientRefused, "recipient refused, 550"),
        (
            {"ada@example.com": "550-5.1.1 no such user\r\n550 5.1.1 see FAQ"},
            RecipientRefused,
            "recipient refused, 550",
        ),
        ({"ada@example.com": "550 5.1.2 no such domain"}, RecipientRefused, "recipient refused, 550"),
        ({"ada@example.com": "556 5.1.10 takes no mail"}, RecipientRefused, "recipient refused, 556"),
        ({"ada@example.com": "550 5.2.1 mailbox disabled"}, RecipientRefused, "recipient refused, 550"),
        ({"ada@example.com": "450 5.1.1 not sure"}, NotDelivered, "recipient refused, 450"),
        ({"ada@example.com": "550 5.1.8 sender's domain"}, NotDelivered, "recipient refused, 550"),
        ({"ada@example.com": "550 5.1.15"}, NotDelivered, "recipient refused, 550"),
        ({"ada@example.com": "552 5.2.2 mailbox full"}, NotDelivered, "recipient refused, 552"),
        ({"ada@example.com": "550 relay not permitted"}, NotDelivered, "recipient refused, 550"),
        ({"ada@example.com": "553 sorry, no such user"}, NotDelivered, "recipient refused, 553"),
        ({"ada@example.com": "554 your address 192.0.2.1 is listed"}, NotDelivered, "recipient refused, 554"),
        ({"ada@example.com": "450 4.2.0 greylisted"}, NotDelivered, "recipient refused, 450"),
        (
            {"ada@example.com": "554 5.7.1 <ada@example.com>: Relay access denied"},
            NotDelivered,
            "recipient refused, 554",
        ),
        ({"ada@example.com": "530 Authentication required"}, NotDelivered, "recipient refused, 530"),
        ({"MAIL": "550 5.7.1 not you"}, ServerAway, "sender refused, 550"),
        ({"DATA": "554 5.6.0 not that"}, NotDelivered, "content refused, 554"),
        ({"DATA": "451 4.3.0 not now"}, NotDelivered, "content refused, 451"),
    ],
)
def test_what_is_refused_tells_whose_fault_it_is(smtp, connected, refusals, error, reason):
    """And stands in no other mail's way; addresses, which servers repeat, are not in the reason."""
    server = smtp(refusals=refusals)
    transport = connected(server)
    with pytest.raises(NotDelivered) as refused:
        transport.send(letter())
    assert (type(refused.value), refused.value.reason, str(refused.value)) == (error, reason, reason)
    server.refusals = {}
    transport.connect()
    transport.send(letter("bob@example.com"))
    assert server.recipients == ["bob@example.com"]


@pytest.mark.parametrize("address", ["a..b@docomo.ne.jp", "a.@docomo.ne.jp", "admin@localhost"])
def test_an_address_that_few_servers_have_is_named_as_it_is(smtp, connected, address):
    server = smtp()
    connected(server).send(letter(address))
    assert server.recipients == [address]


def test_an_address_beyond_ascii_goes_to_servers_that_can_say_it(smtp, connected):
    server = smtp()
    connected(server).send(letter("zoë@example.com"))
    assert server.recipients == ["zoë@example.com"]
    with pytest.raises(RecipientRefused, match="SMTPUTF8"):
        connected(smtp(utf8=False)).send(letter("zoë@example.com"))


def test_a_folder_has_a_file_for_each_mail_that_nobody_else_reads(tmp_path):
    path = tmp_path / "var" / "mail"
    transport = open_transport(path)
    for to in ("ada@example.com", "zoë@example.com"):
        transport.connect()
        transport.send(letter(to))
    transport.close()
    files = sorted(path.iterdir())
    assert [file.suffix for file in files] == [".eml"] * 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    messages = [email.message_from_string(file.read_text("utf-8"), policy=SMTPUTF8) for file in files]
    assert [str(message["To"]) for message in messages] == ["ada@example.com", "zoë@example.com"]


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerAway, match=r"^(NotADirectory|FileExists)Error$"):
        Folder(tmp_path / "file").connect()
    with pytest.raises(ServerAway, match=r"^FileNotFoundError$"):
        Folder(tmp_path / "gone").send(letter())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_many_mails_at_once_are_as_many_files(tmp_path):
    threads = [threading.Thread(target=lambda: Folder(tmp_path).send(letter())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(tmp_path.glob("*.eml"))) == 20
