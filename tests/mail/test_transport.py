"""How mails leave, to a real SMTP server and into a folder."""

import email
import itertools
import socket
import ssl
import stat
import threading
from contextlib import suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

import pytest

from app.mail.bounded_smtp import Plain
from app.mail.refusals import LoginRefused, NotDelivered, RecipientRefused, RecipientUnlikely, ServerAway
from app.mail.transport import Folder, SmtpServer, open_transport
from app.mail_settings import MailServer
from tests import mail_server
from tests.mail_server import PASSWORD, USER, USUAL_ANSWERS, certificate_for

# aiosmtpd does not count TLS from the first byte as TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


NAME = "keys.example.com"


@pytest.fixture
def connected():
    """A transport to a server, on which connect was called."""
    transports = []

    def connect(server, user="", password="", trusted=None):
        implicit = getattr(server, "implicit", False)
        route = MailServer("127.0.0.1", server.port, user, password, implicit_tls=implicit)
        transport = SmtpServer(route, NAME, lambda: ssl.create_default_context(cafile=trusted))
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
    for _ in range(11):
        transport.connect()
        transport.send(letter())
    assert (len(server.inbox), server.connections) == (11, 2)


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
        with pytest.raises(ServerAway, match=r"^(connection|STARTTLS) failed, SSLCertVerificationError$"):
            connected(server, USER, PASSWORD, trust)
    assert server.logins == []


def test_no_password_goes_in_the_clear(smtp):
    """Nor does a mail, in its place, with the next attempt."""
    server = smtp()
    transport = SmtpServer(MailServer("127.0.0.1", server.port, USER, PASSWORD, implicit_tls=False), NAME)
    for _ in range(2):
        with pytest.raises(ServerAway, match="no STARTTLS"):
            transport.connect()
        with pytest.raises(ServerAway, match="not connected"):
            transport.send(letter())
    assert (server.logins, server.inbox) == ([], [])


def test_a_wrong_password_is_the_operators_to_mend(smtp, connected, tmp_path):
    context, trusted = certificate_for(tmp_path)
    with pytest.raises(LoginRefused, match=r"^AUTH PLAIN refused, 535 5\.7\.8$"):
        connected(smtp(tls=context, password=True), USER, "wrong", trusted)


def test_without_a_password_a_certificate_of_the_servers_own_making_will_do(smtp, connected, tmp_path):
    server = smtp(tls=certificate_for(tmp_path)[0])
    connected(server).send(letter())
    assert server.encrypted == [True]


def test_a_server_that_is_not_there(connected):
    with pytest.raises(ServerAway, match=r"^connection failed, ConnectionRefusedError$"):
        connected(mail_server.SmtpServer())


def test_a_server_that_takes_its_time_over_the_content_is_waited_for(smtp, connected, monkeypatch):
    """It has the whole mail: to hang up now would be to send it twice."""
    monkeypatch.setattr("app.mail.bounded_smtp.STEP_S", 1)
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
    monkeypatch.setattr("app.mail.bounded_smtp.ANSWER_TO_CONTENT_S", 0.1)
    server = smtp(late={"ada@example.com"})
    transport = connected(server)
    with pytest.raises(NotDelivered, match=r"^no answer to the content, no answer in time$") as unanswered:
        transport.send(letter())
    assert type(unanswered.value) is NotDelivered
    assert server.hung_up.wait(10)
    transport.connect()
    transport.send(letter("bob@example.com"))
    assert server.recipients == ["ada@example.com", "bob@example.com"]


def test_no_step_begins_after_an_attempt_has_taken_too_long(smtp, connected, monkeypatch):
    server = smtp()
    transport = connected(server)
    monkeypatch.setattr("app.mail.bounded_smtp.ATTEMPT_S", -1)
    transport.connect()
    with pytest.raises(ServerAway, match=r"^MAIL failed, no answer in time$"):
        transport.send(letter())
    with pytest.raises(ServerAway, match=r"^connection failed, no answer in time$"):
        transport.connect()
    assert server.inbox == []


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
    monkeypatch.setattr("app.mail.bounded_smtp.ATTEMPT_S", 0.5)
    route = MailServer("127.0.0.1", trickling(said), "", "", implicit_tls=False)
    with pytest.raises(ServerAway, match=r"^connection failed, no answer in time$"):
        SmtpServer(route, NAME).connect()


def test_a_server_that_dies_over_a_mail_has_not_accepted_it(smtp, connected):
    """That one content may be what it died of, so this alone is not to say that the server is away."""
    server = smtp(deaths=1)
    transport = connected(server)
    with pytest.raises(NotDelivered, match=r"^no answer to the content, the server hung up$") as unanswered:
        transport.send(letter())
    assert type(unanswered.value) is NotDelivered
    transport.connect()
    transport.send(letter())
    assert len(server.inbox) == 1


@pytest.mark.parametrize(
    ("step", "answer", "error", "reason"),
    [
        ("ada", "550 5.1.1 <ada@example.com> unknown", RecipientRefused, "RCPT refused, 550 5.1.1"),
        ("ada", "550-5.1.1 no such user\r\n550 5.1.1 see FAQ", RecipientRefused, "RCPT refused, 550 5.1.1"),
        ("ada", "550 5.1.2 no such domain", RecipientRefused, "RCPT refused, 550 5.1.2"),
        ("ada", "556 5.1.10 takes no mail", RecipientRefused, "RCPT refused, 556 5.1.10"),
        ("ada", "550 5.2.1 mailbox disabled", RecipientRefused, "RCPT refused, 550 5.2.1"),
        ("ada", "450 5.1.1 not sure", NotDelivered, "RCPT refused, 450 5.1.1"),
        ("ada", "550 5.1.8 sender's domain", NotDelivered, "RCPT refused, 550 5.1.8"),
        ("ada", "550 5.1.15", NotDelivered, "RCPT refused, 550 5.1.15"),
        ("ada", "552 5.2.2 mailbox full", NotDelivered, "RCPT refused, 552 5.2.2"),
        ("ada", "450 4.2.0 greylisted", NotDelivered, "RCPT refused, 450 4.2.0"),
        ("ada", "554 5.7.1 <ada@example.com>: Relay access denied", NotDelivered, "RCPT refused, 554 5.7.1"),
        ("ada", "530 Authentication required", NotDelivered, "RCPT refused, 530"),
        ("ada", "554 your address 192.0.2.1 is listed", NotDelivered, "RCPT refused, 554"),
        ("ada", "552 no room for ada@example.com", NotDelivered, "RCPT refused, 552"),
        ("ada", "550 relay not permitted", RecipientUnlikely, "RCPT refused, 550"),
        ("ada", "550 Invalid recipient ada@example.com", RecipientUnlikely, "RCPT refused, 550"),
        ("ada", "501 <ada@example.com>: malformed", RecipientUnlikely, "RCPT refused, 501"),
        ("ada", "551 no such user here", RecipientUnlikely, "RCPT refused, 551"),
        ("ada", "553 sorry, no such user", RecipientUnlikely, "RCPT refused, 553"),
        ("MAIL", "550 5.7.1 not you", ServerAway, "MAIL refused, 550 5.7.1 not you"),
        (
            "MAIL",
            "553 5.7.1 <no-reply@example.com>: Sender rejected, see\thttps://x/?a=no-reply@example.com",
            ServerAway,
            "MAIL refused, 553 5.7.1 Sender rejected, see",
        ),
        ("DATA", "554 5.6.0 that of <ada@example.com> not", NotDelivered, "content refused, 554 5.6.0"),
        ("DATA", "451 4.3.0 not now", NotDelivered, "content refused, 451 4.3.0"),
    ],
)
def test_what_is_refused_tells_whose_fault_it_is(smtp, connected, step, answer, error, reason):
    """And stands in no other mail's way. Addresses, which servers repeat, are not in the reason."""
    server = smtp(refusals={"ada@example.com" if step == "ada" else step: answer})
    transport = connected(server)
    with pytest.raises(NotDelivered) as refused:
        transport.send(letter())
    assert (type(refused.value), refused.value.reason, str(refused.value)) == (error, reason, reason)
    assert refused.value.answer.startswith(" ".join(answer[4:].partition("\r\n")[0].split()))
    server.refusals = {}
    transport.connect()
    transport.send(letter("bob@example.com"))
    assert server.recipients == ["bob@example.com"]


@pytest.mark.parametrize("address", ["a..b@docomo.ne.jp", "a.@docomo.ne.jp", "admin@localhost"])
def test_an_address_that_few_servers_have_is_named_as_it_is(smtp, connected, address):
    server = smtp()
    connected(server).send(letter(address))
    assert server.recipients == [address]


@pytest.mark.parametrize(
    ("step", "answer", "reason"),
    [
        ("greeting", "554 5.7.1 you are listed", "connection refused, 554 5.7.1 you are listed"),
        ("greeting", "421 too many connections", "connection refused, 421 too many connections"),
        ("greeting", None, "connection failed, the server hung up"),
        ("EHLO", "421 4.3.2 not now", "EHLO refused, 421 4.3.2 not now"),
        (
            "EHLO",
            "501 Syntactically invalid argument",
            "EHLO refused, 501 Syntactically invalid argument",
        ),
        ("EHLO", "550-not you\r\n550 ada@example.com", "EHLO refused, 550 not you,"),
        ("EHLO", "451 " + "x " * 200, "EHLO refused, 451 " + ("x " * 100).strip()),
        ("EHLO", None, "EHLO failed, the server hung up"),
        ("STARTTLS", "454 4.7.0 TLS not available", "STARTTLS refused, 454 4.7.0 TLS not available"),
        ("STARTTLS", None, "STARTTLS failed, the server hung up"),
        ("MAIL", "421 too many mails", "MAIL refused, 421 too many mails"),
        ("MAIL", None, "MAIL failed, the server hung up"),
        ("RCPT", None, "RCPT failed, the server hung up"),
        ("DATA", None, "DATA failed, the server hung up"),
    ],
)
def test_a_server_that_takes_no_mail_at_all_is_told_of_by_step_code_and_words(
    scripted, connected, monkeypatch, step, answer, reason
):
    """Whether it says so or hangs up; it never is "SMTPServerDisconnected"."""
    monkeypatch.setattr("app.mail.bounded_smtp.STEP_S", 2)
    offer = {"EHLO": "250-here\r\n250 STARTTLS"} if step == "STARTTLS" else {}
    with pytest.raises(ServerAway) as away:
        connected(scripted(**offer | {step: answer})).send(letter())
    assert away.value.reason == reason


def test_a_server_that_says_nothing_is_told_of_by_its_step(scripted, connected, monkeypatch):
    monkeypatch.setattr("app.mail.bounded_smtp.STEP_S", 0.2)
    with pytest.raises(ServerAway, match=r"^EHLO failed, no answer in time$"):
        connected(scripted(EHLO="250-and more"))


def test_a_server_that_knows_no_ehlo_is_greeted_as_of_old(scripted, connected):
    server = scripted(EHLO="502 unknown")
    connected(server).send(letter())
    assert server.told[:2] == [f"ehlo {NAME}", f"helo {NAME}"]


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", ["421 no more over this connection", None])
def test_a_server_that_ends_a_connection_in_use_is_connected_to_anew_at_once(scripted, connected, step, answer):
    """Its limit of mails or its patience is over, not that of the next connection; no mail is sent twice."""
    usual = USUAL_ANSWERS[step]
    server = scripted(**{step: [usual, usual, answer, usual]})
    transport = connected(server)
    for _ in range(4):
        transport.connect()
        transport.send(letter())
    assert (server.told.count("content"), server.connections) == (4, 2)


@pytest.mark.parametrize("answer", ["421 dying over it", None])
def test_a_mail_is_not_sent_again_at_once_where_the_server_has_it_all(scripted, connected, answer):
    server = scripted(content=["250 taken", answer, "250 taken"])
    transport = connected(server)
    transport.send(letter())
    transport.connect()
    with pytest.raises(NotDelivered) as failed:
        transport.send(letter())
    assert type(failed.value) is NotDelivered
    assert (server.told.count("content"), server.connections) == (2, 1)


def test_nothing_is_said_beside_mails(scripted, connected):
    """Exim counts each command that is none of a mail, and hangs up after ten."""
    server = scripted()
    transport = connected(server)
    for _ in range(3):
        transport.connect()
        transport.send(letter())
    assert [line.split()[0] for line in server.told] == ["ehlo", *["mail", "rcpt", "data", "content"] * 3]


@pytest.mark.parametrize(
    ("offered", "way"),
    [
        ("CRAM-MD5 LOGIN PLAIN", "PLAIN"),
        ("CRAM-MD5 LOGIN", "LOGIN"),
        ("GSSAPI CRAM-MD5", "CRAM-MD5"),
        ("login", "LOGIN"),
    ],
)
def test_one_way_to_log_in_is_tried_and_the_plain_ones_first(scripted, connected, monkeypatch, offered, way):
    """The connection is encrypted. Servers announce ways that they cannot check, and ban who fails."""
    monkeypatch.setattr("app.mail.transport.SmtpServer._dial", dial_in_the_clear)
    server = scripted(EHLO=f"250-here\r\n250 AUTH {offered}", AUTH="535 5.7.8 wrong, ada@example.com")
    with pytest.raises(ServerAway, match=rf"^AUTH {way} refused, 535 5\.7\.8$"):
        encrypted(server).connect()
    assert [line.split()[:2] for line in server.told[1:]] == [["AUTH", way]]


def test_a_login_that_cannot_be_checked_now_is_no_wrong_password(scripted, monkeypatch):
    monkeypatch.setattr("app.mail.transport.SmtpServer._dial", dial_in_the_clear)
    with pytest.raises(ServerAway, match=r"^AUTH PLAIN refused, 454 4\.7\.0$") as refused:
        encrypted(scripted(EHLO="250-here\r\n250 AUTH PLAIN", AUTH="454 4.7.0 no saslauthd")).connect()
    assert type(refused.value) is ServerAway


def test_a_server_without_a_way_to_log_in(scripted, monkeypatch):
    monkeypatch.setattr("app.mail.transport.SmtpServer._dial", dial_in_the_clear)
    for offer in ("250-here\r\n250 AUTH GSSAPI NTLM", "250 here"):
        with pytest.raises(ServerAway, match=r"^AUTH failed, the server offers none of PLAIN, LOGIN, CRAM-MD5$"):
            encrypted(scripted(EHLO=offer)).connect()


def dial_in_the_clear(transport):
    return Plain(transport._deadline, "127.0.0.1", transport._server.port, NAME, timeout=5)


def encrypted(server):
    """A transport that takes the connection for encrypted, so that a scripted server hears the password."""
    return SmtpServer(MailServer("127.0.0.1", server.port, USER, PASSWORD, implicit_tls=True), NAME)


def test_an_address_beyond_ascii_goes_to_servers_that_can_say_it(smtp, connected):
    server = smtp()
    connected(server).send(letter("zoë@example.com"))
    assert server.recipients == ["zoë@example.com"]
    with pytest.raises(RecipientRefused, match="SMTPUTF8"):
        connected(smtp(utf8=False)).send(letter("zoë@example.com"))


def test_a_folder_has_a_file_for_each_mail_that_nobody_else_reads(tmp_path):
    path = tmp_path / "var" / "mail"
    transport = open_transport(path, NAME)
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
