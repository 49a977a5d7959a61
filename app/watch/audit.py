"""Audit lines: who did what to whom, each event exactly one line on the logger `keyrack.audit`, and one count.

Each function here is one event. The rules call it where the event becomes true; the endings of sessions are told where
the scripts' replies are read, so that none can be forgotten. A line says by itself which request it belongs to, from
which address it came and who acted (`context.py`). No line holds an e-mail address, a secret or what a client made up:
sessions are named by their id_hash, an account that is none by a keyed digest.
"""

import logging
from collections.abc import Sequence
from itertools import product
from typing import Any, Literal, get_args

from app.watch import context, metrics
from app.watch.events import Event, Reason

log = logging.getLogger("keyrack.audit")

How = Literal["registration", "password", "totp", "backup", "reset"]
WhyNot = Literal[
    "unknown_account",
    "wrong_password",
    "disabled",
    "wrong_code",
    "invalid_ticket",
    "invalid_link",
    "credentials_changed",
]
Method = Literal["password", "totp", "backup"]
Credential = Literal["password", "totp_on", "totp_off", "backup_codes"]
AccountAct = Literal["registered", "disabled", "enabled", "deleted"]

# What was never counted is 0, not absent: else Prometheus would miss the first of each.
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
for _credential in get_args(Credential):
    metrics.CREDENTIAL_CHANGES.labels(_credential)


def signed_in(user_id: str, session: str, how: How) -> None:
    metrics.SIGN_INS.labels("success", how).inc()
    _write_line("signed_in", user_id=user_id, session=session, how=how)


def code_asked(user_id: str) -> None:
    """What was shown so far was right; a second factor is asked for."""
    metrics.SIGN_INS.labels("code_asked", "").inc()
    _write_line("code_asked", user_id=user_id)


def sign_in_failed(reason: WhyNot, user_id: str | None = None, account: str | None = None) -> None:
    """user_id: where one is known; else account, the digest of what was typed, if anything was"""
    metrics.SIGN_INS.labels("failed", reason).inc()
    _write_line("sign_in_failed", user_id=user_id, reason=reason, **({"account": account} if account else {}))


def step_up_passed(user_id: str, method: Method) -> None:
    """A session, which is the actor, has proved itself again."""
    metrics.STEP_UPS.labels("passed", method).inc()
    _write_line("step_up_passed", user_id=user_id, method=method)


def step_up_failed(reason: Literal["wrong", "invalid_ticket"], user_id: str, method: Method | Literal[""] = "") -> None:
    """A session, which is the actor, was asked to prove itself, or for the password, and did not give it."""
    metrics.STEP_UPS.labels(reason, method).inc()
    _write_line("step_up_failed", user_id=user_id, reason=reason, **({"method": method} if method else {}))


def record_endings(events: Sequence[Event]) -> None:
    """Put the sessions that ended on record: one line for all that one session, or nobody, ended for one reason."""
    ended: dict[tuple[str, Reason | None, str | None], list[str]] = {}
    for event in events:
        if event.type == "AUTH_SESSION_REMOVE":
            ended.setdefault((event.user_id, event.reason, event.by), []).append(event.id_hash)
    for (user_id, reason, by), id_hashes in ended.items():
        _sessions_ended(user_id, str(reason), id_hashes, by)


def _sessions_ended(user_id: str, reason: str, sessions: Sequence[str], by: str | None) -> None:
    metrics.SESSIONS_ENDED.labels(reason).inc(len(sessions))
    told = {"user_id": user_id, "reason": reason, "count": len(sessions), "sessions": sessions}
    if reason in ("evicted", "expired"):  # by nobody's act
        _write_line("sessions_ended", **told, actor=None)
    elif by:
        _write_line("sessions_ended", **told, actor={"user_id": user_id, "session": by})
    else:
        _write_line("sessions_ended", **told)


def credentials_changed(what: Credential, user_id: str, session: str | None = None) -> None:
    """session: under which the one that changed them goes on; None where they were changed by a link"""
    metrics.CREDENTIAL_CHANGES.labels(what).inc()
    _write_line("credentials_changed", user_id=user_id, what=what, session=session)


def reset_asked(user_id: str | None, account: str) -> None:
    """Somebody forgot a password. account: digest of what was typed"""
    _write_line("reset_asked", user_id=user_id, **({} if user_id else {"account": account}))


def account_changed(what: AccountAct, user_id: str) -> None:
    _write_line(f"account_{what}", user_id=user_id)


def limit_hit(limit: str, counted_by: str) -> None:
    """counted_by: whose budget is spent: an address, a user id, an id_hash, a digest"""
    metrics.LIMIT_HITS.labels(limit).inc()
    _write_line("limit_hit", limit=limit, counted_by=counted_by)


def operator_acted(act: str, **told: Any) -> None:
    """A command of an operator as a whole, within `context.operator`; what it does to each user is told beside it."""
    _write_line("operator_acted", act=act, **told)


def _write_line(event: str, **told: Any) -> None:
    current = context.current()
    address = current.address() if current else None
    fields = {"event": event, "actor": current.actor if current else None, **told}
    log.info(event, extra={"fields": fields | ({"address": str(address)} if address else {})})
