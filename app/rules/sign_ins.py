"""Sign-ins whose checks have passed: how their session is opened and told of, and what a form that is sent twice gets.

The checks: accounts.py for logins and registrations, recovery.py for resets.
"""

from dataclasses import dataclass, field
from typing import Literal

from app import tokens
from app.errors import Unconfirmed
from app.form_errors import InvalidLogin
from app.rules.devices import Devices
from app.rules.notices import Notices
from app.stores.activities import Activity, ActivityStore
from app.stores.session_records import Amr, Client, Session
from app.stores.tickets import AnswerVerdict
from app.stores.user_records import User
from app.stores.users import UserStore
from app.watch import audit, context

_AMR_OF: dict[str, Amr] = {"totp": "otp", "backup": "recovery", "webauthn": "webauthn"}

# How many factors (RFC 9470). A name of our own: no registry's level says this and no more.
Acr = Literal["urn:keyrack:1fa", "urn:keyrack:2fa"]


def acr_of(session: Session) -> Acr | None:
    """Return with how many factors a session was opened; None if nobody knows.

    A passkey alone is both, because then its device has verified the user. A remembered device is none.
    """
    if session.amr is None or "adopted" in session.amr:
        return None
    factors = [name for name in session.amr if name != "remembered"]
    return "urn:keyrack:2fa" if len(factors) > 1 or "webauthn" in factors else "urn:keyrack:1fa"


def amr_with(first: Amr, factor: audit.Method) -> tuple[Amr, ...]:
    """Return by what a session is opened that a second factor was asked for."""
    return first, _AMR_OF[factor]


def audit_wrong_answer(verdict: AnswerVerdict, factor: audit.Method, user_id: str) -> None:
    """Record a wrong answer at the second step of a login or a reset; nothing of another verdict.

    The script that has judged it has written the user's activity.
    """
    if verdict in ("wrong", "stale_counter"):
        audit.sign_in_failed("wrong_passkey" if factor == "webauthn" else "wrong_code", user_id)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in whose session is open.

    Attributes:
        password_warning: Why the password that an import brought could not be a new one here, as a fault of
            passwords.py; None if there is nothing to tell.
        remembered: A value for the cookie of a remembered browser; "" if there is none.
    """

    user_id: str
    token: str
    on_public_computer: bool = False
    password_warning: str | None = None
    remembered: str = field(default="", repr=False)


class SignIns:
    def __init__(self, users: UserStore, devices: Devices, notices: Notices, activities: ActivityStore) -> None:
        self._users = users
        self._devices = devices
        self._notices = notices
        self._activities = activities

    def record_refusal(self, why: audit.WhyNot, user: User | None, client: Client, account: str = "") -> None:
        """Record a refused sign-in, for operators and in the user's activity. For an unknown account take equal work.

        Args:
            account: The digest of the typed login, for an unknown account.
        """
        audit.sign_in_failed(why, user.id if user else None, account=None if user else account)
        self._activities.note(user.id if user else None, Activity("sign_in_refused", client, why))

    def open(
        self,
        user: User,
        client: Client,
        how: audit.How,
        amr: tuple[Amr, ...] | None,
        *,
        on_public_computer: bool = False,
        attempt: str = "",
        comes_back: bool = False,
    ) -> SignedIn:
        """Open a session for a user who has passed all checks of a sign-in.

        Args:
            amr: By what they have passed.
            comes_back: It takes it back that the user has left.

        Raises:
            InvalidLogin: The credentials have changed since the user was read.
        """
        token = self._devices.open(
            user.id,
            user.credentials_version,
            client,
            amr,
            on_public_computer=on_public_computer,
            attempt=attempt,
            comes_back=comes_back,
            return_notice=self._notices.of_return(user.id, client) if comes_back else None,
        )
        if token is None:
            self.record_refusal("credentials_changed", user, client)
            raise InvalidLogin
        came_back = comes_back and user.left is not None
        return self.note(user.id, token, client, how, on_public_computer=on_public_computer, came_back=came_back)

    def note(
        self,
        user_id: str,
        token: str,
        client: Client,
        how: audit.How,
        *,
        on_public_computer: bool,
        came_back: bool = False,
    ) -> SignedIn:
        """Record a sign-in whose session is open, and tell the user of it.

        Args:
            came_back: It took it back that the user had left.

        Raises:
            Unconfirmed: Too few replicas have confirmed the change that opened the session. After a failover, for
                example, the used code would be valid again. The session is ended, because nobody gets its token.
        """
        if context.is_unconfirmed():
            self._devices.end_former_session(token)
            raise Unconfirmed
        if came_back:
            self.note_return(user_id)
        audit.signed_in(user_id, tokens.id_hash(token), how)
        self._notices.tell_of_sign_in(user_id, client, tokens.id_hash(token))
        return SignedIn(user_id, token, on_public_computer)

    def note_return(self, user_id: str) -> None:
        """Record that a user who had left came back."""
        audit.account_changed("came_back", user_id)

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
        return self.open(user, client, how, former.amr, on_public_computer=former.on_public_computer, attempt=attempt)
