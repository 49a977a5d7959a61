"""A copy of all that is kept of a user, as one object for JSON: for the user, and for operators who are asked for it.

What no other store reads: stores/own_data.py, which says what is left out. The counters of limits: web/own_data.py.
"""

from collections.abc import Callable
from typing import Any

from app.rules import device_names
from app.rules.devices import Devices
from app.stores.activities import Activity, ActivityStore
from app.stores.lifetimes import Lifetimes
from app.stores.own_data import OwnDataStore
from app.stores.passkeys import Passkey
from app.stores.remembered import RememberedStore
from app.stores.remembered_records import Remembered
from app.stores.session_records import Client, Ended, Session
from app.stores.users import UserStore
from app.times import iso
from app.watch import audit


class OwnData:
    def __init__(
        self,
        store: OwnDataStore,
        users: UserStore,
        activities: ActivityStore,
        remembered: RememberedStore,
        devices: Devices,
        lifetimes: Lifetimes,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._users = users
        self._activities = activities
        self._remembered = remembered
        self._devices = devices
        self._lifetimes = lifetimes
        self._clock = clock

    def of(self, user_id: str) -> dict[str, Any]:
        """Return the copy, by sections. Of a user whose record was lost it has what is left."""
        since = self._clock() - self._lifetimes.retention_s
        sessions, ended = self._devices.list(user_id), self._devices.list_ended(user_id)
        happened = self._devices.look_up(self._activities.all_of(user_id, since))
        user = self._users.get(user_id)
        return {
            "made_at": iso(self._clock()),
            **self._store.read(user_id),
            "passkeys": [_passkey(passkey) for passkey in (user.passkeys if user else ())],
            "remembered_devices": [_remembered(device) for device in self._remembered.list(user_id)],
            "sessions": [self._session(session) for session in sessions],
            "ended_sessions": [_ended(one) for one in ended],
            "activity": [_activity(one) for one in happened],
        }

    def record_copy(self, user_id: str, client: Client | None) -> None:
        """Record that a copy is given out, before it is. The user sees it under "Activity": it may be a thief who asks.

        Args:
            client: Who asks; None for an operator.
        """
        audit.data_copied(user_id)
        told = Activity("data_copied", client) if client else Activity("data_copied", is_operators=True)
        self._activities.note(user_id, told)

    def _session(self, session: Session) -> dict[str, Any]:
        return _begun(session) | {
            "last_used_at": iso(session.last_used_at),
            "ends_at": iso(self._devices.expires_at(session)),
            "proved_at": _iso(session.proved_at),
        }


def _begun(session: Session) -> dict[str, Any]:
    return {
        "device": device_names.name_of(session),
        "name": session.name,
        "began_at": iso(session.began_at),
        "amr": session.amr,
        "on_public_computer": session.on_public_computer,
        "adopted_at": _iso(session.adopted_at),
        "client": _client(session.client),
    }


def _ended(ended: Ended) -> dict[str, Any]:
    by = device_names.name_of(ended.by) if ended.by else None
    return _begun(ended.session) | {"ended_at": iso(ended.ended_at), "reason": ended.reason, "ended_by": by}


def _activity(happened: Activity) -> dict[str, Any]:
    return {
        "at": iso(happened.at),
        "kind": happened.kind,
        "detail": happened.detail or None,
        "amr": happened.amr,
        "by_operator": happened.is_operators,
        "client": _client(happened.client),
    }


def _passkey(passkey: Passkey) -> dict[str, Any]:
    return {
        "name": passkey.name,
        "created_at": iso(passkey.created_at),
        "last_used_at": _iso(passkey.last_used_at),
        "uses": passkey.sign_count,
        "transports": passkey.transports,
        "backup_eligible": passkey.backup_eligible,
    }


def _remembered(device: Remembered) -> dict[str, Any]:
    return {
        "began_at": iso(device.began_at),
        "last_used_at": iso(device.last_used_at),
        "ends_at": iso(device.ends_at),
        "client": _client(device.client),
    }


def _client(client: Client) -> dict[str, Any]:
    return {
        "system": client.os,
        "program": client.platform,
        "program_as_shown": client.program,
        "device": client.device,
        "form": client.form,
        "told_by_properties": client.told is True,
        "address": client.ip,
        "place": client.location,
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)
