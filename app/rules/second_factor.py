"""The second factor of an account: offers in challenges, judging answers, and turning TOTP and backup codes on and off.

The kinds of factor: factors.py. Adding a passkey: passkeys.py. The arithmetic of TOTP: totp.py. Proofs of a session:
reauthentication.py.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from app import tokens
from app.errors import InvalidTicket, MfaAlreadyOn, MfaNotOn, Unavailable
from app.form_errors import InvalidCode, InvalidSecret
from app.rules import totp
from app.rules.checks import Caller
from app.rules.factors import BackupCodes, Factor, PasskeyFactor, TotpFactor, new_codes
from app.rules.keyring import Keyring
from app.rules.links import factor_of_totp
from app.rules.notices import Notices
from app.rules.relying_party import RelyingParty
from app.stores.activities import Activity
from app.stores.factors import USUAL_TOTP, JudgedAnswer, MfaType
from app.stores.session_records import Client
from app.stores.tickets import AnswerVerdict
from app.stores.user_records import User
from app.stores.users import Change, UserStore
from app.watch import audit


class SecondFactor:
    def __init__(
        self,
        users: UserStore,
        keyring: Keyring,
        notices: Notices,
        totp_window: int,
        least_secret_bits: int,
        party: RelyingParty | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            party: Whom passkeys are made for; None if there can be none here.
        """
        self._users = users
        self._keyring = keyring
        self._notices = notices
        self._least_secret_bits = least_secret_bits
        self._clock = clock
        self._totp = TotpFactor(keyring, totp_window, clock)
        self._backup_codes = BackupCodes(keyring)
        self._passkey = PasskeyFactor(party)
        self._factors: Sequence[Factor] = (self._passkey, self._totp, self._backup_codes)

    def require_on(self, user: User) -> None:
        """Raise MfaNotOn if a user has no second factor."""
        if not user.has_mfa:
            raise MfaNotOn

    def require_totp_on(self, user: User) -> None:
        """Raise MfaNotOn if TOTP is off for a user."""
        if "totp" not in user.factors:
            raise MfaNotOn

    def require_totp_off(self, user: User) -> None:
        """Raise MfaAlreadyOn if TOTP is on for a user."""
        if "totp" in user.factors:
            raise MfaAlreadyOn

    def offers(self, user: User, challenge: str) -> list[dict[str, Any]]:
        """Return a challenge's entry for each factor that the user can answer with; an empty list if MFA is off.

        Args:
            challenge: That of the ticket: see stores/tickets.py, Ticket.
        """
        offered = (factor.offer(user, challenge) for factor in self._factors) if user.has_mfa else ()
        return [offer for offer in offered if offer]

    def new_challenge(self, user: User) -> str:
        """Return the challenge of a new ticket of a user; "" if the user cannot answer with a passkey."""
        return self._passkey.new_challenge(user)

    def authenticator_types(self, user: User) -> list[int]:
        """Return Discord's numbers for the factors that are on."""
        return [
            factor.authenticator_type
            for factor in self._factors
            if factor.name in user.factors and factor.authenticator_type is not None
        ]

    def read_answer(self, user: User, mfa_type: MfaType, typed: str, challenge: str) -> JudgedAnswer:
        """Judge an answer as far as possible without Redis. A backup code is also accepted for "totp".

        Args:
            challenge: That of the ticket which is answered.
        """
        for factor in self._factors:
            if factor.name == mfa_type or (mfa_type == "totp" and factor is self._backup_codes):
                answer = factor.read_answer(user, typed, challenge)
                if answer:
                    return answer
        return JudgedAnswer(mfa_type)

    def can_read_secret(self, user: User) -> bool:
        """Tell whether one of SECRET_KEYS can decrypt the TOTP secret of a user, if they have one."""
        try:
            return user.totp_secret is None or bool(self._keyring.decrypt(user.totp_secret))
        except Unavailable:
            return False

    def require_right(self, verdict: AnswerVerdict, user: User, client: Client) -> None:
        """Refuse a wrong answer, and tell the user what they should know of it.

        Raises:
            InvalidTicket: The ticket is not valid any more.
            InvalidCode: The answer is wrong.
        """
        if verdict == "unknown":
            raise InvalidTicket
        if verdict == "stale_counter":
            audit.passkey_counter(user.id)
            self._notices.tell_of_copied_passkey(user.id, client)
        if verdict in ("wrong", "stale_counter"):
            raise InvalidCode
        if verdict == "last_code":
            self._notices.tell("last_code_used", user.id, client)

    def first_codes(self, user: User) -> tuple[list[str], Sequence[str] | None]:
        """Return backup codes for a user who gets a second factor, and their hashes for the change.

        Returns:
            An empty list and None if the user has another factor, whose codes go on.
        """
        if user.has_mfa:
            return [], None
        codes = new_codes()
        return codes, self._backup_codes.hashes(user.id, codes)

    def enable(
        self, caller: Caller, user: User, secret: str | None, code: str | None, client: Client
    ) -> tuple[str, list[str]]:
        """Turn TOTP on, if a code proves that the user's app has the secret.

        Args:
            secret: In base32, or in an otpauth URI, which may tell another algorithm, 8 digits or another period.

        Returns:
            The new token of the caller's session, and the backup codes, which are shown only now. There are none if the
            user has another second factor, whose codes go on.

        Raises:
            MfaAlreadyOn: TOTP is on.
            InvalidSecret: The secret is missing, short, or of codes that cannot be checked here.
            InvalidCode: The code is wrong.
        """
        self.require_totp_off(user)
        if not secret:
            raise InvalidSecret
        try:
            read, told = totp.read_enrolment(secret, self._least_secret_bits)
        except totp.BadSecret as problem:
            raise InvalidSecret(str(problem)) from None
        parameters = told or USUAL_TOTP
        step = self._totp.step_of(read, parameters, code or "")
        if step is None:
            raise InvalidCode
        codes, hashes = self.first_codes(user)
        token = tokens.issue(user.id, caller.began_at)
        encrypted = self._keyring.encrypt(read)
        change = Change(
            credentials_version=user.credentials_version,
            caller=caller.id_hash,
            set={
                "totp_secret": encrypted,
                "totp_step": str(step),
                "totp_since": str(int(self._clock())),
                **{name: value for name, value in parameters.as_fields().items() if value},
            },
            unset=[name for name, value in parameters.as_fields().items() if not value],
            backup_codes=hashes,
            new_id_hash=tokens.id_hash(token),
            reason="mfa_change",
            activity=[Activity("totp_on", client)],
            notices=self._notices.about("totp_on", user.id, client, factor=factor_of_totp(encrypted)),
        )
        if not self._users.change(user.id, change):
            raise MfaAlreadyOn
        audit.credentials_changed("totp_on", user.id, tokens.id_hash(token))
        return token, codes

    def disable(self, caller: Caller, user: User, client: Client) -> str:
        """Turn TOTP off. Return the new token of the caller's session. The backup codes go with the last factor."""
        self.require_totp_on(user)
        token = tokens.issue(user.id, caller.began_at)
        change = Change(
            credentials_version=user.credentials_version,
            caller=caller.id_hash,
            forget=["totp"],
            new_id_hash=tokens.id_hash(token),
            reason="mfa_change",
            activity=[Activity("totp_off", client)],
            notices=self._notices.about("totp_off", user.id, client),
        )
        if not self._users.change(user.id, change):
            raise MfaNotOn
        audit.credentials_changed("totp_off", user.id, tokens.id_hash(token))
        return token

    def renew_codes(self, caller: Caller, user: User, client: Client) -> list[str]:
        """Replace the backup codes. Return the ten new codes, which are shown only now."""
        self.require_on(user)
        codes = new_codes()
        change = Change(
            credentials_version=user.credentials_version,
            caller=caller.id_hash,
            backup_codes=self._backup_codes.hashes(user.id, codes),
            activity=[Activity("backup_codes_renewed", client)],
            notices=self._notices.about("codes_renewed", user.id, client),
        )
        if not self._users.change(user.id, change):
            raise MfaNotOn
        audit.credentials_changed("backup_codes", user.id, caller.id_hash)
        return codes
