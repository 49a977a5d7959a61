"""The user's own record as the user changes it: names, address and password.

How an address is changed: addresses.py. Registration and login: accounts.py. A forgotten password: recovery.py. The
second factor: second_factor.py.
"""

from dataclasses import dataclass, replace

from app import tokens
from app.errors import Unauthorized, UnknownUser
from app.form_errors import InvalidForm, PasswordMismatch, PasswordMissing
from app.rules.addresses import Addresses
from app.rules.checks import Caller
from app.rules.notices import Notices
from app.rules.passwords import FAULTS, Passwords, holds
from app.snowflakes import is_user_id
from app.stores.activities import Activity, ActivityStore
from app.stores.connection.client import Read
from app.stores.session_records import Client
from app.stores.user_records import User
from app.stores.users import Change, UserStore
from app.watch import audit

NEED_PASSWORD = {"new_password", "email", "username"}


@dataclass(frozen=True, kw_only=True)
class ProfileChange:
    """What a user changes of their own record. A field that is None stays as it is.

    Attributes:
        global_name: "" removes it.
    """

    new_password: str | None = None
    email: str | None = None
    username: str | None = None
    global_name: str | None = None

    @property
    def changed(self) -> list[str]:
        """Return the names of the fields that it changes."""
        return [name for name in ("new_password", "username", "global_name") if getattr(self, name) is not None]

    @property
    def needs_password(self) -> bool:
        """Tell whether it needs the password, and a proof where MFA is on. The name that others see needs neither."""
        return any(getattr(self, name) is not None for name in NEED_PASSWORD)


class Profiles:
    def __init__(
        self,
        users: UserStore,
        addresses: Addresses,
        passwords: Passwords,
        notices: Notices,
        activities: ActivityStore,
    ) -> None:
        self._users = users
        self._addresses = addresses
        self._passwords = passwords
        self._notices = notices
        self._activities = activities

    def find(self, user_id: str) -> User:
        """Return any user.

        Raises:
            UnknownUser: No user has this id, or it has not the form of one.
        """
        user = self._users.get(user_id) if is_user_id(user_id) else None
        if user is None:
            raise UnknownUser
        return user

    def language_of(self, user_id: str) -> Read[str | None]:
        """Return the Read of the language of a user's pages and mails; None if the user has none."""
        return self._users.language_of(user_id)

    def choose_language(self, caller: Caller, language: str) -> None:
        """Let pages and mails of the caller's user be in a language.

        Raises:
            Unauthorized: The session or the user is gone.
        """
        change = Change(caller=caller.id_hash, same_credentials=True, set={"language": language})
        if self._users.change(caller.user_id, change) is None:
            raise Unauthorized

    def require_password(self, user: User, password: str | None, client: Client) -> None:
        """Require the password of a user. Who has none but a second factor is asked for that alone, by the caller.

        Args:
            client: Who gives it, for the user's activity.

        Raises:
            PasswordMissing: There is none in the request.
            PasswordMismatch: It is another.
        """
        if not user.password_hash and user.has_mfa:
            return
        if password is None:
            raise PasswordMissing
        if not self._passwords.verify(password, user.password_hash):
            audit.step_up_failed("wrong", user.id, "password")
            self._activities.note(user.id, Activity("step_up_refused", client, "password"))
            raise PasswordMismatch

    def require_possible(self, user: User, change: ProfileChange) -> None:
        """Refuse what cannot be changed, before the user proves anything for it.

        Raises:
            InvalidForm: The new e-mail address is none, or the new password holds it or a name.
        """
        self._addresses.require_possible(user, change.email)
        if change.new_password is not None:
            self._passwords.require_fit(
                "new_password", change.new_password, *_renamed(user, change).names, change.email
            )

    def require_names_apart(self, user: User, change: ProfileChange, password: str) -> None:
        """Refuse new names that the password of the user holds. With a new password it goes, and that one is looked at.

        Raises:
            InvalidForm: It holds one.
        """
        given = {"email": change.email, "username": change.username, "global_name": change.global_name}
        new = {field: name for field, name in given.items() if name != getattr(user, field)}
        problems = {field: FAULTS["holds_name"] for field, name in new.items() if holds(password, name)}
        if problems and change.new_password is None:
            raise InvalidForm(problems)

    def change(self, caller: Caller, user: User, change: ProfileChange, client: Client) -> tuple[User, str | None]:
        """Change all fields in one step. A new password ends every other session and replaces the caller's token.

        A new address is pending until its link was used.

        Args:
            user: As it was when `require_password` was asked, if the change needs the password.

        Returns:
            The user after it, and the new token if there is a new password.

        Raises:
            InvalidForm: As `require_possible` does; EmailTaken as `Addresses.begin` does.
            PasswordMismatch: The credentials changed after the password was checked.
            Unauthorized: The session or the user is gone.
        """
        self.require_possible(user, change)
        names = {"username": change.username, "global_name": change.global_name}
        address = self._addresses.begin(user, change.email)
        asked = Change(
            credentials_version=user.credentials_version if change.needs_password else None,
            only_if=address.only_if if address else None,
            same_credentials=True,
            caller=caller.id_hash,
            set={**{name: text for name, text in names.items() if text}, **(address.set if address else {})},
            unset=[*(["global_name"] if change.global_name == "" else []), *(address.unset if address else ())],
            activity=[
                *([Activity("renamed", client)] if _renamed(user, change) != user else []),
                *([Activity(address.activity, client)] if address else []),
            ],
            notices=self._addresses.notices_of(user, address, client) if address else (),
        )
        token = None
        if change.new_password is not None:
            token = tokens.issue(user.id, caller.began_at)
            asked = self._with_password(user.id, asked, change.new_password, token, client)
        if (asked.set or asked.unset) and not self._users.change(user.id, asked):
            if address:
                self._addresses.give_up(user, address)
            # the credentials changed after the check, so the check does not count any more
            raise PasswordMismatch if change.needs_password else Unauthorized
        self._record(user, change, token)
        if address:
            self._addresses.finish(user, address)
        return self._users.get(user.id) or user, token

    def _with_password(self, user_id: str, asked: Change, new_password: str, token: str, client: Client) -> Change:
        return replace(
            asked,
            activity=[*(asked.activity or ()), Activity("password_changed", client)],
            notices=[*(asked.notices or ()), *self._notices.about("password_changed", user_id, client)],
            same_credentials=False,
            set={**(asked.set or {}), "password_hash": self._passwords.hash(new_password)},
            new_id_hash=tokens.id_hash(token),
            reason="password_change",
            end_others="password_change",
        )

    def _record(self, user: User, change: ProfileChange, token: str | None) -> None:
        if _renamed(user, change) != user:  # clients send the present names along
            audit.account_changed("renamed", user.id)
        if token:
            audit.credentials_changed("password", user.id, tokens.id_hash(token))


def _renamed(user: User, change: ProfileChange) -> User:
    shown = user.global_name if change.global_name is None else change.global_name or None
    return replace(user, username=change.username or user.username, global_name=shown)
