"""Accounts: registration and login. The second step of a login: second_steps.py.

Records of users: stores/users.py. What users change of theirs: profile.py, addresses.py. How an account is disabled or
deleted: leaving.py. Commands of operators: operators.py. A forgotten password: recovery.py.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.errors import Unauthorized
from app.form_errors import EmailTaken, InvalidLogin
from app.rules.addresses import Addresses
from app.rules.brought_passwords import BroughtPasswords
from app.rules.checks import Caller
from app.rules.devices import REPEATED_WITHIN_S, Devices
from app.rules.email_addresses import normal_forms, normalise_email
from app.rules.notices import Notices
from app.rules.passwords import Passwords
from app.rules.remembered import RememberedDevices
from app.rules.second_steps import SecondFactorAsked, SecondSteps
from app.rules.sign_ins import SignedIn, SignIns
from app.snowflakes import NOBODY, new_snowflake
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
        addresses: Addresses,
        passwords: Passwords,
        second_steps: SecondSteps,
        remembered: RememberedDevices,
        notices: Notices,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._devices = devices
        self._sign_ins = sign_ins
        self._addresses = addresses
        self._passwords = passwords
        self._brought_passwords = BroughtPasswords(users, passwords)
        self._second_steps = second_steps
        self._remembered = remembered
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
        """Return the id of the user whom an e-mail address leads to; None if there is no such user.

        That may be a user who has another address by now: see `find`.
        """
        found = map(self._users.id_of, normal_forms(email))
        return next(filter(None, found), None)

    def find(self, email: str) -> User | None:
        """Return the user with an e-mail address. For an unknown one this takes as many trips to Redis."""
        user = self._users.get(self.id_of(email) or NOBODY)
        if user is None or set(normal_forms(user.email)).isdisjoint(normal_forms(email)):
            return None
        return self._addresses.settle(user)

    def digest_of(self, email: str) -> str:
        """Return a keyed hash of an address. Logs and limits use it, because they must not contain the address."""
        return self._addresses.digest_of(email)

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
            user = self.create(
                email, username, global_name, password, language, unverified=self._addresses.can_be_verified
            )
        except EmailTaken:
            again = self._register_again(email, password, client, attempt)
            if again is None:
                raise
            return again
        try:
            signed_in = self._sign_ins.open(
                user, client, "registration", ("pwd",), on_public_computer=on_public_computer, attempt=attempt
            )
        except StoreRefused:  # the answer tells of no account, so none may stay, nor keep its address
            self._users.take_back(user.id, normalise_email(email))
            audit.account_changed("deleted", user.id)
            raise
        self._addresses.mail_link(user, client)
        return signed_in

    def create(
        self,
        email: str,
        username: str,
        global_name: str | None,
        password: str,
        language: str | None = None,
        *,
        unverified: bool = False,
    ) -> User:
        """Make an account.

        Args:
            unverified: Nobody has proved yet that the address is the user's.

        Raises:
            InvalidForm: The e-mail address is taken, or the password holds it or a name.
        """
        self._passwords.require_fit("password", password, email, username, global_name)
        if self.id_of(email):
            raise EmailTaken
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
            unverified=unverified,
        )
        if not created:
            raise EmailTaken
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
        comes_back: bool = False,
    ) -> SignedIn | SecondFactorAsked:
        """Check a password. Sign in, or ask for a second factor if MFA is on and the browser is not remembered.

        Args:
            remembered: The values in the browser's cookie of remembered devices. On a public computer none counts.
            attempt: A hash of the form that asks, "" if no form does: see stores/session_records.py, NewSession.
            comes_back: It takes it back that the user has left. Without it, such an account counts as disabled.

        Raises:
            InvalidLogin: The account is unknown or disabled, or the password is wrong. Each case takes equal work.
            VerificationRequired: The user must verify the address first.
        """
        user = self.find(login)
        check = self._passwords.check(password, user.password_hash if user else None)
        is_disabled = user is not None and user.disabled and not (comes_back and user.left)
        if user is None or is_disabled or not check.matches:
            why: audit.WhyNot = "disabled" if check.matches else "wrong_password"
            self._sign_ins.record_refusal(why if user else "unknown_account", user, client, self.digest_of(login))
            raise InvalidLogin
        self._addresses.require_verified(user, client)
        user = self._brought_passwords.renew(user, password, check, client)
        if user.has_mfa:
            spared = None if on_public_computer else self._remembered.log_in(user, remembered, client, attempt)
            return spared or self._second_steps.ask(
                user, "login", on_public_computer=on_public_computer, comes_back=comes_back
            )
        signed_in = self._sign_ins.open(
            user,
            client,
            "password",
            ("pwd",),
            on_public_computer=on_public_computer,
            attempt=attempt,
            comes_back=comes_back,
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

    def _register_again(self, email: str, password: str, client: Client, attempt: str) -> SignedIn | None:
        user_id = self.id_of(email) if attempt else None
        user = self._users.get(user_id) if user_id else None
        # The password is checked before the session is looked for: the first of two forms may be about to open it.
        is_new = user is not None and user.created_at >= self._clock() - REPEATED_WITHIN_S
        if user is None or not is_new or not self._passwords.verify(password, user.password_hash):
            return None
        return self._sign_ins.repeat_of_user(user.id, client, "registration", attempt)
