"""Checks of tokens: whose session a token is, whether it is over, and whether its use is to be noted.

Threads ask here, and so does the worker's loop, which must not wait for Redis. What else is done with sessions:
devices.py.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from app import tokens
from app.errors import Unauthorized
from app.rules.adoptable import Adoptable
from app.rules.adoption import Adoption
from app.stores.connection.client import NOTHING, Found, Read
from app.stores.lifetimes import Lifetimes
from app.stores.session_records import Client, Session
from app.stores.sessions import TOUCH_EVERY_S, SessionStore
from app.stores.tickets import proof_value

# A session is live, and its use is to be noted or was noted lately.
Verdict = Literal["touch", "pass"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A session that was live when its token was checked.

    Attributes:
        began_at: Unix seconds, the time in a new token of the session. Of an adopted one see `Adoption.time_in_tokens`.
        last_used_at: Unix seconds, exact to a minute.
        has_adopted_token: The token is one of the service before.
        proved: The request has a recent proof by what is needed now: the second factor if MFA is on, else the password.
    """

    user_id: str
    id_hash: str
    began_at: int
    last_used_at: float
    proved: bool
    has_adopted_token: bool = False


class Checks:
    """Checks tokens. A token without a live session is refused."""

    def __init__(
        self,
        store: SessionStore,
        lifetimes: Lifetimes,
        clock: Callable[[], float] = time.time,
        redis_clock: Callable[[], float] | None = None,
        adoption: Adoption | None = None,
    ) -> None:
        """
        Args:
            redis_clock: The clock of Redis; None stands for `clock`.
            adoption: None if tokens of the service before are not adopted.
        """
        self.adoption = adoption
        self._store = store
        self._lifetimes = lifetimes
        self._clock = clock
        self._redis_clock = redis_clock or clock

    def identify(self, token: str, proof: str = "") -> Caller:
        """Return the session of a token, in one trip.

        Args:
            proof: The proof in the request. An invalid proof counts as absent.

        Raises:
            Unauthorized: The token has no live session.
        """
        return self.identify_and_look_up(token, proof, lambda _: NOTHING)[0]

    def identify_and_look_up(
        self, token: str, proof: str, beside: Callable[[str], Read[Found]]
    ) -> tuple[Caller, Found]:
        """Return the session of a token as `identify` does, and what else of its user is found in the same trip.

        Args:
            beside: Returns what to look up, by the user's id.
        """
        claim = tokens.read(token)
        if claim is None:
            raise Unauthorized
        last_used_at, proved, found = self._look_up(claim.user_id, claim.id_hash, proof, beside(claim.user_id))
        if last_used_at is None:
            raise Unauthorized
        now = self._agreed_time()
        is_over = self._is_over(claim, last_used_at, now)
        if is_over is None:
            is_over = self._is_over_by_record(claim, now)
        if is_over:
            self._store.finish_expired(claim.user_id)
            raise Unauthorized
        return Caller(claim.user_id, claim.id_hash, claim.at, last_used_at, proved), found

    def look_up(self, read: Read[Found]) -> Found:
        """Return what is found, in a trip of its own."""
        [found] = self._store.look_up(read)
        return found

    def judge(self, claim: tokens.Claim, last_used_at: float, redis_now: float) -> Verdict | None:
        """Tell without Redis what to do about a session of which the last use is known.

        Args:
            redis_now: The time of Redis, in Unix seconds.

        Returns:
            None if the session is over, or if only Redis can tell.
        """
        now = self._clock()
        if self._is_over(claim, last_used_at, min(now, redis_now)) is not False:
            return None
        return "touch" if _is_touch_due(last_used_at, now, redis_now) else "pass"

    def identify_adopted(self, token: Adoptable, client: Callable[[], Client], proof: str = "") -> Caller:
        """Return the session of a token of the service before. At the token's first use it is made.

        Args:
            client: Returns the client of the request.
            proof: As for `identify`.

        Raises:
            Unauthorized: The token is not adopted, or its session is over.
        """
        if self.adoption is None:
            raise Unauthorized
        session = self.adoption.find(token, client)
        proved = bool(proof) and self._look_up(token.user_id, token.id_hash, proof, NOTHING)[1]
        began_at = self.adoption.time_in_tokens(session)
        return Caller(token.user_id, token.id_hash, began_at, session.last_used_at, proved, has_adopted_token=True)

    def _look_up(self, user_id: str, id_hash: str, proof: str, beside: Read[Found]) -> tuple[float | None, bool, Found]:
        """Return when a session was last used (None if there is no such session), whether the proof is good, and what
        is found beside that."""
        proof_claim = tokens.read(proof) if proof else None
        if proof_claim is None or proof_claim.user_id != user_id:
            last_used_at, found = self._store.look_up_both(self._store.last_use(user_id, id_hash), beside)
            return last_used_at, False, found
        last_use = self._store.last_use_with_proof(user_id, id_hash, proof_claim.id_hash)
        (last_used_at, held, has_mfa), found = self._store.look_up_both(last_use, beside)
        # If MFA is on, the password is no proof, even if it was given shortly before MFA was turned on.
        ways = [proof_value("mfa", id_hash), *([] if has_mfa else [proof_value("password", id_hash)])]
        return last_used_at, held in ways, found

    def _agreed_time(self) -> float:
        """Return the time by which sessions are over: by this clock and by that of Redis."""
        return min(self._clock(), self._redis_clock())

    def _is_over(self, claim: tokens.Claim, last_used_at: float, now: float) -> bool | None:
        """Tell whether a session is over; None if only its record tells.

        A session on a public computer ends earlier. Only its record tells that it is one, and costs a trip. It is read
        if the session would be over by then, and its last use is before that: once or twice in its life.
        """
        if self._lifetimes.ends_at(claim.at, last_used_at) <= now:
            return True
        return None if last_used_at < claim.at + self._lifetimes.public_computer_s <= now else False

    def _is_over_by_record(self, claim: tokens.Claim, now: float) -> bool:
        [session] = self._store.find([(claim.user_id, claim.id_hash)])
        return session is None or self.expires_at(session) <= now

    def expires_at(self, session: Session) -> float:
        """Return the Unix seconds when a session ends if it is not used again."""
        return self._lifetimes.end_of(session)

    def require_reachable_store(self) -> None:
        """Raise redis.RedisError if Redis does not answer the command of a token check."""
        self._store.require_readable()

    def is_touch_due(self, caller: Caller) -> bool:
        """Tell whether the last noted use is at least a minute ago, or was noted by a clock that was ahead.

        Among simultaneous requests the script lua/touch_session.lua decides which one writes.
        """
        return _is_touch_due(caller.last_used_at, self._clock(), self._redis_clock())

    def touch(self, caller: Caller, client: Client) -> None:
        """Note a use of a session, and the client that used it."""
        self._store.touch(caller.user_id, caller.id_hash, client)

    def touch_all(self, uses: Sequence[tuple[tokens.Claim, Client]]) -> None:
        """Note uses of sessions, and the client of each, in one trip."""
        self._store.touch_all([(claim.user_id, claim.id_hash, client) for claim, client in uses])


def _is_touch_due(last_used_at: float, now: float, redis_now: float) -> bool:
    is_of_the_future = last_used_at - max(now, redis_now) >= TOUCH_EVERY_S
    return is_of_the_future or now - last_used_at >= TOUCH_EVERY_S
