"""Links in mails. A secret is issued when its mail is composed, and can be used once.

The secret is a keyed hash of the notice that the mail is made of. So a mail that is sent twice has the same link twice,
and who reads Redis alone cannot make it.

Opening a link (GET) changes nothing, only the POST behind it does.

Their records in Redis: stores/links.py. The mails around them: mail/letters.py.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from app import tokens
from app.form_errors import InvalidLink
from app.rules.keyring import Keyring
from app.stores.links import Link, LinkPurpose, LinkStore
from app.stores.passkeys import Passkey
from app.stores.session_records import Client
from app.stores.users import NewLink

RESET_TTL_S = 60 * 60
NOT_ME_TTL_S = 48 * 60 * 60
REVERT_TTL_S = 48 * 60 * 60
VERIFY_TTL_S = 48 * 60 * 60


@dataclass(frozen=True, slots=True)
class OpenLink:
    """An open link that sets a new password, or verifies an address.

    Attributes:
        id_hash: The hash of its secret.
        secrets_version: For a reset, the user's when the link was asked for.
        factor: To take a factor off, how it is named: `factor_of_totp` or `factor_of_passkey`.
        told_at: To take a factor off, when the mail told of it; to put a former address back, when the other one was
            asked for. Unix seconds.
        email: The address that the link puts back, or verifies; "" for other links.
        since: When the address that the link verifies was asked for, Unix seconds.
    """

    user_id: str
    id_hash: str
    secrets_version: str
    factor: str = ""
    told_at: int = 0
    email: str = ""
    since: int = 0


def factor_of_totp(sealed_secret: str) -> str:
    """Return how a link names TOTP: by the hash of its encrypted secret."""
    return tokens.id_hash(sealed_secret)


def factor_of_passkey(passkey: Passkey) -> str:
    """Return how a link names a passkey: by its credential id."""
    return f"passkey:{passkey.cred_id}"


class Links:
    def __init__(self, store: LinkStore, keyring: Keyring, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock

    def issue_reset(self, user_id: str, secrets_version: str, asked_at: float, notice_id: str) -> str:
        """Issue the secret of a link that sets a new password. All links of the user end when one of them is used.

        Args:
            secrets_version: The user's secrets version when the link was requested.
            asked_at: Unix seconds. The link expires one hour later.
            notice_id: The notice that the link is mailed with.
        """
        link = Link("reset", "", secrets_version, asked_at + RESET_TTL_S)
        return self._issue(user_id, link, notice_id)

    def issue_not_me(self, user_id: str, session: str, notice_id: str) -> str:
        """Issue the secret of a link that ends one session. The link expires after 48 hours.

        Args:
            session: id_hash of the session.
            notice_id: The notice that the link is mailed with.
        """
        return self._issue(user_id, Link("not_me", session, "", self._clock() + NOT_ME_TTL_S), notice_id)

    def issue_revert(self, user_id: str, factor: str, asked_at: float, notice_id: str) -> str:
        """Issue the secret of a link that takes off a factor, for 48 hours after it was turned on.

        Args:
            factor: How it is named: `factor_of_totp` or `factor_of_passkey`.
            asked_at: Unix seconds. When the factor was turned on.
            notice_id: The notice that the link is mailed with.
        """
        return self._issue(user_id, Link("revert", "", "", asked_at + REVERT_TTL_S, factor), notice_id)

    def issue_verify(self, user_id: str, email: str, since: int, asked_at: float, notice_id: str) -> str:
        """Issue the secret of a link that verifies an address, for 48 hours after it was asked for.

        Args:
            since: When the user asked for the address, Unix seconds.
            asked_at: When the link was asked for, Unix seconds.
            notice_id: The notice that the link is mailed with.
        """
        return self._issue(
            user_id, Link("verify", "", "", asked_at + VERIFY_TTL_S, email=email, since=since), notice_id
        )

    def new_revert_of_address(self, user_id: str, email: str, since: int, notice_id: str) -> NewLink:
        """Return a link for a change to open: it puts a former address back, for 48 hours after the change.

        Args:
            email: The former address.
            since: When the other address was asked for, Unix seconds.
            notice_id: The notice that the link is mailed with.
        """
        link = Link("revert", "", "", self._clock() + REVERT_TTL_S, email=email, since=since)
        return NewLink(tokens.id_hash(self._secret(user_id, "revert", notice_id)), link.as_text(), REVERT_TTL_S)

    def find_revert_of_address(self, user_id: str, notice_id: str) -> tuple[str, str] | None:
        """Return the secret of a link that puts a former address back, and that address; None if it works no more."""
        secret = self._secret(user_id, "revert", notice_id)
        link = self._store.get(user_id, tokens.id_hash(secret))
        return (secret, link.email) if link and link.email else None

    def addresses_in(self, user_id: str) -> Collection[str]:
        """Return the addresses that a user's links verify or put back."""
        return self._store.addresses(user_id)

    def read_reset(self, secret: str) -> OpenLink:
        """Return the reset link with this secret.

        Raises:
            InvalidLink: There is no such link, or not any more.
        """
        claim, link = self._read(secret, "reset")
        return OpenLink(claim.user_id, claim.id_hash, link.secrets_version)

    def read_revert(self, secret: str) -> OpenLink:
        """Return the link with this secret that takes off a factor, or puts a former address back.

        It raises as `read_reset` does.
        """
        claim, link = self._read(secret, "revert")
        told_at = link.since if link.email else int(link.expires_at - REVERT_TTL_S)
        return OpenLink(claim.user_id, claim.id_hash, link.secrets_version, link.factor, told_at, link.email)

    def read_verify(self, secret: str) -> OpenLink:
        """Return the link with this secret that verifies an address. It raises as `read_reset` does."""
        claim, link = self._read(secret, "verify")
        return OpenLink(claim.user_id, claim.id_hash, "", email=link.email, since=link.since)

    def _read(self, secret: str, purpose: LinkPurpose) -> tuple[tokens.Claim, Link]:
        claim = tokens.read(secret)
        link = self._store.get(claim.user_id, claim.id_hash) if claim else None
        if claim is None or link is None or link.purpose != purpose:
            raise InvalidLink
        return claim, link

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

    def _issue(self, user_id: str, link: Link, notice_id: str) -> str:
        secret = self._secret(user_id, link.purpose, notice_id)
        self._store.open(user_id, tokens.id_hash(secret), link)
        return secret

    def _secret(self, user_id: str, purpose: LinkPurpose, notice_id: str) -> str:
        core = self._keyring.hash_of_mail(f"{purpose} of {user_id}", notice_id)
        return tokens.compose(user_id, 0, core)  # the link's time is in Redis
