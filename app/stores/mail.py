"""The mails to be sent, a queue of jobs: which notice goes to which user. Neither an address nor a secret is in it.

The queue itself: jobs.py. Which notices are due: rules/notices.py. The words and the sending: mail/.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import orjson

from app.stores import keys
from app.stores.connection.client import RedisClient
from app.stores.jobs import JobQueue, Queue
from app.stores.lifetimes import RETENTION_S
from app.stores.sessions import Client

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

# Where mails are made and none is sent, because nobody runs the delivery or the mail server is away for long, Redis
# must not fill up: then nobody could sign in. A million take about 300 MB; of more, the oldest are lost.
_QUEUE = Queue(
    ready=keys.MAIL,
    later=keys.MAIL_LATER,
    dead=keys.MAIL_DEAD,
    group="deliverers",
    content="notice",
    max_ready=1_000_000,
)
_RESET_KEPT_S = 60 * 60  # a link for a reset is good for no longer
_KINDS = frozenset(get_args(NoticeKind))


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a user is told of.

    at        Unix seconds: when it happened
    client    the device that did it
    session   id_hash of the session that the notice is about; "" where it is about none
    credentials_version     of the user when a reset was asked for; "" in other notices
    """

    kind: NoticeKind
    user_id: str
    at: float
    client: Client
    session: str = ""
    credentials_version: str = ""


class MailStore(JobQueue[Notice]):
    """The queue of notices, and when each user last asked for a reset."""

    def __init__(
        self, redis: RedisClient, clock: Callable[[], float] = time.time, retention_s: int = RETENTION_S
    ) -> None:
        super().__init__(redis, _QUEUE, _parse_notice, clock, retention_s)

    def add(self, notice: Notice) -> None:
        """Queue a notice. One for a reset becomes the user's newest."""
        client = {name: value for name, value in asdict(notice.client).items() if value}
        fields = asdict(notice) | {"client": client}
        content = orjson.dumps(fields | {"epoch": fields.pop("credentials_version")})
        newest = ("SET", keys.newest_reset(notice.user_id), repr(notice.at), "EX", _RESET_KEPT_S)
        self.put(content, *([newest] if notice.kind == "reset" else []))

    def newest_reset(self, user_id: str) -> float | None:
        """Return when a user last asked for a reset, Unix seconds; None where that is an hour ago."""
        [at] = self._redis.read(("GET", keys.newest_reset(user_id)))
        return None if at is None else float(at)

    def forget(self, user_id: str) -> None:
        """Throw away all notices to one user."""
        self.discard(f'"user_id":{orjson.dumps(user_id).decode()}')


def _parse_notice(content: bytes) -> Notice:
    """Raises KeyError, TypeError or ValueError where it is none."""
    fields: dict[str, Any] = orjson.loads(content)
    known = fields | {"client": Client(**fields["client"]), "credentials_version": fields["epoch"]}
    notice = Notice(**{name: value for name, value in known.items() if name != "epoch"})
    texts = (notice.user_id, notice.session, notice.credentials_version, *fields["client"].values())
    if notice.kind not in _KINDS or not all(isinstance(text, str) for text in texts):
        raise ValueError
    if not isinstance(notice.at, (int, float)):
        raise TypeError
    return notice
