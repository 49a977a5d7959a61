"""The sessions of each user: live sessions, and sessions that ended lately. Their records: session_records.py.

When a session is over: lifetimes.py, and lua/session.lua for the scripts. The rules: rules/checks.py
and rules/devices.py.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from redis import ResponseError

from app.errors import Unauthorized
from app.snowflakes import NOBODY
from app.stores.connection.client import Found, Other, Read, RedisClient
from app.stores.factors import CHECK_COMMANDS
from app.stores.foreign import is_time, read_json
from app.stores.mail import Notice
from app.stores.scripts import WAIT_AND_GO_ON, WAIT_OR_REFUSE, SessionScripts
from app.stores.session_records import (
    Amr,
    Client,
    Ended,
    NewSession,
    Session,
    known_fields,
    parse_ended,
    parse_session,
)
from app.watch.events import Reason

log = logging.getLogger(__name__)

# A use of a session is noted at most once a minute. Two places check this: rules/checks.py (is_touch_due) saves most
# requests a trip to Redis, and lua/touch_session.lua lets only one of several simultaneous requests write.
TOUCH_EVERY_S = 60


class CallerGone(Unauthorized):
    """The session that asked for a change had ended before, so the change was not made."""


class SessionStore:
    """Opens, touches, lists and ends sessions. redis.RedisError is not caught here; the client gets 503."""

    def __init__(self, redis: RedisClient, scripts: SessionScripts) -> None:
        self._redis = redis
        self._keys = scripts.keys
        # A login may end the least recently used session. If it were then refused, each retry would end another one.
        self._open = scripts.register("open_session", WAIT_AND_GO_ON)
        self._touch = scripts.register("touch_session")
        self._touch_all = scripts.register_batch("touch_session")
        self._end = scripts.register("end_sessions", WAIT_OR_REFUSE)
        self._end_former = scripts.register("end_sessions", WAIT_AND_GO_ON)
        self._rename = scripts.register("rename_session")
        self._finish_expired = scripts.register("finish_expired")

    def open(
        self,
        user_id: str,
        id_hash: str,
        began_at: int,
        client: Client,
        credentials_version: str,
        cap: int,
        *,
        on_public_computer: bool = False,
        attempt: str = "",
        amr: tuple[Amr, ...] | None = None,
        comes_back: bool = False,
        return_notice: Notice | None = None,
    ) -> bool:
        """Open a session. Sign-ins by a code and resets open theirs together with what they change: users.py, Change.

        Args:
            credentials_version: The user's version when the login began.
            comes_back: Take it back that the user has left.
            return_notice: A mail that is queued if that was so.

        Returns:
            False if the user's credentials have changed since the login began, or the user is disabled or gone.
        """
        opens = NewSession(id_hash, began_at, client, cap, on_public_computer, attempt, amr)
        argument: dict[str, Any] = {"credentials_version": credentials_version, "opens": opens.as_argument()}
        argument |= {"comes_back": True} if comes_back else {}
        argument |= {"return_notice": return_notice.as_text()} if return_notice else {}
        return bool(self._open(user_id, [self._keys.user(user_id)], argument))

    def look_up(self, *reads: Read[Found]) -> list[Found]:
        """Return what is found, in this order and in one trip if it is of one user."""
        return self._redis.look_up(*reads)

    def look_up_both(self, first: Read[Found], second: Read[Other]) -> tuple[Found, Other]:
        return self._redis.look_up_both(first, second)

    def last_use(self, user_id: str, id_hash: str) -> Read[float | None]:
        """Return the Read of a session's last use, in Unix seconds; None if there is no such session. One command."""
        return Read([("ZSCORE", self._keys.last_used(user_id), id_hash)], lambda replies: _score(replies[0]))

    def last_use_with_proof(
        self, user_id: str, id_hash: str, proof_hash: str
    ) -> Read[tuple[float | None, str | None, bool]]:
        """Return the Read of a session and a proof.

        Three values are found. When the session was last used (Unix s); None if there is no such session. The value of
        the proof (`proof_value`); None if there is no such proof, or the user's secrets have changed since. Whether the
        user has a second factor.
        """

        def parse(replies: Sequence[Any]) -> tuple[float | None, str | None, bool]:
            score, proof, version, *factors_on = replies
            value, _, earned_under = (proof or "").rpartition(" ")
            is_current = earned_under == (version or "0")
            return _score(score), value if is_current else None, any(factors_on)

        commands = [
            ("ZSCORE", self._keys.last_used(user_id), id_hash),
            ("GET", self._keys.proof(user_id, proof_hash)),
            ("HGET", self._keys.user(user_id), "secrets_version"),
            *(make(self._keys, user_id) for make in CHECK_COMMANDS),
        ]
        return Read(commands, parse)

    def require_readable(self) -> None:
        """Raise redis.RedisError if tokens cannot be checked now.

        It sends the command of a token check, for a user that does not exist. It does not send PING, because a Redis
        that cannot write its snapshot refuses PING, although sessions can still be read.
        """
        self._redis.require_answer(("ZSCORE", self._keys.last_used(NOBODY), ""))

    def touch(self, user_id: str, id_hash: str, client: Client) -> bool:
        """Note that a session was used, and by which client, at most once a minute. A session that ended stays ended.

        Returns:
            Whether the use was noted. A Redis that is full or refuses writes notes nothing. Sessions stay signed in.
        """
        try:
            return bool(self._touch(user_id, (), _use(id_hash, client)))
        except ResponseError as refused:
            log.warning("the use of a session was not noted: %s", type(refused).__name__)
            return False

    def touch_all(self, uses: Sequence[tuple[str, str, Client]]) -> None:
        """Note uses of sessions as `touch` does.

        Args:
            uses: For each, its user id, id_hash and client.
        """
        self._touch_all([(user_id, _use(id_hash, client)) for user_id, id_hash, client in uses])

    def all_of(self, user_id: str) -> Read[Sequence[Session]]:
        """Return the Read of all sessions of a user, most recently used first. Some may have expired.

        A session whose record was lost, or is not one of ours, is listed with unknown client, because the user must see
        every session.
        """
        # Records are read first, so that a session that ends between the two commands is not listed.
        commands = [
            ("HGETALL", self._keys.sessions(user_id)),
            ("ZREVRANGE", self._keys.last_used(user_id), 0, -1, "WITHSCORES"),
        ]
        return Read(commands, partial(_parse_sessions, user_id))

    def list(self, *user_ids: str) -> Sequence[Session]:
        """Return the sessions of users as `all_of` finds them, one user after the other, in one trip."""
        found = self.look_up(*[self.all_of(user_id) for user_id in user_ids])
        return [*chain.from_iterable(found)]

    def find(self, named: Sequence[tuple[str, str]]) -> Sequence[Session | None]:
        """Return sessions by user id and id_hash, in this order and one trip; None for each that does not exist."""
        commands = (
            command
            for user_id, id_hash in named
            for command in (
                ("ZSCORE", self._keys.last_used(user_id), id_hash),
                ("HGET", self._keys.sessions(user_id), id_hash),
            )
        )
        replies = self._redis.read_own(*commands)
        found = zip(named, replies[::2], replies[1::2], strict=True)
        return [None if score is None else parse_session(*name, float(score), record) for name, score, record in found]

    def end(self, user_id: str, id_hashes: Sequence[str], reason: Reason, caller: str | None = None) -> int:
        """End sessions of one user. Hashes that are not theirs are skipped.

        The remembered device on which a session was opened is forgotten, unless the session ends itself.

        Args:
            id_hashes: 1 to 64 hashes, each standard base64 of 32 bytes (SHA-256 of the token).
            caller: id_hash of the session that asks; None for an operator.

        Returns:
            The number of ended sessions, 0 to len(id_hashes).

        Raises:
            CallerGone: The caller's session is over.
        """
        argument = {"id_hashes": list(id_hashes), "reason": reason} | ({"caller": caller} if caller else {})
        count = int(self._end(user_id, [self._keys.remembered(user_id)], argument))
        if count < 0:
            raise CallerGone
        return count

    def end_former(self, user_id: str, id_hash: str) -> None:
        """End the session that a browser had before it signed in again.

        The request goes on even if too few replicas confirm this, because that must not refuse the new sign-in.
        """
        argument = {"id_hashes": [id_hash], "reason": "logout", "caller": id_hash}
        self._end_former(user_id, [self._keys.remembered(user_id)], argument)

    def rename(self, user_id: str, id_hash: str, name: str | None, caller: str) -> bool:
        """Give a session the name that its user chose; None removes the name.

        Args:
            caller: id_hash of the session that asks.

        Returns:
            False if there is no such session.

        Raises:
            CallerGone: The caller's session is over.
        """
        argument = {"id_hash": id_hash, "caller": caller} | ({"name": name} if name is not None else {})
        outcome = int(self._rename(user_id, (), argument))
        if outcome < 0:
            raise CallerGone
        return bool(outcome)

    def list_ended(self, user_id: str, since: float) -> Sequence[Ended]:
        """Return the sessions that ended at `since` (Unix seconds) or later, newest first."""
        command = ("ZREVRANGEBYSCORE", self._keys.ended(user_id), "+inf", repr(since), "WITHSCORES")
        rows = self._redis.read_own(command)[0] or ()
        found = (parse_ended(user_id, raw, float(score)) for raw, score in zip(rows[::2], rows[1::2], strict=True))
        return [ended for ended in found if ended]

    def began_by_login(self, user_id: str, id_hash: str) -> bool:
        """Tell whether a session began by a login with every factor. One whose record is lost may not have."""
        [raw] = self._redis.read_own(("HGET", self._keys.sessions(user_id), id_hash))
        record = read_json(raw)
        amr = record.get("amr")
        spared_code = isinstance(amr, list) and "remembered" in amr
        return "began_at" in record and "adopted_at" not in record and not spared_code

    def first_id_hash(self, user_id: str, id_hash: str) -> str:
        """Return the hash that a session had when it began. Each new token gives it another one."""
        [raw] = self._redis.read_own(("HGET", self._keys.sessions(user_id), id_hash))
        formers = read_json(raw).get("formers")
        return str(formers[0]) if isinstance(formers, list) and formers else id_hash

    def addresses_since(self, user_id: str, since: float, most: int) -> Mapping[str, str | None]:
        """Return the last addresses of a user's newest sessions: of those that live, and of those that ended lately.

        Args:
            since: Unix seconds. What ended before is left out.
            most: How many of each kind are looked at.

        Returns:
            Maps id_hash to address, most recently used first; None if the address is unknown.
        """
        id_hashes, rows = self._redis.read_own(
            ("ZREVRANGE", self._keys.last_used(user_id), 0, most - 1),
            ("ZREVRANGEBYSCORE", self._keys.ended(user_id), "+inf", repr(since), "LIMIT", 0, most),
        )
        # "none" asks for nobody's record, so that a user without sessions costs as many trips.
        [records] = self._redis.read_own(("HMGET", self._keys.sessions(user_id), *(id_hashes or ["none"])))
        rows_of_live = zip(id_hashes or (), records or (), strict=False)
        live = [parse_session(user_id, id_hash, since, record) for id_hash, record in rows_of_live]
        ended = [found.session for raw in rows or () if (found := parse_ended(user_id, raw, since))]
        return {session.id_hash: session.client.ip for session in (*live, *ended)}

    def finish_expired(self, user_id: str) -> None:
        """End the expired sessions of a user: send their events and record their ends. For every check they were over
        before.

        Sessions that ended longer ago than the retention are forgotten.
        """
        self._finish_expired(user_id)


def _score(reply: Any) -> float | None:
    return None if reply is None else float(reply)


def _parse_sessions(user_id: str, replies: Sequence[Any]) -> Sequence[Session]:
    records, scored = (reply or () for reply in replies)
    record_of = dict(zip(records[::2], records[1::2], strict=True))
    return [
        parse_session(user_id, id_hash, float(score), record_of.get(id_hash))
        for id_hash, score in zip(scored[::2], scored[1::2], strict=True)
        if is_time(float(score))
    ]


def _use(id_hash: str, client: Client) -> dict[str, Any]:
    """Return the argument of the script that notes a use."""
    return {"id_hash": id_hash, "every_s": TOUCH_EVERY_S, "client": known_fields(client)}
