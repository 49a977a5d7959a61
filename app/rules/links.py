"""The secrets in links of mails: made when the mail is, good once, and acted on by POST alone."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from app import tokens
from app.errors import InvalidLink
from app.stores.links import Link, LinkPurpose, LinkStore
from app.stores.sessions import Client

RESET_TTL_S = 60 * 60
NOT_ME_TTL_S = 48 * 60 * 60


@dataclass(frozen=True, slots=True)
class OpenLink:
    """A link that somebody followed. id_hash: of its secret."""

    user_id: str
    id_hash: str
    credentials_version: str


class Links:
    def __init__(self, store: LinkStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def issue_reset(self, user_id: str, credentials_version: str, asked_at: float) -> str:
        """The secret of a link with which a user sets a new password; those before it are dead.

        credentials_version, asked_at: of the user, and Unix seconds, when it was asked for
        """
        return self._issue(user_id, "reset", asked_at + RESET_TTL_S, credentials_version=credentials_version)

    def issue_not_me(self, user_id: str, session: str) -> str:
        """The secret of a link that ends one session. session: its id_hash"""
        return self._issue(user_id, "not_me", self._clock() + NOT_ME_TTL_S, session=session)

    def read_reset(self, secret: str) -> OpenLink:
        """Raises: errors.InvalidLink for whatever is no link that is good for a reset"""
        claim = tokens.read(secret)
        link = self._store.get(claim.user_id, claim.id_hash) if claim else None
        if claim is None or link is None or link.purpose != "reset":
            raise InvalidLink
        return OpenLink(claim.user_id, claim.id_hash, link.credentials_version)

    def end_session(self, secret: str) -> tuple[str, Client]:
        """End the session that a link names, whatever became of it since.

        Returns: the user's id, and the client whose session it was, as far as it is known
        Raises: errors.InvalidLink
        """
        claim = tokens.read(secret)
        client = self._store.end_session(claim.user_id, claim.id_hash) if claim else None
        if claim is None or client is None:
            raise InvalidLink
        return claim.user_id, client

    def _issue(
        self, user_id: str, purpose: LinkPurpose, expires_at: float, session: str = "", credentials_version: str = ""
    ) -> str:
        secret = tokens.issue(user_id, self._clock())
        self._store.open(user_id, tokens.id_hash(secret), Link(purpose, session, credentials_version, expires_at))
        return secret
