"""The primary of a set that Sentinels watch. After a failover, connections to the former primary are closed."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis import ConnectionError as ConnectionBroken
from redis import Redis, RedisError, ResponseError
from redis.sentinel import MasterNotFoundError

from app.stores.connection.node import Node
from app.stores.connection.redis_url import Host

_CHECK_EVERY_S = 1.0
_CHECK_AFTER_FAILURES_S = 5.0  # if no Sentinel answered twice in a row, because asking may take long


class Sentinels:
    """Sentinels. They are asked in turn until one names the primary of a set. Next time that Sentinel is asked first.

    redis-py's Sentinel class changes the order of its list from several threads at once, so that one Sentinel may
    overwrite another. It also hides why a Sentinel did not answer.
    """

    def __init__(self, clients: Sequence[Redis], service: str) -> None:
        self._clients = tuple(clients)
        self._service = service

    def find_primary(self) -> Host:
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


class Primary(Node):
    """The server that the Sentinels name as the primary of a set."""

    def __init__(self, sentinels: Sentinels, connect_to: Callable[[Host], Any]) -> None:
        super().__init__(lambda: connect_to(self._find_host()))
        self._sentinels = sentinels
        self._known: Host | None = None
        self._checking = threading.Lock()
        self._check_at = 0.0
        self._failures = 0

    def close(self) -> None:
        super().close()
        self._sentinels.close()

    def _find_host(self) -> Host:
        host = self._sentinels.find_primary()
        if self._known and host != self._known:
            self.renew()
        self._known = host
        return host

    def _usable_connection(self) -> Any:
        """Return this thread's connection.

        Before that, at most once a second, one thread asks the Sentinels, because a former primary may not yet know
        that it was replaced. Meanwhile other threads use the known primary. Only if the check is more than a second
        overdue, they wait for it.
        """
        late_s = time.monotonic() - self._check_at
        if late_s >= 0 and self._checking.acquire(blocking=late_s >= _CHECK_EVERY_S):
            try:
                if time.monotonic() >= self._check_at:  # unless another thread did it while this one waited
                    self._check()
            finally:
                self._checking.release()
        return super()._usable_connection()

    def _check(self) -> None:
        """Ask the Sentinels for the primary. If no Sentinel answers or knows it, working connections are kept."""
        failures, self._failures = self._failures, 0
        try:
            self._find_host()
        except MasterNotFoundError:
            pass
        except RedisError:
            self._failures = failures + 1
        finally:
            self._check_at = time.monotonic() + (_CHECK_AFTER_FAILURES_S if self._failures > 1 else _CHECK_EVERY_S)
