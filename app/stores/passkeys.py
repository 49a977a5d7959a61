"""Passkeys of a user, and how Redis keeps each as JSON. They are read and changed with the user: users.py.

What is asked of a browser, and how its answer is judged: rules/webauthn.py. The counter: lua/factors.lua.
"""

import base64
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.stores.foreign import is_time, read_json

MAX_PASSKEYS = 10  # of a user


@dataclass(frozen=True, slots=True)
class Passkey:
    """A WebAuthn credential of a user.

    Attributes:
        cred_id: The credential id, which its device chose, in base64url without padding.
        id: A snowflake of ours, by which the API names the passkey.
        public_key: A COSE key.
        sign_count: The device's counter at the last use; 0 for ever from a device that does not count.
        transports: How a browser reaches the device, as the browser said.
        backup_eligible: True if the device may copy the passkey elsewhere. None if nobody has told, as in an import.
        created_at: Unix seconds.
        last_used_at: Unix seconds; None if it was not used yet.
    """

    cred_id: str
    id: str
    name: str
    public_key: bytes = field(repr=False)
    sign_count: int
    transports: tuple[str, ...]
    backup_eligible: bool | None
    created_at: int
    last_used_at: float | None = None

    def record(self) -> str:
        """Return the text that Redis keeps under the credential id."""
        fields: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "public_key": base64.urlsafe_b64encode(self.public_key).rstrip(b"=").decode(),
            "sign_count": self.sign_count,
            "transports": " ".join(self.transports),  # an empty list would come back from Lua as an object
            "backup_eligible": self.backup_eligible,
            "created_at": self.created_at,
        }
        return orjson.dumps(fields | ({"last_used_at": self.last_used_at} if self.last_used_at else {})).decode()


def parse_passkeys(fields: Sequence[str]) -> tuple[Passkey, ...]:
    """Return the passkeys of a hash, in the order in which they were made. What is none of ours is passed over.

    Args:
        fields: Credential ids and records in turn.
    """
    found = _parse_each(zip(fields[::2], fields[1::2], strict=True))
    return tuple(sorted(found, key=lambda passkey: (passkey.created_at, passkey.id)))


def _parse_each(records: Iterator[tuple[str, str]]) -> Iterator[Passkey]:
    for cred_id, raw in records:
        record = read_json(raw)
        try:
            yield _passkey_of(cred_id, record)
        except (KeyError, TypeError, ValueError, Base64Error):
            continue


def _passkey_of(cred_id: str, record: dict[str, Any]) -> Passkey:
    texts = {name: record[name] for name in ("id", "name", "public_key", "transports")}
    last_used_at, is_eligible = record.get("last_used_at"), record.get("backup_eligible")
    if not all(isinstance(text, str) for text in texts.values()) or not is_time(record["created_at"]):
        raise ValueError
    return Passkey(
        cred_id=cred_id,
        id=texts["id"],
        name=texts["name"],
        public_key=base64.urlsafe_b64decode(texts["public_key"] + "=" * (-len(texts["public_key"]) % 4)),
        sign_count=int(record["sign_count"]),
        transports=tuple(texts["transports"].split()),
        backup_eligible=is_eligible if isinstance(is_eligible, bool) else None,
        created_at=int(record["created_at"]),
        last_used_at=last_used_at if is_time(last_used_at) else None,
    )
