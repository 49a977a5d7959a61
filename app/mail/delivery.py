"""The delivery of mails: each job of the queue becomes a mail, and the mail is sent to the mail server.

Retries and giving up: jobs/worker.py. The words: letters.py. The mail server: transport.py.
"""

import time
from collections.abc import Callable
from email.message import EmailMessage

from app.jobs.receiver_state import ReceiverState
from app.jobs.worker import TAKEN_OVER_AFTER_S, JobWorker
from app.mail.transport import Transport
from app.rules.links import RESET_TTL_S, VERIFY_TTL_S
from app.snowflakes import NOBODY
from app.stores.job_records import Job
from app.stores.mail import MailStore, Notice


class Delivery(JobWorker[Notice]):
    """A worker that sends notices as mails. docs/mail.md says when a mail may come twice."""

    noun, one = "mail", "a mail"

    def __init__(
        self,
        mails: MailStore,
        transport: Transport,
        compose: Callable[[Notice], EmailMessage | None],
        clock: Callable[[], float] = time.time,
        hold_s: float = TAKEN_OVER_AFTER_S,
    ) -> None:
        """
        Args:
            compose: Makes the mail just before it is sent. It returns None if there is no recipient.
        """
        super().__init__(mails, ReceiverState("the mail server", "mail", clock), clock, hold_s)
        self._mails = mails
        self._transport = transport
        self._compose = compose

    def prepare(self) -> None:
        self._mails.adopt()

    def do(self, job: Job[Notice], content: Notice) -> None:  # noqa: ARG002 - a notice has all that a mail needs
        self._transport.connect()  # first, because composing may issue a link, in vain if the server is away
        message = self._compose(content)
        if message is not None:
            self._transport.send(message)

    def why_outdated(self, content: Notice) -> str | None:
        """Return why a mail with a link is dropped; None if it must be sent, as every mail that tells something."""
        if content.kind in ("verify", "new_address") and self._clock() - content.at > VERIFY_TTL_S:
            return "its link was asked for too long ago"
        # Of several that wait, as while the mail server is away, only the newest is sent.
        if content.kind != "reset":
            return None
        if self._clock() - content.at > RESET_TTL_S:
            return "its link was asked for too long ago"
        newest = self._mails.newest_reset(content.user_id)
        return "a newer one was asked for" if newest and newest > content.at else None

    def is_decoy(self, content: Notice) -> bool:
        # A reset for an address without an account queues as much as one for an address that has one.
        return content.user_id == NOBODY

    def describe(self, content: Notice) -> str:
        return f"{content.kind}, user {content.user_id}"

    def close(self) -> None:
        self._transport.close()
