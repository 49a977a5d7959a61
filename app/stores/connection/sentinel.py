"""The primary of a set that Sentinels watch: who it is, and that nobody goes on with the one of before."""

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
_CHECK_AFTER_FAILURES_S = 5.0  # where no Sentinel answered twice in a row, which may have taken its time


class Sentinels:
    """Says who the primary of a set is, as the first Sentinel has it that knows.

    redis-py's Sentinel moves that one to the front of its list, from several threads at once, which may write it over
    one that was away; and tells for none of them why it did not answer.
    """

    def __init__(self, clients: Sequence[Redis], service: str) -> None:
        self._clients = tuple(clients)
        self._service = service

    def find_primary(self) -> Host:
        """Raises: MasterNotFoundError where some answer and none knows, else redis.ConnectionError"""
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
    """The server that the Sentinels call the primary of a set."""

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
        """Whoever was the primary may not know yet that it is no longer: once a second a thread asks the Sentinels.

        The others go on meanwhile with what is known, unless nobody has asked for longer than that.
        """
        late_s = time.monotonic() - self._check_at
        if late_s >= 0 and self._checking.acquire(blocking=late_s >= _CHECK_EVERY_S):
            try:
                if time.monotonic() >= self._check_at:  # nobody else has, while this one waited
                    self._check()
            finally:
                self._checking.release()
        return super()._usable_connection()

    def _check(self) -> None:
        """The connections that work go on where no Sentinel answers, or none knows."""
        failures, self._failures = self._failures, 0
        try:
            self._find_host()
        except MasterNotFoundError:
            pass
        except RedisError:
            self._failures = failures + 1
        finally:
            self._check_at = time.monotonic() + (_CHECK_AFTER_FAILURES_S if self._failures > 1 else _CHECK_EVERY_S)
