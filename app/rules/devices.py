"""Rules on sessions: checking tokens, and opening, listing and ending sessions.

Their records in Redis: stores/sessions.py. How long they last: stores/lifetimes.py. Names for them: device_names.py.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from app import tokens
from app.errors import NothingToSwap, Unauthorized, UnknownSession
from app.rules.adoptable import Adoptable
from app.rules.adoption import Adoption
from app.stores.connection.connect import StoreError
from app.stores.lifetimes import Lifetimes
from app.stores.session_records import Client, Ended, NewSession, Session
from app.stores.sessions import TOUCH_EVERY_S, SessionStore
from app.stores.tickets import proof_value
from app.watch.events import Reason

log = logging.getLogger(__name__)

_SEEN_LATELY = 10  # sessions that live, and as many that ended; each has a budget for wrong passwords and codes

REPEATED_WITHIN_S = 60  # a form that is sent twice, as by a double click


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


class Devices:
    """Checks tokens, and opens, lists and ends sessions. A token without a live session is refused."""

    def __init__(
        self,
        store: SessionStore,
        lifetimes: Lifetimes,
        cap: int,
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
        self._cap = cap
        self._clock = clock
        self._redis_clock = redis_clock or clock

    def identify(self, token: str, proof: str = "") -> Caller:
        """Return the session of a token, in one round trip.

        Args:
            proof: The proof in the request. An invalid proof counts as absent.

        Raises:
            Unauthorized: The token has no live session.
        """
        claim = tokens.read(token)
        if claim is None:
            raise Unauthorized
        last_used_at, proved = self._look_up(claim.user_id, claim.id_hash, proof)
        if last_used_at is None:
            raise Unauthorized
        if self._is_over(claim, last_used_at):
            self._store.finish_expired(claim.user_id)
            raise Unauthorized
        return Caller(claim.user_id, claim.id_hash, claim.at, last_used_at, proved)

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
        proved = bool(proof) and self._look_up(token.user_id, token.id_hash, proof)[1]
        began_at = self.adoption.time_in_tokens(session)
        return Caller(token.user_id, token.id_hash, began_at, session.last_used_at, proved, has_adopted_token=True)

    def _look_up(self, user_id: str, id_hash: str, proof: str) -> tuple[float | None, bool]:
        """Return when a session was last used (None if there is no such session), and whether the proof is good."""
        proof_claim = tokens.read(proof) if proof else None
        if proof_claim is None or proof_claim.user_id != user_id:
            return self._store.last_used_at(user_id, id_hash), False
        last_used_at, held, has_mfa = self._store.last_used_at_with_proof(user_id, id_hash, proof_claim.id_hash)
        # If MFA is on, the password is no proof, even if it was given shortly before MFA was turned on.
        ways = [proof_value("mfa", id_hash), *([] if has_mfa else [proof_value("password", id_hash)])]
        return last_used_at, held in ways

    def _agreed_time(self) -> float:
        """Return the time by which sessions are over: by this clock and by that of Redis."""
        return min(self._clock(), self._redis_clock())

    def _is_over(self, claim: tokens.Claim, last_used_at: float) -> bool:
        now = self._agreed_time()
        if self._lifetimes.ends_at(claim.at, last_used_at) <= now:
            return True
        # A session on a public computer ends earlier. Only its record tells that it is one, and costs a trip. It is
        # read if the session would be over by then, and its last use is before that: once or twice in its life.
        earliest = claim.at + self._lifetimes.public_computer_s
        if not last_used_at < earliest <= now:
            return False
        [session] = self._store.find([(claim.user_id, claim.id_hash)])
        return session is None or self.expires_at(session) <= now

    def require_reachable_store(self) -> None:
        """Raise redis.RedisError if Redis does not answer the command of a token check."""
        self._store.require_readable()

    def is_touch_due(self, caller: Caller) -> bool:
        """Tell whether the last noted use is at least a minute ago, or was noted by a clock that was ahead.

        Among simultaneous requests the script lua/touch_session.lua decides which one writes.
        """
        now, of_redis = self._clock(), self._redis_clock()
        is_of_the_future = caller.last_used_at - max(now, of_redis) >= TOUCH_EVERY_S
        return is_of_the_future or now - caller.last_used_at >= TOUCH_EVERY_S

    def touch(self, caller: Caller, client: Client) -> None:
        """Note a use of a session, and the client that used it."""
        self._store.touch(caller.user_id, caller.id_hash, client)

    def open(
        self,
        user_id: str,
        credentials_version: str,
        client: Client,
        *,
        on_public_computer: bool = False,
        attempt: str = "",
    ) -> str | None:
        """Sign a device in.

        Args:
            credentials_version: The user's version when the login began.

        Returns:
            The new token; None if the credentials have changed since then.
        """
        token, new = self.prepare(user_id, client, on_public_computer=on_public_computer, attempt=attempt)
        opened = self._store.open(
            user_id,
            new.id_hash,
            new.began_at,
            client,
            credentials_version,
            new.cap,
            on_public_computer=on_public_computer,
            attempt=attempt,
        )
        return token if opened else None

    def prepare(
        self, user_id: str, client: Client, *, on_public_computer: bool, attempt: str
    ) -> tuple[str, NewSession]:
        """Return a new token and its session. A change (stores/users.py) opens it together with what else it does."""
        now = self._clock()
        token = tokens.issue(user_id, now)
        return token, NewSession(tokens.id_hash(token), int(now), client, self._cap, on_public_computer, attempt)

    def opened_by(self, user_id: str, attempt: str) -> Session | None:
        """Return the live session that a form has opened within the last minute; None if there is none."""
        since = self._clock() - REPEATED_WITHIN_S
        sessions = self.list(user_id) if attempt else []
        return next((one for one in sessions if one.attempt == attempt and one.began_at >= since), None)

    def is_on_public_computer(self, token: str) -> bool:
        """Tell whether the session of a token is on a public computer. If Redis fails, say yes."""
        try:
            session = self.find(token)
        except StoreError:
            return True
        return session is None or session.on_public_computer

    def list(self, user_id: str) -> list[Session]:
        """Return the sessions of a user, most recently used first."""
        sessions = self._store.list(user_id)
        now = self._agreed_time()
        live = [session for session in sessions if self.expires_at(session) > now]
        if len(live) < len(sessions):
            self._store.finish_expired(user_id)
        return live

    def find(self, token: str) -> Session | None:
        """Return the live session of a token; None if there is none."""
        claim = tokens.read(token)
        if claim is None:
            return self._find_adopted(token)
        [session] = self._store.find([(claim.user_id, claim.id_hash)])
        # Its beginning is read from the token, because the record may be lost.
        if session and session.adopted_at is None:
            session = replace(session, began_at=claim.at)
        return session if session and self.expires_at(session) > self._agreed_time() else None

    def _find_adopted(self, token: str) -> Session | None:
        """Return the session of a token of the service before. This may be the first use of it, for a socket."""
        adoptable = self.adoption.read(token) if self.adoption else None
        try:
            return self.adoption.find(adoptable, Client) if self.adoption and adoptable else None
        except Unauthorized:
            return None

    def read_claim(self, token: str) -> tokens.Claim | None:
        """Return what a token claims, our own or one that may be adopted; None if it has the form of neither."""
        if claim := tokens.read(token):
            return claim
        adoptable = self.adoption.read(token) if self.adoption else None
        return tokens.Claim(adoptable.user_id, adoptable.issued_at, adoptable.id_hash) if adoptable else None

    def swap(self, caller: Caller) -> str:
        """Give an adopted session a token of our own, and return it. The token of the service before is dead at once.

        Raises:
            NothingToSwap: The caller's token is our own.
            Unauthorized: The caller's session is over.
        """
        if self.adoption is None or not caller.has_adopted_token:
            raise NothingToSwap
        return self.adoption.swap(caller.user_id, caller.id_hash, caller.began_at)

    def find_ended(self, named: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """Return the named sessions that are over.

        Args:
            named: Pairs of a user id and an id_hash.
        """
        now = self._agreed_time()
        found = zip(named, self._store.find(named), strict=True)
        return [name for name, session in found if session is None or self.expires_at(session) <= now]

    def expires_at(self, session: Session) -> float:
        """Return the Unix seconds when a session ends if it is not used again."""
        return self._lifetimes.end_of(session)

    def end(self, caller: Caller, id_hashes: Sequence[str], reason: Reason) -> int:
        """End the named sessions of the caller's user, in one step. Sessions of other users are skipped.

        Returns:
            The number of sessions that ended.

        Raises:
            UnknownSession: No named session is a live session of the user.
            Unauthorized: The caller's session is over.
        """
        ended = self._store.end(caller.user_id, id_hashes, reason, caller.id_hash)
        if not ended:
            raise UnknownSession
        return ended

    def end_former_session(self, token: str) -> None:
        """End the session of a token that nobody holds any more, if there is one.

        If Redis fails, this is logged. The request must not fail, because its sign-in is made.
        """
        claim = tokens.read(token)
        if claim:
            try:
                self._store.end_former(claim.user_id, claim.id_hash)
            except StoreError as error:
                log.error("a session whose token nobody holds goes on: %s", type(error).__name__)

    def repeat_logout(self, token: str) -> None:
        """End a session that is over already, in order to wait for replicas again.

        Otherwise a second try to log out would succeed, although no replica has confirmed the first.
        """
        if claim := self.read_claim(token):
            with suppress(Unauthorized):
                self._store.end(claim.user_id, [claim.id_hash], "logout", claim.id_hash)

    def rename(self, caller: Caller, id_hash: str, name: str | None) -> None:
        """Give a device of the caller's user a name. None restores `made_up_name`.

        Raises:
            UnknownSession: The user has no such session.
            Unauthorized: The caller's session is over.
        """
        renamed = self._store.rename(caller.user_id, id_hash, name, caller.id_hash)
        if not renamed:
            raise UnknownSession

    def list_ended(self, user_id: str) -> Sequence[Ended]:
        """Return the ended sessions that are still on record, newest first. Before that, end expired sessions."""
        self._store.finish_expired(user_id)
        return self._store.list_ended(user_id, self._agreed_time() - self._lifetimes.retention_s)

    def first_id_hash(self, caller: Caller) -> str:
        """Return the hash that the caller's session had when it began. It stays while tokens are replaced."""
        return self._store.first_id_hash(caller.user_id, caller.id_hash)

    def lately_seen(self, user_id: str) -> Mapping[str, str | None]:
        """Return the newest sessions that live or ended lately: id_hash to the last address, if it is known."""
        return self._store.addresses_since(user_id, self._clock() - self._lifetimes.retention_s, _SEEN_LATELY)

    def how_it_ended(self, token: str) -> Ended | None:
        """Return how the session of a token ended; None if its end is not on record."""
        claim = tokens.read(token)
        rows = self.list_ended(claim.user_id) if claim else []
        return next((row for row in rows if claim and row.session.id_hash == claim.id_hash), None)
