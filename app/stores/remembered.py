"""The devices on which a right password is enough for a login, although a second factor is on. Their records:
remembered_records.py.

How one is judged and used: lua/remembered.lua. What forgets all of a user: lua/change.lua.
"""

from collections.abc import Sequence

from app.stores.activities import Activity
from app.stores.connection.client import RedisClient
from app.stores.remembered_records import Remembered, parse_remembered
from app.stores.scripts import WAIT_AND_GO_ON, SessionScripts, WaitPolicy
from app.stores.session_records import Client, known_fields
from app.stores.sessions import CallerGone
from app.stores.users import Change, changed_keys


class RememberedStore:
    def __init__(self, redis: RedisClient, scripts: SessionScripts) -> None:
        self._redis = redis
        self._keys = scripts.keys
        # As the login without a code: were it refused, each further try would push out one more session. A failover
        # gives the device its former value, which its browser has no more: then it is asked for a code.
        self._sign_in = scripts.register("sign_in_remembered", WAIT_AND_GO_ON)
        # A sign-in that is made must not be refused.
        self._forget_own = scripts.register("forget_remembered", WAIT_AND_GO_ON)
        # What a failover brought back would spare a code once more.
        self._forget = scripts.register("forget_remembered", WaitPolicy(refuses=lambda _: True))

    def list(self, user_id: str) -> Sequence[Remembered]:
        """Return the remembered devices of a user, most recently used first. The time of some may be over."""
        [fields] = self._redis.read_own(("HGETALL", self._keys.remembered(user_id)))
        return parse_remembered(fields or ())

    def sign_in(
        self,
        user_id: str,
        id_hash: str,
        renewed: str,
        client: Client,
        ttl_s: int,
        change: Change,
    ) -> bool:
        """Make a change that opens a session, if a device is remembered.

        Args:
            renewed: The hash of the device's next value. The one that was sent is good no more.
            client: The device as it is now.
            ttl_s: How long any device is remembered.

        Returns:
            False if the device is not remembered, or the change is refused.
        """
        device = {
            "id_hash": id_hash,
            "renewed": renewed,
            "ttl_s": ttl_s,
            "client": known_fields(client),
        }
        argument = {"device": device, "change": change.as_argument()}
        return bool(self._sign_in(user_id, changed_keys(self._keys, user_id), argument))

    def forget(self, user_id: str, device_id: str, caller: str, told: Activity) -> bool:
        """Forget a device by its id. Return False if the user has no such device.

        Args:
            caller: id_hash of the session that asks.
            told: What the user is told of it under "Activity".

        Raises:
            CallerGone: The caller's session is over.
        """
        return bool(self._run_forget(user_id, {"id": device_id, "caller": caller, "activity": told.row()}))

    def forget_own(self, user_id: str, id_hash: str) -> None:
        """Forget the device whose cookie has a value with this hash. Too few replicas are no error."""
        self._forget_own(user_id, [self._keys.remembered(user_id)], {"id_hash": id_hash})

    def forget_all(self, user_id: str, caller: str | None, told: Activity) -> int:
        """Forget all devices of a user. Return how many there were.

        Args:
            caller: As for `forget`; None for an operator.
            told: As for `forget`.

        Raises:
            CallerGone: The caller's session is over.
        """
        return self._run_forget(user_id, {"activity": told.row()} | ({"caller": caller} if caller else {}))

    def _run_forget(self, user_id: str, argument: dict[str, str]) -> int:
        count = int(self._forget(user_id, [self._keys.remembered(user_id)], argument))
        if count < 0:
            raise CallerGone
        return count
