"""The mails to be sent: what happened, to whom it is to be told. Neither an address nor a secret is in it."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import orjson
from redis import ResponseError

from app.stores import keys
from app.stores.connection.client import RedisClient
from app.stores.lua import mail_script
from app.stores.sessions import RETENTION_S, Client

NoticeKind = Literal[
    "sign_in",
    "many_sign_ins",
    "wrong_code",
    "many_wrong_codes",
    "password_changed",
    "totp_on",
    "totp_off",
    "codes_renewed",
    "last_code_used",
    "suspicious",
    "reset",
]

_GROUP = "deliverers"
# Where mails are made and none is sent, because nobody runs the delivery or the mail server is away for long, Redis
# must not fill up: then nobody could sign in. A million take about 300 MB; of more, the oldest are lost.
_MAX_QUEUED = 1_000_000
_MAX_DEAD = 10_000
_READ_AT_ONCE = 1000
_RESET_KEPT_S = 60 * 60  # a link for a reset is good for no longer
_KINDS = frozenset(get_args(NoticeKind))


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a user is told of.

    at        Unix seconds: when it happened
    client    the device that did it
    session   id_hash of the session that the notice is about; "" where it is about none
    epoch     of the user when a reset was asked for; "" in other notices
    """

    kind: NoticeKind
    user_id: str
    at: float
    client: Client
    session: str = ""
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """A notice that a worker has taken, to send it.

    entry_id        of the stream
    notice          None where it cannot be read
    attempts        number of those that failed
    failing_since   Unix seconds of the first of them; None where there was none
    """

    entry_id: str
    notice: Notice | None
    attempts: int = 0
    failing_since: float | None = None


class MailStore:
    """A stream that workers take notices from, one at a time, each until it says what became of it.

    What a worker took and never spoke of, because it died, others take over. Where the group of workers is gone, with
    all of Redis or alone, it is made again. Raises redis.RedisError, left alone here.
    """

    def __init__(
        self, redis: RedisClient, clock: Callable[[], float] = time.time, retention_s: int = RETENTION_S
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._retention_s = retention_s

    def add(self, notice: Notice) -> None:
        told = asdict(notice) | {"client": {name: value for name, value in asdict(notice.client).items() if value}}
        row = ("attempts", 0, "notice", orjson.dumps(told))
        newest = ("SET", keys.newest_reset(notice.user_id), repr(notice.at), "EX", _RESET_KEPT_S)
        queued = ("XADD", keys.MAIL, "MAXLEN", "~", _MAX_QUEUED, "*", *row)
        self._redis.write(queued, *([newest] if notice.kind == "reset" else []))

    def newest_reset(self, user_id: str) -> float | None:
        """When the newest reset of a user's password was asked for, Unix seconds; None where that is an hour ago."""
        [at] = self._redis.read(("GET", keys.newest_reset(user_id)))
        return None if at is None else float(at)

    def new_worker(self) -> str:
        """A name that no other worker has, had or will have."""
        return secrets.token_hex(8)

    def take(self, worker: str, idle_s: float) -> Mail | None:
        """The next mail for a worker that has none under way.

        First what it took without hearing the answer, then what another took `idle_s` ago and never spoke of, then
        what nobody took.
        """
        return self._take_new(worker, "0") or self._take_over(worker, idle_s) or self._take_new(worker, ">")

    def finish(self, mail: Mail) -> None:
        """Forget a mail: it was sent, or need not be."""
        self._run("finish_mail", keys.MAIL_LATER, {"id": mail.entry_id})

    def postpone(self, mail: Mail, due_at: float) -> None:
        """Put a mail aside after an attempt that failed. due_at: Unix seconds"""
        failing_since = self._clock() if mail.failing_since is None else mail.failing_since
        argument = {"id": mail.entry_id, "due_at": due_at, "attempts": mail.attempts + 1}
        argument["failing_since"] = f"{failing_since:.3f}"
        self._run("postpone_mail", keys.MAIL_LATER, argument)

    def requeue_due(self) -> None:
        """Put mails back that were put aside until now, a hundred at most."""
        self._run("requeue_mails", keys.MAIL_LATER, {"now": self._clock()})

    def bury(self, mail: Mail, failure: str) -> None:
        """Give a mail up after an attempt that failed; it is kept as long as addresses of ended sessions are."""
        oldest = str(int((self._clock() - self._retention_s) * 1000))
        argument = {"id": mail.entry_id, "attempts": mail.attempts + 1, "failure": failure}
        self._run("bury_mail", keys.MAIL_DEAD, argument | {"oldest": oldest, "retention_s": self._retention_s})

    def forget(self, user_id: str) -> None:
        """Throw away what is to be told, or was given up, of one user; looks through all there is."""
        mark = f'"user_id":{orjson.dumps(user_id).decode()}'
        for stream in (keys.MAIL, keys.MAIL_DEAD):
            last = "-"
            while entries := self._ask("XRANGE", stream, last, "+", "COUNT", _READ_AT_ONCE):
                last = f"({entries[-1][0].decode()}"
                theirs = [entry_id for entry_id, row in entries if any(mark.encode() in value for value in row[1::2])]
                if theirs:
                    self._redis.write(("XDEL", stream, *theirs))
        cursor = "0"
        while True:
            scan = ("ZSCAN", keys.MAIL_LATER, cursor, "MATCH", f"*{mark}*", "COUNT", _READ_AT_ONCE)
            [(cursor, scored)] = self._redis.read(scan)
            if scored:
                self._redis.write(("ZREM", keys.MAIL_LATER, *scored[::2]))
            if cursor == "0":
                break

    def revive(self) -> int:
        """Queue all mails that were given up, as if they were new, but for those without a notice. Returns: how many"""
        count, last = 0, "0-0"
        while last:
            last, queued = self._run("revive_mails", keys.MAIL_DEAD, {"after": last})
            count += queued
        return count

    def retire(self, worker: str) -> None:
        """Forget a worker that ended; what it left undone stays its own, for others to take over."""
        try:
            [pending] = self._redis.read(("XPENDING", keys.MAIL, _GROUP, "-", "+", 1, worker))
            if not pending:
                self._redis.write(("XGROUP", "DELCONSUMER", keys.MAIL, _GROUP, worker))
        except ResponseError:  # the group is gone, and the worker with it
            return

    def _run(self, script: str, other_key: str, argument: dict[str, Any]) -> Any:
        context = {"group": _GROUP, "max_queued": _MAX_QUEUED, "max_dead": _MAX_DEAD}
        args = (orjson.dumps(context), orjson.dumps(argument))
        reply, _ = self._redis.run_script(mail_script(script), (keys.MAIL, other_key), args)
        return reply

    def _take_new(self, worker: str, after: str) -> Mail | None:
        """after: ">" for what nobody took, "0" for what this worker did."""
        command = ("XREADGROUP", "GROUP", _GROUP, worker, "COUNT", 1, "STREAMS", keys.MAIL, after)
        streams = self._ask(*command)
        return _mail(*streams[0][1][0]) if streams and streams[0][1] else None

    def _take_over(self, worker: str, idle_s: float) -> Mail | None:
        cursor = b"0-0"
        while True:
            command = ("XAUTOCLAIM", keys.MAIL, _GROUP, worker, int(idle_s * 1000), cursor, "COUNT", 1)
            cursor, entries, *_ = self._ask(*command)
            if entries:
                return _mail(*entries[0])
            if cursor == b"0-0":
                return None

    def _ask(self, *command: str | int | bytes) -> Any:
        """The reply as bytes: what somebody else wrote into the stream may be no text."""
        try:
            [reply] = self._redis.write_bytes(command)
        except ResponseError:
            if not self._make_group():
                raise
            [reply] = self._redis.write_bytes(command)
        return reply

    def _make_group(self) -> bool:
        """False where it is there already. It begins with the oldest mail, so none from before it is lost."""
        try:
            self._redis.write(("XGROUP", "CREATE", keys.MAIL, _GROUP, "0", "MKSTREAM"))
        except ResponseError as refused:
            if str(refused).startswith("BUSYGROUP"):
                return False
            raise
        return True


def _mail(entry_id: bytes, fields: Sequence[bytes] | None) -> Mail:
    """fields: names and values in turn; None where the entry was deleted since it was taken"""
    row = dict(zip((fields or ())[::2], (fields or ())[1::2], strict=True))
    try:
        notice = _notice(orjson.loads(row[b"notice"]))
        failing_since = float(row[b"failing_since"]) if b"failing_since" in row else None
        return Mail(entry_id.decode(), notice, int(row[b"attempts"]), failing_since)
    except (KeyError, TypeError, ValueError):
        return Mail(entry_id.decode(), None)


def _notice(told: dict[str, Any]) -> Notice:
    """Raises: KeyError, TypeError or ValueError where it is none"""
    notice = Notice(**told | {"client": Client(**told["client"])})
    texts = (notice.user_id, notice.session, notice.epoch, *told["client"].values())
    if notice.kind not in _KINDS or not all(isinstance(text, str) for text in texts):
        raise ValueError
    if not isinstance(notice.at, (int, float)):
        raise TypeError
    return notice
