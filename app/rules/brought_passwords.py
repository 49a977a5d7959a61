"""Passwords that an import brought: the first login renews their hashes, and tells the user if one is weak.

They are not refused: their owners chose them under other rules.
"""

from dataclasses import replace

from app.rules.password_hashes import MAX_BYTES
from app.rules.passwords import PasswordCheck, Passwords, compose
from app.stores.activities import Activity
from app.stores.session_records import Client
from app.stores.user_records import User
from app.stores.users import Change, UserStore


class BroughtPasswords:
    def __init__(self, users: UserStore, passwords: Passwords) -> None:
        self._users = users
        self._passwords = passwords

    def renew(self, user: User, password: str, check: PasswordCheck, client: Client) -> User:
        """Renew the hash of a right password, if it is outdated, and look whether an import brought a weak one.

        A hash of another form or cost takes another time than that for an unknown account, which reveals that this one
        exists. A password that bcrypt cannot read as a whole keeps its hash, and its user is told at each login.

        Returns:
            The user, with what to tell of the password. If a second factor is asked for first, it is kept until then.
        """
        warning = self._passwords.fault_of(password, *user.names) if check.is_brought else None
        renews = check.is_outdated and len(compose(password).encode()) <= MAX_BYTES
        fields = {"password_hash": self._passwords.hash(password)} if renews else {}
        if warning and user.has_mfa:
            fields["password_warning"] = warning
        if fields:
            told = [Activity("password_warned", client)] if warning else []
            change = Change(
                credentials_version=user.credentials_version, same_credentials=True, set=fields, activity=told
            )
            self._users.change(user.id, change)
        return replace(user, password_warning=warning) if check.is_brought else user
