"""The user's own record as the user changes it: the password.

Registration and login: accounts.py. A forgotten password: recovery.py. The second factor: second_factor.py.
"""

from app import tokens
from app.errors import PasswordMismatch, UnknownUser
from app.rules.devices import Caller
from app.rules.notices import Notices
from app.rules.passwords import Passwords
from app.snowflakes import is_user_id
from app.stores.session_records import Client
from app.stores.users import Change, User, UserStore
from app.watch import audit


class Profiles:
    def __init__(self, users: UserStore, passwords: Passwords, notices: Notices) -> None:
        self._users = users
        self._passwords = passwords
        self._notices = notices

    def find(self, user_id: str) -> User:
        """Return any user.

        Raises:
            UnknownUser: No user has this id, or it has not the form of one.
        """
        user = self._users.get(user_id) if is_user_id(user_id) else None
        if user is None:
            raise UnknownUser
        return user

    def require_password(self, user: User, password: str) -> None:
        """Raise PasswordMismatch if a password is not the password of the user."""
        if not self._passwords.verify(password, user.password_hash):
            audit.step_up_failed("wrong", user.id, "password")
            raise PasswordMismatch

    def change_password(self, caller: Caller, user: User, password: str, new_password: str, client: Client) -> str:
        """Change the password, end every other session, and replace the caller's token.

        Returns:
            The new token.

        Raises:
            PasswordMismatch: The old password is wrong, or the credentials changed meanwhile.
        """
        self.require_password(user, password)
        token = tokens.issue(user.id, caller.began_at)
        change = Change(
            credentials_version=user.credentials_version,
            caller=caller.id_hash,
            set={"password_hash": self._passwords.hash(new_password)},
            new_id_hash=tokens.id_hash(token),
            reason="password_change",
            end_others="password_change",
        )
        changed = self._users.change(user.id, change)
        if not changed:  # the credentials changed after the check, so the check does not count any more
            raise PasswordMismatch
        audit.credentials_changed("password", user.id, tokens.id_hash(token))
        self._notices.tell("password_changed", user.id, client)
        return token
