"""The second step of a login or a reset: the ticket by which a second factor is asked for, and its answer at a login.

The factors themselves: second_factor.py. The first step: accounts.py, and recovery.py for a reset.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from app import tokens
from app.errors import InvalidTicket
from app.rules.devices import Devices
from app.rules.notices import Notices
from app.rules.remembered import RememberedDevices
from app.rules.second_factor import SecondFactor
from app.rules.sign_ins import SignedIn, SignIns, amr_with, audit_wrong_answer
from app.stores.activities import Activity
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
        may_remember: The browser may ask to be spared the code from then on.
    """

    user_id: str
    ticket: str
    instance: str
    offered: frozenset[str]
    webauthn: str | None
    may_remember: bool


class SecondSteps:
    def __init__(
        self,
        users: UserStore,
        tickets: TicketStore,
        devices: Devices,
        sign_ins: SignIns,
        second_factor: SecondFactor,
        notices: Notices,
        remembered: RememberedDevices,
        *,
        ticket_ttl_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._tickets = tickets
        self._devices = devices
        self._sign_ins = sign_ins
        self._second_factor = second_factor
        self._notices = notices
        self._remembered = remembered
        self._ticket_ttl_s = ticket_ttl_s
        self._clock = clock

    def ask(
        self,
        user: User,
        purpose: TicketPurpose,
        link: str = "",
        password_hash: str = "",
        *,
        on_public_computer: bool = False,
        comes_back: bool = False,
    ) -> SecondFactorAsked:
        """Issue the ticket that the user answers with a second factor.

        Args:
            link: For a reset, the id_hash of its link.
            password_hash: For a reset, the hash of the new password.
            comes_back: The right answer takes it back that the user has left.
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
            comes_back,
        )
        self._tickets.open(user.id, tokens.id_hash(ticket), held, self._ticket_ttl_s)
        audit.code_asked(user.id)
        offers = {offer["type"]: offer for offer in self._second_factor.offers(user, held.challenge)}
        webauthn = offers["webauthn"]["challenge"] if "webauthn" in offers else None
        may_remember = purpose == "login" and bool(self._remembered.ttl_s) and not on_public_computer
        return SecondFactorAsked(user.id, ticket, held.instance, frozenset(offers), webauthn, may_remember)

    def read(self, ticket: str, purpose: TicketPurpose) -> tuple[tokens.Claim, Ticket]:
        """Return the claim and the record of a ticket.

        Raises:
            InvalidTicket: It is not an open ticket for this purpose.
        """
        claim = tokens.read(ticket)
        held = self._tickets.get(claim.user_id, claim.id_hash) if claim else None
        if claim is None or held is None or held.purpose != purpose:
            raise InvalidTicket
        return claim, held

    def find_owner(self, ticket: str) -> str | None:
        """Return the id of the user to whom an open ticket of a login belongs; None for any other ticket."""
        try:
            claim, _ = self.read(ticket, "login")
        except InvalidTicket:
            return None
        return claim.user_id

    def finish_login(
        self,
        ticket: str,
        mfa_type: MfaType,
        code: str,
        instance: str | None,
        client: Client,
        *,
        remember: bool = False,
        attempt: str = "",
    ) -> SignedIn:
        """Answer the ticket of a login with a second factor, and sign in.

        Args:
            code: Of a passkey, what the browser answered, in JSON.
            remember: Spare the browser the code from now on. On a public computer that is not done.
            attempt: A hash of the ticket and the code if a form asks; "" if no form does.

        Raises:
            InvalidCode: The answer is wrong.
            InvalidTicket: The ticket is not valid any more, belongs to another login, or the credentials have changed.
        """
        try:
            return self._answer_login(ticket, mfa_type, code, instance, client, attempt, remember=remember)
        except InvalidTicket:
            again = self._sign_ins.repeat(ticket, client, mfa_type, attempt)
            if again:
                return again
            audit.sign_in_failed("invalid_ticket")
            raise

    def _answer_login(
        self,
        ticket: str,
        mfa_type: MfaType,
        code: str,
        instance: str | None,
        client: Client,
        attempt: str,
        *,
        remember: bool,
    ) -> SignedIn:
        """Use up the ticket and the code, and open the session, in one step."""
        claim, held = self.read(ticket, "login")
        if (instance or held.instance) != held.instance:
            raise InvalidTicket
        user = self._users.get(claim.user_id)
        if user is None or not user.is_unchanged_since(held.credentials_version, comes_back=held.comes_back):
            raise InvalidTicket
        answer = self._second_factor.read_answer(user, mfa_type, code, held.challenge)
        amr = amr_with("pwd", answer.factor)
        token, session = self._devices.prepare(
            user.id, client, amr, on_public_computer=held.on_public_computer, attempt=attempt
        )
        is_remembered = remember and self._remembered.ttl_s and not held.on_public_computer
        value, device = self._remembered.prepare(user.id, client) if is_remembered else ("", None)
        change = Change(
            credentials_version=user.credentials_version,
            same_credentials=True,
            unset=["password_warning"] if user.password_warning else None,
            activity=[Activity("device_remembered", client)] if device else None,
            comes_back=held.comes_back or None,
            return_notice=self._notices.of_return(user.id, client) if held.comes_back else None,
            opens=replace(session, remembered=device.id) if device else session,
            remembers=device,
        )
        verdict = self._tickets.redeem_login(user.id, claim.id_hash, answer, change, client)
        audit_wrong_answer(verdict, answer.factor, user.id)
        if verdict == "wrong":
            self._notices.tell_of_wrong_code(user.id, client)
        self._second_factor.require_right(verdict, user, client)
        with self._remembered.forgotten_if_unconfirmed(user.id, device.id_hash if device else None):
            signed_in = self._sign_ins.note(
                user.id,
                token,
                client,
                answer.factor,
                on_public_computer=held.on_public_computer,
                came_back=held.comes_back and user.left is not None,
            )
        if device:
            audit.device_remembered(user.id, session.id_hash)
        return replace(signed_in, remembered=value, password_warning=user.password_warning)
