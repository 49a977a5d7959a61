"""What operators do to users and their sessions. No session of theirs asks, and the reason is `admin`."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import chain, groupby, islice
from typing import Literal, TypeVar, get_args

from app.rules import device_names
from app.rules.accounts import Accounts
from app.rules.devices import Devices
from app.rules.notices import Notices
from app.rules.passwords import Passwords
from app.stores.factors import MfaType
from app.stores.sessions import Client, Session
from app.stores.users import Change, User
from app.stores.wiring import Stores
from app.watch import audit

Act = Literal["create", "disable", "enable", "delete", "set-password", "reset-mfa", "end", "end-all", "import"]

_BATCH = 200  # users that are read in one trip
_MAX_AT_ONCE = 64  # sessions that one script ends

Network = IPv4Network | IPv6Network

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions are meant; what is None or empty leaves nobody out.

    country        the last part of the place, in whatever case
    networks       that the address is in one of
    client         what is within the device's name, program or system, in whatever case
    unused_since   not used since then, Unix seconds
    begun_before   Unix seconds
    id_hashes      the sessions by name
    """

    country: str | None = None
    networks: Sequence[Network] = ()
    client: str | None = None
    unused_since: float | None = None
    begun_before: float | None = None
    id_hashes: frozenset[str] = frozenset()

    def takes(self, session: Session) -> bool:
        return all(
            (
                not self.id_hashes or session.id_hash in self.id_hashes,
                self.country is None or _is_in_country(session, self.country),
                not self.networks or _is_in_networks(session, self.networks),
                self.client is None or _is_client(session, self.client),
                self.unused_since is None or session.last_used_at < self.unused_since,
                self.begun_before is None or session.began_at < self.begun_before,
            )
        )

    @property
    def takes_all(self) -> bool:
        return self == Filter()


def _is_in_country(session: Session, country: str) -> bool:
    """By its ending: a country's own name may have a comma, as "Bonaire, Sint Eustatius, and Saba" has."""
    place = f", {session.client.location or ''}".casefold()
    return place.endswith(f", {country.strip()}".casefold())


def _is_in_networks(session: Session, networks: Sequence[Network]) -> bool:
    address = ip_address(session.client.ip) if session.client.ip else None
    return address is not None and any(address in network for network in networks)


def _is_client(session: Session, text: str) -> bool:
    said = (session.name, device_names.made_up_name(session.client), session.client.platform, session.client.os)
    return any(text.casefold() in part.casefold() for part in said if part)


class Operators:
    """Raises redis.RedisError, left alone here, and errors.Unavailable as the rules that it calls do."""

    def __init__(
        self,
        stores: Stores,
        notices: Notices,
        accounts: Accounts,
        devices: Devices,
        passwords: Passwords,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = stores.users
        self._sessions = stores.sessions
        self._mails = stores.mails
        self._notices = notices
        self._accounts = accounts
        self._devices = devices
        self._passwords = passwords
        self._clock = clock

    def find(self, named: str) -> User | None:
        """A user by their id or their e-mail address."""
        user = self._users.get(named) if named.isdecimal() else None
        user_id = None if user else self._accounts.id_of(named)
        return self._users.get(user_id) if user_id else user

    def users(self) -> Iterator[User]:
        """All of them, in no order."""
        found = chain.from_iterable(self._users.get_all(ids) for ids in _batches(self._users.ids(), _BATCH))
        return (user for user in found if user)

    def sessions(self, chosen: Filter, user_id: str | None = None) -> Iterator[Session]:
        """The live sessions that a filter takes, of one user or of all; those of a user follow each other."""
        ids = [user_id] if user_id else self._users.ids_with_sessions()
        now = self._clock()
        for batch in _batches(ids, _BATCH):
            for session in self._sessions.list_all(batch):
                if chosen.takes(session) and self._devices.expires_at(session) > now:
                    yield session

    # What they do; each act ends in `_record`

    def create(self, email: str, username: str, global_name: str | None, password: str) -> User:
        """Raises: errors.InvalidForm where the e-mail address is taken"""
        user = self._accounts.create(email, username, global_name, password)
        self._record("create", user_id=user.id)
        return user

    def disable(self, user: User) -> bool:
        """Shut a user out: every session ends, no login finishes. False where the user is gone."""
        return self._accounts.disable(user.id) and self._record("disable", user_id=user.id)

    def enable(self, user: User) -> bool:
        return self._accounts.enable(user.id) and self._record("enable", user_id=user.id)

    def delete(self, user: User) -> bool:
        """Remove a user and all that Redis holds of them.

        What they were to be told goes first, for who is gone is found no more; and again what was queued meanwhile.
        """
        self._mails.forget(user.id)
        if not self._accounts.delete(user.id):
            return False
        self._mails.forget(user.id)
        return self._record("delete", user_id=user.id)

    def set_password(self, user: User, password: str) -> bool:
        """Change a password; every session ends, and a login that is under way finishes into none."""
        hashed = self._passwords.hash(password)
        change = Change(set={"password_hash": hashed}, end_others="admin")
        if not self._users.change(user.id, change):
            return False
        audit.credentials_changed("password", user.id)
        self._notices.tell("password_changed", user.id, Client())
        return self._record("set-password", user_id=user.id)

    def reset_mfa(self, user: User) -> bool:
        """Take away every second factor, and end every session: whoever lost the one may have lost the other."""
        change = Change(forget=get_args(MfaType), end_others="admin")
        if not self._users.change(user.id, change):
            return False
        audit.credentials_changed("totp_off", user.id)
        self._notices.tell("totp_off", user.id, Client())
        return self._record("reset-mfa", user_id=user.id)

    def end(self, sessions: Iterable[Session]) -> Iterator[int]:
        """End sessions, given user after user as `sessions` yields them; yields how many ended at each step."""
        return self._record_total("end", self._end(sessions))

    def end_all(self, user_id: str | None = None) -> Iterator[int]:
        """End every session of one user or of all, and stop the logins that are under way.

        Yields: how many sessions each user had
        """
        return self._record_total("end-all", self._end_all(user_id))

    def _end(self, sessions: Iterable[Session]) -> Iterator[int]:
        for user_id, of_user in groupby(sessions, lambda session: session.user_id):
            for some in _batches((session.id_hash for session in of_user), _MAX_AT_ONCE):
                yield self._sessions.end(user_id, some, "admin")

    def _end_all(self, user_id: str | None) -> Iterator[int]:
        for one in [user_id] if user_id else self._users.ids():
            count = len(self._sessions.list(one))
            if self._users.change(one, Change(end_others="admin")):
                yield count
        # Where the record of a user was lost, their sessions go on without it.
        for batch in _batches([user_id] if user_id else self._users.ids_with_sessions(), _BATCH):
            for one, user in zip(batch, self._users.get_all(batch), strict=True):
                yield 0 if user else sum(self._end(self._sessions.list(one)))

    def tidy(self) -> Iterator[str]:
        """End by time what is over, and forget what ended too long ago, of all users; yields whose was looked at."""
        for user_id in chain(self._users.ids_with_sessions(), self._users.ids_with_ended()):
            self._sessions.finish_expired(user_id)
            yield user_id

    def record_import(self, counts: Mapping[str, int]) -> None:
        """Users were imported; what became of so many lines."""
        self._record("import", **counts)

    def _record_total(self, act: Act, steps: Iterable[int]) -> Iterator[int]:
        """The same steps; how many sessions ended in all is put on record, also where it is interrupted."""
        total, has_begun = 0, False
        try:
            for ended in steps:
                total, has_begun = total + ended, True
                yield ended
        finally:
            if has_begun:
                self._record(act, sessions=total)

    def _record(self, act: Act, **what: str | int) -> Literal[True]:
        """Every act of an operator comes by here, and is put on record as one."""
        audit.operator_acted(act, **what)
        return True


def _batches(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
