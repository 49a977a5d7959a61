"""Recovery: a new password by a link in a mail (with MFA by a second factor, too), and the end of a session by a link.

The secrets in links: links.py. The mails: notices.py queues them, mail/letters.py writes them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from app import tokens
from app.errors import InvalidTicket
from app.form_errors import InvalidLink
from app.rules.accounts import Accounts
from app.rules.addresses import Addresses
from app.rules.devices import Devices
from app.rules.links import Links, OpenLink
from app.rules.notices import Notices
from app.rules.passwords import Passwords
from app.rules.reverts import Reverted, change_of_revert, reverted_by
from app.rules.second_factor import SecondFactor
from app.rules.second_steps import SecondFactorAsked, SecondSteps
from app.rules.sign_ins import SignedIn, SignIns, amr_with, audit_wrong_answer
from app.snowflakes import NOBODY
from app.stores.activities import Activity, ActivityStore
from app.stores.factors import MfaType
from app.stores.mail import Notice, NoticeKind
from app.stores.session_records import Amr, Client
from app.stores.tickets import Ticket, TicketStore
from app.stores.user_records import User
from app.stores.users import Change, UserStore
from app.watch import audit


class Recovery:
    def __init__(
        self,
        users: UserStore,
        tickets: TicketStore,
        accounts: Accounts,
        addresses: Addresses,
        devices: Devices,
        sign_ins: SignIns,
        links: Links,
        passwords: Passwords,
        second_factor: SecondFactor,
        second_steps: SecondSteps,
        notices: Notices,
        activities: ActivityStore,
    ) -> None:
        self._users = users
        self._tickets = tickets
        self._accounts = accounts
        self._addresses = addresses
        self._devices = devices
        self._sign_ins = sign_ins
        self._links = links
        self._passwords = passwords
        self._second_factor = second_factor
        self._second_steps = second_steps
        self._notices = notices
        self._activities = activities

    def mail_reset_link(self, login: str, client: Client) -> None:
        """Queue a mail with a link for a new password. For an unknown account take equal time, but send no mail."""
        user = self._accounts.find(login)
        audit.reset_asked(user.id if user else None, self._accounts.digest_of(login))
        self._activities.note(user.id if user else None, Activity("reset_asked", client))
        self._notices.send_reset(user.id if user else NOBODY, user.secrets_version if user else "", client)

    def reset(
        self, secret: str, password: str, client: Client, *, on_public_computer: bool = False, attempt: str = ""
    ) -> SignedIn | SecondFactorAsked:
        """Set a new password by a link and sign in. If MFA is on, ask for a second factor first.

        Whoever has left comes back by it. Whoever has the link has the mailbox, so the address is verified.

        Args:
            attempt: A hash of the link and the password if a form asks; "" if no form does.

        Raises:
            InvalidLink: The link is unknown, used or expired, or the credentials have changed.
            InvalidForm: The password holds a name or the address of the user.
        """
        again = self._sign_ins.repeat(secret, client, "reset", attempt)
        if again:
            return again
        with _record_refusals():
            link = self._links.read_reset(secret)
            user = self._find_user(link)
            self._passwords.require_fit("password", password, *user.names)
            password_hash = self._passwords.hash(password)
            if user.has_mfa:
                return self._second_steps.ask(
                    user, "reset", link.id_hash, password_hash, on_public_computer=on_public_computer
                )
            token, change = self._prepare(
                user, link.id_hash, password_hash, client, ("mail",), on_public_computer, attempt
            )
            if not self._users.change(user.id, change):
                raise InvalidLink
        return self._note_reset(user, token, client, on_public_computer)

    def finish_reset(self, ticket: str, mfa_type: MfaType, code: str, client: Client, *, attempt: str = "") -> SignedIn:
        """Answer the ticket of a reset with a second factor, set the password that the ticket holds, and sign in.

        Args:
            code: Of a passkey, what the browser answered, in JSON.
            attempt: A hash of the ticket and the code if a form asks; "" if no form does.

        Raises:
            InvalidCode: The answer is wrong.
            InvalidTicket: The ticket is not valid any more, or the credentials have changed.
        """
        again = self._sign_ins.repeat(ticket, client, "reset", attempt)
        if again:
            return again
        with _record_refusals():
            claim, held = self._read_ticket(ticket)
            user = self._users.get(claim.user_id)
            if user is None or not user.has_secrets_of(held.credentials_version):
                raise InvalidTicket
            answer = self._second_factor.read_answer(user, mfa_type, code, held.challenge)
            token, change = self._prepare(
                user,
                held.session,
                held.password_hash,
                client,
                amr_with("mail", answer.factor),
                held.on_public_computer,
                attempt,
            )
            verdict = self._tickets.redeem_reset(user.id, claim.id_hash, answer, held.session, change, client)
            audit_wrong_answer(verdict, answer.factor, user.id)
            self._second_factor.require_right(verdict, user, client)
        return self._note_reset(user, token, client, held.on_public_computer)

    def revert(self, secret: str, password: str, client: Client) -> SignedIn | None:
        """Take back what somebody else has done: take off a factor that was set, or put the former address back.

        Each factor that was set since goes too, a new password is set, and every session ends. No factor is asked for:
        whoever holds the mailbox has the account back, whatever else was changed, and although somebody has left with
        it.

        Returns:
            None if an older factor is left. Then the user logs in with the new password and that factor. Otherwise this
            signs in.

        Raises:
            InvalidLink: The link is unknown, used or expired, the factor is gone, or the user is disabled.
            InvalidForm: The password holds a name or the address of the user.
        """
        with _record_refusals():
            link = self._links.read_revert(secret)
            user = self._users.get(link.user_id)
            if user is None or user.is_shut_out:
                raise InvalidLink
            reverted = reverted_by(link, user)
            self._passwords.require_fit("password", password, *user.names, link.email)
            token, session = self._devices.prepare(user.id, client, ("mail",), on_public_computer=False, attempt="")
            change = replace(
                change_of_revert(link, reverted, self._passwords.hash(password), client),
                notices=self._notices_of(user.id, reverted, client),
                return_notice=self._notices.of_return(user.id, client),
                opens=None if reverted.leaves_older else session,
            )
            if link.email:
                is_done = self._addresses.put_back(user, link.email, change)
            else:
                is_done = bool(self._users.change(user.id, change))
            if not is_done:
                raise InvalidLink
        self._note_revert(user.id, link, reverted)
        if reverted.leaves_older:
            if user.left:
                self._sign_ins.note_return(user.id)
            return None
        return self._sign_ins.note(
            user.id, token, client, "reset", on_public_computer=False, came_back=user.left is not None
        )

    def require_ticket_for(self, ticket: str, secret: str, password: str) -> None:
        """Raise InvalidTicket if a ticket was not issued for this link and this password."""
        with _record_refusals():
            _, held = self._read_ticket(ticket)
            if held.session != tokens.id_hash(secret) or not self._passwords.verify(password, held.password_hash):
                raise InvalidTicket

    def end_session(self, secret: str) -> None:
        """End the session of a sign-in that was not the user's own, by the link in the notice about this sign-in.

        Raises:
            InvalidLink: The link is unknown, used or expired.
        """
        user_id, client = self._links.end_session(secret)
        self._notices.forget_device(user_id, client)

    def find_link(self, secret: str) -> OpenLink | None:
        """Return the link that belongs to a secret; None if there is no such link.

        Args:
            secret: A link's secret, or the ticket of a reset that began with a link.
        """
        for read in (self._links.read_reset, self._links.read_revert):
            try:
                return read(secret)
            except InvalidLink:
                pass
        try:
            claim, held = self._read_ticket(secret)
        except InvalidTicket:
            return None
        return OpenLink(claim.user_id, held.session, held.credentials_version)

    def _find_user(self, link: OpenLink) -> User:
        user = self._users.get(link.user_id)
        if user is None or not user.has_secrets_of(link.secrets_version):
            raise InvalidLink
        return user

    def _read_ticket(self, ticket: str) -> tuple[tokens.Claim, Ticket]:
        return self._second_steps.read(ticket, "reset")

    def _prepare(
        self,
        user: User,
        link: str,
        password_hash: str,
        client: Client,
        amr: tuple[Amr, ...],
        on_public_computer: bool,
        attempt: str,
    ) -> tuple[str, Change]:
        """Return the token of a new session, and the change of a reset: in one step it sets the password, uses the link
        up, ends every session and opens the new one."""
        token, session = self._devices.prepare(
            user.id, client, amr, on_public_computer=on_public_computer, attempt=attempt
        )
        change = Change(
            credentials_version=user.credentials_version,
            set={"password_hash": password_hash},
            unset=["unverified"],
            end_others="password_change",
            link=link,
            comes_back=True,
            return_notice=self._notices.of_return(user.id, client),
            opens=session,
            activity=[Activity("password_changed", client, "mail")],
            notices=self._notices.about("password_changed", user.id, client),
        )
        return token, change

    def _note_reset(self, user: User, token: str, client: Client, on_public_computer: bool) -> SignedIn:
        audit.credentials_changed("password", user.id)
        came_back = user.left is not None
        return self._sign_ins.note(
            user.id, token, client, "reset", on_public_computer=on_public_computer, came_back=came_back
        )

    def _notices_of(self, user_id: str, reverted: Reverted, client: Client) -> Sequence[Notice]:
        kinds: list[NoticeKind] = [*sorted(set(reverted.removed)), "password_changed"]
        return [notice for kind in kinds for notice in self._notices.about(kind, user_id, client)]

    def _note_revert(self, user_id: str, link: OpenLink, reverted: Reverted) -> None:
        if link.email:
            audit.account_changed("address_put_back", user_id)
        for what in reverted.removed:
            audit.credentials_changed(what, user_id)
        audit.credentials_changed("password", user_id)


@contextmanager
def _record_refusals() -> Iterator[None]:
    """Write an audit line for each link or ticket that is refused in the `with` block."""
    try:
        yield
    except InvalidLink:
        audit.sign_in_failed("invalid_link")
        raise
    except InvalidTicket:
        audit.sign_in_failed("invalid_ticket")
        raise
