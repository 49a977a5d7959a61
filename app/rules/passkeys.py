"""Passkeys of a user: adding, renaming and removing them, and signing in by one alone.

A passkey as a second factor, at a login or in a challenge: factors.py. The texts of browsers: webauthn.py.
"""

import time
from collections.abc import Callable

from app import tokens
from app.errors import InvalidTicket, NotFound
from app.form_errors import InvalidCode, InvalidCredential, LastWayIn, TooManyPasskeys
from app.rules import webauthn
from app.rules.addresses import Addresses
from app.rules.checks import Caller
from app.rules.devices import Devices
from app.rules.factors import PasskeyFactor
from app.rules.links import factor_of_passkey
from app.rules.notices import Notices
from app.rules.passkey_starts import PasskeyStarts
from app.rules.relying_party import RelyingParty
from app.rules.second_factor import SecondFactor
from app.rules.sign_ins import SignedIn, SignIns, audit_wrong_answer
from app.snowflakes import NOBODY, new_snowflake
from app.stores.activities import Activity
from app.stores.factors import JudgedAnswer
from app.stores.passkeys import MAX_PASSKEYS, Passkey
from app.stores.session_records import Client
from app.stores.tickets import Ticket, TicketStore
from app.stores.user_records import User
from app.stores.users import Change, PasskeyChangeRefused, UserStore
from app.watch import audit


class Passkeys:
    """Without a relying party no passkey can be added, and nobody signs in by one: that is NotFound."""

    def __init__(
        self,
        users: UserStore,
        tickets: TicketStore,
        devices: Devices,
        sign_ins: SignIns,
        addresses: Addresses,
        second_factor: SecondFactor,
        notices: Notices,
        party: RelyingParty | None,
        starts: PasskeyStarts,
        *,
        ticket_ttl_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.party = party
        self._users = users
        self._tickets = tickets
        self._devices = devices
        self._sign_ins = sign_ins
        self._addresses = addresses
        self._second_factor = second_factor
        self._notices = notices
        self._factor = PasskeyFactor(party)
        self._starts = starts
        self._ticket_ttl_s = ticket_ttl_s
        self._clock = clock

    def require_room(self, user: User) -> None:
        """Refuse what cannot be added, before the user proves anything for it. It raises as `begin_adding` does."""
        self._require_party()
        if len(user.passkeys) >= MAX_PASSKEYS:
            raise TooManyPasskeys

    def begin_adding(self, caller: Caller, user: User) -> tuple[str, str]:
        """Return a ticket, and the text by which a browser makes a passkey. The caller has proved itself.

        Raises:
            TooManyPasskeys: The user has as many as may be.
            NotFound: There is no relying party.
        """
        party = self._require_party()
        self.require_room(user)
        challenge = webauthn.new_challenge()
        held = Ticket("add_passkey", caller.id_hash, user.credentials_version, "", challenge=challenge)
        ticket = tokens.issue(user.id, self._clock())
        self._tickets.open(user.id, tokens.id_hash(ticket), held, self._ticket_ttl_s)
        return ticket, webauthn.creation_text(party, user, challenge)

    def finish_adding(
        self, caller: Caller, user: User, ticket: str, name: str, text: str, client: Client, *, renew: bool
    ) -> tuple[Passkey, list[str], str | None]:
        """Add the passkey that a browser has made.

        Args:
            ticket: It is used up, whatever the text is.
            text: What the browser answered, in JSON.
            renew: Give the caller's session a new token.

        Returns:
            The passkey; the backup codes, which are shown only now (none if the user has another second factor); and
            the new token, if there is one.

        Raises:
            InvalidTicket: The ticket is not valid any more, another session's, or the credentials have changed.
            InvalidCredential: The text is no right answer, or the user has this passkey.
            TooManyPasskeys: The user has as many as may be.
            NotFound: There is no relying party.
        """
        party = self._require_party()
        held = self._take(caller, ticket)
        try:
            made = webauthn.read_attestation(party, text, held.challenge)
        except webauthn.BadAnswer:
            raise InvalidCredential from None
        passkey = _passkey_of(made, name, self._clock())
        codes, hashes = self._second_factor.first_codes(user)
        token = tokens.issue(user.id, caller.began_at) if renew else None
        new_id_hash = tokens.id_hash(token) if token else None
        change = Change(
            credentials_version=held.credentials_version,
            caller=caller.id_hash,
            add_passkey=passkey,
            backup_codes=hashes,
            new_id_hash=new_id_hash,
            reason="mfa_change",
            activity=[Activity("passkey_added", client, passkey.name)],
            notices=self._notices.about("passkey_added", user.id, client, factor=factor_of_passkey(passkey)),
        )
        try:
            if user.credentials_version != held.credentials_version or not self._users.change(user.id, change):
                raise InvalidTicket
        except PasskeyChangeRefused as refused:
            raise (InvalidCredential if refused.reason == "is_there" else TooManyPasskeys) from None
        audit.credentials_changed("passkey_added", user.id, new_id_hash or caller.id_hash, passkey.id)
        return passkey, codes, token

    def rename(self, caller: Caller, user: User, passkey_id: str, name: str, client: Client) -> None:
        """Give a passkey another name.

        Raises:
            NotFound: The user has no such passkey.
        """
        passkey = self.find(user, passkey_id)
        change = Change(
            same_credentials=True,
            caller=caller.id_hash,
            rename_passkey=(passkey.cred_id, name),
            activity=[Activity("passkey_renamed", client, name)],
        )
        if not self._users.change(user.id, change):
            raise NotFound

    def remove(self, caller: Caller, user: User, passkey_id: str, client: Client, *, renew: bool) -> str | None:
        """Remove a passkey. The backup codes go with the last second factor.

        Args:
            renew: As in `finish_adding`.

        Returns:
            The new token, if there is one.

        Raises:
            NotFound: The user has no such passkey.
            LastWayIn: It is the last one, and the user has no password.
        """
        passkey = self.find(user, passkey_id)
        token = tokens.issue(user.id, caller.began_at) if renew else None
        new_id_hash = tokens.id_hash(token) if token else None
        change = Change(
            caller=caller.id_hash,
            remove_passkey=passkey.cred_id,
            new_id_hash=new_id_hash,
            reason="mfa_change",
            activity=[Activity("passkey_removed", client, passkey.name)],
            notices=self._notices.about("passkey_removed", user.id, client),
        )
        try:
            if not self._users.change(user.id, change):
                raise NotFound
        except PasskeyChangeRefused:
            raise LastWayIn from None
        audit.credentials_changed("passkey_removed", user.id, new_id_hash or caller.id_hash, passkey.id)
        return token

    def find(self, user: User, passkey_id: str) -> Passkey:
        """Return a passkey of a user by our id of it.

        Raises:
            NotFound: The user has no such passkey.
        """
        found = next((passkey for passkey in user.passkeys if passkey.id == passkey_id), None)
        if found is None:
            raise NotFound
        return found

    def start_sign_in(self, *, conditional: bool) -> tuple[str, str]:
        """Return a ticket, and the text by which a browser asks for any passkey of this service.

        Args:
            conditional: The browser offers passkeys as it fills in the form of a login.

        Raises:
            NotFound: There is no relying party.
        """
        party = self._require_party()
        challenge = webauthn.new_challenge()
        return self._starts.ticket_of(challenge), webauthn.request_text(
            party,
            challenge,
            [],
            user_verification="required",
            mediation="conditional" if conditional else None,
        )

    def finish_sign_in(
        self, ticket: str, text: str, client: Client, *, on_public_computer: bool = False, comes_back: bool = False
    ) -> SignedIn:
        """Sign in by a passkey that has verified its user, which is both factors in one.

        Args:
            ticket: It is used up, whatever the text is.
            text: What the browser answered, in JSON. It names the user.
            comes_back: It takes it back that the user has left. Without it, such a user counts as disabled.

        Raises:
            InvalidTicket: The ticket is not valid any more, or the credentials have changed.
            VerificationRequired: The user must verify the address first.
            InvalidCode: The answer is wrong, or the user unknown or disabled. Each case takes equal work.
            NotFound: There is no relying party.
        """
        self._require_party()
        challenge = self._starts.read(ticket)
        user_id = webauthn.user_of(text) or NOBODY
        is_first, user = False, None
        if challenge:
            is_first, user = self._tickets.use_start(
                tokens.id_hash(challenge), self._starts.remembered_s, self._users.record_of(user_id)
            )
        if challenge is None or not is_first:
            audit.sign_in_failed("invalid_ticket")
            raise InvalidTicket
        answer = self._factor.judge(user_id, user.passkeys if user else (), text, challenge, needs_uv=True)
        is_disabled = user is not None and user.disabled and not (comes_back and user.left)
        if user is None or is_disabled or answer is None:
            self._sign_ins.record_refusal("disabled" if is_disabled else "wrong_passkey", user, client)
            raise InvalidCode
        self._addresses.require_verified(user, client)
        return self._open(user, answer, client, on_public_computer=on_public_computer, comes_back=comes_back)

    def _open(
        self, user: User, answer: JudgedAnswer, client: Client, *, on_public_computer: bool, comes_back: bool
    ) -> SignedIn:
        token, session = self._devices.prepare(
            user.id, client, ("webauthn",), on_public_computer=on_public_computer, attempt=""
        )
        change = Change(
            credentials_version=user.credentials_version,
            same_credentials=True,
            comes_back=comes_back or None,
            return_notice=self._notices.of_return(user.id, client) if comes_back else None,
            opens=session,
        )
        verdict = self._tickets.sign_in_by_passkey(user.id, answer, change, client)
        if verdict == "unknown":
            self._sign_ins.record_refusal("credentials_changed", user, client)
        audit_wrong_answer(verdict, answer.factor, user.id)
        self._second_factor.require_right(verdict, user, client)
        return self._sign_ins.note(
            user.id,
            token,
            client,
            "webauthn",
            on_public_computer=on_public_computer,
            came_back=comes_back and user.left is not None,
        )

    def _require_party(self) -> RelyingParty:
        if self.party is None:
            raise NotFound
        return self.party

    def _take(self, caller: Caller, ticket: str) -> Ticket:
        """Return a ticket for adding a passkey, and use it up. It raises InvalidTicket as `finish_adding` does."""
        claim = tokens.read(ticket)
        if claim is None or claim.user_id != caller.user_id:
            raise InvalidTicket
        held = self._tickets.take(claim.user_id, claim.id_hash, "add_passkey")
        if held is None or held.session != caller.id_hash:
            raise InvalidTicket
        return held


def _passkey_of(made: webauthn.NewPasskey, name: str, now: float) -> Passkey:
    return Passkey(
        cred_id=made.cred_id,
        id=new_snowflake(now),
        name=name,
        public_key=made.public_key,
        sign_count=made.sign_count,
        transports=made.transports,
        backup_eligible=made.backup_eligible,
        created_at=int(now),
    )
