"""What a restored backup does not know, as audit lines since the backup tell it, and how that is done again.

The lines: watch/audit.py. The command: cli/replay.py.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import orjson

from app import times
from app.rules.notices import Notices
from app.rules.operators import Operators
from app.rules.passwords import Passwords
from app.stores.activities import REMOVAL_OF, Activity, ActivityKind
from app.stores.factors import MfaType
from app.stores.session_records import Client
from app.stores.user_records import User
from app.stores.users import Change, UserStore
from app.watch import audit


@dataclass(frozen=True, slots=True)
class Missed:
    """What happened to one user since the backup.

    Attributes:
        deleted: The user was deleted.
        disabled: Whether the user was disabled in the end; None if that did not change.
        left: How the user left in the end; None if they did not, or came back.
        delete_at: When an account that its user deleted is to be gone, Unix seconds.
        forgets: Second factors that must not count as the backup has them: changed, or a code used up.
        removed_passkeys: Our ids of passkeys that were removed one by one.
        withdraws_password: The password of the backup must not count alone: it was changed, or a factor was added.
    """

    deleted: bool = False
    disabled: bool | None = None
    left: audit.Left | None = None
    delete_at: int | None = None
    forgets: frozenset[MfaType] = frozenset()
    removed_passkeys: frozenset[str] = frozenset()
    withdraws_password: bool = False

    @property
    def changes_credentials(self) -> bool:
        return bool(self.forgets or self.removed_passkeys) or self.withdraws_password


_ALL: frozenset[MfaType] = frozenset(get_args(MfaType))
_TOTP_AND_CODES: frozenset[MfaType] = frozenset(("totp", "backup"))
_CODES: frozenset[MfaType] = frozenset(("backup",))


def read_missed(lines: Iterable[bytes], since: float) -> tuple[Mapping[str, Missed], int]:
    """Return what happened since a time (Unix seconds) by user id, and the number of audit lines that tell it.

    Lines may be in any order. What is no audit line is passed over.
    """
    found = sorted((at, number, line) for number, raw in enumerate(lines) for at, line in _audit_lines(raw, since))
    missed: dict[str, Missed] = {}
    for _, _, line in found:
        user_id = line.get("user_id")
        if isinstance(user_id, str):
            missed[user_id] = _after(missed.get(user_id, Missed()), line)
    return {user_id: one for user_id, one in missed.items() if one != Missed()}, len(found)


def _audit_lines(raw: bytes, since: float) -> Iterator[tuple[float, dict[str, Any]]]:
    try:
        line = orjson.loads(raw)
        at = times.iso_seconds(line["time"]) if line["logger"] == "keyrack.audit" else 0
    except (ValueError, TypeError, KeyError, AttributeError):
        return
    if at >= since:
        yield at, line


def _after(missed: Missed, line: Mapping[str, Any]) -> Missed:
    event = line.get("event")
    if event == "account_deleted":
        return replace(missed, deleted=True)
    if event in ("account_disabled", "account_enabled", "account_left", "account_came_back"):
        return _after_coming_or_going(missed, line)
    if (
        event == "credentials_changed"
        and line.get("what") == "passkey_removed"
        and isinstance(line.get("passkey"), str)
    ):
        return replace(missed, removed_passkeys=missed.removed_passkeys | {line["passkey"]})
    if event == "credentials_changed":
        withdraws = missed.withdraws_password or line.get("what") != "backup_codes"
        return replace(missed, forgets=missed.forgets | _changed_factors(line), withdraws_password=withdraws)
    if "backup" in (line.get("how"), line.get("method")) and event in ("signed_in", "step_up_passed"):
        return replace(missed, forgets=missed.forgets | _CODES)
    return missed


def _after_coming_or_going(missed: Missed, line: Mapping[str, Any]) -> Missed:
    how = next((how for how in get_args(audit.Left) if how == line.get("how")), None)
    due = line.get("delete_at")
    delete_at = due if how and isinstance(due, int) else None
    is_out = line["event"] in ("account_disabled", "account_left")
    return replace(missed, disabled=is_out, left=how, delete_at=delete_at)


def _changed_factors(line: Mapping[str, Any]) -> frozenset[MfaType]:
    what, is_by_session = line.get("what"), line.get("session") is not None
    if what in ("totp_off", "passkey_removed") and not is_by_session:  # an operator or a link took all of them away
        return _ALL
    if what in ("totp_on", "totp_off"):
        return _TOTP_AND_CODES
    # A password changed by a link has no session. The link may have been answered by a backup code.
    return _CODES if what == "backup_codes" or not is_by_session else frozenset()


class Replay:
    """Does again what a backup does not know. A second run changes nothing."""

    def __init__(
        self,
        users: UserStore,
        operators: Operators,
        passwords: Passwords,
        notices: Notices,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._operators = operators
        self._passwords = passwords
        self._notices = notices
        self._clock = clock

    def find_due(self, missed: Mapping[str, Missed], since: float) -> Sequence[tuple[User, Missed]]:
        """Return the users to whom something must be done, with that alone. `since` is the time of the backup."""
        ids = list(missed)
        due = []
        for user_id, user in zip(ids, self._users.get_all(ids), strict=True):
            left = _left(user, missed[user_id], since) if user else Missed()
            if user and left != Missed():
                due.append((user, left))
        return due

    def run(self, due: Sequence[tuple[User, Missed]], since: float) -> Iterator[User]:
        """Do it, and yield each user to whom it was done.

        Changed credentials are not known any more, so nobody gets them back: the password of the backup is replaced by
        one that nobody has, and the user sets a new one by mail. Factors and codes of the backup are removed.
        """
        self._operators.record_replay(len(due), since)
        nobodys = (
            self._passwords.hash(secrets.token_urlsafe(32)) if any(one.withdraws_password for _, one in due) else ""
        )
        for user, missed in due:
            if self._operators.delete(user) if missed.deleted else self._change(user, missed, nobodys):
                yield user

    def _change(self, user: User, missed: Missed, nobodys: str) -> bool:
        fields = {"replayed_at": repr(self._clock())} if missed.changes_credentials else {}
        fields |= {"password_hash": nobodys} if missed.withdraws_password else {}
        fields |= {"disabled": "1"} if missed.disabled else {}
        fields |= {"left": missed.left} if missed.left else {}
        fields |= {"delete_at": str(missed.delete_at)} if missed.delete_at is not None else {}
        removed = [passkey for passkey in user.passkeys if passkey.id in missed.removed_passkeys]
        for passkey in removed:  # if the process dies in between, the next run does what is left
            told = Activity("passkey_removed", detail=passkey.name, is_operators=True)
            self._users.change(user.id, Change(remove_passkey=passkey.cred_id, activity=[told]))
        change = Change(
            set=fields,
            unset=None if missed.disabled is None or missed.left else _unset(disabled=missed.disabled),
            forget=sorted(missed.forgets) or None,
            end_others="admin",
            activity=_activity_of(user, missed),
            notices=self._notices.about("password_changed", user.id, Client()) if missed.withdraws_password else (),
        )
        if not self._users.change(user.id, change):
            return False
        audit.account_changed("replayed", user.id)
        return True


def _activity_of(user: User, missed: Missed) -> Sequence[Activity]:
    """Return what the change of a user is to them."""
    kinds: list[ActivityKind] = ["password_changed"] if missed.withdraws_password else []
    kinds += [REMOVAL_OF[factor] for factor in sorted(user.factors & missed.forgets)]
    if missed.disabled is not None:
        kinds.append("disabled" if missed.disabled else "enabled")
    return [Activity(kind, is_operators=True) for kind in kinds]


def _unset(*, disabled: bool) -> Sequence[str]:
    """Return the fields of a record that go when a user is disabled by an operator, or is let in."""
    return ["left", "delete_at"] if disabled else ["disabled", "left", "delete_at"]


def _left(user: User, missed: Missed, since: float) -> Missed:
    """Return what is not done yet. A record that was replayed since the backup has its credentials done."""
    if missed.deleted:
        return missed
    if (missed.disabled, missed.left) == (user.disabled, user.left):
        missed = replace(missed, disabled=None, left=None, delete_at=None)
    missed = replace(missed, removed_passkeys=missed.removed_passkeys & {passkey.id for passkey in user.passkeys})
    return replace(missed, forgets=frozenset(), withdraws_password=False) if user.replayed_at >= since else missed
