"""The lease by which a worker may answer from memory. Why that is never wrong: docs/leases.md.

All of it happens in one thread, the worker's loop (serving/workers.py). On one connection the worker reads what it
keeps, pings, and hears what has changed. So the answer to a ping says that what is kept was right when the ping was
sent, and from then on, for VERIFY_LEASE, the worker may answer from memory.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from app.stores.boot_clock import boot_clock
from app.stores.connection.node import why_not_primary
from app.stores.connection.primary import Primary
from app.stores.keys import Keys
from app.stores.leases.connection import Answer, Loop, TrackedConnection
from app.stores.leases.kept import Kept
from app.stores.leases.rounds import Rounds
from app.watch import metrics

_MESSAGE = re.compile("[0-9a-z]{1,16}(?: [0-9]{1,15})+")  # the id of a process, and numbers of rounds
_PINGS_A_LEASE = 4
_IN_USE_S = 1.0  # a worker that nobody asks does not ping
_ROLE_EVERY_S = 1.0
_COUNT_EVERY_S = 1.0


class Holder:
    """Tells when a session was last used: from memory within the lease, else by its connection."""

    def __init__(
        self,
        primary: Primary,
        keys: Keys,
        lease_s: float,
        rounds: Rounds,
        loop: Loop,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self.kept = Kept()
        self._primary = primary
        self._keys = keys
        self._lease_s = lease_s
        self._rounds = rounds
        self._clock = clock
        channels = (keys.leases, keys.words(rounds.own_id))
        self._connection = TrackedConnection(primary, channels, self, loop, clock)
        self._asked_at = self._connection.now  # when anybody asked last
        self._until = 0.0  # the end of the lease
        self._is_holding = False
        self._is_told = False  # this connection has heard of a change
        self._registration = ""
        self._registrations = 0
        self._ping_at = 0.0  # when the next ping is due
        self._ask_role_at = 0.0
        self._count_at = 0.0
        self._heard: dict[str, list[str]] = {}  # the rounds of each process that ended something, in this turn

    @property
    def is_holding(self) -> bool:
        """Tell whether there is a lease, as of the last turn of the loop."""
        return self._is_holding

    @property
    def problem(self) -> str:
        """Return why there is no connection, as far as is known; "" if nothing is wrong."""
        return self._connection.problem

    def find(self, user_id: str, id_hash: str) -> float | None:
        """Return the last use of a session, in Unix seconds, if it can be told from memory now; else None.

        Call this after the request has arrived.
        """
        self._asked_at = now = self._connection.now
        last_used_at = self.kept.find(user_id, id_hash, now)
        if last_used_at is None or self._clock() >= self._until:
            return None
        return last_used_at

    def ask(self, user_id: str, id_hash: str, answer: Answer) -> bool:
        """Ask Redis for the last use of a session. Return False if that cannot be done now.

        Args:
            answer: Called in the loop, after 0.1 s at the latest, with the last use, in Unix seconds. It gets None if
                there is no such session, or no reply.
        """
        if not self._connection.is_free or not self._primary.is_known():
            return False
        self._asked_at = self._connection.now
        self._read(user_id, id_hash, self._asked_at, answer)
        return True

    def on_readable(self) -> None:
        """Take what Redis sent."""
        self._connection.on_readable()

    def tick(self) -> float:
        """Do what is due, and send what has gathered. Call this in each turn of the loop.

        Returns:
            In how many seconds it must be called again at the latest.
        """
        soon_s = self._connection.tick()
        if not self._connection.is_open:
            return soon_s
        now = self._connection.now
        if now >= self._count_at:
            self._count_at = now + _COUNT_EVERY_S
            metrics.SESSIONS_KEPT.set(len(self.kept))
        is_in_use = now - self._asked_at < _IN_USE_S
        if now >= self._until:
            self._stop_holding("late" if is_in_use else "idle")
        self._give_words()
        if is_in_use:
            if now >= self._ping_at:
                self._ping()
            soon_s = min(soon_s, max(0.0, self._ping_at - now))
        self._connection.flush()
        return min(soon_s, _IN_USE_S)

    def close(self) -> None:
        """Give the lease back, so that no ending waits for this worker."""
        self._until = 0.0
        if self._connection.is_open:
            self._connection.send(("HDEL", self._keys.leases, self._rounds.own_id), _ignore)
            self._connection.flush()
        self._connection.close()

    # -- What is sent

    def on_open(self) -> None:
        self._is_told = False
        self._ask_role_at = 0.0
        # It is tracked from then on: this connection must hear of its own registration, as it will of all changes.
        self._connection.send(("HGET", self._keys.leases, self._rounds.own_id), _ignore)
        self._register()

    def _register(self) -> None:
        """Tell all who end sessions that this worker may hold a lease. The count tells registrations apart."""
        self._registrations += 1
        self._registration = f"{round(self._lease_s * 1000)} {self._registrations}"
        command = ("HSET", self._keys.leases, self._rounds.own_id, self._registration)
        self._connection.send(command, self._connection.require)
        self._ping()

    def _ping(self) -> None:
        """Ask whether this worker is still registered. The reply renews the lease."""
        at = self._clock()  # the lease counts from before the ping is sent
        self._ping_at = at + self._lease_s / _PINGS_A_LEASE
        if at >= self._ask_role_at:
            self._ask_role_at = at + _ROLE_EVERY_S
            self._connection.send(("ROLE",), self._on_role)
        command = ("HGET", self._keys.leases, self._rounds.own_id)
        self._connection.send(command, partial(self._on_ping, at, self._registration))

    def _give_words(self) -> None:
        """Tell those whose rounds were heard that nothing said from now on is older than their rounds.

        Redis tells of what a script has changed before it tells of what the script publishes. The rounds of this
        process itself are answered without Redis.
        """
        heard, self._heard = self._heard, {}
        self._note_words(self._rounds.own_id, heard.pop(self._rounds.own_id, ()))
        for ender, numbers in heard.items():
            word = " ".join((self._rounds.own_id, *numbers))
            self._connection.send(("PUBLISH", self._keys.words(ender), word), _ignore)

    def _read(self, user_id: str, id_hash: str, asked_at: float, answer: Answer | None = None) -> None:
        command = ("ZSCORE", self._keys.last_used(user_id), id_hash)
        self._connection.send(command, partial(self._on_read, user_id, id_hash, asked_at), answer)

    # -- What Redis sends

    def _on_role(self, reply: Any) -> None:
        if reason := why_not_primary(reply):
            self._connection.lose("primary", reason)

    def _on_ping(self, at: float, registration: str, reply: Any) -> None:
        """Renew the lease."""
        if registration == self._registration:  # else this worker has registered anew meanwhile
            if reply != registration:
                self._forget_all("registration")
                self._register()
            elif not self._is_told:
                self._connection.give_up("Redis does not tell of changes, or a proxy in between does not")
                return
            elif self._primary.is_known_for(self._lease_s):
                self._until = at + self._lease_s
                self._hold()

    def _on_read(self, user_id: str, id_hash: str, asked_at: float, reply: Any) -> float | None:
        if not isinstance(reply, float):  # no such session, or the key is another application's
            return None
        self.kept.put(user_id, id_hash, reply, asked_at, self._connection.now)
        return reply

    def on_push(self, kind: str, *told: Any) -> None:
        if kind == "invalidate":
            self._on_change(told[0])
        elif kind == "message" and (message := _MESSAGE.fullmatch(told[1])):
            name, *numbers = message[0].split(" ")
            if told[0] == self._keys.leases:
                self._heard.setdefault(name, []).extend(numbers)
            else:
                self._note_words(name, numbers)

    def _note_words(self, holder: str, numbers: Sequence[str]) -> None:
        for number in numbers:
            self._rounds.note_word(holder, int(number))

    def _on_change(self, names: list[str] | None) -> None:
        """Forget what has changed. What was asked for lately is read again: it changes once a minute, by its use."""
        if names is None:  # all keys are gone, the registration too
            self._forget_all("flush")
            self._ping_at = self._connection.now
            return
        for name in names:
            user_id = self._keys.user_id_in(name)
            if user_id is None:  # the registrations
                self._is_told = True
                continue
            for id_hash, asked_at in self.kept.take_changed(user_id, self._connection.now):
                if self._connection.is_free:
                    self._read(user_id, id_hash, asked_at)

    def on_lost(self, reason: str) -> None:
        self._heard.clear()
        self._forget_all(reason)

    # -- The lease

    def _hold(self) -> None:
        self._rounds.is_heard = True
        self._connection.problem = ""
        if not self._is_holding:
            self._is_holding = True
            metrics.LEASES_HELD.inc()

    def _stop_holding(self, reason: str) -> None:
        self._until = 0.0
        if self._is_holding:
            self._is_holding = False
            metrics.LEASES_HELD.dec()
            metrics.LEASES_LOST.labels(reason).inc()

    def _forget_all(self, reason: str) -> None:
        """End the lease, because nobody who ends a session waits for this worker now, or because the data are others.

        SWAPDB is noticed by the registration alone: Redis tells of no change.
        """
        self._rounds.is_heard = False
        self._stop_holding(reason)
        self.kept.forget_all()


def _ignore(reply: Any) -> None:
    """Take a reply that tells nothing."""
