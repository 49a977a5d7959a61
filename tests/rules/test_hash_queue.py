"""The queue for password hashes: how many, in which turn, and who is refused. A network is a word here."""

import threading

import pytest

from app.errors import Unavailable
from app.rules.hash_queue import HashQueue
from tests.servers import wait_until


class Crowd:
    """Callers of a queue whose work ends when it is told to. `done` has their networks in the order of their turns."""

    def __init__(self, queue):
        self.queue = queue
        self.done = []
        self.refused = []
        self._threads = []
        self._may_end = threading.Semaphore(0)
        self._lock = threading.Lock()

    def ask(self, *networks, **how):
        """Let callers ask one after the other; each has its place, or was refused, before the next one asks."""
        for network in networks:
            thread = threading.Thread(target=self._call, args=(network, how))
            before = self._seen()
            thread.start()
            self._threads.append(thread)
            wait_until(lambda before=before: self._seen() > before and self._is_at_work(), "the caller has not asked")

    def _seen(self):
        queue = self.queue
        with queue._lock:
            begun = sum(queue._running.values()) + len(self.done)
            return len(queue._waiting) + begun + len(self.refused)

    def _is_at_work(self):
        with self.queue._lock:
            return all(self.queue._running[turn.is_long] for turn in self.queue._waiting)

    def _call(self, network, how):
        try:
            self.queue.run(lambda: self._work(network), network, **how)
        except Unavailable:
            self.refused.append(network)

    def _work(self, network):
        assert self._may_end.acquire(timeout=20)
        with self._lock:
            self.done.append(network)

    def let_end(self):
        """Let everybody have their turn, and return the order."""
        for _ in self._threads:
            self._may_end.release()
        for thread in self._threads:
            thread.join(20)
        return self.done


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def crowd(clock):
    """Of a queue of one place to run and eight to wait."""
    crowd = Crowd(HashQueue(concurrency=1, queue=8, clock=clock))
    yield crowd
    crowd.let_end()


def test_networks_take_turns(crowd):
    """Within a network the first that came is the first."""
    crowd.ask("a", "a", "a", "a", "b", "b", "c")
    assert crowd.let_end() == ["a", "c", "b", "b", "a", "a", "a"]


def test_a_newcomer_from_a_quiet_network_is_next(crowd):
    """Although each of the others waits alone for its network: they had their turns in the last minute."""
    flood = [f"network {number}" for number in range(8)]
    crowd.ask(*flood)
    crowd.let_end()
    again = Crowd(crowd.queue)
    again.ask(*flood, "quiet")
    assert again.let_end()[:2] == ["network 0", "quiet"]
    assert again.refused == []


def test_what_was_done_counts_for_a_minute_and_is_forgotten_after_two(crowd, clock):
    crowd.ask("a", "b", "c")
    crowd.let_end()
    clock.now += 60
    later = Crowd(crowd.queue)
    later.ask("x", "a", "new")
    assert later.let_end() == ["x", "new", "a"]
    clock.now += 120
    at_last = Crowd(crowd.queue)
    at_last.ask("y", "a", "newer")
    assert at_last.let_end() == ["y", "a", "newer"]
    assert (crowd.queue._done._last_minute, len(crowd.queue._done._this_minute)) == ({}, 3)


def test_one_network_may_fill_the_queue_while_nobody_else_asks(crowd):
    """Where all callers have one address, as behind a proxy, the queue is as long as it is set."""
    crowd.ask(*["a"] * 10)
    assert crowd.refused == ["a"]
    assert crowd.let_end() == ["a"] * 9


def test_a_newcomer_takes_the_place_of_the_newest_from_the_busiest_network(crowd):
    crowd.ask("b", *["a"] * 6, "c", "b")
    crowd.ask("quiet")
    wait_until(lambda: crowd.refused == ["a"], "nobody made room")
    assert sorted(crowd.let_end()) == ["a"] * 5 + ["b", "b", "c", "quiet"]


def test_a_flood_from_many_networks_makes_room_for_one_that_was_quiet(crowd):
    """As with sixty addresses of IPv4, each of which stays within its limits."""
    flood = [f"network {number}" for number in range(9)]
    crowd.ask(*flood)
    crowd.let_end()
    again = Crowd(crowd.queue)
    again.ask(*flood, *flood, "quiet")
    wait_until(lambda: len(again.refused) == 10, "nobody made room")
    assert again.let_end()[1] == "quiet"


def test_of_networks_that_had_as_much_done_the_one_that_asked_for_less_is_next(crowd):
    """A flood that was refused was a flood all the same."""
    flood = [f"network {number}" for number in range(9)]
    crowd.ask(*flood, *flood)
    assert crowd.refused == flood
    crowd.ask("quiet")
    wait_until(lambda: len(crowd.refused) == 10, "nobody made room")
    assert crowd.let_end()[1] == "quiet"


def test_who_is_as_busy_as_the_others_is_refused(crowd):
    crowd.ask(*[f"network {number}" for number in range(9)])
    crowd.ask("late")
    assert crowd.refused == ["late"]


def test_costly_work_counts_as_what_it_costs(crowd):
    """A hash of four times the cost is four turns of its network."""
    crowd.ask("x", "a", cost=4)
    crowd.ask("a", "b", "b", "b", "b", "b")
    assert crowd.let_end() == ["x", "a", "b", "b", "b", "b", "a", "b"]


def test_long_work_waits_apart_and_stops_nobody(crowd):
    """It has a thread of its own, and three places of this queue; who asks for more of it is refused."""
    crowd.ask(*["a"] * 4, is_long=True)
    assert crowd.refused == ["a"]
    crowd.ask("b", "c")
    assert crowd.queue._running == {False: 1, True: 1}
    crowd.let_end()
    assert sorted(crowd.done) == ["a", "a", "a", "b", "c"]


def test_long_work_of_a_quiet_network_has_its_place_too(crowd):
    crowd.ask(*["a"] * 3, is_long=True)
    crowd.ask("quiet", is_long=True)
    wait_until(lambda: crowd.refused == ["a"], "nobody made room")
    assert crowd.let_end() == ["a", "quiet", "a"]


def test_whoever_waits_too_long_hears_it(monkeypatch):
    """A turn that does not come in time is given up, and the work is not done later either."""
    monkeypatch.setattr("app.rules.hash_queue._LONGEST_WAIT_S", 0.01)
    queue, release, running = HashQueue(concurrency=1, queue=2), threading.Event(), threading.Event()
    holding = threading.Thread(target=queue.run, args=(lambda: running.set() or release.wait(10),))
    holding.start()
    assert running.wait(10)
    done = []
    with pytest.raises(Unavailable):
        queue.run(lambda: done.append("late"))
    release.set()
    holding.join(10)
    assert queue.run(lambda: "next") == "next"
    assert done == []


def test_whoever_finds_the_queue_full_hears_it_at_once(crowd):
    """One runs, eight wait, the rest are refused; when it is over, there is room again."""
    crowd.ask(*["a"] * 9)
    with pytest.raises(Unavailable):
        crowd.queue.run(lambda: "never", "a")
    crowd.let_end()
    assert crowd.queue.run(lambda: "again", "a") == "again"


def test_what_the_work_raises_is_raised_to_who_asked(crowd):
    with pytest.raises(ZeroDivisionError):
        crowd.queue.run(lambda: 1 / 0)
    assert crowd.queue._running == {False: 0, True: 0}
