"""Recovery: a new password for whoever reads the mail of an account, and has its second factor where one is on."""

from app import tokens
from app.accounts import Accounts, SecondFactorAsked, SignedIn
from app.errors import InvalidLink, InvalidTicket
from app.links import Links, OpenLink
from app.notices import Notices
from app.passwords import Passwords
from app.second_factor import MfaType, SecondFactor
from app.stores.sessions import Client
from app.stores.tickets import Ticket, TicketStore
from app.stores.users import Change, User, UserStore

_NOBODY = "0"


class Recovery:
    def __init__(
        self,
        users: UserStore,
        tickets: TicketStore,
        accounts: Accounts,
        links: Links,
        passwords: Passwords,
        second_factor: SecondFactor,
        notices: Notices,
    ) -> None:
        self._users = users
        self._tickets = tickets
        self._accounts = accounts
        self._links = links
        self._passwords = passwords
        self._second_factor = second_factor
        self._notices = notices

    def forgot(self, login: str, client: Client) -> None:
        """Have a link mailed to an account. Where there is none, the same work is done, and nothing mailed."""
        self._notices.tell("reset", self._accounts.id_of(login) or _NOBODY, client)

    def reset(self, secret: str, password: str, client: Client) -> SignedIn | SecondFactorAsked:
        """Set a new password by a link, and sign in with it; where a second factor is on, ask for a code first.

        Raises: errors.InvalidLink
        """
        link = self._links.read_reset(secret)
        user = self._user(link)
        password_hash = self._passwords.hash(password)
        if user.has_mfa:
            return self._accounts.ask_for_code(user, "reset", link.id_hash, password_hash)
        if not self._set_password(user, link.id_hash, password_hash, client):
            raise InvalidLink
        return self._accounts.sign_in(self._accounts.get(user.id), client)

    def finish_reset(self, ticket: str, mfa_type: MfaType, code: str, client: Client) -> SignedIn:
        """Answer the ticket of a reset with a code; the password is set that the ticket was given for.

        Raises: errors.InvalidCode, errors.InvalidTicket
        """
        claim, held = self._read_ticket(ticket)
        user = self._users.get(claim.user_id)
        if user is None or user.disabled or user.epoch != held.epoch:
            raise InvalidTicket
        answer = self._second_factor.read_answer(user, mfa_type, code)
        verdict = self._tickets.redeem_reset(user.id, claim.id_hash, answer, held.session)
        self._second_factor.require_right(verdict)
        if verdict == "last_code":
            self._notices.tell("last_code_used", user.id, client)
        if not self._set_password(user, held.session, held.password_hash, client):
            raise InvalidTicket
        return self._accounts.sign_in(self._accounts.get(user.id), client)

    def require_ticket_for(self, ticket: str, secret: str, password: str) -> None:
        """Raises: errors.InvalidTicket where the ticket was not given for this link and this password"""
        _, held = self._read_ticket(ticket)
        if held.session != tokens.id_hash(secret) or not self._passwords.verify(password, held.password_hash):
            raise InvalidTicket

    def link_of(self, secret: str) -> OpenLink | None:
        """The link that a secret opens, or that the ticket of a reset was given for."""
        try:
            return self._links.read_reset(secret)
        except InvalidLink:
            pass
        try:
            claim, held = self._read_ticket(secret)
        except InvalidTicket:
            return None
        return OpenLink(claim.user_id, held.session, held.epoch)

    def _user(self, link: OpenLink) -> User:
        user = self._users.get(link.user_id)
        if user is None or user.disabled or user.epoch != link.epoch:
            raise InvalidLink
        return user

    def _read_ticket(self, ticket: str) -> tuple[tokens.Claim, Ticket]:
        return self._accounts.read_ticket(ticket, "reset")

    def _set_password(self, user: User, link: str, password_hash: str, client: Client) -> bool:
        """End every session and use the link up, as one step. False where it was used or the credentials changed."""
        change = Change(epoch=user.epoch, set={"password_hash": password_hash}, end_others="password_change", link=link)
        is_set = self._users.change(user.id, change)
        if is_set:
            self._notices.tell("password_changed", user.id, client)
        return is_set
