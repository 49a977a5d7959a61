"""The devices signed in: who calls, which devices a user has, and how they are ended."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from app import tokens
from app.errors import Unauthorized, UnknownSession
from app.stores.lifetimes import Lifetimes
from app.stores.sessions import TOUCH_EVERY_S, Client, Ended, Session, SessionStore
from app.stores.tickets import proof_value
from app.watch.events import Reason


@dataclass(frozen=True, slots=True)
class Caller:
    """A session that was live when it was asked about.

    began_at        Unix seconds
    last_used_at    Unix seconds
    proved          it holds a recent proof, good for what its user now has to prove
    """

    user_id: str
    id_hash: str
    began_at: int
    last_used_at: float
    proved: bool


class Devices:
    """Raises errors.Unauthorized wherever a token has no live session: absence means no."""

    def __init__(
        self, store: SessionStore, lifetimes: Lifetimes, cap: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._lifetimes = lifetimes
        self._cap = cap
        self._clock = clock

    def identify(self, token: str, proof: str = "") -> Caller:
        """Say whose a token is, in one round trip.

        proof: what the request holds as one; whatever does not hold counts as none
        """
        claim = tokens.read(token)
        if claim is None:
            raise Unauthorized
        proof_claim = tokens.read(proof) if proof else None
        proved = False
        if proof_claim is None or proof_claim.user_id != claim.user_id:
            last_used_at = self._store.last_used_at(claim.user_id, claim.id_hash)
        else:
            last_used_at, held, has_mfa = self._store.last_used_at_with_proof(
                claim.user_id, claim.id_hash, proof_claim.id_hash
            )
            # Where a second factor is on, a password has proved nothing, not even shortly before.
            ways = [proof_value("mfa", claim.id_hash), *([] if has_mfa else [proof_value("password", claim.id_hash)])]
            proved = held in ways
        if last_used_at is None:
            raise Unauthorized
        if self._lifetimes.ends_at(claim.at, last_used_at) <= self._clock():
            self._store.finish_expired(claim.user_id)
            raise Unauthorized
        return Caller(claim.user_id, claim.id_hash, claim.at, last_used_at, proved)

    def require_reachable_store(self) -> None:
        """Raises where no token can be checked now, as each check of one would."""
        self._store.require_readable()

    def is_touch_due(self, caller: Caller) -> bool:
        """Tell whether a use must be noted now. Saves a trip; lua/touch_session.lua decides for requests at once."""
        return self._clock() - caller.last_used_at >= TOUCH_EVERY_S

    def touch(self, caller: Caller, client: Client) -> None:
        """Note that a session is in use, and by which client."""
        self._store.touch(caller.user_id, caller.id_hash, client)

    def open(self, user_id: str, credentials_version: str, client: Client) -> str | None:
        """Sign a device in.

        credentials_version: of the user, when the login began
        Returns: the new token, or None where the credentials have changed since
        """
        token = tokens.issue(user_id, self._clock())
        id_hash = tokens.id_hash(token)
        opened = self._store.open(user_id, id_hash, int(self._clock()), client, credentials_version, self._cap)
        return token if opened else None

    def list(self, user_id: str) -> list[Session]:
        """The devices signed in, most recently used first."""
        sessions = self._store.list(user_id)
        now = self._clock()
        live = [session for session in sessions if self.expires_at(session) > now]
        if len(live) < len(sessions):
            self._store.finish_expired(user_id)
        return live

    def find(self, token: str) -> Session | None:
        """The live session of a token, or None. Its beginning is the token's: a record can be lost."""
        claim = tokens.read(token)
        [found] = self._store.find([(claim.user_id, claim.id_hash)]) if claim else [None]
        session = replace(found, began_at=claim.at) if claim and found else None
        return session if session and self.expires_at(session) > self._clock() else None

    def find_ended(self, named: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """Those of the sessions, given as user ids and hashes, that no longer live."""
        now = self._clock()
        found = zip(named, self._store.find(named), strict=True)
        return [name for name, session in found if session is None or self.expires_at(session) <= now]

    def expires_at(self, session: Session) -> float:
        """Unix seconds: when a session ends if it is used no more."""
        return self._lifetimes.ends_at(session.began_at, session.last_used_at)

    def end(self, caller: Caller, id_hashes: Sequence[str], reason: Reason) -> None:
        """End sessions of the caller's user, all that are named and live, in one step.

        Raises: errors.UnknownSession where none of them is one
        """
        ended = self._store.end(caller.user_id, id_hashes, reason, caller.id_hash)
        if not ended:
            raise UnknownSession

    def end_former_session(self, token: str) -> None:
        """End the session that a browser had before, if it had one."""
        claim = tokens.read(token)
        if claim:
            self._store.end_former(claim.user_id, claim.id_hash)

    def repeat_logout(self, token: str) -> None:
        """End a session that is over already: who was told that replicas had not confirmed it waits for them again."""
        claim = tokens.read(token)
        if claim:
            with suppress(Unauthorized):
                self._store.end(claim.user_id, [claim.id_hash], "logout", claim.id_hash)

    def rename(self, caller: Caller, id_hash: str, name: str | None) -> None:
        """Give one of the user's devices a name of their own; None goes back to the one that is made up.

        Raises: errors.UnknownSession
        """
        renamed = self._store.rename(caller.user_id, id_hash, name, caller.id_hash)
        if not renamed:
            raise UnknownSession

    def list_ended(self, user_id: str) -> Sequence[Ended]:
        """The sessions that ended and are still told of, newest first; those whose time is over among them."""
        self._store.finish_expired(user_id)
        return self._store.list_ended(user_id, self._clock() - self._lifetimes.retention_s)

    def how_it_ended(self, token: str) -> Ended | None:
        """How the session of a token ended; None where nothing is known of it."""
        claim = tokens.read(token)
        rows = self.list_ended(claim.user_id) if claim else []
        return next((row for row in rows if claim and row.session.id_hash == claim.id_hash), None)
