"""Transports of mails: a mail server by SMTP, or a folder.

When a mail is tried again: jobs/worker.py. What SMTP_URL may be: config.py. Time limits:
bounded_smtp.py. Refusals: refusals.py.
"""

import os
import secrets
import smtplib
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from app.mail import bounded_smtp
from app.mail.bounded_smtp import Encrypted, Plain
from app.mail.refusals import (
    NotDelivered,
    RecipientRefused,
    ServerAway,
    as_bytes,
    judge_login,
    judge_recipient,
    reason_for,
    refusal,
    words_of,
)
from app.mail_settings import MailServer

# Exim accepts the eleventh mail of a connection, and leaves it in its queue for half an hour
# (smtp_accept_queue_per_connection is 10). Some servers disconnect after about 20.
_MAILS_PER_CONNECTION = 10
_OK, _CLOSING, _UNKNOWN_COMMAND = 200, 421, (500, 502)  # codes of RFC 5321, 4.2

_Connection = Plain | Encrypted


class Transport(Protocol):
    def connect(self) -> None:
        """Connect to the server, if there is no connection yet.

        Raises:
            ServerAway: No connection could be made.
        """

    def send(self, message: EmailMessage) -> None:
        """Send a mail. When this returns, the mail was accepted.

        Raises:
            NotDelivered: The mail was not accepted.
        """

    def offers_smtputf8(self) -> bool:
        """Tell whether addresses beyond ASCII are taken. A connection must have been made."""

    def close(self) -> None:
        """Close the connection. `connect` may be called again."""


def open_transport(
    route: MailServer | Path, ehlo_name: str, on_step: Callable[[str], None] = lambda _: None
) -> Transport:
    """Return the transport that SMTP_URL names. It connects at the first mail.

    Args:
        ehlo_name: The name of this client for the server.
        on_step: Hears of each step that the server accepted, with the server's words. They may have e-mail addresses.
    """
    return Folder(route) if isinstance(route, Path) else SmtpServer(route, ehlo_name, on_step=on_step)


class Folder:
    """A folder of mails. Each mail is a file that only this user can read. A file is written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(self) -> None:
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ServerAway(type(error).__name__) from None

    def send(self, message: EmailMessage) -> None:
        name = f"{time.time_ns() // 1_000_000}-{secrets.token_hex(4)}.eml"
        unfinished = self._path / f".{name}"
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(_serialise(message))
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._path / name)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise ServerAway(type(error).__name__) from None

    def offers_smtputf8(self) -> bool:
        return True

    def close(self) -> None:
        pass


class SmtpServer:
    """A connection to a mail server. It is made when there is a mail to send, and used for several mails in a row."""

    def __init__(
        self,
        server: MailServer,
        ehlo_name: str,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Args:
            tls: Makes an SSL context that verifies certificates.
        """
        self._server = server
        self._ehlo_name = ehlo_name
        self._tls = tls
        self._on_step = on_step
        self._smtp: _Connection | None = None
        self._deadline = 0.0
        self._mails_left = 0
        self._has_hung_up = False

    def connect(self) -> None:
        self._deadline = time.monotonic() + bounded_smtp.ATTEMPT_S
        if self._smtp and self._mails_left:
            self._smtp.end_by(self._deadline)
            return
        self.close()
        self._open()

    def send(self, message: EmailMessage) -> None:
        """Send a mail.

        Raises:
            ServerAway: The server is down or refuses the login.
            RecipientRefused: The server will never accept this recipient.
            NotDelivered: The server refused this mail for now.
        """
        smtp = self._smtp
        if smtp is None:
            raise ServerAway("not connected")
        is_in_use = self._mails_left < _MAILS_PER_CONNECTION
        failure = self._try_to_send(smtp, message)
        # Servers end connections after some mails or some time. That says nothing about the next connection.
        if failure and is_in_use and self._has_hung_up and not smtp.has_content:
            failure = self._try_to_send(self._open(), message)
        if failure:
            raise failure

    def offers_smtputf8(self) -> bool:
        return self._smtp is not None and self._smtp.has_extn("smtputf8")

    def close(self) -> None:
        if self._smtp is None:
            return
        self._smtp.end_by(time.monotonic() + bounded_smtp.STEP_S)
        with suppress(OSError):  # if the server is gone, the connection is closed anyway
            self._smtp.quit()
        self._drop()

    def _open(self) -> _Connection:
        smtp = self._dial()
        self._smtp, self._mails_left, self._has_hung_up = smtp, _MAILS_PER_CONNECTION, False
        self._on_step("connection: made")
        try:
            self._do(smtp, "EHLO", partial(_ehlo, smtp))
            if smtp.has_extn("starttls"):
                self._do(smtp, "STARTTLS", lambda: smtp.starttls(context=self._starttls_context()))
                self._do(smtp, "EHLO", partial(_ehlo, smtp))
            elif self._server.user and not self._server.implicit_tls:
                raise ServerAway("no STARTTLS is offered, and a password is not sent without it")
            if self._server.user:
                self._log_in(smtp)
        except NotDelivered:
            self._drop()
            raise
        return smtp

    def _dial(self) -> _Connection:
        where = (self._deadline, self._server.host, self._server.port, self._ehlo_name)
        try:
            if self._server.implicit_tls:
                return Encrypted(*where, timeout=bounded_smtp.STEP_S, context=self._tls())
            return Plain(*where, timeout=bounded_smtp.STEP_S)
        except smtplib.SMTPResponseException as refused:
            raise refusal(ServerAway, "connection", refused.smtp_code, as_bytes(refused.smtp_error)) from None
        except OSError as error:  # smtplib's own errors are OSErrors too
            raise ServerAway(f"connection failed, {reason_for(error)}") from None

    def _starttls_context(self) -> ssl.SSLContext:
        context = self._tls()
        if not self._server.user:
            # There is no password to protect. An attacker with a false certificate could also remove the offer of
            # STARTTLS, so a check would not stop them. It would exclude nearby relays with self-signed ones.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _log_in(self, smtp: _Connection) -> None:
        """Log in by the first way that the server offers. Only one is tried, because servers count failures.

        The connection is encrypted, so the password may be shown. CRAM-MD5 comes last: Postfix announces all that its
        SASL library has, also what it cannot check.
        """
        offered = smtp.esmtp_features.get("auth", "").upper().split()
        ways: dict[str, Any] = {"PLAIN": smtp.auth_plain, "LOGIN": smtp.auth_login, "CRAM-MD5": smtp.auth_cram_md5}
        way = next((way for way in ways if way in offered), None)
        if way is None:
            raise ServerAway(f"AUTH failed, the server offers none of {', '.join(ways)}")
        smtp.user, smtp.password = self._server.user, self._server.password
        self._do(smtp, f"AUTH {way}", partial(smtp.auth, way, ways[way]), judge_login)

    def _try_to_send(self, smtp: _Connection, message: EmailMessage) -> NotDelivered | None:
        """Send a mail. Return the failure if there is one; then the connection is closed."""
        self._mails_left -= 1
        try:
            self._hand_over(smtp, message)
        except NotDelivered as failure:
            if self._has_hung_up:
                self._drop()
            else:
                self.close()  # otherwise the server could mix this mail with the next
            return failure
        return None

    def _hand_over(self, smtp: _Connection, message: EmailMessage) -> None:
        sender, recipient = (message[name].addresses[0].addr_spec for name in ("From", "To"))
        needs_utf8 = not recipient.isascii()
        if needs_utf8 and not self.offers_smtputf8():
            raise RecipientRefused("no SMTPUTF8 is offered")
        options = ["BODY=8BITMIME", "SMTPUTF8"] if needs_utf8 else []
        self._do(smtp, "MAIL", partial(smtp.mail, sender, options))
        self._do(smtp, "RCPT", partial(smtp.rcpt, recipient), judge_recipient)
        self._do(smtp, "DATA", partial(smtp.data, _serialise(message)), lambda *_: NotDelivered)

    def _do(
        self,
        smtp: _Connection,
        step: str,
        command: Callable[[], tuple[int, bytes]],
        judge: Callable[[int, bytes], type[NotDelivered]] = lambda *_: ServerAway,
    ) -> None:
        """Do one step with the server.

        Args:
            judge: Says what a refusal with this code and answer means.

        Raises:
            NotDelivered: The server refused, hung up or did not answer. The reason names the step.
        """
        try:
            code, answer = command()
        except smtplib.SMTPResponseException as refused:
            code, answer = refused.smtp_code, as_bytes(refused.smtp_error)
        except OSError as error:  # smtplib's own errors are OSErrors too
            self._has_hung_up = True
            if smtp.has_content:  # the content may be the cause, and must not delay other mails
                raise NotDelivered(f"no answer to the content, {reason_for(error)}") from None
            raise ServerAway(f"{step} failed, {reason_for(error)}") from None
        if smtp.has_content:
            step = "content"
        self._has_hung_up = code == _CLOSING
        if not _OK <= code < _OK + 100:
            raise refusal(judge(code, answer), step, code, answer)
        self._on_step(f"{step}: {code} {words_of(answer)}")

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp = None


def _ehlo(smtp: smtplib.SMTP) -> tuple[int, bytes]:
    reply = smtp.ehlo()
    return smtp.helo() if reply[0] in _UNKNOWN_COMMAND else reply


def _serialise(message: EmailMessage) -> bytes:
    needs_utf8 = not message["To"].addresses[0].addr_spec.isascii()
    return message.as_bytes(policy=SMTPUTF8 if needs_utf8 else SMTP)
