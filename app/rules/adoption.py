"""Adoption: a token of the service before goes on working, as a session that begins at its first use here.

What it claims: adoptable.py. The keys: adoption_keys.py. What is kept of it, and why its end lasts: stores/adopted.py.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import jwt

from app import tokens
from app.errors import Unauthorized
from app.rules.adoptable import Adoptable, NotAdopted, read_adoptable
from app.rules.adoption_keys import AdoptionKey, AdoptionKeys
from app.rules.refused_tokens import RefusedTokens
from app.stores.adopted import AdoptionStore
from app.stores.lifetimes import Lifetimes
from app.stores.session_records import Client, NewSession, Session
from app.stores.sessions import SessionStore
from app.stores.users import Change, UserStore
from app.watch import audit, metrics
from app.watch.audit import TokenBefore

CLOCKS_APART_S = 60  # the clock of the service before may be so far ahead

_signatures = jwt.PyJWS()
_ENFORCED: Any = {"enforce_minimum_key_length": True}

_SENTENCES: dict[TokenBefore, str] = {
    "ended": "it was a session here, and that is over",
    "unknown_user": "there is no user with its id",
    "disabled": "its user is disabled",
    "before_valid_since": "it was issued before the time from which its user's tokens count (tokens_valid_since). "
    "The import set it, or it moved when all their sessions ended, they were disabled, or an import named their id",
    "too_many": "too many tokens of its user were adopted",
}


class Adoption:
    def __init__(
        self,
        store: AdoptionStore,
        sessions: SessionStore,
        users: UserStore,
        keys: AdoptionKeys,
        lifetimes: Lifetimes,
        *,
        user_claim: str,
        since: float | None,
        until: float | None,
        cap: int,
        clock: Callable[[], float] = time.time,
        redis_clock: Callable[[], float] | None = None,
    ) -> None:
        """
        Args:
            since, until: Unix seconds between which a token must have been issued. After `until` none is adopted.
            cap: The most sessions of a user.
            redis_clock: The clock of Redis; None stands for `clock`.
        """
        self._store = store
        self._sessions = sessions
        self._users = users
        self._keys = keys.keys
        self._lifetimes = lifetimes
        self._user_claim = user_claim
        self._since = since
        self._until = until
        self._cap = cap
        self._clock = clock
        self._redis_clock = redis_clock or clock
        self._refused = RefusedTokens(clock)

    def read(self, text: str) -> Adoptable | None:
        """Return what a text claims; None if it is no token that could be adopted. Its signature is not looked at."""
        try:
            return read_adoptable(text, self._user_claim)
        except NotAdopted:
            return None

    def find(self, token: Adoptable, client: Callable[[], Client]) -> Session:
        """Return the session of a token. At the token's first use it is made.

        Args:
            client: Returns the client of the request.

        Raises:
            Unauthorized: The token is not adopted, or its session is over.
        """
        if self._refused.has(token.id_hash):
            self._refuse("remembered")
        known = self._store.look_up(token.user_id, token.id_hash, token.signed_hash)
        if known.session:
            return self._require_live(token, known.session)
        if known.is_marked:
            self._refuse("ended")
        try:
            self._require_adoptable_now(token)
        except NotAdopted as refusal:
            self._refuse(refusal.why)
        try:
            self._find_key(token)
            return self._adopt(token, client())
        except NotAdopted as refusal:
            self._refused.remember(token.id_hash)
            if refusal.why != "bad_signature":
                audit.adoption_refused(refusal.why or "ended", token.user_id)
            self._refuse(refusal.why)

    def explain(self, text: str) -> tuple[AdoptionKey, str]:
        """Return the key by which a token holds, and a sentence on what becomes of it. Nothing is changed.

        Raises:
            NotAdopted: It would be refused.
        """
        token = read_adoptable(text, self._user_claim)
        key = self._find_key(token)
        outcome = self._store.adopt(token.user_id, token.id_hash, token.signed_hash, token.issued_at)
        if outcome == "live":
            return key, f"It is a session of user {token.user_id} already."
        if outcome != "adopted":
            raise NotAdopted(outcome, _SENTENCES[outcome])
        self._require_adoptable_now(token)
        return key, f"Its next use makes a session of user {token.user_id}."

    def swap(self, user_id: str, id_hash: str, began_at: int) -> str:
        """Give an adopted session a token of our own, and return it. The token of the service before is dead at once.

        Args:
            began_at: The time in the new token, from `time_in_tokens`.

        Raises:
            Unauthorized: The session is over, or the user is gone.
        """
        token = tokens.issue(user_id, began_at)
        # The credentials stay. If a failover undoes it, the session still has its former token.
        change = Change(caller=id_hash, new_id_hash=tokens.id_hash(token), same_credentials=True)
        if not self._users.change(user_id, change):
            raise Unauthorized
        return token

    def time_in_tokens(self, session: Session) -> int:
        """Return the time (Unix seconds) that a token of our own for an adopted session must have.

        SESSION_MAX_AGE counts from it, so it is no later than lets the session end in time.
        """
        began_at = session.began_at if session.adopted_at is None else session.adopted_at
        if session.ends_by is not None:
            began_at = min(began_at, session.ends_by - self._lifetimes.max_age_s)
        return max(0, int(began_at))

    def _require_live(self, token: Adoptable, session: Session) -> Session:
        # The hash is that of the whole token, which was verified when the session began: what it claims is true.
        session = replace(session, began_at=token.issued_at, ends_by=token.ends_by)
        now = self._agreed_time()
        if self._lifetimes.end_of(session) <= now or (token.ends_by is not None and token.ends_by <= now):
            self._sessions.finish_expired(token.user_id)
            self._refuse("ended")
        metrics.TOKENS_BEFORE.labels("used").inc()
        return session

    def _adopt(self, token: Adoptable, client: Client) -> Session:
        """Make the session.

        Raises:
            NotAdopted: The script refuses it.
        """
        now = self._clock()
        new = NewSession(
            token.id_hash,
            token.issued_at,
            client,
            self._cap,
            amr=("adopted",),
            adopted_at=int(now),
            ends_by=token.ends_by,
        )
        outcome = self._store.adopt(token.user_id, token.id_hash, token.signed_hash, token.issued_at, new)
        if outcome != "adopted" and outcome != "live":  # noqa: PLR1714 - mypy narrows by these
            raise NotAdopted(outcome, _SENTENCES[outcome])
        if outcome == "adopted":
            audit.signed_in(token.user_id, token.id_hash, "adopted")
            metrics.TOKENS_BEFORE.labels("adopted").inc()
        return Session(
            token.user_id,
            token.id_hash,
            token.issued_at,
            now,
            client,
            adopted_at=int(now),
            ends_by=token.ends_by,
            has_adopted_token=True,
            amr=("adopted",),
        )

    def _agreed_time(self) -> float:
        return min(self._clock(), self._redis_clock())

    def _refuse(self, why: TokenBefore | None) -> NoReturn:
        metrics.TOKENS_BEFORE.labels(why).inc()
        raise Unauthorized

    def _require_adoptable_now(self, token: Adoptable) -> None:
        """Raise NotAdopted if the time is wrong: that of the token, or the present."""
        now = self._clock()
        if self._until is not None and now >= self._until:
            raise NotAdopted("adoption_over", "adoption is over since ADOPT_JWT_UNTIL")
        if token.issued_at > now + CLOCKS_APART_S:
            raise NotAdopted("not_yet", "it was issued in the future, by this machine's clock")
        if token.begins_at is not None and token.begins_at > now + CLOCKS_APART_S:
            raise NotAdopted("not_yet", "it is not good before the time that it names itself (nbf)")
        if token.ends_by is not None and token.ends_by <= now:
            raise NotAdopted("expired", "it has expired by its own end (exp)")
        if self._since is not None and token.issued_at < int(self._since):
            raise NotAdopted("outside_span", "it was issued before ADOPT_JWT_SINCE")
        if self._until is not None and token.issued_at > self._until:
            raise NotAdopted("outside_span", "it was issued after ADOPT_JWT_UNTIL")

    def _find_key(self, token: Adoptable) -> AdoptionKey:
        """Return the key by which the signature holds. The token's own word on its key (kid) does not count."""
        fitting = [key for key in self._keys if token.algorithm in key.algorithms]
        for key in fitting:
            try:
                _signatures.decode_complete(token.token, key.key, [token.algorithm], _ENFORCED)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            return key
        problem = "its signature holds by no key" if fitting else "it names an algorithm that no key has"
        raise NotAdopted("bad_signature", f"{problem}; the keys are {', '.join(key.name for key in self._keys)}")
