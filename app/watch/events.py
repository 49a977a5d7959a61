"""Events: each change of a session is reported once, by the script that made it.

The script (stores/lua/session.lua, `report`) publishes each event on the channel `auth-events`, where gateways listen,
and returns it to the process that called. That process hands it to its listeners (stores/scripts.py). One of them is in
audit.py. Mails to users: rules/notices.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

EventType = Literal["AUTH_SESSION_CREATE", "AUTH_SESSION_CHANGE", "AUTH_SESSION_REMOVE"]
Reason = Literal["logout", "revoked", "evicted", "expired", "password_change", "mfa_change", "admin"]


@dataclass(frozen=True, slots=True)
class Event:
    """
    Attributes:
        id_hash: The session that began or ended, or the hash under which it goes on.
        reason: Why it ended or changed; None if it began.
        old_id_hash: The hash that a session had before it changed; None if it began or ended.
        by: id_hash of the session that ended it; None if no session did.
    """

    type: EventType
    user_id: str
    id_hash: str
    reason: Reason | None
    old_id_hash: str | None
    by: str | None


# Called after a script with all events that it reported, in their order. If it raises, the request fails.
Listener = Callable[[Sequence[Event]], None]
