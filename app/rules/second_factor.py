"""The second factor: TOTP and its backup codes, turned on and off, and answers judged against them."""

import re
import secrets
import string
import time
from collections.abc import Callable
from typing import Literal

from app import tokens
from app.errors import InvalidCode, InvalidSecret, InvalidTicket, MfaAlreadyOn, MfaNotOn
from app.rules import totp
from app.rules.devices import Caller
from app.rules.keyring import Keyring
from app.rules.notices import Notices
from app.stores.sessions import Client
from app.stores.tickets import Answer, Verdict
from app.stores.users import Change, User, UserStore
from app.watch import audit

MfaType = Literal["totp", "backup"]

_CODE_ALPHABET = string.ascii_lowercase + string.digits
_CODE_LENGTH = 8
_CODE_COUNT = 10


class SecondFactor:
    def __init__(
        self,
        users: UserStore,
        keyring: Keyring,
        notices: Notices,
        totp_window: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._keyring = keyring
        self._notices = notices
        self._window = totp_window
        self._clock = clock

    def require_on(self, user: User) -> None:
        if not user.has_mfa:
            raise MfaNotOn

    def require_off(self, user: User) -> None:
        if user.has_mfa:
            raise MfaAlreadyOn

    def read_answer(self, user: User, mfa_type: MfaType, code: str) -> Answer:
        """Judge what was typed; whether it was used before is for Redis to say.

        mfa_type: where "totp" is asked a backup code passes too
        """
        if user.totp_secret and mfa_type == "totp":
            step = self._step(self._keyring.decrypt(user.totp_secret), code)
            if step is not None:
                return Answer(step=step)
        typed = re.sub(r"[\s-]", "", code).lower()
        if not re.fullmatch(rf"[a-z0-9]{{{_CODE_LENGTH}}}", typed):
            return Answer()
        return Answer(code_hashes=self._keyring.code_hashes(user.id, typed))

    def require_right(self, verdict: Verdict) -> None:
        """Raises: errors.InvalidTicket, errors.InvalidCode"""
        if verdict == "unknown":
            raise InvalidTicket
        if verdict == "wrong":
            raise InvalidCode

    def enable(
        self, caller: Caller, user: User, secret: str | None, code: str | None, client: Client
    ) -> tuple[str, list[str]]:
        """Turn TOTP on, once the app has shown that it has the secret.

        Returns: the token under which the caller's session goes on, and the backup codes, shown this once
        Raises: errors.MfaAlreadyOn, errors.InvalidSecret where it is missing or short, errors.InvalidCode
        """
        self.require_off(user)
        normalised = totp.normalise_secret(secret or "")
        if normalised is None:
            raise InvalidSecret
        step = self._step(normalised, code or "")
        if step is None:
            raise InvalidCode
        codes = _new_codes()
        token = tokens.issue(user.id, caller.began_at)
        change = Change(
            epoch=user.epoch,
            caller=caller.id_hash,
            set={
                "totp_secret": self._keyring.encrypt(normalised),
                "totp_step": str(step),
                "totp_at": str(int(self._clock())),
            },
            backup_codes=self._hashes(user.id, codes),
            new_id_hash=tokens.id_hash(token),
            reason="mfa_change",
        )
        if not self._users.change(user.id, change):
            raise MfaAlreadyOn
        audit.credentials_changed("totp_on", user.id, tokens.id_hash(token))
        self._notices.tell("totp_on", user.id, client)
        return token, codes

    def disable(self, caller: Caller, user: User, client: Client) -> str:
        """Turn TOTP off; the token under which the caller's session goes on is returned."""
        self.require_on(user)
        token = tokens.issue(user.id, caller.began_at)
        change = Change(
            epoch=user.epoch,
            caller=caller.id_hash,
            unset=["totp_secret", "totp_step", "totp_at"],
            backup_codes=[],
            new_id_hash=tokens.id_hash(token),
            reason="mfa_change",
        )
        if not self._users.change(user.id, change):
            raise MfaNotOn
        audit.credentials_changed("totp_off", user.id, tokens.id_hash(token))
        self._notices.tell("totp_off", user.id, client)
        return token

    def renew_codes(self, caller: Caller, user: User, client: Client) -> list[str]:
        """Ten new backup codes, shown this once; the old ones are dead."""
        self.require_on(user)
        codes = _new_codes()
        change = Change(epoch=user.epoch, caller=caller.id_hash, backup_codes=self._hashes(user.id, codes))
        if not self._users.change(user.id, change):
            raise MfaNotOn
        audit.credentials_changed("backup_codes", user.id, caller.id_hash)
        self._notices.tell("codes_renewed", user.id, client)
        return codes

    def _step(self, secret: str, code: str) -> int | None:
        return totp.matching_step(secret, code, self._clock(), self._window)

    def _hashes(self, user_id: str, codes: list[str]) -> list[str]:
        return [self._keyring.code_hashes(user_id, code)[0] for code in codes]


def _new_codes() -> list[str]:
    return ["".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH)) for _ in range(_CODE_COUNT)]
