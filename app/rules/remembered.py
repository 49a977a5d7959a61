"""Remembered devices: browsers in which a right password is enough for a login, although a second factor is on.

Such a browser has a cookie with a value for each user whom it is remembered of. A value has the form of a token. It
spares the code at a login, and is no proof of anything else. How it is judged: stores/lua/remembered.lua. The cookie:
web/cookies.py.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from app import tokens
from app.errors import Unconfirmed, UnknownDevice
from app.rules.checks import Caller
from app.rules.devices import Devices
from app.rules.sign_ins import SignedIn, SignIns
from app.snowflakes import new_snowflake
from app.stores.activities import Activity
from app.stores.connection.connect import StoreError
from app.stores.remembered import RememberedStore
from app.stores.remembered_records import NewRemembered, Remembered
from app.stores.session_records import Amr, Client
from app.stores.user_records import User
from app.stores.users import Change
from app.watch import audit

log = logging.getLogger(__name__)

_AMR: tuple[Amr, ...] = ("pwd", "remembered")


class RememberedDevices:
    """
    Attributes:
        ttl_s: How long a device is remembered. 0 remembers none, and spares no code.
    """

    def __init__(
        self,
        store: RememberedStore,
        devices: Devices,
        sign_ins: SignIns,
        ttl_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ttl_s = ttl_s
        self._store = store
        self._devices = devices
        self._sign_ins = sign_ins
        self._clock = clock

    def log_in(self, user: User, values: Sequence[str], client: Client, attempt: str) -> SignedIn | None:
        """Sign in a user whose password was right, if the browser is remembered. Its value is then another one.

        Args:
            values: Those of the browser's cookie. Other users' count for nothing.
            attempt: A hash of the form that asks; "" if no form does.

        Returns:
            None if the browser is not remembered.
        """
        claim = next((claim for claim in map(tokens.read, values) if claim and claim.user_id == user.id), None)
        if claim is None or not self.ttl_s:
            return None
        renewed = tokens.issue(user.id, claim.at)
        token, session = self._devices.prepare(user.id, client, _AMR, on_public_computer=False, attempt=attempt)
        change = Change(
            credentials_version=user.credentials_version,
            same_credentials=True,
            unset=["password_warning"] if user.password_warning else None,
            opens=session,
        )
        if not self._store.sign_in(user.id, claim.id_hash, tokens.id_hash(renewed), client, self.ttl_s, change):
            return self._repeat(user, client, attempt)
        signed_in = self._sign_ins.note(user.id, token, client, "remembered", on_public_computer=False)
        return replace(signed_in, remembered=renewed, password_warning=user.password_warning)

    def _repeat(self, user: User, client: Client, attempt: str) -> SignedIn | None:
        """Sign in by a form that has signed in a moment ago, as after a double click, when the value was good."""
        former = self._devices.opened_by(user.id, attempt)
        if former is None or former.amr != _AMR:
            return None
        return self._sign_ins.repeat_of_user(user.id, client, "remembered", attempt)

    def prepare(self, user_id: str, client: Client) -> tuple[str, NewRemembered]:
        """Return a value for the cookie of a browser, and its device. A change (stores/users.py) remembers it."""
        now = self._clock()
        value = tokens.issue(user_id, now)
        ends_at = int(now) + self.ttl_s
        return value, NewRemembered(tokens.id_hash(value), new_snowflake(now), int(now), ends_at, client)

    @contextmanager
    def forgotten_if_unconfirmed(self, user_id: str, id_hash: str | None) -> Iterator[None]:
        """Forget a device whose value nobody gets, because the `with` block raises Unconfirmed."""
        try:
            yield
        except Unconfirmed:
            if id_hash:
                self._forget(user_id, id_hash)
            raise

    def list(self, user_id: str) -> Sequence[Remembered]:
        """Return the devices of a user that are still remembered, most recently used first."""
        now = self._clock()
        return [device for device in self._store.list(user_id) if self.ends_at(device) > now]

    def ends_at(self, device: Remembered) -> int:
        """Return the Unix seconds at which a device is forgotten by time."""
        return min(device.ends_at, device.began_at + self.ttl_s)

    def forget(self, caller: Caller, device_id: str, client: Client) -> None:
        """Forget a device of the caller's user.

        Raises:
            UnknownDevice: The user has no such device.
            Unauthorized: The caller's session is over.
        """
        if not self._store.forget(caller.user_id, device_id, caller.id_hash, Activity("devices_forgotten", client)):
            raise UnknownDevice
        audit.devices_forgotten(caller.user_id, 1)

    def forget_all(self, caller: Caller, client: Client) -> None:
        """Forget all devices of the caller's user.

        Raises:
            Unauthorized: The caller's session is over.
        """
        told = Activity("devices_forgotten", client)
        count = self._store.forget_all(caller.user_id, caller.id_hash, told)
        if count:
            audit.devices_forgotten(caller.user_id, count)

    def forget_by_operator(self, user_id: str) -> int:
        """Forget all devices of a user. Return how many there were."""
        count = self._store.forget_all(user_id, None, Activity("devices_forgotten", is_operators=True))
        if count:
            audit.devices_forgotten(user_id, count)
        return count

    def forget_browser(self, user_id: str, values: Sequence[str]) -> None:
        """Forget the device that one of a browser's values names, if it is the user's.

        If Redis fails, this is logged. The request must not fail, because its sign-in is made.
        """
        for claim in map(tokens.read, values):
            if claim and claim.user_id == user_id:
                self._forget(user_id, claim.id_hash)

    def _forget(self, user_id: str, id_hash: str) -> None:
        try:
            self._store.forget_own(user_id, id_hash)
        except StoreError as error:
            log.error("a device stays remembered whose cookie nobody has: %s", type(error).__name__)
