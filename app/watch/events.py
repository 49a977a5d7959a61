"""Events: each change of a session is reported once, by the script that makes the change.

The script (stores/lua/session.lua, `report`) publishes each event on the channel `auth-events`, where gateways listen.
It also returns the event to the calling process, which passes it to its listeners (stores/scripts.py). One listener is
in audit.py. Mails to users: rules/notices.py.
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
        id_hash: The session that began or ended. If the session got a new token, the hash of that token.
        reason: Why the session ended or changed; None if it began, or if its token was swapped (Adoption.swap).
        old_id_hash: The session's hash before it changed; None if the session began or ended.
        by: id_hash of the session that ended this one; None if no session did.
    """

    type: EventType
    user_id: str
    id_hash: str
    reason: Reason | None
    old_id_hash: str | None
    by: str | None


# A listener is called after a script, with all its events in order. If the listener raises, the request fails.
Listener = Callable[[Sequence[Event]], None]
