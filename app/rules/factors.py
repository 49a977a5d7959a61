"""The kinds of second factor, passkeys, TOTP and backup codes: how challenges offer them, and how answers are read.

Redis lets a code be used only once: stores/lua/factors.lua. Turning factors on and off: second_factor.py. The
arithmetic of TOTP: totp.py.
"""

import re
import secrets
import string
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from app.rules import totp, webauthn
from app.rules.keyring import Keyring
from app.rules.relying_party import RelyingParty
from app.stores.factors import JudgedAnswer, MfaType, TotpParameters
from app.stores.passkeys import Passkey
from app.stores.user_records import User
from app.text import plain_code

_CODE_ALPHABET = string.ascii_lowercase + string.digits
_CODE_LENGTH = 8
_CODE_COUNT = 10


class Factor(Protocol):
    """One kind of second factor.

    Attributes:
        name: Its name in challenges and in answers.
        authenticator_type: Discord's number for this type of authenticator; None if Discord has no number.
    """

    @property
    def name(self) -> MfaType: ...

    @property
    def authenticator_type(self) -> int | None: ...

    def offer(self, user: User, challenge: str, /) -> dict[str, Any] | None:
        """Return the entry for this factor in a challenge's `methods`; None if the user cannot answer with it.

        Args:
            challenge: What the ticket asks a passkey to sign: see stores/tickets.py, Ticket.
        """

    def read_answer(self, user: User, typed: str, challenge: str, /) -> JudgedAnswer | None:
        """Judge an answer as far as possible without Redis. Return None if the answer is wrong.

        Args:
            challenge: That of the ticket which is answered.
        """


class PasskeyFactor:
    """A passkey of the user. As a second factor it need not verify the user."""

    name: MfaType = "webauthn"
    authenticator_type = 1

    def __init__(self, party: RelyingParty | None) -> None:
        self._party = party

    def new_challenge(self, user: User) -> str:
        """Return the challenge of a new ticket of a user; "" if the user cannot answer with a passkey."""
        return webauthn.new_challenge() if self._party and user.passkeys else ""

    def offer(self, user: User, challenge: str, /) -> dict[str, Any] | None:
        if self._party is None or not user.passkeys or not challenge:
            return None
        asked = webauthn.request_text(self._party, challenge, user.passkeys, user_verification="preferred")
        return {"type": "webauthn", "challenge": asked}

    def read_answer(self, user: User, typed: str, challenge: str, /) -> JudgedAnswer | None:
        return self.judge(user.id, user.passkeys, typed, challenge, needs_uv=False)

    def judge(
        self, user_id: str, passkeys: Sequence[Passkey], typed: str, challenge: str, *, needs_uv: bool
    ) -> JudgedAnswer | None:
        """Judge an answer as `read_answer` does, with the same work if there are no passkeys.

        Args:
            needs_uv: The passkey must have verified the user, because it is the only factor.
        """
        if self._party is None or not challenge:
            return None
        try:
            given = webauthn.verify_assertion(self._party, typed, challenge, user_id, passkeys, needs_uv=needs_uv)
        except webauthn.BadAnswer:
            return None
        used = next(passkey for passkey in passkeys if passkey.cred_id == given.cred_id)
        evidence = {"cred_id": used.cred_id, "id": used.id, "sign_count": given.sign_count}
        return JudgedAnswer("webauthn", evidence)


class TotpFactor:
    name: MfaType = "totp"
    authenticator_type = 2

    def __init__(self, keyring: Keyring, window: int, clock: Callable[[], float] = time.time) -> None:
        self._keyring = keyring
        self._window = window
        self._clock = clock

    def offer(self, user: User, _: str) -> dict[str, Any] | None:
        return {"type": "totp", "backup_codes_allowed": user.backup_codes_left > 0} if user.totp_secret else None

    def read_answer(self, user: User, typed: str, _: str) -> JudgedAnswer | None:
        secret = self._keyring.decrypt(user.totp_secret) if user.totp_secret else None
        step = self.step_of(secret, user.totp_parameters, typed) if secret else None
        if step is None:
            return None
        evidence = {"step": step, "window": self._window, "period_s": user.totp_parameters.period_s}
        return JudgedAnswer("totp", evidence)

    def step_of(self, secret: str, parameters: TotpParameters, code: str) -> int | None:
        """Return the step with this code, at most `window` steps from now; None if there is no such step."""
        return totp.matching_step(secret, code, self._clock(), self._window, parameters)


class BackupCodes:
    """Ten codes. Each is accepted once instead of a TOTP code."""

    name: MfaType = "backup"
    authenticator_type = None

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def offer(self, user: User, _: str) -> dict[str, Any] | None:
        return {"type": "backup"} if user.backup_codes_left > 0 else None

    def read_answer(self, user: User, typed: str, _: str) -> JudgedAnswer | None:
        code = plain_code(typed)
        if not re.fullmatch(rf"[a-z0-9]{{{_CODE_LENGTH}}}", code):
            return None
        return JudgedAnswer("backup", {"code_hashes": self._keyring.code_hashes(user.id, code)})

    def hashes(self, user_id: str, codes: Sequence[str]) -> list[str]:
        """Return the keyed hashes of new codes."""
        return [self._keyring.code_hashes(user_id, code)[0] for code in codes]


def new_codes() -> list[str]:
    """Return ten backup codes."""
    return ["".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH)) for _ in range(_CODE_COUNT)]
