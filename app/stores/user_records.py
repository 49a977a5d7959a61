"""The record of a user, as it is read from Redis. How it is read and changed: users.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

from app.stores.factors import KINDS, USUAL_TOTP, MfaType, TotpParameters
from app.stores.passkeys import Passkey, parse_passkeys
from app.watch.audit import Left


@dataclass(frozen=True, slots=True)
class User:
    """The record of a user.

    Attributes:
        email: As the user gave it. Look-ups use its normalised form.
        created_at: Unix seconds.
        credentials_version: Grows with every change of credentials, and when all other sessions are ended. Logins that
            began under an older version are refused.
        secrets_version: Grows with every change of the password, a factor or the backup codes. Proofs and reset links
            of an older version are refused.
        totp_secret: The encrypted secret; None while TOTP is off.
        totp_parameters: How the user's authenticator app makes codes.
        totp_since: When TOTP was turned on, Unix seconds; 0 if nobody knows, as in an import.
        language: Of pages and mails; None for who has not chosen one, and did not ask for one at the registration.
        password_warning: Why the password that an import brought could not be a new one here. None if the user was
            told, or there is nothing to tell. It waits here while a login is between its two steps.
        backup_codes_left: The number of unused backup codes.
        passkeys: In the order in which they were made.
        factors: The second factors that are on. Backup codes do not count.
        secrets_changed_at: When the secrets last changed while other sessions went on, Unix seconds; 0 for never.
        unverified: Nobody has used the link that was mailed to the address. A record of the release before says nothing
            of that, and counts as verified.
        pending_email: The address that the user has asked for and not verified; None if there is none.
        pending_since: When it was asked for, Unix seconds.
        moved_from: The address before the present one, while its key still leads to the user as the only one that does;
            None once that is settled: see rules/addresses.py.
        left: How the user has left; None if they have not. Then `disabled` is set, too.
        delete_at: When the account is to be deleted, Unix seconds; 0 if its deletion has begun; None for never.
        replayed_at: When `flask users replay` last withdrew what a backup had brought back, Unix seconds; 0 for never.
    """

    id: str
    email: str
    username: str
    global_name: str | None
    password_hash: str = field(repr=False)
    created_at: int
    credentials_version: str
    totp_secret: str | None = field(repr=False)
    disabled: bool
    backup_codes_left: int
    passkeys: tuple[Passkey, ...] = ()
    factors: frozenset[MfaType] = frozenset()
    secrets_version: str = "0"
    secrets_changed_at: int = 0
    replayed_at: float = 0
    totp_since: int = 0
    totp_parameters: TotpParameters = USUAL_TOTP
    language: str | None = None
    password_warning: str | None = None
    unverified: bool = False
    pending_email: str | None = None
    pending_since: int = 0
    moved_from: str | None = None
    left: Left | None = None
    delete_at: int | None = None

    @property
    def names(self) -> tuple[str | None, ...]:
        """Return what the user is called: e-mail address, username, and the name that others see."""
        return self.email, self.username, self.global_name

    @property
    def has_mfa(self) -> bool:
        return bool(self.factors)

    @property
    def is_shut_out(self) -> bool:
        """Tell whether the user was disabled by an operator. Who has left may come back."""
        return self.disabled and self.left is None

    def is_unchanged_since(self, credentials_version: str, *, comes_back: bool = False) -> bool:
        """Tell whether the user still has this credentials version, and is not disabled.

        Args:
            comes_back: Who has left does not count as disabled.
        """
        is_in = not self.disabled or (comes_back and not self.is_shut_out)
        return is_in and self.credentials_version == credentials_version

    def has_secrets_of(self, secrets_version: str) -> bool:
        """Tell whether a reset that was asked for under this version may go on: not shut out, the secrets the same."""
        return not self.is_shut_out and self.secrets_version == secrets_version


def parse_user(user_id: str, fields: Sequence[str], backup_codes_left: int, passkeys: Sequence[str]) -> User | None:
    """Return the user; None if the record is not one of ours.

    Args:
        fields: Names and values in turn.
        passkeys: Credential ids and records in turn.
    """
    try:
        return _user_of(user_id, fields, backup_codes_left, passkeys)
    except (KeyError, ValueError):
        return None


def _user_of(user_id: str, fields: Sequence[str], backup_codes_left: int, passkeys: Sequence[str]) -> User:
    record = dict(zip(fields[::2], fields[1::2], strict=True))
    return User(
        id=user_id,
        email=record["email"],
        username=record["username"],
        global_name=record.get("global_name"),
        password_hash=record["password_hash"],
        created_at=int(record["created_at"]),
        credentials_version=record["epoch"],
        totp_secret=record.get("totp_secret"),
        disabled="disabled" in record,
        backup_codes_left=backup_codes_left,
        passkeys=parse_passkeys(passkeys),
        secrets_version=record.get("secrets_version", "0"),
        secrets_changed_at=int(record.get("secrets_changed_at", 0)),
        replayed_at=float(record.get("replayed_at", 0)),
        totp_since=int(record.get("totp_since", 0)),
        totp_parameters=TotpParameters.in_record(record),
        language=record.get("language"),
        password_warning=record.get("password_warning"),
        unverified="unverified" in record,
        pending_email=record.get("pending_email"),
        pending_since=int(record.get("pending_since", 0)),
        moved_from=record.get("moved_from"),
        left=next((left for left in get_args(Left) if left == record.get("left")), None),
        delete_at=int(record["delete_at"]) if "delete_at" in record else None,
        factors=frozenset(name for name, kind in KINDS.items() if kind.is_in(record, passkeys)),
    )
