"""Links in mails. A secret is issued when its mail is composed, and can be used once.

Opening a link (GET) changes nothing, only the POST behind it does.

Their records in Redis: stores/links.py. The mails around them: mail/letters.py.
"""

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
    """An open link for a reset.

    Attributes:
        id_hash: The hash of its secret.
        secrets_version: The user's when the link was asked for.
    """

    user_id: str
    id_hash: str
    secrets_version: str


class Links:
    def __init__(self, store: LinkStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def issue_reset(self, user_id: str, secrets_version: str, asked_at: float) -> str:
        """Issue the secret of a link that sets a new password. The user's earlier reset links stop working.

        Args:
            secrets_version: The user's secrets version when the link was requested.
            asked_at: Unix seconds. The link expires one hour later.
        """
        return self._issue(user_id, "reset", asked_at + RESET_TTL_S, secrets_version=secrets_version)

    def issue_not_me(self, user_id: str, session: str) -> str:
        """Issue the secret of a link that ends one session. The link expires after 48 hours.

        Args:
            session: id_hash of the session.
        """
        return self._issue(user_id, "not_me", self._clock() + NOT_ME_TTL_S, session=session)

    def read_reset(self, secret: str) -> OpenLink:
        """Return the reset link with this secret.

        Raises:
            InvalidLink: There is no such link, or not any more.
        """
        claim = tokens.read(secret)
        link = self._store.get(claim.user_id, claim.id_hash) if claim else None
        if claim is None or link is None or link.purpose != "reset":
            raise InvalidLink
        return OpenLink(claim.user_id, claim.id_hash, link.secrets_version)

    def end_session(self, secret: str) -> tuple[str, Client]:
        """End the session that a link names, even if its token was replaced since then. Use the link up.

        Returns:
            The user's id, and the client of the session. Unknown fields of the client are None.

        Raises:
            InvalidLink: There is no such link, or not any more.
        """
        claim = tokens.read(secret)
        client = self._store.end_session(claim.user_id, claim.id_hash) if claim else None
        if claim is None or client is None:
            raise InvalidLink
        return claim.user_id, client

    def _issue(
        self, user_id: str, purpose: LinkPurpose, expires_at: float, session: str = "", secrets_version: str = ""
    ) -> str:
        secret = tokens.issue(user_id, self._clock())
        self._store.open(user_id, tokens.id_hash(secret), Link(purpose, session, secrets_version, expires_at))
        return secret
