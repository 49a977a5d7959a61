"""Webhooks, signed as Standard Webhooks has it: an event is the body, as it stands in the queue.

Each attempt has a new timestamp, because receivers refuse what is older than five minutes. The id stays the same.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence

import orjson

from app.exchange import Answer
from app.jobs.worker import JobRefused, ReceiverGone
from app.receivers.form import Request, failure_of, read_event
from app.times import iso


class Webhooks:
    def __init__(self, secrets: Sequence[bytes], headers_begin: str, clock: Callable[[], float]) -> None:
        """
        Args:
            secrets: Newest first. Each signs, so that a receiver may have any of them.
            headers_begin: "webhook" or "svix".
        """
        self._secrets = secrets
        self._begin = headers_begin
        self._clock = clock

    def requests_for(self, content: bytes) -> Sequence[Request]:
        """Return the one request with an event."""
        event = read_event(content)
        if event is None:
            raise JobRefused("it cannot be read")
        return [self._request(event["id"], content)]

    def test_request(self, event_id: str, at_s: float) -> Request:
        """Return a request with an event of the type "test"."""
        return self._request(event_id, orjson.dumps({"id": event_id, "type": "test", "at": iso(at_s)}))

    def judge(self, answer: Answer, at_s: float) -> None:
        """Take 2xx for done. 410 says that the receiver wants nothing any more."""
        if answer.status == 410:
            raise ReceiverGone("status 410, it wants nothing any more")
        if not 200 <= answer.status < 300:
            raise failure_of(answer, at_s)

    def _request(self, event_id: str, body: bytes) -> Request:
        timestamp = int(self._clock())
        signed = f"{event_id}.{timestamp}.".encode() + body
        # Readers in Python stumble over two spaces, or one at the end.
        signatures = " ".join(f"v1,{_signature(secret, signed)}" for secret in self._secrets)
        headers = (
            f"{self._begin}-id: {event_id}",
            f"{self._begin}-timestamp: {timestamp}",
            f"{self._begin}-signature: {signatures}",
            "Content-Type: application/json",
            "User-Agent: Keyrack",
        )
        return Request(headers, body)


def _signature(secret: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
