"""Links in mails: each works once, for its purpose, until it expires.

How they are made and followed: rules/links.py.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import astuple, dataclass
from typing import Literal, get_args

import orjson

from app.stores.connection.client import RedisClient
from app.stores.foreign import read_json
from app.stores.scripts import WAIT_OR_REFUSE, SessionScripts
from app.stores.session_records import Client, client_of

LinkPurpose = Literal["not_me", "reset", "revert", "verify"]

_PURPOSES = get_args(LinkPurpose)

# of a link in Redis, in the order of Link, with what stands for one that an earlier release did not keep
_FIELDS = {"purpose": "", "session": "", "secrets_version": "", "expires_at": 0, "factor": "", "email": "", "since": 0}


@dataclass(frozen=True, slots=True)
class Link:
    """A link that has not been used yet.

    Attributes:
        session: id_hash of the session that "not_me" ends; "" for a reset.
        secrets_version: The user's secrets version when the reset was requested; "" for "not_me".
        expires_at: Unix seconds.
        factor: For "revert", the factor that the link takes off, as rules/links.py names it; "" for an address.
        email: The address that "verify" verifies, or that "revert" puts back; else "".
        since: When the address was asked for, Unix seconds: the one that "verify" verifies, or that "revert" replaces.
    """

    purpose: LinkPurpose
    session: str
    secrets_version: str
    expires_at: float
    factor: str = ""
    email: str = ""
    since: int = 0

    def as_text(self) -> str:
        """Return it as Redis has it, in JSON."""
        return orjson.dumps(dict(zip(_FIELDS, astuple(self), strict=True))).decode()


class LinkStore:
    def __init__(self, redis: RedisClient, scripts: SessionScripts, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._keys = scripts.keys
        self._clock = clock
        self._open = scripts.register("open_link")
        self._end_session = scripts.register("end_by_link", WAIT_OR_REFUSE)

    def open(self, user_id: str, id_hash: str, link: Link) -> None:
        """Write a link under the hash of its secret. Earlier links stay good, because anybody can ask for one more."""
        argument = {"id_hash": id_hash, "record": link.as_text()}
        self._open(user_id, [self._keys.links(user_id)], argument)

    def get(self, user_id: str, id_hash: str) -> Link | None:
        [raw] = self._redis.read_own(("HGET", self._keys.links(user_id), id_hash))
        link = _parse_link(raw) if raw else None
        return link if link and link.expires_at > self._clock() else None

    def addresses(self, user_id: str) -> Collection[str]:
        """Return the addresses that a user's links verify or put back. The time of some links may be over."""
        [held] = self._redis.read_own(("HGETALL", self._keys.links(user_id)))
        return {link.email for link in map(_parse_link, (held or ())[1::2]) if link and link.email}

    def end_session(self, user_id: str, id_hash: str) -> Client | None:
        """Use up a link and end the session that it names, even if that session has another hash by now.

        The user's remembered devices are forgotten: one of them may be that of the session.

        Returns:
            The client of the session, with all fields None if the session was over already; None if there is no such
            link.
        """
        further = [self._keys.links(user_id), self._keys.remembered(user_id)]
        record = self._end_session(user_id, further, {"id_hash": id_hash})
        return None if record == 0 else client_of(record)


def _parse_link(raw: str) -> Link | None:
    """Return the link; None if the text is not one of ours."""
    record = read_json(raw)
    if record.get("purpose") not in _PURPOSES or not isinstance(record.get("expires_at"), int | float):
        return None
    return Link(*(record.get(name, absent) for name, absent in _FIELDS.items()))
