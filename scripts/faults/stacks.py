"""The Redis of a row, with the faults that can be made in it."""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from redis import RedisError

from scripts.faults.proxy import Proxy
from tests.servers import RedisServer, wait_until
from tests.sets import ClusterSet, Node, SentinelSet

_PROBE = "chaos"


class Stack(Protocol):
    """A Redis of any kind.

    Attributes:
        url: For the service. Its time-outs are the defaults, as operators have them.
    """

    url: str

    def close(self) -> None: ...


class Single:
    """One server.

    Args:
        options: Options of redis-server that say how it keeps its data.
    """

    def __init__(self, *options: str) -> None:
        self._server = RedisServer(*options)
        self.url = self._server.plain_url

    def crash(self, down_s: float) -> tuple[float, float]:
        """Send SIGKILL, and start the server again after a while.

        Returns:
            The time of the kill, and the time when it answered again.
        """
        at = time.monotonic()
        self._server.stop()
        time.sleep(down_s)
        self._server.start()
        return at, time.monotonic()

    def close(self) -> None:
        self._server.close()


class Proxied:
    """One server behind a network that can fail (proxy.py)."""

    def __init__(self, seed: int) -> None:
        self._server = RedisServer("--appendonly", "yes", "--appendfsync", "always")
        self.proxy = Proxy(self._server.plain_url.removeprefix("unix://"), seed)
        self.url = f"redis://127.0.0.1:{self.proxy.port}/0"

    def close(self) -> None:
        self.proxy.close()
        self._server.close()


class Sentinels:
    def __init__(self) -> None:
        self._set = SentinelSet("--appendonly", "yes")
        self.url = self._set.plain_url

    def fail_over(self, down_s: float, _: Random) -> tuple[float, float]:
        """Send SIGKILL to the primary while its replicas are in touch. Start it again a while after another took over.

        Returns:
            The time of the kill, and the time when another server first took a write.
        """
        self._set.wait_until_in_touch()
        at = time.monotonic()
        killed = self._set.kill_primary()
        others = [server for server in self._set.servers if server is not killed]
        taken_over_at = _wait_for_write(others, _PROBE)
        self._set.wait_for_other_primary(killed)
        time.sleep(down_s)
        killed.start()
        self._set.wait_until_in_touch()
        return at, taken_over_at

    def close(self) -> None:
        self._set.close()


class Cluster:
    def __init__(self) -> None:
        self._set = ClusterSet("--appendonly", "yes")
        self.url = self._set.plain_url

    def fail_over(self, down_s: float, random: Random) -> tuple[float, float]:
        """Do the same as Sentinels.fail_over to one of the primaries, chosen by chance."""
        self._set.wait_until_ok()
        primary = random.choice(self._set.primaries())
        key = next(key for key in _keys() if self._set.owner_of(self._set.slot_of(key)) is primary)
        slot = self._set.slot_of(key)
        at = time.monotonic()
        self._set.kill_owner_of(slot)
        taken_over_at = _wait_for_write(self._set.replicas(), key)
        self._set.wait_for_other_owner_of(slot, primary)
        time.sleep(down_s)
        primary.start()
        self._set.wait_until_ok()
        return at, taken_over_at

    def close(self) -> None:
        self._set.close()


def _keys():
    return (f"{_PROBE}:{number}" for number in range(10_000))


def _wait_for_write(servers: Sequence[Node], key: str) -> float:
    """Return the time when one of the servers first took a write."""

    def takes_it() -> bool:
        return any(_succeeds(server.client.set, key, "1") for server in servers)

    wait_until(takes_it, "nobody took over")
    return time.monotonic()


def _succeeds(command: Callable[..., object], *arguments: str) -> bool:
    try:
        return bool(command(*arguments))
    except RedisError:
        return False
