"""The passkeys of users: WebAuthn credentials, by which they sign in and step up."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Passkey:
    """One passkey of a user.

    Attributes:
        cred_id: The credential id, which its device chose, in base64url without padding.
        id: A snowflake of ours, by which the API names the passkey.
        public_key: A COSE key.
        sign_count: The device's counter at the last use; 0 for ever from a device that does not count.
        transports: How a browser reaches the device, as the browser said.
        aaguid: The make of the device as a UUID; all zeros if it does not tell.
        backup_eligible: True if the device may copy the passkey elsewhere. None if nobody has told, as in an import.
        created_at: Unix seconds.
        last_used_at: Unix seconds; None if it was never used.
    """

    cred_id: str
    id: str
    name: str
    public_key: bytes = field(repr=False)
    sign_count: int
    transports: tuple[str, ...]
    aaguid: str
    backup_eligible: bool | None
    created_at: int
    last_used_at: float | None = None
