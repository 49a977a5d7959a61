"""Holders of leases, made by hand, and a time that goes on only while an ending waits for them."""

from redis import Redis

from app.stores.keys import unprefixed as keys
from app.stores.leases.rounds import Rounds

LEASE_S = 0.05
IN_FULL_S = LEASE_S * 1.01 + 0.001
REGISTERED = "50 1"


class Time:
    """A clock by which nothing lasts but waits. `hear` is called when a wait begins."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits = 0
        self.hear = lambda: None
        self._asked_at = self.now

    def __call__(self) -> float:
        return self.now

    def block(self, event, seconds):
        self.waits += 1
        self.hear()
        if not event.is_set():
            self.now += seconds
        return event.is_set()

    def passed_s(self) -> float:
        """How long was waited since this was last asked."""
        passed, self._asked_at = self.now - self._asked_at, self.now
        return passed

    def begin_anew(self) -> None:
        self.waits, self._asked_at = 0, self.now

    def rule(self, rounds: Rounds) -> None:
        """Let the waits of a process go by this clock."""
        rounds.clock = self
        rounds._block = self.block


class Holders:
    """Some holders that are registered, and the process itself among them. They say nothing, unless they are told to.

    ids     of all of them
    rounds  those that they have heard, each the id of the ender and a number
    """

    def __init__(self, redis: Redis, rounds: Rounds, time: Time, *others: str) -> None:
        self._redis = redis
        self._of_ender = rounds
        self.ids = [rounds.own_id, *others]
        for holder in self.ids:
            redis.hset(keys.leases, holder, REGISTERED)
        self._subscription = redis.pubsub(ignore_subscribe_messages=True)
        self._subscription.subscribe(keys.leases)
        self._subscription.get_message(timeout=1)  # that it is subscribed
        self.rounds: list[str] = []
        time.now -= 10
        rounds.is_heard = True  # for so long that it knows of all others
        time.now += 10

    def hear(self) -> None:
        while message := self._subscription.get_message(timeout=0.05):
            self.rounds.append(message["data"])

    def answer(self) -> None:
        """Give the words of all holders to each round that was heard since."""
        before = len(self.rounds)
        self.hear()
        for heard in self.rounds[before:]:
            ender, n = heard.split()
            assert ender == self._of_ender.own_id
            for holder in self.ids:
                self._of_ender.note_word(holder, int(n))

    def close(self) -> None:
        self._subscription.close()
