"""All that Redis keeps of one user, for a copy that the user may have. No secret is in it, and no hash of one.

Sessions, endings, activity and remembered devices are read by their own stores. The whole copy: rules/own_data.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

from limits import RateLimitItem

from app.stores.connection.client import RedisClient
from app.stores.foreign import is_time, read_json
from app.stores.keys import Keys
from app.stores.mail import NoticeKind
from app.times import iso

# The section of the copy that has a key of a user, by the word that follows the hash tag (USER_TYPES in keys.py)
SECTION_OF: Mapping[str, str] = {
    "": "account",
    "last_used": "sessions",
    "sessions": "sessions",
    "ended": "ended_sessions",
    "activity": "activity",
    "passkeys": "passkeys",
    "remembered": "remembered_devices",
    "backup_codes": "backup_codes_left",
    "links": "open_links",
    "newest_reset": "reset_asked_at",
    "known_devices": "known_devices",
    "told": "mails_of_this_hour",
}
# Keys that have none. Each says nothing of the user that is not in a section, and is over within minutes.
LEFT_OUT = frozenset(("ticket", "open_tickets", "tickets", "proof", "moved", "outbox", "passing_on"))


def _time(text: str) -> str | None:
    try:
        return iso(float(text)) if is_time(float(text)) else None
    except ValueError:
        return None


# Fields of a user's record, and how each is told. A field that is not here is not told, because it may be a secret.
TOLD: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("email", "username", "global_name", "language", "password_warning"), str),
    **dict.fromkeys(("pending_email", "moved_from", "left", "totp_algorithm"), str),
    **dict.fromkeys(("created_at", "secrets_changed_at", "replayed_at", "tokens_valid_since", "totp_since"), _time),
    **dict.fromkeys(("pending_since", "delete_at"), _time),
    **dict.fromkeys(("epoch", "secrets_version", "totp_step", "totp_ahead", "totp_at"), str),
    **dict.fromkeys(("totp_digits", "totp_period", "adopted_tokens"), str),
    **dict.fromkeys(("disabled", "unverified"), bool),
}
SECRET = frozenset(("password_hash", "totp_secret"))  # and each "adopted:…", the hash of what signs a token


class OwnDataStore:
    def __init__(self, redis: RedisClient, keys: Keys, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._keys = keys
        self._clock = clock

    def read(self, user_id: str) -> dict[str, Any]:
        """Return the sections that no other store reads. The account is empty if there is no such user."""
        keys, kinds = self._keys, get_args(NoticeKind)
        record, codes_left, links, newest_reset, devices, *told = self._redis.read_own(
            ("HGETALL", keys.user(user_id)),
            ("SCARD", keys.backup_codes(user_id)),
            ("HGETALL", keys.links(user_id)),
            ("GET", keys.newest_reset(user_id)),
            ("ZREVRANGE", keys.known_devices(user_id), 0, -1, "WITHSCORES"),
            *(("HMGET", keys.notice_count(user_id, kind), "count", "began") for kind in kinds),
        )
        return {
            "account": _account(user_id, _pairs(record)),
            "backup_codes_left": codes_left or 0,
            "open_links": _links(_pairs(links).values(), self._clock()),
            "reset_asked_at": _time(newest_reset or ""),
            "known_devices": [
                {"device": device, "last_login_at": _time(score)} for device, score in _pairs(devices).items()
            ],
            "mails_of_this_hour": [
                {"kind": kind, "count": int(counted[0]), "since": _time(counted[1] or "")}
                for kind, counted in zip(kinds, told, strict=True)
                if counted and (counted[0] or "").isdecimal()
            ],
        }

    def first_id_hashes(self, user_id: str) -> Sequence[str]:
        """Return the hash that each session of a user had when it began. Limits count by it."""
        [records] = self._redis.read_own(("HGETALL", self._keys.sessions(user_id)))
        formers = ((id_hash, read_json(raw).get("formers")) for id_hash, raw in _pairs(records).items())
        return [str(known[0]) if isinstance(known, list) and known else id_hash for id_hash, known in formers]

    def counts(self, named: Sequence[tuple[str, str, RateLimitItem]]) -> Sequence[int]:
        """Return how many requests each counter of a rate limit has in its window, in one trip.

        Args:
            named: For each, whose it is, its scope (LIMIT_SCOPES in keys.py) and its rate.
        """
        found = self._redis.read_own(
            *(("LRANGE", f"{self._keys.limits}:{rate.key_for(name, scope)}", 0, -1) for name, scope, rate in named)
        )
        since = [self._clock() - rate.get_expiry() for _, _, rate in named]
        return [sum(float(at) > oldest for at in times or ()) for times, oldest in zip(found, since, strict=True)]


def _pairs(reply: Sequence[str] | None) -> dict[str, str]:
    """Return names and values that stand in turn as a mapping."""
    texts = reply or ()
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _account(user_id: str, record: Mapping[str, str]) -> dict[str, Any]:
    if not record:
        return {}
    return {"id": user_id} | {name: tell(record[name]) for name, tell in TOLD.items() if name in record}


def _links(records: Iterable[str], now: float) -> list[dict[str, Any]]:
    found = (read_json(record) for record in records)
    return [
        {"purpose": link.get("purpose"), "email": link.get("email") or None, "expires_at": iso(link["expires_at"])}
        for link in found
        if is_time(link.get("expires_at")) and link["expires_at"] > now
    ]
