"""Transports of mails: a mail server by SMTP, or a folder.

When a mail is tried again: jobs/worker.py. What SMTP_URL may be: config.py.
"""

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

STEP_S = 20  # for connecting to the server, and again for its answer to each command
ATTEMPT_S = 120  # from `connect` to the end of the mail's content, all steps and connections together
# For the answer to the content. A server that scans the content needs time, and may accept it even after the client has
# disconnected. The client would then send the mail again and again. RFC 5321, 4.5.3.2.6 demands ten minutes.
ANSWER_TO_CONTENT_S = 10 * 60
# The longest time for an attempt, including QUIT. It takes longer only if more than six addresses of a server do not
# answer: 20 s for each.
LONGEST_S = ATTEMPT_S + ANSWER_TO_CONTENT_S + STEP_S
_MAILS_PER_CONNECTION = 20  # some servers disconnect after about so many mails
# Codes about the recipient's address. 5.2.1 is a closed mailbox. Left out are 5.1.7 and 5.1.8, which are about the
# sender, and 5.1.0 and 5.1.9, which name no address. Source: RFC 3463, 3.2 and 3.3; RFC 7505, 4.1 for 5.1.10
_NO_SUCH_MAILBOX = re.compile(rb"5\.(1\.([12346]|10)|2\.1)(?!\d)")


class NotDelivered(JobFailed):
    """A mail was not accepted. The reason never quotes the server, because its answers may contain e-mail addresses."""


class ServerAway(NotDelivered, ReceiverAway):
    """No mail can be accepted now: the server is down or refuses the login."""


class RecipientRefused(NotDelivered, JobRefused):
    """A mail to this recipient will never be accepted."""


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

    def close(self) -> None:
        """Close the connection. `connect` may be called again."""


def open_transport(route: MailServer | Path) -> Transport:
    """Return the transport that SMTP_URL names. It connects at the first mail."""
    return Folder(route) if isinstance(route, Path) else SmtpServer(route)


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

    def close(self) -> None:
        pass


class _Bounded:
    """A mix-in with time limits for smtplib's classes: one for each step, and a deadline for all steps together.

    Attributes:
        has_content: The server has received the whole mail. It may accept the mail even if the connection then fails.
    """

    sock: socket.socket
    file: io.BufferedReader | None
    has_content = False

    def __init__(self, deadline: float, *args: Any, **more: Any) -> None:
        self._deadline = deadline
        super().__init__(*args, **more)

    def end_by(self, deadline: float) -> None:
        """Set the deadline for all further steps.

        Args:
            deadline: Seconds of time.monotonic.
        """
        self._deadline = deadline
        self.has_content = False

    def begin_step(self) -> None:
        """Set the socket's time-out for the next step, at most what is left of the deadline.

        Raises:
            TimeoutError: No time is left."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.sock.settimeout(left_s if self.has_content else min(STEP_S, left_s))

    def send(self, data: str | bytes) -> None:
        if self.sock:  # without a socket smtplib itself raises an error
            self.begin_step()
        super().send(data)  # type: ignore[misc]  # smtplib's, which stands behind this mixin
        if isinstance(data, bytes) and data.endswith(b"\r\n.\r\n"):  # the end of a mail; commands are str
            self.end_by(time.monotonic() + ANSWER_TO_CONTENT_S)
            self.has_content = True

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = io.BufferedReader(_TimedReader(self))
        return super().getreply()  # type: ignore[misc,no-any-return]  # smtplib's likewise


class _TimedReader(io.RawIOBase):
    """A reader of a server's answers.

    The time limit is set anew before each read, from what is left of the deadline. Otherwise a server that sends byte
    by byte could go on for ever.
    """

    def __init__(self, smtp: _Bounded) -> None:
        self._smtp = smtp

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._smtp.begin_step()
        return self._smtp.sock.recv_into(buffer)


class _Plain(_Bounded, smtplib.SMTP):  # type: ignore[misc]  # typeshed declares send and sock otherwise
    pass


class _Encrypted(_Bounded, smtplib.SMTP_SSL):  # type: ignore[misc]  # likewise
    pass


class SmtpServer:
    """A connection to a mail server. It is made when there is a mail to send, and used for several mails in a row."""

    def __init__(self, server: MailServer, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> None:
        """
        Args:
            tls: Makes an SSL context that verifies certificates.
        """
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
        """Send a mail.

        Raises:
            ServerAway: The server is down or refuses the login.
            RecipientRefused: The server will never accept this recipient.
            NotDelivered: The server refused this mail for now.
        """
        smtp = self._smtp
        if smtp is None:
            raise ServerAway("not connected")
        self._mails_left -= 1
        try:
            self._hand_over(smtp, message)
        except OSError as error:
            self._drop()
            if smtp.has_content:  # the content may be the cause, and must not delay other mails
                raise NotDelivered(f"no answer to the content, {_reason(error)}") from None
            raise ServerAway(_reason(error)) from None
        except NotDelivered:
            self.close()  # otherwise the server could mix this mail with the next
            raise

    def close(self) -> None:
        if self._smtp is None:
            return
        self._smtp.end_by(time.monotonic() + STEP_S)
        with suppress(OSError):  # if the server is gone, the connection is closed anyway
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
            # There is no password to protect. An attacker with a false certificate could also remove the offer of
            # STARTTLS, so a check would not stop them. It would exclude nearby relays with self-signed ones.
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
    """Tell whether a server refused a recipient for ever, because there is no such mailbox.

    A 5xx alone does not mean this. Servers also answer 550 and 554 if they have blocked the sender or do not relay.
    """
    return code >= 500 and _NO_SUCH_MAILBOX.match(answer) is not None


def _reason(error: OSError) -> str:
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__}, {code}" if code else type(error).__name__
