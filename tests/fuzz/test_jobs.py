"""Queues of jobs against a model: whatever workers do and however they die, nothing is lost and nothing overtakes."""

from collections import defaultdict

import fakeredis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.stores.connection.connect import from_redis_py
from app.stores.job_records import Queue, Settled
from app.stores.jobs import JobQueue
from app.stores.keys import unprefixed
from tests.conftest import Clock
from tests.queues import open_jobs

HOLD_S = 30
KEYS = unprefixed.events("webhook-0123abcd")
WORKERS = st.sampled_from("xyz")
USERS = st.sampled_from(["1", "2", "12"])


class Jobs(RuleBasedStateMachine):
    """Three workers on one queue. Each job is named by its user and a number."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.redis = fakeredis.FakeRedis(decode_responses=True, protocol=2)
        self.queue = JobQueue(from_redis_py(self.redis), Queue("w", KEYS, "event"), bytes.decode, self.clock)
        self.numbers = defaultdict(int)
        self.waiting = defaultdict(list)  # what each user's order is
        self.dead = []
        self.held = {worker: [] for worker in "xyz"}  # what each worker believes to hold
        self.held_until = {}  # the job that is held for each user, and until when

    def is_held_by(self, worker, job):
        return self.held_until.get(job.user_id, (None, None, 0))[:2] == (worker, job.hold)

    def after_turn(self, worker, jobs):
        for job in jobs:
            holder = self.held_until.get(job.user_id)
            assert holder is None or holder[2] <= self.clock(), "one job is held by two workers"
            assert job.content == self.waiting[job.user_id][0], "a job overtook another of its user"
            self.held_until[job.user_id] = (worker, job.hold, self.clock() + HOLD_S)
            self.held[worker].append(job)

    @rule(user=USERS)
    def put(self, user):
        self.numbers[user] += 1
        name = f"{user}.{self.numbers[user]}"
        self.queue.put(name.encode(), user)
        self.waiting[user].append(name)

    @rule(worker=WORKERS, want=st.integers(1, 4), outcomes=st.lists(st.sampled_from(["done", "postponed", "dead"])))
    def turn(self, worker, want, outcomes):
        settled = []
        for job, outcome in zip([*self.held[worker]], outcomes, strict=False):
            self.held[worker].remove(job)
            settled.append(Settled(job, outcome, self.clock() + 20, "x"))
            if self.is_held_by(worker, job):
                del self.held_until[job.user_id]
                if outcome != "postponed":
                    self.waiting[job.user_id].remove(job.content)
                if outcome == "dead":
                    self.dead.append(job.content)
        self.after_turn(worker, self.queue.turn(worker, settled, want, HOLD_S))

    @rule(worker=WORKERS)
    def lose_a_reply(self, worker):
        """A turn is made, and its worker does not hear of it; its next turn says so."""
        self.queue.turn(worker, [], 2, HOLD_S)
        self.held[worker] = []
        holds = {user: row["hold"] for user, row in open_jobs(self.redis, KEYS).items()}
        for user, (holder, hold, _) in [*self.held_until.items()]:
            if holder == worker or hold != holds[user]:
                del self.held_until[user]
        self.after_turn(worker, self.queue.turn(worker, [], 3, HOLD_S, lost_reply=True))

    @rule(seconds=st.integers(1, 60))
    def pass_time(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def hurry(self):
        self.queue.hurry()

    @rule()
    def revive(self):
        assert self.queue.revive() == len(self.dead)
        for name in self.dead:
            self.waiting[name.partition(".")[0]].append(name)
        self.dead = []

    @invariant()
    def waits_what_is_not_done(self):
        status = self.queue.status()
        assert (status.waiting, status.dead) == (sum(map(len, self.waiting.values())), len(self.dead))

    def teardown(self):
        """One worker does all that is left, in order."""
        done = []
        for _ in range(60):
            self.clock.advance(60)
            while jobs := self.queue.turn("last", done, 9, HOLD_S):
                for job in jobs:
                    assert job.content == self.waiting[job.user_id].pop(0)
                done = [Settled(job, "done") for job in jobs]
            done = []
        assert sum(map(len, self.waiting.values())) == 0
        assert [key for key in KEYS.all()[:4] if self.redis.exists(key) and key != KEYS.waiting] == []
        assert self.redis.xlen(KEYS.waiting) == 0
        self.redis.close()


TestJobs = Jobs.TestCase
TestJobs.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
