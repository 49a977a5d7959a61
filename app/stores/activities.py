"""What happened to each account lately, for its user to see: sign-ins, refused ones, step-ups and changes.

Endings of sessions are not here, because `ended` has them: sessions.py. Words: languages/activity.py. Audit lines:
watch/audit.py.

Each row is written by the script that makes it true. There is one way to it for each kind of script:

- A change of a user or of credentials has its rows in `Change.activity` (users.py), and they are written with it.
- The opening of a session writes its own (lua/sign_in.lua). Nothing is to be done for it.
- The answer to a ticket has a row for either verdict (tickets.py).
- What no script makes true, such as a wrong password, is written by `ActivityStore.note`.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import orjson

from app.snowflakes import NOBODY
from app.stores.connection.client import Read, RedisClient
from app.stores.connection.connect import StoreError
from app.stores.factors import MfaType
from app.stores.foreign import read_json
from app.stores.scripts import SessionScripts
from app.stores.session_records import UNKNOWN_CLIENT, Amr, Client, known_fields, session_of

log = logging.getLogger(__name__)

ActivityKind = Literal[
    "signed_in",
    "sign_in_refused",
    "reset_asked",
    "step_up",
    "step_up_refused",
    "password_changed",
    "password_warned",
    "renamed",
    "totp_on",
    "totp_off",
    "passkey_added",
    "passkey_removed",
    "passkey_renamed",
    "backup_codes_renewed",
    "device_remembered",
    "devices_forgotten",
    "address_verified",
    "address_asked",
    "address_changed",
    "address_put_back",
    "left_disabled",
    "left_deleted",
    "came_back",
    "disabled",
    "enabled",
    "data_copied",
]
REMOVAL_OF: Mapping[MfaType, ActivityKind] = {"totp": "totp_off", "webauthn": "passkey_removed"}
# Whoever causes one of these may have proved nothing (the name that others see needs no password), so lua/session.lua
# keeps half of the rows for the others.
_UNPROVED: frozenset[ActivityKind] = frozenset(("sign_in_refused", "reset_asked", "step_up_refused", "renamed"))


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that happened to an account.

    Attributes:
        client: Who did it. Nothing is known of the client of an operator.
        detail: Of what is refused, why; of a step-up, by what; of a passkey, its name; else "".
        is_operators: An operator did it.
        amr: Of a sign-in, by what its session was opened; None if that is unknown.
        session: Of a sign-in, the id_hash that its session had then; else "".
        at: Unix seconds; 0 until it is written.
    """

    kind: ActivityKind
    client: Client = UNKNOWN_CLIENT
    detail: str = ""
    is_operators: bool = False
    amr: tuple[Amr, ...] | None = None
    session: str = ""
    at: float = 0

    @property
    def is_refused(self) -> bool:
        return self.kind in ("sign_in_refused", "step_up_refused")

    def row(self) -> str:
        """Return the text that Redis keeps. Its id keeps two of the same moment apart."""
        fields: dict[str, Any] = {"kind": self.kind, "id": secrets.token_hex(6), "client": known_fields(self.client)}
        marks = {"detail": self.detail, "operator": self.is_operators, "unproved": self.kind in _UNPROVED}
        return orjson.dumps(fields | {name: mark for name, mark in marks.items() if mark}).decode()


class ActivityStore:
    def __init__(self, redis: RedisClient, scripts: SessionScripts) -> None:
        self._redis = redis
        self._keys = scripts.keys
        self._note = scripts.register("note_activity")

    def note(self, user_id: str | None, happened: Activity) -> None:
        """Write what happened to an account, where no script that makes it true can do so.

        If Redis fails or is full, this is logged, and the request goes on: it is about something else.

        Args:
            user_id: None if there is no such account. Nothing is written then, by the same trip.
        """
        try:
            self._note(user_id or NOBODY, [self._keys.user(user_id or NOBODY)], {"row": happened.row()})
        except StoreError as error:
            log.warning("what happened to an account was not noted: %s, %s", happened.kind, type(error).__name__)

    def all_of(self, user_id: str, since: float) -> Read[Sequence[Activity]]:
        """Return the Read of what happened to an account at `since` (Unix seconds) or later, newest first."""
        command = ("ZREVRANGEBYSCORE", self._keys.activity(user_id), "+inf", repr(since), "WITHSCORES")
        return Read([command], lambda replies: _parse(user_id, replies[0] or ()))


def _parse(user_id: str, rows: Sequence[str]) -> Sequence[Activity]:
    found = (_parse_row(user_id, raw, float(at)) for raw, at in zip(rows[::2], rows[1::2], strict=True))
    return [activity for activity in found if activity]


def _parse_row(user_id: str, raw: str, at: float) -> Activity | None:
    """Return what a row tells; None if the row is not one of ours."""
    row = read_json(raw)
    kind, detail, session = (row.get(name, "") for name in ("kind", "detail", "session"))
    if kind not in get_args(ActivityKind) or not isinstance(detail, str) or not isinstance(session, str):
        return None
    recorded = session_of(user_id, session, at, {"began_at": int(at)} | _object(row.get("client")))
    is_operators = row.get("operator") is True
    return Activity(cast(ActivityKind, kind), recorded.client, detail, is_operators, recorded.amr, session, at)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
