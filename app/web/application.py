"""The application behind the gateway. It is asked for what it has of the caller's user, and handed what is for it.

How a request is sent in a bounded time: exchange.py. How the fields of both are put together: routes/users.py.
"""

import logging
import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import orjson
import pycurl

from app.errors import status_message
from app.exchange import MAX_ANSWER, Answer, NoAnswer, discard, exchange
from app.watch import context, metrics

log = logging.getLogger(__name__)

WITHIN_MS = 2000  # for the whole exchange
REST_S = 1.0  # how long nobody is asked after an exchange that was late, or for which there was no connection

Method = Literal["GET", "PATCH"]
# away: it cannot be reached, or was late or away a moment ago. busy: too many requests ask it. late: no whole answer in
# time. broken: no answer that Keyrack reads. The last two may have changed something.
Outcome = Literal["answered", "refused", "away", "busy", "late", "broken"]

for _method in get_args(Method):
    for _outcome in get_args(Outcome):
        metrics.APPLICATION_REQUESTS.labels(_method, _outcome)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of asking the application.

    Attributes:
        fields: What it has of the user; empty unless it has answered.
        errors: The problems by field, if it has refused in the form of this API.
    """

    outcome: Outcome
    fields: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=dict)


class Application:
    def __init__(self, url: str, at_once: int, clock: Callable[[], float]) -> None:
        """
        Args:
            at_once: How many requests may ask it at the same time. Others do not wait: they would hold a thread each.
        """
        self._url = url
        self._clock = clock
        self._failed_at = float("-inf")  # when it was last late or away
        # A slot for each, with a connection that is open, or None. The one used last is taken first.
        self._slots: queue.LifoQueue[pycurl.Curl | None] = queue.LifoQueue()
        for _ in range(at_once):
            self._slots.put(None)

    def ask(self, method: Method, path: str, user_id: str, id_hash: str, body: bytes = b"") -> Reply:
        """Send a request on behalf of a session. It has the identity, and no secret of the caller.

        Args:
            body: JSON; only for PATCH.
        """
        headers = [
            f"X-Auth-User-Id: {user_id}",
            f"X-Auth-Session-Id-Hash: {id_hash}",
            f"X-Request-Id: {_request_id()}",
            "Accept: application/json",
        ]
        if body:
            headers.append("Content-Type: application/json")
        reply, detail = self._exchange(method, path, headers, body)
        metrics.APPLICATION_REQUESTS.labels(method, reply.outcome).inc()
        if detail:
            # A refusal is for the user: the application does not know them yet, or wants another picture.
            level = logging.INFO if reply.outcome == "refused" else logging.WARNING
            log.log(level, "application: %s is %s: %s", method, reply.outcome, detail)
        return reply

    def _exchange(self, method: Method, path: str, headers: list[str], body: bytes) -> tuple[Reply, str]:
        """Return the reply, and for the log what is wrong with it; "" if nothing is, or if nobody was asked."""
        if 0 <= self._clock() - self._failed_at < REST_S:  # less than 0 if the clock was set back
            return Reply("away"), ""
        try:
            kept = self._slots.get_nowait()
        except queue.Empty:
            return Reply("busy"), ""
        curl = kept or pycurl.Curl()
        kept = None
        try:
            answer = exchange(
                curl,
                method,
                self._url + path,
                headers,
                body,
                within_ms=WITHIN_MS,
                may_be_sent_twice=method != "PATCH",
            )
            kept = curl if answer.is_whole else None
        except NoAnswer as problem:
            if not problem.was_sent or problem.is_late:
                self._failed_at = self._clock()
            outcome: Outcome = "away" if not problem.was_sent else "late" if problem.is_late else "broken"
            return Reply(outcome), problem.reason
        finally:
            if kept:
                self._slots.put(kept)
            else:
                discard(curl, lambda: self._slots.put(None))  # the slot bounds how many are being closed
        return _read(answer)


def _request_id() -> str:
    current = context.current()
    return (current and current.request_id) or ""


def _read(answer: Answer) -> tuple[Reply, str]:
    status = answer.status
    if not answer.is_whole:
        return Reply("broken"), f"its answer is longer than {MAX_ANSWER} bytes"
    try:
        body = orjson.loads(answer.body) if answer.body else {}
        orjson.dumps(body)  # raises if it is nested so deeply that no answer could contain it
    except (orjson.JSONDecodeError, TypeError):
        body = None
    if 400 <= status < 500:
        errors = body.get("errors") if isinstance(body, dict) else None
        return Reply("refused", errors=errors if isinstance(errors, dict) else {}), status_message(status)
    if not 200 <= status < 300:
        return Reply("broken"), f"status {status}"
    if not isinstance(body, dict):
        return Reply("broken"), "its answer is no JSON object"
    return Reply("answered", body), ""
