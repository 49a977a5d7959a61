"""Lets the scripts on sessions wait until no holder of a lease can say yes any more to what they ended.

The wait itself: rounds.py. How a script asks the holders: lua/session.lua, `ask_holders`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from redis import RedisError

from app.stores.connection.client import RedisClient
from app.stores.keys import Keys
from app.stores.leases.rounds import Rounds
from app.watch import metrics

# Marks the registrations of silent holders, and removes those that an earlier ending has marked. ARGV has ids and
# registrations in turn. One that is another by now stays: its holder lives.
_JUDGE = """
for i = 1, #ARGV, 2 do
  local holder, registration = ARGV[i], ARGV[i + 1]
  if redis.call("HGET", KEYS[1], holder) == registration then
    if string.sub(registration, -8) == " leaving" then
      redis.call("HDEL", KEYS[1], holder)
    else
      redis.call("HSET", KEYS[1], holder, registration .. " leaving")
    end
  end
end
"""


@dataclass(slots=True)
class _PutOff:
    """What one wait at the end of a command must wait for.

    Attributes:
        last: The round of the last ending, and when its reply had been read; None if nothing has ended.
        holders: The registrations that any of the scripts has read.
        is_unread: A script could not read them.
    """

    last: tuple[int, float] | None = None
    holders: dict[str, str] = field(default_factory=dict)
    is_unread: bool = False


_put_off: ContextVar[_PutOff | None] = ContextVar("put_off", default=None)


class Endings:
    """The waits of the endings of this process."""

    def __init__(self, redis: RedisClient, keys: Keys, rounds: Rounds) -> None:
        self._redis = redis
        self._keys = keys
        self._rounds = rounds

    def begin(self, *, asks_always: bool) -> tuple[int, dict[str, Any]]:
        """Return the number of a new round, and what its script must be told.

        Args:
            asks_always: Ask the holders although the script may end nothing, because it may repeat an ending whose
                wait is not over.
        """
        n = self._rounds.begin()
        asked = {"leases": self._keys.leases, "asks_always": asks_always}
        # Who hears no words, such as an operator's command, troubles nobody with rounds.
        return n, asked | {"round": f"{self._rounds.own_id} {n}"} if self._rounds.is_heard else asked

    def wait(self, n: int, listed: Sequence[str] | None) -> None:
        """Wait after the script of a round, or at the end of the operator's command.

        Args:
            listed: The ids and registrations of the holders in turn. None if the script could not read them.
        """
        since = self._rounds.clock()
        holders = None if listed is None else dict(zip(listed[::2], listed[1::2], strict=True))
        put_off = _put_off.get()
        if put_off is None:
            self._wait(n, holders, since)
            return
        put_off.last = n, since
        put_off.holders |= holders or {}
        put_off.is_unread |= holders is None

    @contextmanager
    def wait_once(self) -> Iterator[None]:
        """Let all endings in the `with` block wait together, at its end, also if it fails."""
        put_off = _PutOff()
        before = _put_off.set(put_off)
        try:
            yield
        finally:
            _put_off.reset(before)
            if put_off.last:
                n, since = put_off.last
                self._wait(n, put_off.holders, since)
                if put_off.is_unread:
                    self._wait(n, None, since)

    def _wait(self, n: int, holders: Mapping[str, str] | None, since: float) -> None:
        silent = self._rounds.wait(n, holders, since)
        if holders != {} or self._rounds.has_leases:
            metrics.ENDING_WAIT_SECONDS.observe(self._rounds.clock() - since)
        if silent:
            with suppress(RedisError):  # the next ending tries again
                pairs = [text for pair in silent.items() for text in pair]
                self._redis.run_script(_JUDGE, [self._keys.leases], pairs)
