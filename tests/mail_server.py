"""A real SMTP server in the test process, which does as a test tells it."""

import asyncio
import datetime
import email
import ipaddress
import logging
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTPUTF8

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.ports import free_port

# It tells all that is said to it, addresses too. It is another's server, whose log is no part of the service's.
logging.getLogger("mail.log").setLevel(logging.WARNING)

USER, PASSWORD = "keyrack", "p/ss:word@%"


@dataclass
class SmtpServer:
    """Begin it with `start`; what it accepted is in `inbox`.

    refusals    answers to commands, by recipient, or by the command where it is "MAIL" or "DATA"
    deaths      how many of the next mails it dies of, in the middle of them
    reading     set when it is reading a mail
    hung_up     set when the client was gone before it had an answer
    go_on       while this is not set, it does not answer to a mail
    late        recipients whose mails it does not answer to, but accepts as soon as the client has hung up
    tls         as certificate_for makes it; offered by STARTTLS, or from the first byte where `implicit`
    password    whether USER has to log in with PASSWORD
    """

    refusals: dict[str, str] = field(default_factory=dict)
    deaths: int = 0
    late: set[str] = field(default_factory=set)
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    password: bool = False
    utf8: bool = True
    inbox: list[EmailMessage] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.port = free_port()
        self.reading = threading.Event()
        self.hung_up = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self._controller: Controller | None = None
        self._transports: set[asyncio.Transport] = set()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def recipients(self) -> list[str]:
        return [message["To"].addresses[0].addr_spec for message in self.inbox]

    def start(self) -> "SmtpServer":
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            server_hostname="mail.example.com",
            enable_SMTPUTF8=self.utf8,
            ssl_context=self.tls if self.implicit else None,
            tls_context=None if self.implicit else self.tls,
            require_starttls=bool(self.tls and not self.implicit),
            auth_required=self.password,
            auth_require_tls=bool(self.tls and not self.implicit),
            authenticator=self._authenticate,
        )
        self._controller.start()
        return self

    def stop(self) -> None:
        if self._controller:
            self.go_on.set()
            asyncio.run_coroutine_threadsafe(self._hang_up(), self._controller.loop).result()
            self._controller.stop()
            self._controller = None

    async def _hang_up(self) -> None:
        """aiosmtpd leaves connections as they are, to be complained of by whatever test comes later."""
        while self._transports:
            self._transports.pop().abort()
        await asyncio.sleep(0)  # for asyncio to close them, which it does in its next round

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self._transports.add(server.transport)
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, server, session, envelope, address, mail_options):
        if "MAIL" in self.refusals:
            return self.refusals["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.reading.set()
        try:
            while not self.late.isdisjoint(envelope.rcpt_tos) or not self.go_on.is_set():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            if not self.late.isdisjoint(envelope.rcpt_tos):
                self._accept(session, envelope)
            self.hung_up.set()
            raise
        if self.deaths:
            self.deaths -= 1
            server.transport.abort()
            return "451 dead"
        if "DATA" in self.refusals:
            return self.refusals["DATA"]
        if not hasattr(session, "counted"):
            session.counted = True
            self.connections += 1
        self._accept(session, envelope)
        return "250 OK"

    def _accept(self, session, envelope) -> None:
        message = email.message_from_string(envelope.content.decode(), policy=SMTPUTF8)
        assert [address.addr_spec for address in message["To"].addresses] == envelope.rcpt_tos
        self.senders.append(envelope.mail_from)
        self.encrypted.append(session.ssl is not None or self.implicit)
        self.inbox.append(message)

    def _authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append(data.password)
        is_right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_right, handled=False)


USUAL_ANSWERS = {
    **{"greeting": "220 here", "EHLO": "250 here", "HELO": "250 here", "MAIL": "250 ok", "RCPT": "250 ok"},
    **{"DATA": "354 go on", "content": "250 taken", "QUIT": "221 bye"},
}


class ScriptedServer:
    """Says to each command what a test wrote down, and notes what it was told. It hangs up after a 421 and a QUIT.

    says   answers by the first word of a command, and by "greeting" and "content"; None hangs up without a word. A list
           has one answer for each time, the last one for all further times
    """

    def __init__(self, says: dict[str, str | list[str | None] | None]) -> None:
        self._says = USUAL_ANSWERS | says
        self.told: list[str] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self.connections += 1
            with client, client.makefile("rb") as lines, suppress(OSError):
                self._converse(client, lines)

    def _converse(self, client: socket.socket, lines) -> None:
        step, in_content = "greeting", False
        while True:
            answer = self._answer(step)
            if answer is None:
                return
            client.sendall(answer.encode() + b"\r\n")
            if answer.startswith("421") or step == "QUIT":
                return
            in_content = step == "DATA" and answer.startswith("354")
            line = lines.readline()
            while in_content and line not in (b".\r\n", b""):
                line = lines.readline()
            if not line:
                return
            step = "content" if in_content else line.split()[0].decode().upper()
            self.told.append("content" if in_content else line.decode().strip())

    def _answer(self, step: str) -> str | None:
        answer = self._says.get(step, "502 unknown")
        if not isinstance(answer, list):
            return answer
        return answer.pop(0) if len(answer) > 1 else answer[0]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


def certificate_for(folder, host: str = "127.0.0.1") -> tuple[ssl.SSLContext, str]:
    """A server's context, and the path of what it is to be trusted by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "mail.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, str(pem)
