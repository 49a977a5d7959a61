"""Rules on sessions: opening, listing and ending them. How tokens are checked: checks.py.

Their records in Redis: stores/sessions.py. How long they last: stores/lifetimes.py. Names for them: device_names.py.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from app import tokens
from app.errors import NothingToSwap, Unauthorized, UnknownSession
from app.rules.adoption import Adoption
from app.rules.checks import Caller, Checks
from app.stores.connection.client import Read
from app.stores.connection.connect import StoreError
from app.stores.lifetimes import Lifetimes
from app.stores.mail import Notice
from app.stores.session_records import Amr, Client, Ended, NewSession, Session
from app.stores.sessions import SessionStore
from app.watch.events import Reason

log = logging.getLogger(__name__)

_SEEN_LATELY = 10  # sessions that live, and as many that ended; each has a budget for wrong passwords and codes

REPEATED_WITHIN_S = 60  # a form that is sent twice, as by a double click


class Devices(Checks):
    """Checks tokens, and opens, lists and ends sessions."""

    def __init__(
        self,
        store: SessionStore,
        lifetimes: Lifetimes,
        cap: int,
        clock: Callable[[], float] = time.time,
        redis_clock: Callable[[], float] | None = None,
        adoption: Adoption | None = None,
    ) -> None:
        super().__init__(store, lifetimes, clock, redis_clock, adoption)
        self._cap = cap

    def open(
        self,
        user_id: str,
        credentials_version: str,
        client: Client,
        amr: tuple[Amr, ...] | None,
        *,
        on_public_computer: bool = False,
        attempt: str = "",
        comes_back: bool = False,
        return_notice: Notice | None = None,
    ) -> str | None:
        """Sign a device in.

        Args:
            credentials_version: The user's version when the login began.
            amr: By what it is opened.
            comes_back: It takes it back that the user has left.
            return_notice: A mail that is queued if that was so.

        Returns:
            The new token; None if the credentials have changed since then.
        """
        token, new = self.prepare(user_id, client, amr, on_public_computer=on_public_computer, attempt=attempt)
        opened = self._store.open(
            user_id,
            new.id_hash,
            new.began_at,
            client,
            credentials_version,
            new.cap,
            on_public_computer=on_public_computer,
            attempt=attempt,
            amr=amr,
            comes_back=comes_back,
            return_notice=return_notice,
        )
        return token if opened else None

    def prepare(
        self, user_id: str, client: Client, amr: tuple[Amr, ...] | None, *, on_public_computer: bool, attempt: str
    ) -> tuple[str, NewSession]:
        """Return a new token and its session. A change (stores/users.py) opens it together with what else it does."""
        now = self._clock()
        token = tokens.issue(user_id, now)
        return token, NewSession(tokens.id_hash(token), int(now), client, self._cap, on_public_computer, attempt, amr)

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

    def all_of(self, user_id: str) -> Read[Sequence[Session]]:
        """Return the Read of a user's sessions, for `end_expired`."""
        return self._store.all_of(user_id)

    def end_expired(self, sessions: Sequence[Session]) -> list[Session]:
        """End those sessions of a user that are over by time, and return the others."""
        now = self._agreed_time()
        live = [session for session in sessions if self.expires_at(session) > now]
        if len(live) < len(sessions):
            self._store.finish_expired(sessions[0].user_id)
        return live

    def list(self, user_id: str) -> list[Session]:
        """Return the sessions of a user, most recently used first."""
        return self.end_expired(self._store.list(user_id))

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
