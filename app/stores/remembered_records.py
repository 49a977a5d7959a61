"""The records of remembered devices: what one is, and how Redis keeps it as JSON. The store: remembered.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.stores.foreign import is_time, read_json
from app.stores.session_records import Client, client_of, known_fields

MAX_REMEMBERED = 10  # devices of a user


@dataclass(frozen=True, slots=True)
class Remembered:
    """A device on which the user's password is enough for a login, although a second factor is on.

    Attributes:
        id_hash: SHA-256 of its cookie's value in standard base64. Each use gives it another one.
        id: A snowflake of ours, by which the API names the device.
        began_at: When the user asked for it, Unix seconds.
        last_used_at: When it last spared a code, or began, Unix seconds.
        ends_at: Unix seconds.
        client: As it was at the last use.
    """

    id_hash: str
    id: str
    began_at: int
    last_used_at: float
    ends_at: int
    client: Client


@dataclass(frozen=True, slots=True)
class NewRemembered:
    """A device to be remembered. The fields are as those of Remembered."""

    id_hash: str
    id: str
    began_at: int
    ends_at: int
    client: Client

    def as_argument(self) -> dict[str, Any]:
        """Return it as lua/remembered.lua reads it."""
        times = {
            "began_at": self.began_at,
            "last_used_at": self.began_at,
            "ends_at": self.ends_at,
        }
        record = orjson.dumps({"id": self.id, **times, **known_fields(self.client)}).decode()
        return {"id_hash": self.id_hash, "record": record, "cap": MAX_REMEMBERED}


def parse_remembered(fields: Sequence[str]) -> Sequence[Remembered]:
    """Return the devices of a hash, most recently used first. What is none of ours is passed over.

    Args:
        fields: Names and values of the hash in turn.
    """
    found = (_parse(id_hash, raw) for id_hash, raw in zip(fields[::2], fields[1::2], strict=True))
    return sorted(
        (one for one in found if one),
        key=lambda one: (one.last_used_at, one.id),
        reverse=True,
    )


def _parse(id_hash: str, raw: str) -> Remembered | None:
    record = read_json(raw)
    times = [record[name] for name in ("began_at", "last_used_at", "ends_at") if is_time(record.get(name))]
    if len(times) < 3 or not isinstance(record.get("id"), str):
        return None
    began_at, last_used_at, ends_at = times
    return Remembered(id_hash, record["id"], int(began_at), last_used_at, int(ends_at), client_of(raw))
