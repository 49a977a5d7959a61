"""How mails leave: to a mail server by SMTP, or into a folder."""

import math
import os
import secrets
import smtplib
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path
from typing import Any, Protocol

from app.config import MailServer

STEP_S = 20  # for the server to be connected to, and again to answer each command
# No step begins later than this after `connect` was called, so an attempt takes 120 s and the 20 s of the last step:
# 140 s. Only a server of which more than four addresses do not answer takes longer: 20 s for each.
ATTEMPT_S = 120
_MAILS_PER_CONNECTION = 20  # some servers hang up after so many


class NotDelivered(Exception):
    """A mail was not accepted. `reason` names a class or a status, never what the server said: that has addresses."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ServerAway(NotDelivered):
    """No mail would be accepted now: the server is down, or does not let us in."""


class RecipientRefused(NotDelivered):
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
                file.write(_written(message))
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._path / name)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise ServerAway(type(error).__name__) from None

    def close(self) -> None:
        pass


class _Bounded:
    """Makes smtplib begin no step after a deadline."""

    deadline = math.inf  # of time.monotonic

    def send(self, data: Any) -> None:
        if time.monotonic() > self.deadline:
            raise TimeoutError
        super().send(data)  # type: ignore[misc]  # of smtplib's class, beside which this stands


class _Plain(_Bounded, smtplib.SMTP):
    pass


class _Encrypted(_Bounded, smtplib.SMTP_SSL):
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
            raise ServerAway(_reason(error)) from None
        except NotDelivered:
            self.close()  # what the server has of this mail must not mix with the next
            raise

    def close(self) -> None:
        if self._smtp is None:
            return
        with suppress(OSError):  # a server that is gone is what was wanted
            self._smtp.quit()
        self._drop()

    def _open(self, deadline: float) -> None:
        host, port, user = self._server.host, self._server.port, self._server.user
        if self._server.implicit_tls:
            smtp: _Plain | _Encrypted = _Encrypted(host, port, timeout=STEP_S, context=self._tls())
        else:
            smtp = _Plain(host, port, timeout=STEP_S)
        self._smtp, self._mails_left, smtp.deadline = smtp, _MAILS_PER_CONNECTION, deadline
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
            code, _ = smtp.data(_written(message))
        except smtplib.SMTPDataError as refused:
            code = refused.smtp_code
        if code != 250:
            raise NotDelivered(f"content refused, {code}")

    @staticmethod
    def _still_answers(smtp: _Plain | _Encrypted, deadline: float) -> bool:
        smtp.deadline = deadline
        try:
            return smtp.noop()[0] == 250
        except OSError:
            return False

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp = None


def _written(message: EmailMessage) -> bytes:
    needs_utf8 = not message["To"].addresses[0].addr_spec.isascii()
    return message.as_bytes(policy=SMTPUTF8 if needs_utf8 else SMTP)


def _is_for_good(code: int, answer: bytes) -> bool:
    """Whether a refused recipient is the recipient's fault: servers say 5xx as well to whom they do not let in.

    Source: RFC 3463, 3.8 for X.7; RFC 4954, 6 for 530; RFC 5321, 4.2.3 for 503
    """
    return code >= 500 and code not in (503, 530) and not answer.startswith(b"5.7.")


def _reason(error: OSError) -> str:
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__}, {code}" if code else type(error).__name__
