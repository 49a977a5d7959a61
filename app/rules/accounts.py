"""Accounts: registration, login, and how an account is disabled or deleted.

Records of users: stores/users.py. What users change of theirs: profile.py. Commands of operators: operators.py. A
forgotten password: recovery.py. The second step of a login: second_steps.py.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.errors import InvalidForm, InvalidLogin, Unauthorized
from app.rules.brought_passwords import BroughtPasswords
from app.rules.checks import Caller
from app.rules.devices import REPEATED_WITHIN_S, Devices
from app.rules.email_addresses import normal_forms, normalise_email
from app.rules.keyring import Keyring
from app.rules.notices import Notices
from app.rules.passwords import Passwords
from app.rules.remembered import RememberedDevices
from app.rules.second_steps import SecondFactorAsked, SecondSteps
from app.rules.sign_ins import SignedIn, SignIns
from app.snowflakes import NOBODY, new_snowflake
from app.stores.activities import Activity
from app.stores.connection.client import Read
from app.stores.connection.connect import StoreRefused
from app.stores.session_records import Client
from app.stores.user_records import User
from app.stores.users import Change, UserStore
from app.watch import audit


class Accounts:
    def __init__(
        self,
        users: UserStore,
        devices: Devices,
        sign_ins: SignIns,
        passwords: Passwords,
        second_steps: SecondSteps,
        remembered: RememberedDevices,
        keyring: Keyring,
        notices: Notices,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._devices = devices
        self._sign_ins = sign_ins
        self._passwords = passwords
        self._brought_passwords = BroughtPasswords(users, passwords)
        self._second_steps = second_steps
        self._remembered = remembered
        self._keyring = keyring
        self._notices = notices
        self._clock = clock

    def get(self, user_id: str) -> User:
        """Return a user.

        Raises:
            Unauthorized: The user was deleted, with all their sessions.
        """
        return self.require(self._users.get(user_id))

    def record_of(self, user_id: str) -> Read[User | None]:
        """Return the Read of a user, for `require`."""
        return self._users.record_of(user_id)

    def require(self, user: User | None) -> User:
        """Return a user that was looked up.

        Raises:
            Unauthorized: As `get` does.
        """
        if user is None:
            raise Unauthorized
        return user

    def id_of(self, email: str) -> str | None:
        """Return the id of the user with an e-mail address; None if there is no such user."""
        found = map(self._users.id_of, normal_forms(email))
        return next(filter(None, found), None)

    def digest_of(self, email: str) -> str:
        """Return a keyed hash of an address. Logs and limits use it, because they must not contain the address."""
        return self._keyring.digest(normalise_email(email))

    def register(
        self,
        email: str,
        username: str,
        global_name: str | None,
        password: str,
        client: Client,
        *,
        on_public_computer: bool = False,
        attempt: str = "",
        language: str | None = None,
    ) -> SignedIn:
        """Make an account and sign its first device in. If the same form did so already, sign in anew.

        Raises:
            InvalidForm: The e-mail address is taken.
        """
        try:
            user = self.create(email, username, global_name, password, language)
        except InvalidForm:
            again = self._register_again(email, password, client, attempt)
            if again is None:
                raise
            return again
        try:
            return self._sign_ins.open(
                user, client, "registration", ("pwd",), on_public_computer=on_public_computer, attempt=attempt
            )
        except StoreRefused:  # the answer tells of no account, so none may stay, nor keep its address
            self._users.take_back(user.id, normalise_email(email))
            audit.account_changed("deleted", user.id)
            raise

    def create(
        self, email: str, username: str, global_name: str | None, password: str, language: str | None = None
    ) -> User:
        """Make an account.

        Raises:
            InvalidForm: The e-mail address is taken, or the password holds it or a name.
        """
        self._passwords.require_fit("password", password, email, username, global_name)
        taken = InvalidForm({"email": "EMAIL_ALREADY_REGISTERED: Email is already registered."})
        if self.id_of(email):
            raise taken
        user_id = new_snowflake(self._clock())
        created = self._users.create(
            user_id,
            normalise_email(email),
            email=email,
            username=username,
            global_name=global_name,
            password_hash=self._passwords.hash(password),
            created_at=int(self._clock()),
            language=language,
        )
        if not created:
            raise taken
        audit.account_changed("registered", user_id)
        return self.get(user_id)

    def log_in(
        self,
        login: str,
        password: str,
        client: Client,
        *,
        remembered: Sequence[str] = (),
        on_public_computer: bool = False,
        attempt: str = "",
    ) -> SignedIn | SecondFactorAsked:
        """Check a password. Sign in, or ask for a second factor if MFA is on and the browser is not remembered.

        Args:
            remembered: The values in the browser's cookie of remembered devices. On a public computer none counts.
            attempt: A hash of the form that asks, "" if no form does: see stores/session_records.py, NewSession.

        Raises:
            InvalidLogin: The account is unknown or disabled, or the password is wrong. Each case takes equal work.
        """
        user = self._users.get(self.id_of(login) or NOBODY)
        check = self._passwords.check(password, user.password_hash if user else None)
        if user is None or user.disabled or not check.matches:
            why: audit.WhyNot = "disabled" if check.matches else "wrong_password"
            self._sign_ins.record_refusal(why if user else "unknown_account", user, client, self.digest_of(login))
            raise InvalidLogin
        user = self._brought_passwords.renew(user, password, check, client)
        if user.has_mfa:
            spared = None if on_public_computer else self._remembered.log_in(user, remembered, client, attempt)
            return spared or self._second_steps.ask(user, "login", on_public_computer=on_public_computer)
        signed_in = self._sign_ins.open(
            user, client, "password", ("pwd",), on_public_computer=on_public_computer, attempt=attempt
        )
        return replace(signed_in, password_warning=user.password_warning)

    def end_others(self, caller: Caller, client: Client, *, stop_logins: bool = True) -> None:
        """End every session except the caller's.

        Args:
            stop_logins: Also refuse the logins that are under way.
        """
        change = Change(caller=caller.id_hash, end_others="revoked", same_credentials=not stop_logins)
        self._users.change(caller.user_id, change)
        self._notices.tell_of_ended_others(caller.user_id, client)

    def disable(self, user_id: str) -> bool:
        """End every session of a user and let no login finish. Return False if there is no such user."""
        if not self._shut_out(user_id):
            return False
        audit.account_changed("disabled", user_id)
        return True

    def enable(self, user_id: str) -> bool:
        """Let a user sign in again. Return False if there is no such user."""
        change = Change(unset=["disabled"], activity=[Activity("enabled", is_operators=True)])
        if not self._users.change(user_id, change):
            return False
        audit.account_changed("enabled", user_id)
        return True

    def delete(self, user_id: str) -> bool:
        """Remove a user and all their data. Return False if there is no such user."""
        user = self._users.get(user_id)
        if user is None or not self._shut_out(user_id):
            return False
        self._users.delete(user_id, normal_forms(user.email), self.digest_of(user.email))
        audit.account_changed("deleted", user_id)
        return True

    def _shut_out(self, user_id: str) -> bool:
        told = [Activity("disabled", is_operators=True)]
        return bool(self._users.change(user_id, Change(set={"disabled": "1"}, end_others="admin", activity=told)))

    def _register_again(self, email: str, password: str, client: Client, attempt: str) -> SignedIn | None:
        user_id = self.id_of(email) if attempt else None
        user = self._users.get(user_id) if user_id else None
        # The password is checked before the session is looked for: the first of two forms may be about to open it.
        is_new = user is not None and user.created_at >= self._clock() - REPEATED_WITHIN_S
        if user is None or not is_new or not self._passwords.verify(password, user.password_hash):
            return None
        return self._sign_ins.repeat_of_user(user.id, client, "registration", attempt)
