"""What it means that a mail is not accepted, and in which words the log and operators are told.

The steps in which it happens: transport.py. When a mail is tried again: jobs/worker.py.
"""

import re
import smtplib

from app.jobs.worker import JobFailed, JobRefused, ReceiverAway
from app.text import visible

# In these steps nothing of a user was sent, so a server's words name no user.
_QUOTED_STEPS = {"connection", "EHLO", "STARTTLS", "MAIL"}
_LONGEST_QUOTE = 200
_STATUS = re.compile(rb"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")  # an enhanced status code, RFC 3463
# Codes about the recipient's address. 5.2.1 is a closed mailbox. Left out are 5.1.7 and 5.1.8, which are about the
# sender, and 5.1.0 and 5.1.9, which name no address. Source: RFC 3463, 3.2 and 3.3; RFC 7505, 4.1 for 5.1.10
_NO_SUCH_MAILBOX = re.compile(rb"5\.(1\.([12346]|10)|2\.1)(?!\d)")
# Without an enhanced status code these are mostly of the mailbox, but servers also send them to clients that they do
# not let in. Source: RFC 5321, 4.2.3
_MAILBOX_CODES = (501, 550, 551, 553)
_UNLIKELY_GIVEN_UP_AFTER_S = 4 * 60 * 60
_LOGIN_PAUSE_S = 5 * 60  # fail2ban bans whoever fails five times in ten minutes


class NotDelivered(JobFailed):
    """A mail was not accepted. The reason names the step and the code.

    Attributes:
        answer: What the server said; "" if nothing. It may have e-mail addresses, so it is never logged.
    """

    def __init__(self, reason: str, answer: str = "") -> None:
        super().__init__(reason)
        self.answer = answer


class ServerAway(NotDelivered, ReceiverAway):
    """No mail can be accepted now: the server is down or refuses the login."""


class LoginRefused(ServerAway):
    """The server refuses the user or the password. Tries are few, because servers ban whoever fails often."""

    least_pause_s = _LOGIN_PAUSE_S


class RecipientRefused(NotDelivered, JobRefused):
    """A mail to this recipient will never be accepted."""


class RecipientUnlikely(NotDelivered):
    """A mail to this recipient will hardly ever be accepted, but the server's code can also mean another thing."""

    given_up_after_s = _UNLIKELY_GIVEN_UP_AFTER_S


def judge_login(code: int, answer: bytes) -> type[NotDelivered]:  # noqa: ARG001 - the code says enough
    """Return what the refusal of a login means."""
    return LoginRefused if code >= 500 else ServerAway


def judge_recipient(code: int, answer: bytes) -> type[NotDelivered]:
    """Return what the refusal of a recipient means.

    A 5xx alone does not mean that there is no such mailbox. Servers also answer 550 and 554 if they have blocked the
    sender or do not relay.
    """
    if code >= 500 and _NO_SUCH_MAILBOX.match(answer):
        return RecipientRefused
    if code in _MAILBOX_CODES and not _STATUS.match(answer):
        return RecipientUnlikely
    return NotDelivered


def refusal(kind: type[NotDelivered], step: str, code: int, answer: bytes) -> NotDelivered:
    """Return the failure of a step that the server refused. Its reason has no e-mail address."""
    status = _STATUS.match(answer)
    words = words_of(answer)
    if step in _QUOTED_STEPS:
        told = " ".join(word for word in words.split() if "@" not in word)[:_LONGEST_QUOTE]
    else:
        told = status[0].decode() if status else ""
    return kind(f"{step} refused, {code} {told}".rstrip(), words)


def words_of(answer: bytes) -> str:
    """Return an answer as one line of text."""
    lines = answer.decode(errors="replace").splitlines()
    return visible(", ".join(" ".join(line.split()) for line in lines))


def as_bytes(answer: bytes | str) -> bytes:
    return answer.encode() if isinstance(answer, str) else answer


def reason_for(error: OSError) -> str:
    """Say why there is no answer. It never quotes the error, which may quote the server."""
    cause = error
    if isinstance(error, smtplib.SMTPServerDisconnected) and isinstance(error.__context__, OSError):
        cause = error.__context__  # smtplib makes this of any failure of a socket
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, smtplib.SMTPServerDisconnected | ConnectionResetError | BrokenPipeError):
        return "the server hung up"
    return type(cause).__name__
