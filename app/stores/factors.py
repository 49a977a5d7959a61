"""The kinds of second factors, and the commands that ask Redis which of them a user has.

Each kind has a row in KINDS, and one in lua/factors.lua for the scripts. How a challenge offers a factor, and how an
answer is read: rules/factors.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal, cast

from app.stores.connection.node import RedisCommand
from app.stores.keys import Keys

MfaType = Literal["webauthn", "totp", "backup"]  # in the order in which they are offered


@dataclass(frozen=True, slots=True)
class FactorKind:
    """
    Attributes:
        check_command: Makes the command that asks Redis whether a user (by id) has this factor. Any reply except 0
            means yes.
        is_in: Tells whether a user has this factor, from their record (fields and values) and the hash of their
            passkeys.
    """

    check_command: Callable[[Keys, str], RedisCommand]
    is_in: Callable[[Mapping[str, str], Sequence[str]], bool]


TotpAlgorithm = Literal["SHA1", "SHA256", "SHA512"]


@dataclass(frozen=True, slots=True)
class TotpParameters:
    """How an authenticator app makes codes from its secret (RFC 6238). A record has what differs from these alone."""

    algorithm: TotpAlgorithm = "SHA1"
    digits: int = 6
    period_s: int = 30

    @classmethod
    def in_record(cls, record: Mapping[str, str]) -> "TotpParameters":
        """Return the parameters in the record of a user."""
        return cls(
            cast(TotpAlgorithm, record.get("totp_algorithm", USUAL_TOTP.algorithm)),
            int(record.get("totp_digits", USUAL_TOTP.digits)),
            int(record.get("totp_period", USUAL_TOTP.period_s)),
        )

    def as_fields(self) -> dict[str, str | None]:
        """Return the fields of a record: None for those that must be absent."""
        names = ("totp_algorithm", "totp_digits", "totp_period")
        values = zip(names, astuple(self), astuple(USUAL_TOTP), strict=True)
        return {name: None if own == usual else str(own) for name, own, usual in values}


USUAL_TOTP = TotpParameters()  # every authenticator app supports these


# Backup codes are missing on purpose: they replace a code of a second factor, but are not one themselves.
KINDS: Mapping[MfaType, FactorKind] = {
    "webauthn": FactorKind(
        check_command=lambda keys, user_id: ("EXISTS", keys.passkeys(user_id)),
        is_in=lambda _, passkeys: bool(passkeys),
    ),
    "totp": FactorKind(
        check_command=lambda keys, user_id: ("HEXISTS", keys.user(user_id), "totp_secret"),
        is_in=lambda record, _: "totp_secret" in record,
    ),
}
CHECK_COMMANDS = tuple(kind.check_command for kind in KINDS.values())


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """An answer to a challenge, judged as far as possible without Redis. lua/factors.lua judges the rest.

    Attributes:
        evidence: For the script. {} for a right password; {"cred_id", "id", "sign_count"} for a passkey, by both its
            ids; {"step", "window", "period_s"} for a TOTP code (RFC 6238), where window is the steps that it may be
            off; {"code_hashes"} for a backup code (all hashes under which it may be kept); None for a wrong answer.
    """

    factor: MfaType | Literal["password"]
    evidence: Mapping[str, Any] | None = None
