"""The application behind the gateway. It is asked for what it has of the caller's user, and handed what is for it.

libcurl asks, because its time limit is for the whole exchange: the look-up of the name, the connection and each byte.
How the fields of both are put together: routes/users.py.
"""

import logging
import queue
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import orjson
import pycurl

from app.errors import status_message
from app.watch import context, metrics

log = logging.getLogger(__name__)

WITHIN_MS = 2000  # for the whole exchange
REST_S = 1.0  # how long nobody is asked after an exchange that was late, or for which there was no connection
MAX_ANSWER = 64 * 1024

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
            "Expect:",  # else libcurl waits for the application's consent to a long body
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
        answer = bytearray()

        def take(part: bytes) -> int:
            answer.extend(part)
            return len(part) if len(answer) <= MAX_ANSWER else 0  # libcurl then ends the exchange

        try:
            _prepare(curl, method, self._url + path, headers, body)
            curl.setopt(pycurl.WRITEFUNCTION, take)
            curl.perform()
            status = curl.getinfo(pycurl.RESPONSE_CODE)
            kept = curl
        except pycurl.error as problem:
            reply, detail = _failure(int(problem.args[0]), was_sent=curl.getinfo(pycurl.REQUEST_SIZE) > 0)
            if reply.outcome in ("late", "away"):
                self._failed_at = self._clock()
            return reply, detail
        finally:
            if kept:
                self._slots.put(kept)
            else:
                # It waits for the look-up of a name, which no time limit ends; the slot bounds how many do.
                threading.Thread(target=self._close, args=[curl], daemon=True).start()
        return _read(status, bytes(answer))

    def _close(self, curl: pycurl.Curl) -> None:
        curl.close()
        self._slots.put(None)


def _request_id() -> str:
    current = context.current()
    return (current and current.request_id) or ""


def _prepare(curl: pycurl.Curl, method: Method, url: str, headers: list[str], body: bytes) -> None:
    curl.reset()  # the options of the request before; an open connection stays
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.CUSTOMREQUEST, method)
    curl.setopt(pycurl.HTTPHEADER, headers)
    if body:
        curl.setopt(pycurl.COPYPOSTFIELDS, body)
    if method == "PATCH":  # RFC 9110, 9.2.2: libcurl sends anew what a kept connection ends without an answer
        curl.setopt(pycurl.FRESH_CONNECT, 1)
        curl.setopt(pycurl.FORBID_REUSE, 1)
    curl.setopt(pycurl.TIMEOUT_MS, WITHIN_MS)
    curl.setopt(pycurl.NOSIGNAL, 1)  # signals would reach another thread
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.PROXY, "")  # whatever http_proxy says: identities go to the application alone
    known = ssl.get_default_verify_paths()  # the certificates that this system knows; libcurl's file may be absent here
    curl.setopt(pycurl.CAINFO, known.cafile) if known.cafile else curl.unsetopt(pycurl.CAINFO)
    if known.capath:
        curl.setopt(pycurl.CAPATH, known.capath)


def _failure(code: int, *, was_sent: bool) -> tuple[Reply, str]:
    if code == pycurl.E_WRITE_ERROR:
        return Reply("broken"), f"its answer is longer than {MAX_ANSWER} bytes"
    is_late = code == pycurl.E_OPERATION_TIMEDOUT
    outcome: Outcome = "away" if not was_sent else "late" if is_late else "broken"
    return Reply(outcome), f"no whole answer in {WITHIN_MS} ms" if is_late else f"libcurl's error {code}"


def _read(status: int, answer: bytes) -> tuple[Reply, str]:
    try:
        body = orjson.loads(answer) if answer else {}
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
