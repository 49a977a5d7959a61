"""The queue of mails: notices to users. It contains no e-mail address and no secret.

The queue itself: jobs.py. Which notices are due: rules/notices.py. The words and the sending: mail/.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import orjson
from redis import ResponseError

from app.stores.connection.client import RedisClient
from app.stores.job_records import Queue
from app.stores.jobs import JobQueue, no_job_in_foreign_key
from app.stores.keys import Keys, unprefixed
from app.stores.lifetimes import RETENTION_S
from app.stores.session_records import Client

NoticeKind = Literal[
    "sign_in",
    "many_sign_ins",
    "wrong_code",
    "many_wrong_codes",
    "password_changed",
    "totp_on",
    "totp_off",
    "passkey_added",
    "passkey_removed",
    "passkey_copied",
    "codes_renewed",
    "last_code_used",
    "suspicious",
    "others_ended",
    "reset",
    "verify",
    "new_address",
    "address_changed",
    "account_disabled",
    "account_deleted",
    "came_back",
]

# One mail that fails does not hold up the others of its user.
IN_NO_ORDER = ""
_GROUP_BEFORE = "deliverers"  # the consumer group of the release before
_RESET_KEPT_S = 60 * 60  # for as long as a link for a reset works
_KINDS = frozenset(get_args(NoticeKind))


def new_notice_id() -> str:
    """Return an id that no other notice has and nobody can guess."""
    return secrets.token_hex(32)


@dataclass(frozen=True, slots=True)
class Notice:
    """A mail that is still to be written, about an event on an account.

    Attributes:
        at: When the event happened, Unix seconds.
        client: The device that caused the event.
        session: id_hash of the session that the event is about; "" if there is none.
        secrets_version: The user's secrets version when the reset was requested; "" in other notices.
        factor: For "totp_on" and "passkey_added", the factor as rules/links.py names it; "" in other notices.
        id: Stays the same however often the notice is tried. A notice that an earlier release queued has another each
            time that it is read.
        language: The user's, of the moment in which the notice was queued, so that a mail that is sent twice is the
            same; "" if the user had none.
        digest: For "verify" and "new_address", the keyed hash of the address that is mailed; "" in other notices.
    """

    kind: NoticeKind
    user_id: str
    at: float
    client: Client
    session: str = ""
    secrets_version: str = ""
    factor: str = ""
    id: str = field(default_factory=new_notice_id)
    language: str = ""
    digest: str = ""

    def as_text(self) -> str:
        """Return it as the queue has it, in JSON, without the language: that is the user's when it is queued."""
        client = {name: value for name, value in asdict(replace(self.client, place=None)).items() if value}
        fields = asdict(self) | {"client": client}
        fields.pop("language")
        return orjson.dumps(fields).decode()


class MailStore(JobQueue[Notice]):
    """The queue of notices, and when each user last asked for a reset."""

    def __init__(
        self,
        redis: RedisClient,
        clock: Callable[[], float] = time.time,
        retention_s: int = RETENTION_S,
        keys: Keys = unprefixed,
    ) -> None:
        super().__init__(redis, mail_queue(keys), _parse_notice, clock, retention_s)
        self._keys = keys

    def add(self, notice: Notice) -> None:
        """Queue a notice, with the language of its user. For a reset, also note when the user asked."""
        [language] = self._redis.read_own(("HGET", self._keys.user(notice.user_id), "language"))
        content = orjson.dumps(orjson.loads(notice.as_text()) | {"language": language or ""})
        # GET lets Redis refuse to overwrite a key of another type, which is another application's
        newest = ("SET", self._keys.newest_reset(notice.user_id), repr(notice.at), "EX", _RESET_KEPT_S, "GET")
        self.put(content, IN_NO_ORDER, *([newest] if notice.kind == "reset" else []))

    def adopt(self) -> None:
        """Take over what the release before has postponed, and remove its consumer group.

        Its processes that deliver must have ended, or they deliver some mails twice.
        """
        later = self._keys.mail_later
        with no_job_in_foreign_key():
            for row in self._redis.write_bytes(("ZRANGE", later, 0, -1))[0]:
                *_, content = row.split(b" ", 3)  # behind an id, attempts, and when it first failed
                self.put(content, IN_NO_ORDER, ("ZREM", later, row))
        with suppress(ResponseError):  # there is no such group, or no stream
            self._redis.write(("XGROUP", "DESTROY", self._keys.mail.waiting, _GROUP_BEFORE))

    def newest_reset(self, user_id: str) -> float | None:
        """Return when a user last asked for a reset, in Unix seconds; None if that is more than an hour ago."""
        [at] = self._redis.read_own(("GET", self._keys.newest_reset(user_id)))
        try:
            return None if at is None else float(at)
        except ValueError:  # another program wrote it
            return None

    def forget(self, user_id: str) -> None:
        """Delete all queued notices to one user."""
        self.discard(f'"user_id":{orjson.dumps(user_id).decode()}')


def mail_queue(keys: Keys) -> Queue:
    return Queue("mail", keys.mail, "notice")


def _parse_notice(content: bytes) -> Notice:
    """Return the notice. Raise KeyError, TypeError or ValueError if the text is not a notice."""
    fields: dict[str, Any] = orjson.loads(content)
    if not isinstance(fields, dict):
        raise TypeError
    fields.pop("epoch", None)  # an earlier release wrote it; a reset that was asked for then is dropped
    notice = Notice(**fields | {"client": Client(**fields["client"])})
    texts = (
        notice.user_id,
        notice.session,
        notice.secrets_version,
        notice.factor,
        notice.id,
        notice.language,
        notice.digest,
        *fields["client"].values(),
    )
    if notice.kind not in _KINDS or not all(isinstance(text, str) for text in texts):
        raise ValueError
    if not isinstance(notice.at, (int, float)):
        raise TypeError
    return notice
