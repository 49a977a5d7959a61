"""The rounds of this process: one for each script that may end something, and the wait for the words of the holders.

Nothing here speaks to Redis. The scripts wait through endings.py.
"""

import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import inf
from weakref import WeakSet

from app.stores.boot_clock import boot_clock

_MOST_EARLY = 1000  # rounds of which words are kept that nobody waits for
_CLOCKS_DIFFER = 1.01  # a second of another machine may last so much longer than one of this machine
_MARGIN_S = 0.001
_JUDGED_EVERY_S = 60
_REGISTRATION = re.compile(r"([1-9][0-9]{0,3}) [0-9]+(?: leaving)?")
# Stands for holders that are in no list. None has this name, so that no word of theirs comes.
_UNKNOWN = ""


def new_id() -> str:
    """Return an id for this process, as holder and as one who ends."""
    return secrets.token_hex(8)


class _Wait:
    """A round whose words are waited for.

    Attributes:
        missing: The holders that have not given their word yet.
        is_complete: Set when none is missing any more. Each wait has its own, so that a word wakes only who can go on.
    """

    __slots__ = ("is_complete", "missing")

    def __init__(self, missing: set[str]) -> None:
        self.missing = missing
        self.is_complete = threading.Event()


class Rounds:
    """The rounds of this process. All methods may be called in any thread.

    A word is good for exactly the round that it names. One for a later number is not enough: of two scripts, the one
    with the greater number may have run first.

    Attributes:
        own_id: The id of this process: 16 hexadecimal digits. A process that is forked has another.
        has_leases: Whether VERIFY_LEASE is not 0. Then more holders may be waited for than are in the list.
    """

    def __init__(
        self,
        own_id: str,
        lease_s: float,
        clock: Callable[[], float] = boot_clock,
        block: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """
        Args:
            lease_s: The setting VERIFY_LEASE.
            block: Waits until the event is set or the seconds have passed, and returns whether it is set.
        """
        self.own_id = own_id
        self.clock = clock
        self._block = block
        self.has_leases = lease_s > 0
        self._longest_s = lease_s  # of the leases that this process knows of
        self._begin_anew()
        _all.add(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._waits: dict[int, _Wait] = {}
        self._early: dict[int, set[str]] = {}  # who gave a word before anybody waited for it
        self._newest = 0
        self._heard_from: float = inf  # the first round of which every word is heard
        self._changed_at = -inf  # when is_heard became what it is
        self._judge_at = -inf

    def renew(self) -> None:
        """Take another id, in a process that was forked. Two processes with one id would hear each other's words."""
        self.own_id = new_id()
        self._begin_anew()

    @property
    def is_heard(self) -> bool:
        """Tell whether this process hears the words to it, and is registered as a holder. Its connection sets this."""
        return self._heard_from < inf

    @is_heard.setter
    def is_heard(self, is_heard: bool) -> None:
        with self._lock:
            if is_heard != self.is_heard:
                self._heard_from = self._newest + 1 if is_heard else inf
                self._changed_at = self.clock()

    def begin(self) -> int:
        """Return the number of a new round."""
        with self._lock:
            self._newest += 1
            return self._newest

    def note_word(self, holder: str, n: int) -> None:
        """Note that a holder has answered a round: nothing that it says from now on is older than that round."""
        with self._lock:
            wait = self._waits.get(n)
            if wait is None:
                self._keep_early(holder, n)
            elif holder in wait.missing:
                wait.missing.remove(holder)
                if not wait.missing:
                    wait.is_complete.set()

    def _keep_early(self, holder: str, n: int) -> None:
        """Keep a word for when the script's reply is read. Words that come too late are kept until there are many."""
        if n not in self._early and len(self._early) >= _MOST_EARLY:
            del self._early[next(iter(self._early))]
        self._early.setdefault(n, set()).add(holder)

    def wait(self, n: int, holders: Mapping[str, str] | None, since: float) -> Mapping[str, str]:
        """Wait until no holder can say yes any more to what the script of a round has ended.

        Each holder is waited for until it gives its word, or until its lease is over.

        Args:
            holders: The registrations of the holders by their ids, as the script read them. None if it could not.
            since: When the script's reply had been read, by `clock`.

        Returns:
            The registrations that are to be marked or removed, because their holders gave no word.
        """
        until = self._find_deadlines(holders, since)
        if not until:
            return {}
        with self._lock:
            wait = _Wait(until.keys() - self._early.pop(n, set()))
            if wait.missing:
                self._waits[n] = wait
        silent = self._wait_for_words(wait, until) if wait.missing else set()
        with self._lock:
            self._waits.pop(n, None)
        silent.discard(_UNKNOWN)
        if not holders or not silent or not self._may_judge(n, silent):
            return {}
        return {holder: holders[holder] for holder in silent}

    def _find_deadlines(self, holders: Mapping[str, str] | None, since: float) -> dict[str, float]:
        """Return for each holder the time when its lease is over at the latest."""
        until: dict[str, float] = {}
        for holder, registration in (holders or {}).items():
            lease_s = _lease_s(registration)
            if lease_s:  # else it is another application's
                until[holder] = _end_of(lease_s, since)
                self._longest_s = max(self._longest_s, lease_s)
        # Registrations may be lost, with all keys or in a failover. Only a process that has been registered for longer
        # than a lease knows that none is. One that has just lost its connection may still be in the list, and does not
        # know it. Where leases are off, nobody but those in the list is waited for.
        is_known = holders is not None and self.own_id in holders
        at_risk_until = _end_of(self._longest_s, self._changed_at if is_known else since)
        if self.has_leases and at_risk_until > since:
            until[_UNKNOWN] = at_risk_until
        return until

    def _wait_for_words(self, wait: _Wait, until: Mapping[str, float]) -> set[str]:
        """Return the holders whose lease was over before their word came."""
        silent: set[str] = set()
        while True:
            now = self.clock()
            with self._lock:
                late = {holder for holder in wait.missing if until[holder] <= now}
                wait.missing -= late
                silent |= late
                if not wait.missing:
                    return silent
                next_until = min(until[holder] for holder in wait.missing)
            self._block(wait.is_complete, next_until - now)

    def _may_judge(self, n: int, silent: set[str]) -> bool:
        """Tell whether silent holders are to be marked.

        Who hears its own words knows that the others are silent. Who does not may do it now and then all the same, for
        there may be nobody else: it costs a live holder one round trip to register again.
        """
        if n >= self._heard_from and self.own_id not in silent:
            return True
        now = self.clock()
        with self._lock:
            if now < self._judge_at:
                return False
            self._judge_at = now + _JUDGED_EVERY_S
            return True


@lru_cache
def _lease_s(registration: str) -> float:
    """Return the lease in a registration; 0 if it is none of ours."""
    match = _REGISTRATION.fullmatch(registration)
    return int(match[1]) / 1000 if match else 0


def _end_of(lease_s: float, since: float) -> float:
    return since + lease_s * _CLOCKS_DIFFER + _MARGIN_S


_all: WeakSet[Rounds] = WeakSet()


def _renew_all() -> None:
    for rounds in _all:
        rounds.renew()


os.register_at_fork(after_in_child=_renew_all)
