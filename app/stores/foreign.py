"""What other applications wrote into Keyrack's database. Keys are told apart by their names and types.

Their keys are never changed. How scripts pass them over: lua/types.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import orjson

from app.stores.connection.client import RedisClient
from app.stores.keys import Keys

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class ForeignKeys:
    """What was found in the database.

    Attributes:
        looked_at: The number of keys that were looked at.
        names: Keys whose names no key of ours has.
        in_place_of_ours: Keys with a name of ours, and another type.
    """

    looked_at: int
    names: Sequence[str]
    in_place_of_ours: Sequence[str]


def own_keys(redis: RedisClient, keys: Keys, names: Sequence[str]) -> Sequence[str]:
    """Return those of these keys that have a name and a type of ours."""
    return [name for name, kind, there in _types(redis, keys, names) if there == kind]


def find_foreign_keys(redis: RedisClient, keys: Keys, most: int = 100_000) -> ForeignKeys:
    """Look at the keys of the database, `most` of them at the most. With a prefix only keys under it are looked at."""
    looked_at = 0
    foreign: list[str] = []
    in_place: set[str] = set()
    shared = [*keys.mail.all(), keys.mail_later]  # one wrong type there stops mail for all users
    for batch in chain([shared], _batches(islice(redis.scan(f"{keys.start}*"), most))):
        looked_at += len(batch) if batch is not shared else 0
        foreign += [name for name in batch if keys.type_of(name) is None]
        in_place |= {name for name, kind, there in _types(redis, keys, batch) if there not in (kind, "none")}
    return ForeignKeys(looked_at, foreign, sorted(in_place))


def read_json(raw: str | None) -> dict[str, Any]:
    """Return the object that a text from Redis has; empty if there is none, because another program wrote the text."""
    try:
        found = orjson.loads(raw or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_time(at: Any) -> bool:
    """Tell whether a value is Unix seconds as tokens have them. A later time may be more than datetime can hold."""
    return isinstance(at, (int, float)) and 0 <= at < 2**32


def _types(redis: RedisClient, keys: Keys, names: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each name that a key of ours has, with that type and the one that is there ("none" if none is)."""
    named = [(name, kind) for name in names if (kind := keys.type_of(name))]
    found = redis.read(*(("TYPE", name) for name, _ in named)) if named else []
    for (name, kind), there in zip(named, found, strict=True):
        yield name, kind, str(there)


def _batches(names: Iterator[str]) -> Iterator[Sequence[str]]:
    while batch := list(islice(names, _BATCH)):
        yield batch
