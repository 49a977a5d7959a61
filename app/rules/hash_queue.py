"""The queue for password hashes: only a few are computed at once, and the networks that ask for them take turns.

One hash takes a quarter of a second of a core. bcrypt releases Python's lock meanwhile, so it runs in threads of its
own, with a lower priority. If many logins come, they wait in a short queue, and other requests go first.

Which network a request comes from: callers/addresses.py.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from app.errors import Unavailable
from app.watch import metrics

_NICENESS = 5  # lower than for other requests, but not so low that these could block a sign-in
_LONGEST_WAIT_S = 15
_MINUTE_S = 60

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Turn:
    network: str
    cost: float
    is_long: bool
    work: Callable[[], Any]
    asked_at: float = field(default_factory=time.perf_counter)
    outcome: Future[Any] = field(default_factory=Future)


class _Tally:
    """Costs by network, of the last one to two minutes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._this_minute: dict[str, float] = {}
        self._last_minute: dict[str, float] = {}

    def add(self, network: str, cost: float) -> None:
        self._turn_over()
        self._this_minute[network] = self._this_minute.get(network, 0) + cost

    def of(self, network: str) -> float:
        self._turn_over()
        return self._this_minute.get(network, 0) + self._last_minute.get(network, 0)

    def _turn_over(self) -> None:
        elapsed = self._clock() - self._began
        if elapsed >= _MINUTE_S:
            self._last_minute = self._this_minute if elapsed < 2 * _MINUTE_S else {}
            self._this_minute = {}
            self._began += elapsed


class HashQueue:
    """Runs work in its turn. The next turn goes to the network that had the least work done lately.

    So a network that sends many logins waits for itself, and a caller from a quiet one hardly waits. Of networks that
    had as much done, the one that asked for less is next. If the queue is full, a caller from a quiet network takes the
    place of the newest that waits from the busiest one.

    Long work has one thread of its own, and a quarter of the queue at most, so that it cannot stop the other work.
    """

    def __init__(self, concurrency: int, queue: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._places = concurrency + queue
        self._places_of_long = 1 + queue // 4
        self._lock = threading.Lock()
        self._waiting: list[_Turn] = []  # the oldest first
        self._running = {False: 0, True: 0}  # by is_long
        self._done = _Tally(clock)  # the cost of work that was begun
        self._asked = _Tally(clock)  # the cost of work that was asked for, refused or not
        self._threads = {
            False: ThreadPoolExecutor(concurrency, "bcrypt", initializer=_yield_to_others),
            True: ThreadPoolExecutor(1, "long-bcrypt", initializer=_yield_to_others),
        }

    def run(self, work: Callable[[], T], network: str = "", cost: float = 1, *, is_long: bool = False) -> T:
        """Run work when its turn comes, and return its result.

        Args:
            network: The network that asks for it.
            cost: How long it takes, in hashes of the usual cost.

        Raises:
            Unavailable: The queue is full, or the turn did not come within 15 seconds.
        """
        turn = _Turn(network, cost, is_long, work)
        self._take_place(turn)
        try:
            self._threads[is_long].submit(self._run_next, is_long)
        except RuntimeError:  # the process is ending and accepts no more work
            self._give_up(turn)
            raise Unavailable from None
        try:
            return cast(T, turn.outcome.result(_LONGEST_WAIT_S))
        except TimeoutError:
            if self._give_up(turn):
                metrics.BCRYPT_REFUSED.inc()
                raise Unavailable from None
            return cast(T, turn.outcome.result())

    def _take_place(self, turn: _Turn) -> None:
        with self._lock:
            self._asked.add(turn.network, turn.cost)
            if len(self._waiting) + sum(self._running.values()) >= self._places:
                self._make_room(turn, self._waiting)
            of_long = [other for other in self._waiting if other.is_long] if turn.is_long else []
            if turn.is_long and len(of_long) + self._running[True] >= self._places_of_long:
                self._make_room(turn, of_long)
            self._waiting.append(turn)
            metrics.BCRYPT_WAITING.inc()

    def _make_room(self, newcomer: _Turn, waiting: list[_Turn]) -> None:
        """Refuse the newest turn of the busiest network, or the newcomer if none is busier than the newcomer's."""
        busiest = max(reversed(waiting), key=self._busyness, default=newcomer)
        metrics.BCRYPT_REFUSED.inc()
        if self._busyness(busiest) <= self._busyness(newcomer, newcomer.cost):
            raise Unavailable
        self._remove(busiest)
        busiest.outcome.set_exception(Unavailable())

    def _busyness(self, turn: _Turn, new_cost: float = 0) -> tuple[float, float]:
        """Return the cost of the work of a turn's network that was begun lately or waits, and of all it asked for."""
        waits = sum(other.cost for other in self._waiting if other.network == turn.network)
        return self._done.of(turn.network) + waits + new_cost, self._asked.of(turn.network)

    def _served(self, turn: _Turn) -> tuple[float, float]:
        return self._done.of(turn.network), self._asked.of(turn.network)

    def _run_next(self, is_long: bool) -> None:
        with self._lock:
            waiting = [turn for turn in self._waiting if turn.is_long == is_long]
            if not waiting:  # refused or given up meanwhile
                return
            turn = min(waiting, key=self._served)  # of equals the oldest
            self._remove(turn)
            self._running[is_long] += 1
            self._done.add(turn.network, turn.cost)
        metrics.BCRYPT_WAIT_SECONDS.observe(time.perf_counter() - turn.asked_at)
        try:
            with metrics.BCRYPT_RUNNING.track_inprogress(), metrics.BCRYPT_SECONDS.time():
                result = turn.work()
        except Exception as problem:  # it is raised again in the thread that waits
            self._finish(is_long)
            turn.outcome.set_exception(problem)
        else:
            self._finish(is_long)
            turn.outcome.set_result(result)

    def _finish(self, is_long: bool) -> None:
        with self._lock:
            self._running[is_long] -= 1

    def _give_up(self, turn: _Turn) -> bool:
        """Take back a turn that has not come. Return False if it has."""
        with self._lock:
            waits = turn in self._waiting
            if waits:
                self._remove(turn)
            return waits

    def _remove(self, turn: _Turn) -> None:
        self._waiting.remove(turn)
        metrics.BCRYPT_WAITING.dec()


def _yield_to_others() -> None:
    # On Linux a nice value belongs to a thread. Elsewhere it belongs to the process, and would slow down all threads.
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
