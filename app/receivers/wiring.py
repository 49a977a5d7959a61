"""Makes what delivers events to each receiver from the settings."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.config import Settings
from app.jobs.receiver_state import ReceiverState
from app.jobs.worker import JobFailed
from app.receivers.delivery import FAILURES_THAT_ARE_ALL, EventDelivery, Sender
from app.receivers.form import Form, printable
from app.receivers.logout_tokens import LogoutTokens
from app.receivers.receiver import Receiver, receivers_of
from app.receivers.security_events import SecurityEvents
from app.receivers.webhooks import Webhooks
from app.rules.signing_keys import Signing
from app.stores.events import KnownReceivers
from app.stores.jobs import JobQueue
from app.stores.wiring import Stores

_LONGEST_SHOWN = 500  # characters of an answer


@dataclass(frozen=True, slots=True)
class Tried:
    """How a receiver answered a test.

    Attributes:
        said: The beginning of the answer's body, printable.
        failure: Why the test does not count as taken; "" if it does.
    """

    event_id: str
    status: int
    said: str
    failure: str = ""


class Delivering:
    """A receiver with its queue, and what delivers to it."""

    def __init__(
        self,
        receiver: Receiver,
        queue: JobQueue[bytes],
        form: Form,
        known: KnownReceivers,
        clock: Callable[[], float],
    ) -> None:
        self.receiver = receiver
        self.queue = queue
        self._form = form
        self._known = known
        self._clock = clock
        self._state = ReceiverState(receiver.place, EventDelivery.noun, clock, FAILURES_THAT_ARE_ALL)

    def make_worker(self) -> EventDelivery:
        """Return one more worker, for a thread of its own."""
        return EventDelivery(self.queue, self.receiver, self._state, self._form, self._known, self._clock)

    def send_test(self) -> Tried:
        """Send what tells of nothing that happened, past the queue.

        Raises:
            JobFailed: There was no whole answer. The text says why.
            StoreError: Redis failed, and cannot tell which key signs.
        """
        event_id = f"evt_{secrets.token_hex(12)}_1"
        sender = Sender(self.receiver, self._form, self._clock)
        try:
            answer = sender.ask(self._form.test_request(event_id, self._clock()))
        finally:
            sender.close()
        said = printable(answer.body.decode("utf-8", "replace"), _LONGEST_SHOWN)
        try:
            self._form.judge(answer, self._clock())
        except JobFailed as failed:
            return Tried(event_id, answer.status, said, failed.reason)
        return Tried(event_id, answer.status, said)


def make_signing(settings: Settings, stores: Stores, clock: Callable[[], float]) -> Signing | None:
    """Return what signs tokens; None without SIGNING_KEYS."""
    return Signing(settings.signing_keys, stores.signing_keys, clock) if settings.signing_keys else None


def make_deliverings(
    settings: Settings, stores: Stores, signing: Signing | None, clock: Callable[[], float]
) -> Sequence[Delivering]:
    """Return one for each receiver, in the order of the settings."""
    return [
        Delivering(
            receiver,
            stores.event_queue(receiver.id),
            _form_of(receiver, settings, signing, clock),
            stores.known_receivers,
            clock,
        )
        for receiver in receivers_of(settings)
    ]


def _form_of(receiver: Receiver, settings: Settings, signing: Signing | None, clock: Callable[[], float]) -> Form:
    if receiver.kind == "webhook":
        return Webhooks(settings.webhook_secrets, settings.webhook_headers, clock)
    if signing is None or settings.issuer is None:  # setting_reader.py requires both
        raise ValueError(receiver.kind)
    if receiver.kind == "logout":
        return LogoutTokens(receiver, settings.issuer, signing, clock)
    return SecurityEvents(receiver, settings.issuer, signing)
