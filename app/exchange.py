"""One exchange with a server that operators have named: a request over HTTP, and its whole answer in a bounded time.

libcurl does it, because its time limit is for all of it: the look-up of the name, the connection and each byte.
"""

import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pycurl

MAX_ANSWER = 64 * 1024  # bytes of a body, and of all headers

_REASONS = {
    pycurl.E_COULDNT_RESOLVE_HOST: "its name is not known",
    pycurl.E_COULDNT_CONNECT: "no connection",
    pycurl.E_PEER_FAILED_VERIFICATION: "its certificate is not right",
    pycurl.E_SSL_CONNECT_ERROR: "TLS fails",
    pycurl.E_WRITE_ERROR: f"its headers are longer than {MAX_ANSWER} bytes",
    **dict.fromkeys(
        (pycurl.E_GOT_NOTHING, pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR, pycurl.E_PARTIAL_FILE),
        "it ends the connection without a whole answer",
    ),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Attributes:
        headers: By their names in lower case; of several of a name the last.
        is_whole: False if its body is longer than MAX_ANSWER. `body` is then its beginning.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool


class NoAnswer(Exception):
    """There was no whole answer.

    Attributes:
        reason: Why, in words for the log, without an address.
        was_sent: The server has the request, or a part of it.
    """

    def __init__(self, reason: str, *, was_sent: bool, is_late: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.was_sent = was_sent
        self.is_late = is_late


def exchange(
    curl: pycurl.Curl,
    method: str,
    url: str,
    headers: Sequence[str],
    body: bytes,
    *,
    within_ms: int,
    may_be_sent_twice: bool = True,
) -> Answer:
    """Send a request, and return what was answered. No redirect is followed, and no proxy is asked.

    Args:
        curl: A handle with its open connection, if there is one. After NoAnswer it must be discarded.
        may_be_sent_twice: False takes a new connection: libcurl sends anew what a kept one ends without an answer.

    Raises:
        NoAnswer: There was no whole answer in time.
    """
    reading = _Reading()
    _prepare(curl, method, url, headers, body, within_ms)
    if not may_be_sent_twice:  # RFC 9110, 9.2.2
        curl.setopt(pycurl.FRESH_CONNECT, 1)
        curl.setopt(pycurl.FORBID_REUSE, 1)
    curl.setopt(pycurl.HEADERFUNCTION, reading.take_header)
    curl.setopt(pycurl.WRITEFUNCTION, reading.take_body)
    try:
        curl.perform()
    except pycurl.error as problem:
        code = int(problem.args[0])
        if code != pycurl.E_WRITE_ERROR or reading.has_too_long_headers:
            raise _no_answer(code, was_sent=curl.getinfo(pycurl.REQUEST_SIZE) > 0, within_ms=within_ms) from None
    if not reading.has_head:  # libcurl takes half a head for a whole one
        raise _no_answer(pycurl.E_GOT_NOTHING, was_sent=True, within_ms=within_ms)
    status = curl.getinfo(pycurl.RESPONSE_CODE)
    whole = len(reading.body) <= MAX_ANSWER
    return Answer(status, reading.headers, bytes(reading.body[:MAX_ANSWER]), whole)


def discard(curl: pycurl.Curl, then: Callable[[], None] = lambda: None) -> None:
    """Close a handle. Nobody waits for it: it waits for the look-up of a name, which no time limit ends."""

    def close() -> None:
        curl.close()
        then()

    threading.Thread(target=close, daemon=True).start()


class _Reading:
    """What has come of an answer. To return less than was given ends the exchange."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.has_head = False
        self._header_bytes = 0

    @property
    def has_too_long_headers(self) -> bool:
        return self._header_bytes > MAX_ANSWER

    def take_header(self, line: bytes) -> int:
        self._header_bytes += len(line)
        self.has_head = not line.strip()
        if line.startswith(b"HTTP/"):
            self.headers.clear()  # those so far were of an answer before the final one, as 100
        name, _, text = line.decode("iso-8859-1").partition(":")
        self.headers[name.strip().lower()] = text.strip()
        return 0 if self.has_too_long_headers else len(line)

    def take_body(self, part: bytes) -> int:
        self.body.extend(part)
        return len(part) if len(self.body) <= MAX_ANSWER else 0


def _prepare(curl: pycurl.Curl, method: str, url: str, headers: Sequence[str], body: bytes, within_ms: int) -> None:
    curl.reset()  # the options of the request before; an open connection stays
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.CUSTOMREQUEST, method)
    # Without "Expect:" libcurl waits for the server's consent to a long body.
    curl.setopt(pycurl.HTTPHEADER, [*headers, "Expect:"])
    if body:
        curl.setopt(pycurl.COPYPOSTFIELDS, body)
    curl.setopt(pycurl.TIMEOUT_MS, within_ms)
    curl.setopt(pycurl.NOSIGNAL, 1)  # signals would reach another thread
    curl.setopt(pycurl.PATH_AS_IS, 1)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.PROXY, "")  # whatever http_proxy says: what is sent is for this server alone
    known = ssl.get_default_verify_paths()  # the certificates that this system knows; libcurl's file may be absent here
    curl.setopt(pycurl.CAINFO, known.cafile) if known.cafile else curl.unsetopt(pycurl.CAINFO)
    if known.capath:
        curl.setopt(pycurl.CAPATH, known.capath)


def _no_answer(code: int, *, was_sent: bool, within_ms: int) -> NoAnswer:
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return NoAnswer(f"no whole answer in {within_ms} ms", was_sent=was_sent, is_late=True)
    return NoAnswer(_REASONS.get(code, f"libcurl's error {code}"), was_sent=was_sent)
