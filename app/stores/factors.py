"""The kinds of second factors, and the commands that ask Redis which of them a user has.

Each kind has a row in KINDS, and one in lua/factors.lua for the scripts. How a challenge offers a factor, and how an
answer is read: rules/factors.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
            ids; {"step", "window"} for a TOTP code (RFC 6238), where window is the steps that it may be off;
            {"code_hashes"} for a backup code (all hashes under which it may be kept); None for a wrong answer.
    """

    factor: MfaType | Literal["password"]
    evidence: Mapping[str, Any] | None = None
