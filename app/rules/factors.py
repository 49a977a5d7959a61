"""The kinds of second factor, TOTP and backup codes: how a challenge offers each, and how an answer to it is read.

Redis decides that a code is used once: stores/lua/factors.lua. Turning factors on and off: second_factor.py. The
arithmetic of TOTP: totp.py.
"""

import re
import secrets
import string
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from app.rules import totp
from app.rules.keyring import Keyring
from app.stores.factors import JudgedAnswer, MfaType
from app.stores.users import User

_CODE_ALPHABET = string.ascii_lowercase + string.digits
_CODE_LENGTH = 8
_CODE_COUNT = 10


class Factor(Protocol):
    """One kind of second factor.

    Attributes:
        name: As clients call it, in a challenge and in the answer to one.
        authenticator_type: Its number among Discord's authenticator types; None if it is not one.
    """

    @property
    def name(self) -> MfaType: ...

    @property
    def authenticator_type(self) -> int | None: ...

    def offer(self, user: User) -> dict[str, Any] | None:
        """Return how a challenge offers it to a user; None if the user cannot answer with it."""

    def since(self, user: User) -> int | None:
        """Return the Unix seconds when it was turned on; None if that is not known or it is not on."""

    def read_answer(self, user: User, typed: str) -> JudgedAnswer | None:
        """Judge an answer as far as possible without Redis. Return None if it is wrong."""


class TotpFactor:
    name: MfaType = "totp"
    authenticator_type = 2

    def __init__(self, keyring: Keyring, window: int, clock: Callable[[], float] = time.time) -> None:
        self._keyring = keyring
        self._window = window
        self._clock = clock

    def offer(self, user: User) -> dict[str, Any] | None:
        return {"type": "totp", "backup_codes_allowed": user.backup_codes_left > 0} if user.totp_secret else None

    def since(self, user: User) -> int | None:
        return user.totp_at

    def read_answer(self, user: User, typed: str) -> JudgedAnswer | None:
        secret = self._keyring.decrypt(user.totp_secret) if user.totp_secret else None
        step = self.step_of(secret, typed) if secret else None
        return None if step is None else JudgedAnswer("totp", {"step": step})

    def step_of(self, secret: str, code: str) -> int | None:
        """Return the step, at most `window` steps away from now, that has this code; None if no step has it."""
        return totp.matching_step(secret, code, self._clock(), self._window)


class BackupCodes:
    """Ten codes, each good once in place of TOTP."""

    name: MfaType = "backup"
    authenticator_type = None

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def offer(self, user: User) -> dict[str, Any] | None:
        return {"type": "backup"} if user.backup_codes_left > 0 else None

    def since(self, _: User) -> int | None:
        return None

    def read_answer(self, user: User, typed: str) -> JudgedAnswer | None:
        code = re.sub(r"[\s-]", "", typed).lower()
        if not re.fullmatch(rf"[a-z0-9]{{{_CODE_LENGTH}}}", code):
            return None
        return JudgedAnswer("backup", {"code_hashes": self._keyring.code_hashes(user.id, code)})

    def hashes(self, user_id: str, codes: Sequence[str]) -> list[str]:
        """Return the forms in which new codes are kept."""
        return [self._keyring.code_hashes(user_id, code)[0] for code in codes]


def new_codes() -> list[str]:
    """Return ten backup codes."""
    return ["".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH)) for _ in range(_CODE_COUNT)]
