"""Accounts: registration, login, and how an account is disabled or deleted.

Records of users: stores/users.py. What users change of theirs: profile.py. Commands of operators: operators.py. A
forgotten password: recovery.py.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from app import tokens
from app.errors import InvalidForm, InvalidLogin, InvalidTicket, Unauthorized
from app.rules.checks import Caller
from app.rules.devices import REPEATED_WITHIN_S, Devices
from app.rules.email_addresses import normal_forms, normalise_email
from app.rules.keyring import Keyring
from app.rules.notices import Notices
from app.rules.passwords import Passwords, require_fit
from app.rules.second_factor import SecondFactor
from app.rules.sign_ins import SignedIn, SignIns, amr_with, audit_wrong_answer
from app.snowflakes import NOBODY, new_snowflake
from app.stores.connection.client import Read
from app.stores.connection.connect import StoreRefused
from app.stores.factors import MfaType
from app.stores.session_records import Client
from app.stores.tickets import Ticket, TicketPurpose, TicketStore
from app.stores.user_records import User
from app.stores.users import Change, UserStore
from app.watch import audit


@dataclass(frozen=True, slots=True)
class SecondFactorAsked:
    """The outcome of a right password, or of a reset, that still needs a second factor. It has the ticket.

    Attributes:
        offered: The names of the factors that the user may answer with.
        webauthn: What a browser is asked for a passkey, as a text in JSON; None if the user cannot answer with one.
    """

    user_id: str
    ticket: str
    instance: str
    offered: frozenset[str]
    webauthn: str | None


class Accounts:
    def __init__(
        self,
        users: UserStore,
        tickets: TicketStore,
        devices: Devices,
        sign_ins: SignIns,
        passwords: Passwords,
        second_factor: SecondFactor,
        keyring: Keyring,
        notices: Notices,
        *,
        ticket_ttl_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._tickets = tickets
        self._devices = devices
        self._sign_ins = sign_ins
        self._passwords = passwords
        self._second_factor = second_factor
        self._keyring = keyring
        self._notices = notices
        self._ticket_ttl_s = ticket_ttl_s
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
    ) -> SignedIn:
        """Make an account and sign its first device in. If the same form did so already, sign in anew.

        Raises:
            InvalidForm: The e-mail address is taken.
        """
        try:
            user = self.create(email, username, global_name, password)
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

    def create(self, email: str, username: str, global_name: str | None, password: str) -> User:
        """Make an account.

        Raises:
            InvalidForm: The e-mail address is taken, or the password holds it or a name.
        """
        require_fit("password", password, email, username, global_name)
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
        )
        if not created:
            raise taken
        audit.account_changed("registered", user_id)
        return self.get(user_id)

    def log_in(
        self, login: str, password: str, client: Client, *, on_public_computer: bool = False, attempt: str = ""
    ) -> SignedIn | SecondFactorAsked:
        """Check a password. Sign in, or ask for a second factor if MFA is on.

        Args:
            attempt: A hash of the form that asks, "" if no form does: see stores/session_records.py, NewSession.

        Raises:
            InvalidLogin: The account is unknown or disabled, or the password is wrong. Each case takes equal work.
        """
        user = self._users.get(self.id_of(login) or NOBODY)
        check = self._passwords.check(password, user.password_hash if user else None)
        if user is None:
            audit.sign_in_failed("unknown_account", account=self.digest_of(login))
            raise InvalidLogin
        if user.disabled or not check.matches:
            audit.sign_in_failed("wrong_password" if not check.matches else "disabled", user.id)
            raise InvalidLogin
        # A hash of another cost takes another time than for an unknown account, which reveals that this one exists.
        if check.is_outdated:
            renewed = self._passwords.hash(password)
            self._users.change(
                user.id,
                Change(
                    credentials_version=user.credentials_version, same_credentials=True, set={"password_hash": renewed}
                ),
            )
        if user.has_mfa:
            return self.ask_for_second_factor(user, "login", on_public_computer=on_public_computer)
        return self._sign_ins.open(
            user, client, "password", ("pwd",), on_public_computer=on_public_computer, attempt=attempt
        )

    def finish_login(
        self,
        ticket: str,
        mfa_type: MfaType,
        code: str,
        instance: str | None,
        client: Client,
        *,
        attempt: str = "",
    ) -> SignedIn:
        """Answer the ticket of a login with a second factor, and sign in.

        Args:
            code: Of a passkey, what the browser answered, in JSON.
            attempt: A hash of the ticket and the code if a form asks; "" if no form does.

        Raises:
            InvalidCode: The answer is wrong.
            InvalidTicket: The ticket is not valid any more, belongs to another login, or the credentials have changed.
        """
        try:
            return self._answer_login(ticket, mfa_type, code, instance, client, attempt)
        except InvalidTicket:
            again = self._sign_ins.repeat(ticket, client, mfa_type, attempt)
            if again:
                return again
            audit.sign_in_failed("invalid_ticket")
            raise

    def find_ticket_owner(self, ticket: str) -> str | None:
        """Return the id of the user to whom an open ticket of a login belongs; None for any other ticket."""
        try:
            claim, _ = self.read_ticket(ticket, "login")
        except InvalidTicket:
            return None
        return claim.user_id

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
        if not self._users.change(user_id, Change(unset=["disabled"])):
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

    def ask_for_second_factor(
        self,
        user: User,
        purpose: TicketPurpose,
        link: str = "",
        password_hash: str = "",
        *,
        on_public_computer: bool = False,
    ) -> SecondFactorAsked:
        """Issue the ticket that the user answers with a second factor.

        Args:
            link: For a reset, the id_hash of its link.
            password_hash: For a reset, the hash of the new password.
        """
        ticket = tokens.issue(user.id, self._clock())
        # Ending sessions stops a login that is under way, but no reset: whoever has the password alone could do that.
        version = user.secrets_version if purpose == "reset" else user.credentials_version
        held = Ticket(
            purpose,
            link,
            version,
            secrets.token_urlsafe(16),
            password_hash,
            self._second_factor.new_challenge(user),
            on_public_computer,
        )
        self._tickets.open(user.id, tokens.id_hash(ticket), held, self._ticket_ttl_s)
        audit.code_asked(user.id)
        offers = {offer["type"]: offer for offer in self._second_factor.offers(user, held.challenge)}
        webauthn = offers["webauthn"]["challenge"] if "webauthn" in offers else None
        return SecondFactorAsked(user.id, ticket, held.instance, frozenset(offers), webauthn)

    def read_ticket(self, ticket: str, purpose: TicketPurpose) -> tuple[tokens.Claim, Ticket]:
        """Return the claim and the record of a ticket.

        Raises:
            InvalidTicket: It is not an open ticket for this purpose.
        """
        claim = tokens.read(ticket)
        held = self._tickets.get(claim.user_id, claim.id_hash) if claim else None
        if claim is None or held is None or held.purpose != purpose:
            raise InvalidTicket
        return claim, held

    def _shut_out(self, user_id: str) -> bool:
        return bool(self._users.change(user_id, Change(set={"disabled": "1"}, end_others="admin")))

    def _register_again(self, email: str, password: str, client: Client, attempt: str) -> SignedIn | None:
        user_id = self.id_of(email) if attempt else None
        user = self._users.get(user_id) if user_id else None
        # The password is checked before the session is looked for: the first of two forms may be about to open it.
        is_new = user is not None and user.created_at >= self._clock() - REPEATED_WITHIN_S
        if user is None or not is_new or not self._passwords.verify(password, user.password_hash):
            return None
        return self._sign_ins.repeat_of_user(user.id, client, "registration", attempt)

    def _answer_login(
        self, ticket: str, mfa_type: MfaType, code: str, instance: str | None, client: Client, attempt: str
    ) -> SignedIn:
        """Use up the ticket and the code, and open the session, in one step."""
        claim, held = self.read_ticket(ticket, "login")
        if (instance or held.instance) != held.instance:
            raise InvalidTicket
        user = self._users.get(claim.user_id)
        if user is None or not user.is_unchanged_since(held.credentials_version):
            raise InvalidTicket
        answer = self._second_factor.read_answer(user, mfa_type, code, held.challenge)
        amr = amr_with("pwd", answer.factor)
        token, session = self._devices.prepare(
            user.id, client, amr, on_public_computer=held.on_public_computer, attempt=attempt
        )
        change = Change(credentials_version=user.credentials_version, same_credentials=True, opens=session)
        verdict = self._tickets.redeem_login(user.id, claim.id_hash, answer, change)
        audit_wrong_answer(verdict, answer.factor, user.id)
        if verdict == "wrong":
            self._notices.tell_of_wrong_code(user.id, client)
        self._second_factor.require_right(verdict, user, client)
        return self._sign_ins.note(user.id, token, client, answer.factor, on_public_computer=held.on_public_computer)
