"""The fast lane: answers a gateway's check in the worker's loop, without a thread and without waiting for Redis.

It answers only a yes, and with the same bytes as the slow lane does, in which gunicorn hands a request to a thread
(front.py, verify.py). What it does not know for certain goes the slow way. Who asks here: serving/fast_worker.py.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from gunicorn import SERVER
from gunicorn.util import http_date

from app import tokens
from app.callers.identity import SAFE_METHODS, Environ
from app.rules.adoptable import Adoptable
from app.watch import metrics
from app.web import verify
from app.web.front import Front, request_id_of
from app.web.services import Services
from app.web.uses import Uses

try:
    from gunicorn_h1c import parse_to_wsgi_environ  # type: ignore[import-untyped]
except ImportError:  # it could not be built here
    parse_to_wsgi_environ = None

MAX_FIELDS = 100  # as many as gunicorn takes at the least (serving/fast_worker.py)

# The whole head and nothing more, of the form that all programs read alike: one space, CRLF, no folded line, no control
# character. gunicorn drops fields with an underscore in their names, and the parser would not.
_HEAD = re.compile(
    rb"[A-Z]{3,20}+ %s HTTP/1\.1\r\n(?:[A-Za-z0-9!#$%%&'*+.^`|~-]{1,100}+:[\t\x20-\x7e\x80-\xff]*+\r\n){1,%d}+\r\n"
    % (re.escape(verify.PATH.encode()), MAX_FIELDS)
)
# Fields by which gunicorn treats a request in another way.
_ODD = frozenset(("HTTP_TRANSFER_ENCODING", "HTTP_TRAILER", "HTTP_EXPECT", "HTTP_UPGRADE", "HTTP_HTTP2_SETTINGS"))
_GAP = "\0"  # no header has it
_MOST_FORMS = 100  # a browser may choose a part of the headers for other origins
_SAFE = SAFE_METHODS[0]


@dataclass(slots=True)  # frozen, it would take a microsecond more
class Question:
    """A gateway's check that is answered by the last use of a session.

    Attributes:
        began: When it arrived, by time.perf_counter.
    """

    environ: Environ
    claim: tokens.Claim
    began: float


class FastLane:
    """What a worker's loop calls (serving/fast_worker.py). Nothing here waits for Redis, but for the jobs for threads.

    Attributes:
        make_holder: Returns what tells the last use of a session; None if there are no leases.
        look_after_redis: A job for several times a second.
        pass_counts_on: Lets the metrics have what was counted. Call it once a second, and at the end.
    """

    def __init__(self, front: Front, services: Services) -> None:
        self.make_holder = services.make_holder
        self.look_after_redis = services.look_after_redis
        self.pass_counts_on = metrics.CHECK_COUNTS.pass_on
        self._front = front
        self._callers = services.callers
        self._devices = services.devices
        self._redis_now = services.redis_now
        self._uses = Uses(services.callers, services.devices)
        self._forms: dict[tuple[tuple[str, str], ...], str] = {}  # for each set of headers for other origins
        self._second = 0  # in which they were made

    @property
    def has_uses(self) -> bool:
        """Tell whether uses of sessions are to be noted."""
        return bool(self._uses)

    def take_uses(self) -> Callable[[], None]:
        """Return a job that notes the uses of sessions so far."""
        return partial(self._uses.note, self._uses.take())

    def read(self, head: bytes, client: Any) -> Question | None:
        """Return the question in what was received on a connection; None if it must go the slow way.

        Args:
            client: The address of the other end, as sockets have it.
        """
        began = time.perf_counter()
        if parse_to_wsgi_environ is None or not _HEAD.fullmatch(head):
            return None
        try:
            environ = parse_to_wsgi_environ(head, client=client, limit_request_field_size=len(head))
        except ValueError:  # two lengths, or two codings
            return None
        if not _is_plain(environ):
            return None
        token = self._callers.find_token(environ, _SAFE)
        if isinstance(token, Adoptable) or not self._counts(environ):
            return None
        claim = tokens.read(token)
        return Question(environ, claim, began) if claim else None

    def _counts(self, environ: Environ) -> bool:
        """Tell whether the token counts whichever page has sent it. Of unsafe methods only that of the header does."""
        return verify.original_method(environ) in SAFE_METHODS or self._callers.is_known_by_header(environ)

    def answer(self, question: Question, last_used_at: float, lane: metrics.Lane) -> bytes | None:
        """Return the answer to a question; None if it must go the slow way.

        Args:
            last_used_at: When the session was last used, in Unix seconds.
            lane: Where that comes from.
        """
        claim, environ = question.claim, question.environ
        redis_now = self._redis_now()
        verdict = self._devices.judge(claim, last_used_at, redis_now) if redis_now is not None else None
        if verdict is None:
            return None
        if verdict == "touch":
            self._uses.add(claim, environ)
        request_id = request_id_of(environ)
        form = self._form(tuple(self._front.cors.headers(environ)))
        answer = (form % (claim.user_id, claim.id_hash, request_id)).encode("latin-1")
        seconds = time.perf_counter() - question.began
        metrics.CHECK_COUNTS.count(lane, seconds)
        self._front.log_admitted(environ, request_id, seconds)
        return answer

    def _form(self, cors: tuple[tuple[str, str], ...]) -> str:
        """Return an answer with gaps for the user's id, the id_hash and the request's id. It lasts for a second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._forms.clear()
        form = self._forms.get(cors)
        if form is None:
            # Before the headers of the application, gunicorn writes these.
            of_server = [("Server", SERVER), ("Date", http_date(second)), ("Connection", "keep-alive")]
            fields = [*of_server, *self._front.headers_for(_GAP, _GAP, cors, _GAP)]
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
            form = f"HTTP/1.1 {verify.ADMITTED}\r\n{lines}\r\n".replace("%", "%%").replace(_GAP, "%s")
            if len(self._forms) < _MOST_FORMS:
                self._forms[cors] = form
        return form


def _is_plain(environ: Environ) -> bool:
    """Tell whether a request has no body, nothing by which gunicorn treats it in another way, and keeps its connection.

    The parser has joined fields of one name by commas; gunicorn refuses a second Host or Content-Type.
    """
    return (
        environ.get("CONTENT_LENGTH", "0") == "0"
        and environ.get("HTTP_CONNECTION", "keep-alive").lower() == "keep-alive"
        and environ["REQUEST_METHOD"] != "CONNECT"
        and "," not in environ.get("HTTP_HOST", "")
        and "," not in environ.get("CONTENT_TYPE", "")
        and _ODD.isdisjoint(environ)
    )
