"""Acts of operators on users and sessions. Sessions end for the reason `admin`; no session is named as their ender.

The commands: cli/users.py and cli/sessions.py. Acts of users themselves: accounts.py, devices.py.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import chain, groupby, islice
from typing import Literal, TypeVar, get_args

from app import times
from app.rules import device_names
from app.rules.accounts import Accounts
from app.rules.devices import Devices
from app.rules.leaving import Leaving
from app.rules.notices import Notices
from app.rules.passwords import Passwords
from app.rules.remembered import RememberedDevices
from app.rules.reverts import Removal
from app.stores.activities import REMOVAL_OF, Activity
from app.stores.factors import MfaType
from app.stores.scripts import ForeignKey
from app.stores.session_records import Client, Session
from app.stores.user_records import User
from app.stores.users import Change
from app.stores.wiring import Stores
from app.watch import audit

Act = Literal[
    "create",
    "disable",
    "enable",
    "delete",
    "set-password",
    "reset-mfa",
    "forget-remembered",
    "end",
    "end-all",
    "revoke",
    "retry-events",
    "forget-events",
    "import",
    "export",
    "replay",
    "tidy",
]

# How the log and the mails call the end of a factor
_REMOVALS: Mapping[str, Removal] = {"totp": "totp_off", "webauthn": "passkey_removed"}
_BATCH = 200  # users read in one round trip
_MAX_AT_ONCE = 64  # sessions ended by one script

Network = IPv4Network | IPv6Network

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on sessions. A session must meet all of them. A condition that is None or empty is ignored.

    Attributes:
        country: The last part of the session's place. Case is ignored.
        networks: One of these networks contains the session's address.
        client: A part of the device's name, program or system. Case is ignored.
        unused_since: The last use was before this time, in Unix seconds.
        begun_before: The session began before this time, in Unix seconds.
        id_hashes: The session has one of these hashes.
        adopted: The session began with a token of the service before, whichever token it has by now.
    """

    country: str | None = None
    networks: Sequence[Network] = ()
    client: str | None = None
    unused_since: float | None = None
    begun_before: float | None = None
    id_hashes: frozenset[str] = frozenset()
    adopted: bool = False

    def takes(self, session: Session) -> bool:
        """Tell whether a session meets all conditions."""
        return all(
            (
                not self.id_hashes or session.id_hash in self.id_hashes,
                self.country is None or _is_in_country(session, self.country),
                not self.networks or _is_in_networks(session, self.networks),
                self.client is None or _is_client(session, self.client),
                self.unused_since is None or session.last_used_at < self.unused_since,
                self.begun_before is None or session.began_at < self.begun_before,
                not self.adopted or session.adopted_at is not None,
            )
        )

    @property
    def takes_all(self) -> bool:
        """Tell whether no condition is set."""
        return self == Filter()


def _is_in_country(session: Session, country: str) -> bool:
    # The ends are compared, because the name of a country may contain a comma: "Bonaire, Sint Eustatius, and Saba".
    place = f", {session.client.location or ''}".casefold()
    return place.endswith(f", {country.strip()}".casefold())


def _is_in_networks(session: Session, networks: Sequence[Network]) -> bool:
    address = ip_address(session.client.ip) if session.client.ip else None
    return address is not None and any(address in network for network in networks)


def _is_client(session: Session, text: str) -> bool:
    names = (session.name, device_names.made_up_name(session.client), session.client.platform, session.client.os)
    return any(text.casefold() in name.casefold() for name in names if name)


class Operators:
    """Finds users and sessions and acts on them. Each act writes one audit line, and one more for each changed user.

    Acts on all users pass over those who have a key of another application among theirs.

    Raises:
        StoreError: Redis failed.
        Unavailable: Raised by the rules that it calls.
    """

    def __init__(
        self,
        stores: Stores,
        notices: Notices,
        accounts: Accounts,
        devices: Devices,
        leaving: Leaving,
        passwords: Passwords,
        remembered: RememberedDevices,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = stores.users
        self._sessions = stores.sessions
        self._notices = notices
        self._accounts = accounts
        self._devices = devices
        self._leaving = leaving
        self._passwords = passwords
        self._remembered = remembered
        self._clock = clock

    def find(self, named: str) -> User | None:
        """Return a user by id or e-mail address; None if there is no such user."""
        user = self._users.get(named) if named.isdecimal() else None
        return user or self._accounts.find(named)

    def users(self) -> Iterator[User]:
        """Return all users, in no order."""
        found = chain.from_iterable(self._users.get_all(ids) for ids in _batches(self._users.ids(), _BATCH))
        return (user for user in found if user)

    def sessions(self, chosen: Filter, user_id: str | None = None) -> Iterator[Session]:
        """Return the live sessions that meet a filter, of one user or of all. Those of one user follow each other."""
        ids = [user_id] if user_id else self._users.ids_with_sessions()
        now = self._clock()
        for batch in _batches(ids, _BATCH):
            for session in self._sessions.list(*batch):
                if chosen.takes(session) and self._devices.expires_at(session) > now:
                    yield session

    # The acts. Each ends in `_record`.

    def create(self, email: str, username: str, global_name: str | None, password: str) -> User:
        """Make an account.

        Raises:
            InvalidForm: The e-mail address is taken.
        """
        user = self._accounts.create(email, username, global_name, password)
        self._record("create", user_id=user.id)
        return user

    def disable(self, user: User) -> bool:
        """End every session of a user and let no login finish. Return False if the user is gone."""
        return self._leaving.disable(user.id) and self._record("disable", user_id=user.id)

    def enable(self, user: User) -> bool:
        """Let a user sign in again. Return False if the user is gone."""
        return self._leaving.enable(user.id) and self._record("enable", user_id=user.id)

    def delete(self, user: User) -> bool:
        """Remove a user and all their data in Redis. Return False if the user is gone."""
        return self._leaving.delete(user.id) and self._record("delete", user_id=user.id)

    def set_password(self, user: User, password: str) -> bool:
        """Set a password, end every session and stop logins under way. Return False if the user is gone.

        Raises:
            InvalidForm: The password holds a name or the address of the user.
        """
        self._passwords.require_fit("new_password", password, *user.names)
        hashed = self._passwords.hash(password)
        told = [Activity("password_changed", is_operators=True)]
        mails = self._notices.about("password_changed", user.id, Client())
        change = Change(set={"password_hash": hashed}, end_others="admin", activity=told, notices=mails)
        if not self._users.change(user.id, change):
            return False
        audit.credentials_changed("password", user.id)
        return self._record("set-password", user_id=user.id)

    def reset_mfa(self, user: User) -> bool:
        """Turn every second factor off and end every session. Return False if the user is gone."""
        # A user who has lost the second factor may also have lost a signed-in device.
        told = [Activity(REMOVAL_OF[factor], is_operators=True) for factor in sorted(user.factors)]
        removed = [_REMOVALS[factor] for factor in ("totp", "webauthn") if factor in user.factors]
        mails = [notice for what in removed for notice in self._notices.about(what, user.id, Client())]
        change = Change(forget=get_args(MfaType), end_others="admin", activity=told, notices=mails)
        if not self._users.change(user.id, change):
            return False
        for what in removed:
            audit.credentials_changed(what, user.id)
        return self._record("reset-mfa", user_id=user.id)

    def forget_remembered(self, user: User) -> int:
        """Forget the remembered devices of a user. Return how many there were."""
        count = self._remembered.forget_by_operator(user.id)
        self._record("forget-remembered", user_id=user.id, devices=count)
        return count

    def end(self, sessions: Iterable[Session]) -> Iterator[int]:
        """End sessions, in steps.

        Args:
            sessions: Sessions of one user follow each other, as in the result of `sessions`.

        Yields:
            The number of sessions that ended in a step.
        """
        return self._record_total("end", self._end(sessions))

    def end_all(self, user_id: str | None = None) -> Iterator[int]:
        """End every session of one user or of all users, and stop logins under way.

        Yields:
            The number of sessions that ended in a step: first for each user, then for each user id without a record.
        """
        return self._record_total("end-all", chain(self._end_by_user(user_id), self._end_without_user(user_id)))

    def revoke(self, user_id: str) -> bool:
        """End every session of a user and stop logins under way, for another service.

        Returns:
            False if there is no such user, and no session of one whose record was lost.

        Raises:
            ForeignKey: A key of the user is another application's. Nothing has ended.
        """
        changed = self._users.change(user_id, Change(end_others="admin"))
        is_done = bool(changed) or sum(self._end_without_user(user_id)) > 0
        return is_done and self._record("revoke", user_id=user_id)

    def _end(self, sessions: Iterable[Session]) -> Iterator[int]:
        for user_id, of_user in groupby(sessions, lambda session: session.user_id):
            for some in _batches((session.id_hash for session in of_user), _MAX_AT_ONCE):
                with suppress(ForeignKey):
                    yield self._sessions.end(user_id, some, "admin")

    def _end_by_user(self, user_id: str | None) -> Iterator[int]:
        """End the sessions of one user or of all users. Yield the number for each user, except users who are gone."""
        for one in [user_id] if user_id else self._users.ids():
            count = len(self._sessions.list(one))
            with suppress(ForeignKey):
                if self._users.change(one, Change(end_others="admin")):
                    yield count

    def _end_without_user(self, user_id: str | None) -> Iterator[int]:
        """End live sessions whose user's record was lost. Yield the number for each user; 0 if there is a record."""
        for batch in _batches([user_id] if user_id else self._users.ids_with_sessions(), _BATCH):
            for one, user in zip(batch, self._users.get_all(batch), strict=True):
                yield 0 if user else sum(self._end(self._sessions.list(one)))

    def tidy(self) -> Iterator[str]:
        """End the expired sessions of all users, and forget sessions that ended, and what happened, too long ago.

        Yields:
            The id of each user whose sessions were checked.
        """
        users = self._users
        for user_id in chain(users.ids_with_sessions(), users.ids_with_ended(), users.ids_with_activity()):
            with suppress(ForeignKey):
                self._sessions.finish_expired(user_id)
                yield user_id

    def record_export(self, user: User) -> None:
        """Record that an operator took a copy of all that is kept of a user."""
        self._record("export", user_id=user.id)

    def tidy_users(self) -> Iterator[str]:
        """Delete the users who have deleted their accounts and are due. Yield the id of each."""
        count = 0
        try:
            for user_id in self._leaving.tidy(self.users()):
                count += 1
                yield user_id
        finally:
            if count:
                self._record("tidy", users=count)

    def record_import(self, counts: Mapping[str, int]) -> None:
        """Record an import, with the number of lines for each outcome."""
        self._record("import", **counts)

    def record_on_queue(self, act: Literal["retry-events", "forget-events"], receiver: str, events: int) -> None:
        """Record that events to a receiver were queued again, or deleted with its queue."""
        self._record(act, receiver=receiver, events=events)

    def record_replay(self, users: int, since: float) -> None:
        """Record that a restored backup is brought up to date, before it is: each user has a line of their own."""
        self._record("replay", users=users, since=times.iso(since))

    def _record_total(self, act: Act, steps: Iterable[int]) -> Iterator[int]:
        """Yield the steps, and record the total of ended sessions, even if the steps are interrupted."""
        total, has_begun = 0, False
        try:
            for ended in steps:
                total, has_begun = total + ended, True
                yield ended
        finally:
            if has_begun:
                self._record(act, sessions=total)

    def _record(self, act: Act, **what: str | int) -> Literal[True]:
        """Write the audit line of an act."""
        audit.operator_acted(act, **what)
        return True


def _batches(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
