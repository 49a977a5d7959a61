"""Tokens of the service before: which are sessions, which were, and how one becomes a session. The rules:
rules/adoption.py.

A token's signature holds for ever, so its end must be kept for as long as tokens are adopted. Each adopted token leaves
a mark in its user's record, set by the script that makes the session: a marked token without a live session is over,
whatever ended it. So no way to end sessions has to think of it, and no list can forget it. The record is the place,
because a token without a user is refused: a mark cannot be lost alone, by eviction or otherwise. What ends all sessions
of a user also moves `tokens_valid_since` (lua/change.lua), for the tokens that were never used here.

The mark has the hash of what is signed, not of the whole token: whoever has an ECDSA signature can make another one of
it that holds (r, n - s), and with it another token.
"""

from dataclasses import dataclass
from typing import Literal, cast

from app.stores.connection.client import RedisClient
from app.stores.scripts import WAIT_AND_GO_ON, SessionScripts
from app.stores.session_records import NewSession, Session, parse_session

Adopted = Literal["adopted", "live", "ended", "unknown_user", "disabled", "before_valid_since", "too_many"]


@dataclass(frozen=True, slots=True)
class Known:
    """What Redis knows of a token.

    Attributes:
        session: Its session; None if there is none. It may have expired.
        is_marked: The token was a session once, or is one.
    """

    session: Session | None
    is_marked: bool


class AdoptionStore:
    def __init__(self, redis: RedisClient, scripts: SessionScripts) -> None:
        self._redis = redis
        self._keys = scripts.keys
        # A failover may undo it, and then the token is adopted once more.
        self._adopt = scripts.register("adopt_session", WAIT_AND_GO_ON)

    def look_up(self, user_id: str, id_hash: str, signed_hash: str) -> Known:
        """Return what is known of a token, in one trip.

        Args:
            signed_hash: SHA-256 of the part of the token that is signed, in base64.
        """
        # In this order: what is adopted meanwhile is never seen with its mark and without its session.
        mark, score, record = self._redis.read_own(
            ("HGET", self._keys.user(user_id), f"adopted:{signed_hash}"),
            ("ZSCORE", self._keys.last_used(user_id), id_hash),
            ("HGET", self._keys.sessions(user_id), id_hash),
        )
        session = None if score is None else parse_session(user_id, id_hash, float(score), record)
        return Known(session, mark is not None)

    def adopt(
        self, user_id: str, id_hash: str, signed_hash: str, issued_at: int, new: NewSession | None = None
    ) -> Adopted:
        """Make a session of a token whose signature holds.

        Args:
            issued_at: Unix seconds.
            new: None only asks what would be.

        Returns:
            "adopted", or "live" if another request has just done so; else why it is refused.
        """
        opens = {"opens": new.as_argument()} if new else {}
        argument = {"id_hash": id_hash, "signed_hash": signed_hash, "issued_at": issued_at} | opens
        return cast(Adopted, self._adopt(user_id, [self._keys.user(user_id)], argument))
