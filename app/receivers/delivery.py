"""The delivery of events to a receiver: what a job of its queue becomes, how it is sent, and what an answer means.

The form of each kind: webhooks.py, logout_tokens.py, security_events.py. Retries: jobs/worker.py.
"""

import time
from collections.abc import Callable

import pycurl

from app.exchange import Answer, NoAnswer, discard, exchange
from app.jobs.receiver_state import ReceiverState
from app.jobs.worker import JobFailed, JobWorker, ReceiverAway
from app.receivers.form import Form, Request, read_event
from app.receivers.receiver import Receiver
from app.stores.events import KnownReceivers
from app.stores.job_records import Job
from app.stores.jobs import JobQueue

WITHIN_MS = 5000  # for the whole exchange with a receiver
HOLD_S = 30.0
FAILURES_THAT_ARE_ALL = 5
_LONGEST_ATTEMPT_S = 20.0  # an event may be several tokens


class Sender:
    """Sends requests to one receiver, one after another, over a connection that is kept."""

    def __init__(self, receiver: Receiver, form: Form, clock: Callable[[], float]) -> None:
        self._url = receiver.url
        self._form = form
        self._clock = clock
        self._curl: pycurl.Curl | None = None

    def send(self, request: Request) -> None:
        """Send a request.

        Raises:
            JobFailed: It was not taken, or nobody knows: see Form.judge.
            ReceiverAway: There was no connection, or no whole answer in time.
        """
        self._form.judge(self.ask(request), self._clock())

    def ask(self, request: Request) -> Answer:
        """Send a request, and return the answer, whatever it says.

        Raises:
            JobFailed, ReceiverAway: There was none, as in `send`.
        """
        curl = self._curl or pycurl.Curl()
        self._curl = None
        try:
            answer = exchange(curl, "POST", self._url, request.headers, request.body, within_ms=WITHIN_MS)
        except NoAnswer as problem:
            discard(curl)
            if problem.is_late or not problem.was_sent:
                raise ReceiverAway(problem.reason) from None
            raise JobFailed(problem.reason) from None
        if answer.is_whole:
            self._curl = curl
        else:
            discard(curl)
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._curl:
            discard(self._curl)
            self._curl = None


class EventDelivery(JobWorker[bytes]):
    """A worker that tells one receiver of events."""

    noun, one = "event", "an event"
    first_retry_s = 1.0
    last_retry_s = 60.0 * 60
    given_up_after_s = 3 * 24.0 * 60 * 60
    attempt_s = _LONGEST_ATTEMPT_S

    def __init__(
        self,
        queue: JobQueue[bytes],
        receiver: Receiver,
        state: ReceiverState,
        form: Form,
        known: KnownReceivers,
        clock: Callable[[], float] = time.time,
        hold_s: float = HOLD_S,
    ) -> None:
        """
        Args:
            state: Shared by all workers of this process for the receiver.
        """
        super().__init__(queue, state, clock, hold_s)
        self._id = receiver.id
        self._known = known
        self._place = receiver.place
        self._form = form
        self._sender = Sender(receiver, form, clock)

    def prepare(self) -> None:
        """Note the receiver, so that its queue can be found when no setting names it any more."""
        self._known.note(self._id, self._place)

    def do(self, job: Job[bytes], content: bytes) -> None:  # noqa: ARG002 - an event has all that is told
        last_begin = time.monotonic() + self.attempt_s - WITHIN_MS / 1000
        for request in self._form.requests_for(content):
            if time.monotonic() > last_begin:
                raise JobFailed("it takes too long for all tokens of a session")
            self._sender.send(request)

    def describe(self, content: bytes) -> str:
        event = read_event(content) or {}
        return f"{event.get('type')} {event.get('id')} to {self._place}"

    def close(self) -> None:
        """Keep the connection over a pause: the next event comes soon, and libcurl leaves one that has ended."""

    def _end(self) -> None:
        super()._end()
        self._sender.close()
