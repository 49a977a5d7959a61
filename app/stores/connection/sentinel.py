"""The way to the primary of a set that Sentinels watch."""

from collections.abc import Callable, Sequence
from typing import Any

from redis import ConnectionError as ConnectionBroken
from redis import Redis, RedisError, ResponseError
from redis.sentinel import MasterNotFoundError

from app.stores.connection.redis_url import Host

_CHECK_EVERY_S = 1.0
_CHECK_AFTER_FAILURES_S = 5.0  # if no Sentinel answered twice in a row, because asking may take long


class Sentinels:
    """Sentinels. They are asked in turn until one names the primary of a set. Next time that Sentinel is asked first.

    redis-py's Sentinel class changes the order of its list from several threads at once, so that one Sentinel may
    overwrite another. It also hides why a Sentinel did not answer.
    """

    def __init__(self, clients: Sequence[Redis], service: str, connect_to: Callable[[Host], Any]) -> None:
        """
        Args:
            service: The Sentinels' name for the set.
            connect_to: Makes a connection to a server of the set, not yet open.
        """
        self._clients = tuple(clients)
        self._service = service
        self._connect_to = connect_to

    def make_connection(self) -> Any:
        """Return a connection to the primary, not yet open. This raises what look() raises."""
        return self._connect_to(self.look())

    def look(self) -> Host:
        """Return the primary's host and port.

        Raises:
            MasterNotFoundError: Some Sentinels answered, but they know no primary.
            redis.ConnectionError: No Sentinel answered.
        """
        said: list[str] = []
        is_answered = False
        for client in self._clients:
            try:
                ask: Callable[[str], Any] = client.sentinel_master
                state = ask(self._service)
            except RedisError as problem:
                is_answered |= isinstance(problem, ResponseError)
                said.append(str(problem))
                continue
            if state["is_master"] and not state["is_sdown"] and not state["is_odown"]:
                self._clients = (client, *(other for other in self._clients if other is not client))
                return state["ip"], state["port"]
            is_answered = True
            said.append("it is down")
        kind = MasterNotFoundError if is_answered else ConnectionBroken
        raise kind(f"no Sentinel names a primary: {'; '.join(dict.fromkeys(said))}")

    def close(self) -> None:
        for client in self._clients:
            client.close()
