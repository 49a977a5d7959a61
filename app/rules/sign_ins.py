"""Sign-ins whose checks have passed: how their session is opened and told of, and what a form that is sent twice gets.

The checks: accounts.py for logins and registrations, recovery.py for resets.
"""

from dataclasses import dataclass

from app import tokens
from app.errors import InvalidLogin, Unconfirmed
from app.rules.devices import Devices
from app.rules.notices import Notices
from app.stores.session_records import Client
from app.stores.users import User, UserStore
from app.watch import audit, context


@dataclass(frozen=True, slots=True)
class SignedIn:
    user_id: str
    token: str
    on_public_computer: bool = False


class SignIns:
    def __init__(self, users: UserStore, devices: Devices, notices: Notices) -> None:
        self._users = users
        self._devices = devices
        self._notices = notices

    def open(
        self, user: User, client: Client, how: audit.How, *, on_public_computer: bool = False, attempt: str = ""
    ) -> SignedIn:
        """Open a session for a user who has passed all checks of a sign-in.

        Raises:
            InvalidLogin: The credentials have changed since the user was read.
        """
        token = self._devices.open(
            user.id, user.credentials_version, client, on_public_computer=on_public_computer, attempt=attempt
        )
        if token is None:
            audit.sign_in_failed("credentials_changed", user.id)
            raise InvalidLogin
        return self.note(user.id, token, client, how, on_public_computer=on_public_computer)

    def note(self, user_id: str, token: str, client: Client, how: audit.How, *, on_public_computer: bool) -> SignedIn:
        """Record a sign-in whose session is open, and tell the user of it.

        Raises:
            Unconfirmed: Too few replicas have confirmed the change that opened the session. After a failover, for
                example, the used code would be valid again. The session is ended, because nobody gets its token.
        """
        if context.is_unconfirmed():
            self._devices.end_former_session(token)
            raise Unconfirmed
        audit.signed_in(user_id, tokens.id_hash(token), how)
        self._notices.tell_of_sign_in(user_id, client, tokens.id_hash(token))
        return SignedIn(user_id, token, on_public_computer)

    def repeat(self, secret: str, client: Client, how: audit.How, attempt: str) -> SignedIn | None:
        """Sign in by a form that has signed in a moment ago, as after a double click. That session ends.

        Args:
            secret: The ticket or the link that the form has used up. It names the user.
            attempt: A hash of all that the form sent as credentials.

        Returns:
            None if the form has opened no session that is live.
        """
        claim = tokens.read(secret)
        return self.repeat_of_user(claim.user_id, client, how, attempt) if claim else None

    def repeat_of_user(self, user_id: str, client: Client, how: audit.How, attempt: str) -> SignedIn | None:
        """Sign in as `repeat` does, for a user whose id is known."""
        former = self._devices.opened_by(user_id, attempt)
        user = self._users.get(user_id) if former else None
        if former is None or user is None:
            return None
        return self.open(user, client, how, on_public_computer=former.on_public_computer, attempt=attempt)
