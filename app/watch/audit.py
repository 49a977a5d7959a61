"""Audit lines. Each event is one line on the logger `keyrack.audit`, and one increment of a metric.

Each function here records one event. The rules call it as soon as the event has happened. Ends of sessions are recorded
when the replies of scripts are read (stores/scripts.py), so that none can be forgotten. Each line also has the request,
its address and the actor (context.py). No line has an e-mail address, a secret or a text that a client made up.
Sessions are named by their id_hash, unknown accounts by a keyed digest.

Events for gateways: stores/lua/session.lua. Other log lines: logs.py. Mails to users: rules/notices.py.
"""

import logging
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal, get_args

from app.watch import context, metrics
from app.watch.events import Event, Reason

log = logging.getLogger("keyrack.audit")

How = Literal["registration", "password", "webauthn", "totp", "backup", "reset", "verify", "remembered", "adopted"]
WhyNot = Literal[
    "unknown_account",
    "wrong_password",
    "disabled",
    "wrong_code",
    "wrong_passkey",
    "invalid_ticket",
    "invalid_link",
    "credentials_changed",
    "unverified",
]
Left = Literal["disabled", "deleted"]
Method = Literal["password", "webauthn", "totp", "backup"]
Credential = Literal["password", "totp_on", "totp_off", "passkey_added", "passkey_removed", "backup_codes"]
# What becomes of a token of the service before; the last ones are told by the script that would have adopted it.
TokenBefore = Literal[
    "adopted",
    "used",
    "remembered",
    "adoption_over",
    "outside_span",
    "not_yet",
    "expired",
    "bad_signature",
    "ended",
    "unknown_user",
    "disabled",
    "before_valid_since",
    "too_many",
]
AccountAct = Literal[
    "registered",
    "renamed",
    "verified",
    "address_asked",
    "address_changed",
    "address_put_back",
    "disabled",
    "enabled",
    "came_back",
    "deleted",
    "replayed",
]

# Each metric starts at 0, because Prometheus misses the first increase of a metric that was absent before.
for _how in get_args(How):
    metrics.SIGN_INS.labels("success", _how)
for _why in get_args(WhyNot):
    metrics.SIGN_INS.labels("failed", _why)
metrics.SIGN_INS.labels("code_asked", "")
for _outcome, _method in product(("passed", "wrong"), get_args(Method)):
    metrics.STEP_UPS.labels(_outcome, _method)
metrics.STEP_UPS.labels("invalid_ticket", "")
for _reason in get_args(Reason):
    metrics.SESSIONS_ENDED.labels(_reason)
for _outcome in get_args(TokenBefore):
    metrics.TOKENS_BEFORE.labels(_outcome)
for _credential in get_args(Credential):
    metrics.CREDENTIAL_CHANGES.labels(_credential)


def signed_in(user_id: str, session: str, how: How) -> None:
    metrics.SIGN_INS.labels("success", how).inc()
    _write_line("signed_in", user_id=user_id, session=session, how=how)


def adoption_refused(reason: TokenBefore, user_id: str) -> None:
    """Record that a token of the service before is not adopted, although its signature holds."""
    _write_line("adoption_refused", user_id=user_id, reason=reason)


def code_asked(user_id: str) -> None:
    """Record that a password or a link was right, and that a second factor is needed next."""
    metrics.SIGN_INS.labels("code_asked", "").inc()
    _write_line("code_asked", user_id=user_id)


def sign_in_failed(reason: WhyNot, user_id: str | None = None, account: str | None = None) -> None:
    """Record that somebody failed to sign in.

    Args:
        user_id: None if no user is known.
        account: If no user is known, the digest of the typed login; None if no login was typed.
    """
    metrics.SIGN_INS.labels("failed", reason).inc()
    _write_line("sign_in_failed", user_id=user_id, reason=reason, **({"account": account} if account else {}))


def step_up_passed(user_id: str, method: Method) -> None:
    """Record that a session, the actor, proved itself again."""
    metrics.STEP_UPS.labels("passed", method).inc()
    _write_line("step_up_passed", user_id=user_id, method=method)


def step_up_failed(reason: Literal["wrong", "invalid_ticket"], user_id: str, method: Method | Literal[""] = "") -> None:
    """Record that a session, the actor, gave a wrong answer to a challenge or a wrong password."""
    metrics.STEP_UPS.labels(reason, method).inc()
    _write_line("step_up_failed", user_id=user_id, reason=reason, **({"method": method} if method else {}))


def passkey_counter(user_id: str) -> None:
    """Record that a passkey answered rightly, but with a counter that did not grow: it may have been copied."""
    _write("passkey_counter", {"user_id": user_id}, logging.WARNING)


def record_endings(events: Sequence[Event]) -> None:
    """Record ended sessions. Sessions of one user, ended for one reason by one session, share a line."""
    ended: dict[tuple[str, Reason | None, str | None], list[str]] = {}
    for event in events:
        if event.type == "AUTH_SESSION_REMOVE":
            ended.setdefault((event.user_id, event.reason, event.by), []).append(event.id_hash)
    for (user_id, reason, by), id_hashes in ended.items():
        _sessions_ended(user_id, str(reason), id_hashes, by)


def _sessions_ended(user_id: str, reason: str, sessions: Sequence[str], by: str | None) -> None:
    metrics.SESSIONS_ENDED.labels(reason).inc(len(sessions))
    fields = {"user_id": user_id, "reason": reason, "count": len(sessions), "sessions": sessions}
    if reason in ("evicted", "expired"):  # nobody ended them, even if a request caused it
        _write_line("sessions_ended", **fields, actor=None)
    elif by:
        _write_line("sessions_ended", **fields, actor={"user_id": user_id, "session": by})
    else:
        _write_line("sessions_ended", **fields)


def device_remembered(user_id: str, session: str) -> None:
    """Record that a browser is spared the code from now on.

    Args:
        session: id_hash of the session that its login has opened.
    """
    _write_line("device_remembered", user_id=user_id, session=session)


def data_copied(user_id: str) -> None:
    """Record that a copy of all that is kept of a user was given out: to a session, the actor, or to an operator."""
    _write_line("data_copied", user_id=user_id)


def devices_forgotten(user_id: str, count: int) -> None:
    """Record that remembered devices were forgotten without a change of credentials."""
    _write_line("devices_forgotten", user_id=user_id, count=count)


def credentials_changed(what: Credential, user_id: str, session: str | None = None, passkey: str | None = None) -> None:
    """Record a change of credentials.

    Args:
        session: The id_hash, after the change, of the session that made it; None if a link or an operator made it.
        passkey: Our id of the passkey that was added or removed; None for all of the user, and for other credentials.
    """
    metrics.CREDENTIAL_CHANGES.labels(what).inc()
    named = {"passkey": passkey} if passkey else {}
    _write_line("credentials_changed", user_id=user_id, what=what, session=session, **named)


def reset_asked(user_id: str | None, account: str) -> None:
    """Record that somebody asked for a new password.

    Args:
        account: The digest of the typed login. It is recorded only if there is no such user.
    """
    _write_line("reset_asked", user_id=user_id, **({} if user_id else {"account": account}))


def account_changed(what: AccountAct, user_id: str) -> None:
    _write_line(f"account_{what}", user_id=user_id)


def account_left(user_id: str, how: Left, delete_at: int | None) -> None:
    """Record that a user has disabled or deleted the account themselves.

    Args:
        delete_at: When it is to be deleted, Unix seconds; None for never.
    """
    due = {"delete_at": delete_at} if delete_at is not None else {}
    _write_line("account_left", user_id=user_id, how=how, **due)


def limit_hit(limit: str, counted_by: str) -> None:
    """Record that a request was refused by a rate limit.

    Args:
        counted_by: The key of the limit: an address, a user id, an id_hash or a digest.
    """
    metrics.LIMIT_HITS.labels(limit).inc()
    _write_line("limit_hit", limit=limit, counted_by=counted_by)


def operator_acted(act: str, **fields: Any) -> None:
    """Record a whole command of an operator, within `context.operator`. Each changed user has a line of its own."""
    _write_line("operator_acted", act=act, **fields)


def _write_line(event: str, **more: Any) -> None:
    _write(event, more)


def _write(event: str, more: Mapping[str, Any], level: int = logging.INFO) -> None:
    current = context.current()
    address = current.address() if current else None
    fields = {"event": event, "actor": current.actor if current else None, **more}
    log.log(level, event, extra={"fields": fields | ({"address": str(address)} if address else {})})
