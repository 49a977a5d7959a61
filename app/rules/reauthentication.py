"""Reauthentication: a session proves itself again before it ends sessions, changes the password or the second factor.

Login with a second factor: accounts.py. The factors themselves: second_factor.py. Which views need a proof:
web/guards.py.
"""

import time
from collections.abc import Callable
from typing import Any, cast

from app import tokens
from app.errors import Forbidden, InvalidTicket, MfaRequired, Unauthorized
from app.form_errors import InvalidForm, InvalidPassword
from app.rules.checks import Caller
from app.rules.notices import Notices
from app.rules.passwords import Passwords
from app.rules.second_factor import SecondFactor
from app.stores.factors import JudgedAnswer, MfaType
from app.stores.session_records import Client
from app.stores.sessions import SessionStore
from app.stores.tickets import Ticket, TicketStore
from app.stores.user_records import User
from app.stores.users import UserStore
from app.watch import audit


class Reauthentication:
    def __init__(
        self,
        users: UserStore,
        tickets: TicketStore,
        sessions: SessionStore,
        passwords: Passwords,
        second_factor: SecondFactor,
        notices: Notices,
        *,
        ticket_ttl_s: int,
        proof_ttl_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._tickets = tickets
        self._sessions = sessions
        self._passwords = passwords
        self._second_factor = second_factor
        self._notices = notices
        self._ticket_ttl_s = ticket_ttl_s
        self._clock = clock
        self.proof_ttl_s = proof_ttl_s

    def challenge(self, caller: Caller) -> MfaRequired:
        """Return the refusal that asks a session to prove itself. It has a new ticket for the answer.

        Raises:
            Forbidden: The user has neither a second factor nor a password.
        """
        user = self._find_user(caller)
        held = Ticket(
            purpose="step_up",
            session=caller.id_hash,
            credentials_version=user.credentials_version,
            instance="",
            challenge=self._second_factor.new_challenge(user),
        )
        methods = self._methods(user, held.challenge)
        if not methods:
            raise Forbidden
        ticket = tokens.issue(caller.user_id, self._clock())
        self._tickets.open(caller.user_id, tokens.id_hash(ticket), held, self._ticket_ttl_s)
        return MfaRequired(ticket, methods, self.proof_ttl_s)

    def has_logged_in_lately(self, caller: Caller) -> bool:
        """Tell whether a session's login counts as a proof.

        Yes if the login was recent, and neither the password, nor a factor, nor the codes have changed since. The
        adoption of a token of the service before is no login.
        """
        # A clock that was ahead may have noted a beginning in the future, which is no recent one.
        if abs(self._clock() - caller.began_at) >= self.proof_ttl_s:
            return False
        if self._find_user(caller).secrets_changed_at >= caller.began_at:
            return False
        return self._sessions.began_by_login(caller.user_id, caller.id_hash)

    def prove(self, caller: Caller, password: str | None, code: str | None, client: Client) -> str:
        """Challenge a session and answer at once: with the code if the user has a second factor, else the password.

        This returns and raises as `finish` does, and raises Forbidden as `challenge` does.

        Raises:
            MfaRequired: There is no answer to what is asked.
        """
        challenge = self.challenge(caller)
        offered = [method["type"] for method in challenge.methods]
        method = next(filter(offered.__contains__, ("password", "totp", "backup")), None)
        answer = password if method == "password" else code
        if method is None or answer is None:
            raise challenge
        try:
            return self.finish(caller, challenge.ticket, method, answer, client)
        except InvalidForm:  # the second factor was turned on or off meanwhile
            raise self.challenge(caller) from None

    def finish(self, caller: Caller, ticket: str, mfa_type: str, data: str, client: Client) -> str:
        """Answer a challenge.

        Returns:
            The proof.

        Raises:
            InvalidTicket: The ticket is not valid any more, or belongs to another session.
            InvalidCode: The answer is wrong.
            InvalidForm: The method was not offered.
        """
        try:
            return self._finish(caller, ticket, mfa_type, data, client)
        except InvalidTicket:
            audit.step_up_failed("invalid_ticket", caller.user_id)
            raise

    def _finish(self, caller: Caller, ticket: str, mfa_type: str, data: str, client: Client) -> str:
        claim = tokens.read(ticket)
        if claim is None or claim.user_id != caller.user_id:
            raise InvalidTicket
        held = self._tickets.get(claim.user_id, claim.id_hash)
        if held is None or held.purpose != "step_up" or held.session != caller.id_hash:
            raise InvalidTicket
        user = self._find_user(caller)
        offered = [method["type"] for method in self._methods(user, held.challenge)]
        if mfa_type not in offered:
            raise InvalidForm({"mfa_type": f"BASE_TYPE_CHOICES: Value must be one of {', '.join(offered)}."})
        answer = self._read_answer(user, mfa_type, data, held.challenge)
        proof = tokens.issue(caller.user_id, self._clock())
        verdict = self._tickets.redeem_step_up(
            caller.user_id, claim.id_hash, answer, caller.id_hash, tokens.id_hash(proof), self.proof_ttl_s, client
        )
        if verdict in ("wrong", "stale_counter"):
            audit.step_up_failed("wrong", user.id, answer.factor)
        if verdict == "wrong" and mfa_type == "password":
            raise InvalidPassword
        self._second_factor.require_right(verdict, user, client)
        audit.step_up_passed(user.id, answer.factor)
        return proof

    def _find_user(self, caller: Caller) -> User:
        user = self._users.get(caller.user_id)
        if user is None:
            raise Unauthorized
        return user

    def _read_answer(self, user: User, mfa_type: str, data: str, challenge: str) -> JudgedAnswer:
        if mfa_type == "password":
            return JudgedAnswer("password", {} if self._passwords.verify(data, user.password_hash) else None)
        return self._second_factor.read_answer(
            user, cast(MfaType, mfa_type), data, challenge
        )  # the caller has checked that this method was offered

    def _methods(self, user: User, challenge: str) -> list[dict[str, Any]]:
        """Return the methods that a user may answer with: the second factors that are on, else the password."""
        if user.has_mfa:
            return self._second_factor.offers(user, challenge)
        return [{"type": "password"}] if user.password_hash else []
