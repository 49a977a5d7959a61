"""How mails leave: to a mail server by SMTP, or into a folder."""

import io
import os
import re
import secrets
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path
from typing import Any, Protocol

from app.jobs.worker import JobFailed, JobRefused, ReceiverAway
from app.setting_parsers import MailServer

STEP_S = 20  # for the server to be connected to, and again to answer each command
ATTEMPT_S = 120  # from `connect` to the end of the mail's content, all steps and connections together
# To answer to the content. Servers that scan it take their time, then accept it; whoever hung up sends it again, and
# again. RFC 5321, 4.5.3.2.6 asks for as long as this.
ANSWER_TO_CONTENT_S = 10 * 60
# An attempt takes no longer, the goodbye included. Only where more than six addresses of a server do not answer does
# it: 20 s for each.
LONGEST_S = ATTEMPT_S + ANSWER_TO_CONTENT_S + STEP_S
_MAILS_PER_CONNECTION = 20  # some servers hang up after so many
# Of the codes about addresses 5.1.7 and 5.1.8 are about the sender's, and 5.1.0 and 5.1.9 about nobody's in particular;
# 5.2.1 is a mailbox that is closed. Source: RFC 3463, 3.2 and 3.3; RFC 7505, 4.1 for 5.1.10
_NO_SUCH_MAILBOX = re.compile(rb"5\.(1\.([12346]|10)|2\.1)(?!\d)")


class NotDelivered(JobFailed):
    """A mail was not accepted. Its reason never quotes the server, because that names addresses."""


class ServerAway(NotDelivered, ReceiverAway):
    """No mail would be accepted now: the server is down, or does not let us in."""


class RecipientRefused(NotDelivered, JobRefused):
    """This recipient's mail will never be accepted."""


class Transport(Protocol):
    def connect(self) -> None:
        """Be ready to send; nothing where it is already. Raises: ServerAway"""

    def send(self, message: EmailMessage) -> None:
        """Hand a mail over; it is delivered when this returns. Raises: NotDelivered"""

    def close(self) -> None:
        """There is nothing to send for now."""


def open_transport(route: MailServer | Path) -> Transport:
    """What SMTP_URL names; nothing is connected to before the first mail."""
    return Folder(route) if isinstance(route, Path) else SmtpServer(route)


class Folder:
    """Writes each mail into a file that only this user reads, whole or not at all."""

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

    def close(self) -> None:
        pass


class _Bounded:
    """Gives every step of smtplib a while, and all together an end. It stands beside smtplib's class, and before it."""

    sock: socket.socket
    file: io.BufferedReader | None
    has_content = False  # the server has a mail as a whole, and may accept it whatever becomes of the connection

    def __init__(self, deadline: float, *args: Any, **more: Any) -> None:
        self._deadline = deadline
        super().__init__(*args, **more)

    def end_by(self, deadline: float) -> None:
        """Set the end of all steps from now on. deadline: of time.monotonic"""
        self._deadline = deadline
        self.has_content = False

    def begin_step(self) -> None:
        """Raises: TimeoutError where there is no time left"""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.sock.settimeout(left_s if self.has_content else min(STEP_S, left_s))

    def send(self, data: str | bytes) -> None:
        if self.sock:  # without one smtplib says so
            self.begin_step()
        super().send(data)  # type: ignore[misc]
        if isinstance(data, bytes) and data.endswith(b"\r\n.\r\n"):  # commands are one line each, and text
            self.end_by(time.monotonic() + ANSWER_TO_CONTENT_S)
            self.has_content = True

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = io.BufferedReader(_TimedReader(self))
        return super().getreply()  # type: ignore[misc,no-any-return]


class _TimedReader(io.RawIOBase):
    """What a server says, each part of it a step: a socket's time-out alone begins anew with every byte."""

    def __init__(self, smtp: _Bounded) -> None:
        self._smtp = smtp

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._smtp.begin_step()
        return self._smtp.sock.recv_into(buffer)


class _Plain(_Bounded, smtplib.SMTP):  # type: ignore[misc]
    pass


class _Encrypted(_Bounded, smtplib.SMTP_SSL):  # type: ignore[misc]
    pass


class SmtpServer:
    """A connection to a mail server, made when there is something to send and used for several in a row."""

    def __init__(self, server: MailServer, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> None:
        """tls: makes a context that verifies certificates"""
        self._server = server
        self._tls = tls
        self._smtp: _Plain | _Encrypted | None = None
        self._mails_left = 0

    def connect(self) -> None:
        deadline = time.monotonic() + ATTEMPT_S
        if self._smtp and self._mails_left and self._still_answers(self._smtp, deadline):
            return
        self.close()
        try:
            self._open(deadline)
        except OSError as error:  # smtplib's own errors are OSErrors too
            self._drop()
            raise ServerAway(_reason(error)) from None
        except ServerAway:
            self._drop()
            raise

    def send(self, message: EmailMessage) -> None:
        """Raises: ServerAway, RecipientRefused, and NotDelivered where this mail was refused for now"""
        smtp = self._smtp
        if smtp is None:
            raise ServerAway("not connected")
        self._mails_left -= 1
        try:
            self._hand_over(smtp, message)
        except OSError as error:
            self._drop()
            if smtp.has_content:  # it may be that content, which no other mail is to wait for
                raise NotDelivered(f"no answer to the content, {_reason(error)}") from None
            raise ServerAway(_reason(error)) from None
        except NotDelivered:
            self.close()  # what the server has of this mail must not mix with the next
            raise

    def close(self) -> None:
        if self._smtp is None:
            return
        self._smtp.end_by(time.monotonic() + STEP_S)
        with suppress(OSError):  # a server that is gone is what was wanted
            self._smtp.quit()
        self._drop()

    def _open(self, deadline: float) -> None:
        host, port, user = self._server.host, self._server.port, self._server.user
        if self._server.implicit_tls:
            smtp: _Plain | _Encrypted = _Encrypted(deadline, host, port, timeout=STEP_S, context=self._tls())
        else:
            smtp = _Plain(deadline, host, port, timeout=STEP_S)
        self._smtp, self._mails_left = smtp, _MAILS_PER_CONNECTION
        smtp.ehlo_or_helo_if_needed()
        if smtp.has_extn("starttls"):
            smtp.starttls(context=self._starttls_context())
            smtp.ehlo_or_helo_if_needed()
        elif user and not self._server.implicit_tls:
            raise ServerAway("no STARTTLS is offered, and a password is not sent without it")
        if user:
            smtp.login(user, self._server.password)

    def _starttls_context(self) -> ssl.SSLContext:
        context = self._tls()
        if not self._server.user:
            # Whoever can show a false certificate can as well take the offer of STARTTLS away; without a password
            # to protect, a relay nearby with a certificate of its own making is better spoken to than not.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _hand_over(self, smtp: smtplib.SMTP, message: EmailMessage) -> None:
        sender, recipient = (message[name].addresses[0].addr_spec for name in ("From", "To"))
        needs_utf8 = not recipient.isascii()
        if needs_utf8 and not smtp.has_extn("smtputf8"):
            raise RecipientRefused("no SMTPUTF8 is offered")
        code, _ = smtp.mail(sender, ["BODY=8BITMIME", "SMTPUTF8"] if needs_utf8 else [])
        if code != 250:
            raise ServerAway(f"sender refused, {code}")
        code, answer = smtp.rcpt(recipient)
        if code not in (250, 251):
            refusal = RecipientRefused if _is_for_good(code, answer) else NotDelivered
            raise refusal(f"recipient refused, {code}")
        try:
            code, _ = smtp.data(_serialise(message))
        except smtplib.SMTPDataError as refused:
            code = refused.smtp_code
        if code != 250:
            raise NotDelivered(f"content refused, {code}")

    @staticmethod
    def _still_answers(smtp: _Plain | _Encrypted, deadline: float) -> bool:
        smtp.end_by(deadline)
        try:
            return smtp.noop()[0] == 250
        except OSError:
            return False

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp = None


def _serialise(message: EmailMessage) -> bytes:
    needs_utf8 = not message["To"].addresses[0].addr_spec.isascii()
    return message.as_bytes(policy=SMTPUTF8 if needs_utf8 else SMTP)


def _is_for_good(code: int, answer: bytes) -> bool:
    """Whether a refused recipient is the recipient's fault, and said to be so.

    A 5xx alone is not enough: servers say 550 and 554 as well to whom they do not relay for, or have on a list.
    """
    return code >= 500 and _NO_SUCH_MAILBOX.match(answer) is not None


def _reason(error: OSError) -> str:
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__}, {code}" if code else type(error).__name__
