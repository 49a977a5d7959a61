"""Workers of a queue: when a job is tried again, when a receiver counts as away, and what comes after its return."""

import threading

import pytest

from app.jobs.bell import Bell
from app.jobs.receiver_state import ReceiverState
from app.jobs.worker import JobFailed, JobRefused, JobWorker, ReceiverAway, ReceiverGone
from app.stores.connection.connect import StoreError
from app.stores.job_records import Queue
from app.stores.jobs import JobQueue
from app.stores.keys import unprefixed
from tests.queues import left, open_jobs

KEYS = unprefixed.events("webhook-0123abcd")
HOUR_S = 3600


class Told(JobWorker[str]):
    """Tells what the test has laid out for each job; without that it succeeds."""

    noun = "event"
    first_retry_s = 1.0
    last_retry_s = HOUR_S
    given_up_after_s = 3 * 24 * HOUR_S

    def __init__(self, queue, state, clock, answers):
        super().__init__(queue, state, clock, hold_s=30)
        self.answers = answers
        self.done = []
        self.asked = 0

    def do(self, job, content):
        self.asked += 1
        answer = self.answers.get(content, self.answers.get("all"))
        if answer:
            raise answer
        self.done.append(content)

    def describe(self, content):
        return content


@pytest.fixture
def queue(store, clock):
    return JobQueue(store, Queue("webhook-0123abcd", KEYS, "event"), bytes.decode, clock)


@pytest.fixture
def put(queue):
    return lambda *names: [queue.put(name.encode(), name[0]) for name in names]


@pytest.fixture
def state(clock):
    return ReceiverState("chat.example.com", "event", clock, failures_that_are_all=5)


@pytest.fixture
def worker(queue, state, clock):
    return Told(queue, state, clock, {})


def work(worker):
    return worker.deliver_due(threading.Event())


def test_a_receiver_that_was_away_for_hours_gets_all_at_once_in_order(put, worker, redis, clock, queue):
    """Also what would wait for its next try."""
    worker.answers["all"] = ReceiverAway("no connection")
    put("a1", "b1", "a2", "c1")
    for _ in range(60):
        work(worker)
        clock.advance(120)
    assert worker.done == []
    assert queue.status().failure == "no connection"
    worker.answers.clear()
    put("c2")
    clock.advance(60)
    work(worker)
    assert sorted(worker.done) == ["a1", "a2", "b1", "c1", "c2"]
    assert worker.done.index("a1") < worker.done.index("a2")
    assert worker.done.index("c1") < worker.done.index("c2")
    assert left(redis, KEYS) == (0, 0, 0)
    assert (queue.status().away_since, queue.status().failure) == (None, "")


def test_while_it_is_away_one_attempt_is_made_after_each_pause(put, queue, state, clock, redis):
    """Whatever the number of workers and of jobs."""
    answers = {"all": ReceiverAway("no connection")}
    workers = [Told(queue, state, clock, answers) for _ in range(3)]
    put(*(f"{chr(ord('a') + number)}1" for number in range(20)))
    attempts = []
    for _ in range(10 * 60):
        before = queue.status().failed
        for one in workers:
            work(one)
        attempts.append(queue.status().failed - before)
        clock.advance(1)
    assert set(attempts) == {0, 1}
    assert 10 < sum(attempts) < 20


def test_a_job_that_fails_holds_up_no_other_user(put, worker, redis):
    worker.answers["a1"] = JobFailed("500")
    put("a1", "a2", "b1", "c1")
    assert work(worker)
    assert worker.done == ["b1", "c1"]
    assert left(redis, KEYS) == (1, 1, 0)


def test_the_waits_grow_from_a_second_to_an_hour_and_no_two_are_alike(put, worker, redis, clock):
    worker.answers["a1"] = JobFailed("500")
    put("a1")
    waits = []
    for _ in range(16):
        work(worker)
        waits.append(redis.zscore(KEYS.due, "a") - clock())
        clock.advance(waits[-1])
    longest = [min(2.0**attempts, HOUR_S) for attempts in range(16)]
    assert all(0.8 * most <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert len({wait / most for wait, most in zip(waits, longest, strict=True)}) > 10


def test_after_three_days_a_job_is_given_up_and_the_next_is_tried(put, worker, redis, clock):
    worker.answers["a1"] = JobFailed("500")
    put("a1", "a2")
    work(worker)
    clock.advance(3 * 24 * HOUR_S - 1)
    work(worker)
    assert worker.done == []
    clock.advance(HOUR_S)
    work(worker)
    assert worker.done == ["a2"]
    assert left(redis, KEYS) == (0, 0, 1)


def test_a_refused_job_is_given_up_at_once(put, worker, queue):
    worker.answers["a1"] = JobRefused("invalid_audience")
    put("a1", "a2")
    assert work(worker)
    assert worker.done == ["a2"]
    assert [kept.failure for kept in queue.dead(9)] == ["invalid_audience"]


def test_a_receiver_that_fails_at_every_job_is_left_alone(put, worker, queue, redis, clock):
    """Else each waiting event would be tried and put aside in turn."""
    worker.answers["all"] = JobFailed("500")
    put(*(f"{chr(ord('a') + number)}1" for number in range(20)))
    assert not work(worker)
    assert left(redis, KEYS) == (15, 5, 0)
    assert queue.status().failure == "every event fails, the last one by 500"
    worker.answers.clear()
    clock.advance(60)
    assert work(worker)
    assert len(worker.done) == 20


def test_five_failures_of_one_user_are_the_users(put, worker, clock):
    worker.answers["a1"] = JobFailed("500")
    put("a1")
    for _ in range(8):
        assert work(worker)
        clock.advance(200)


def test_a_receiver_that_wants_no_more_is_switched_off_until_it_is_switched_on(put, worker, queue, redis):
    worker.answers["all"] = ReceiverGone("410")
    put("a1", "b1")
    work(worker)
    assert (queue.status().off_since is not None, queue.status().failure) == (True, "410")
    worker.answers.clear()
    put("c1")
    work(worker)
    assert worker.done == []
    queue.switch_on()
    queue.hurry()
    work(worker)
    assert sorted(worker.done) == ["a1", "b1", "c1"]


class LongAway(ReceiverAway):
    least_pause_s = HOUR_S


@pytest.mark.parametrize(
    "answer", [ReceiverGone("410"), LongAway("503, Retry-After 3600 s"), ReceiverAway("503"), None]
)
def test_it_is_seen_that_somebody_delivers(put, worker, queue, clock, answer):
    """Also to a receiver that is switched off, or wants to be left alone for an hour."""

    class Passing(threading.Event):
        """Lets the time of each pause pass at once, and notes how long nobody was seen; ends after half an hour."""

        unseen_s = 0.0
        end_at = clock() + HOUR_S / 2

        def wait(self, timeout=None):
            clock.advance(timeout)
            self.unseen_s = max(self.unseen_s, clock() - queue.status().turned_at)
            if clock() >= self.end_at:
                self.set()

    worker.answers["all"] = answer
    worker.idle_s = 10
    put("a1")
    stop = Passing()
    worker.run(stop)
    assert 0 < stop.unseen_s <= 25


def test_a_worker_without_a_job_goes_on_when_the_bell_rings(put, worker):
    """And does not sit out its pause."""
    worker.idle_s = 60
    stop, bell = threading.Event(), Bell()
    done = threading.Event()
    worker.do = lambda *_: done.set()
    thread = threading.Thread(target=worker.run, args=(stop, bell))
    thread.start()
    put("a1")
    bell.ring()
    assert done.wait(10)
    stop.set()
    bell.end()
    thread.join(10)
    assert not thread.is_alive()


def test_an_answer_of_redis_that_came_too_late_is_not_acted_on(put, worker, redis):
    """Another worker may hold the job soon."""
    worker.attempt_s = 31  # more than the hold
    put("a1")
    stop = threading.Event()
    worker._take_turn()
    assert worker.done == []
    assert open_jobs(redis, KEYS)["a"]["attempts"] == 0
    assert not stop.is_set()


class TestRedisFails:
    """Redis fails once, between the receiver's answer and the note of how the receiver is."""

    @pytest.fixture
    def fail_once(self, queue, monkeypatch):
        def fail_at(method):
            whole = getattr(queue, method)
            failures = [StoreError("away")]

            def fail_then_work(*args):
                if failures:
                    raise failures.pop()
                whole(*args)

            monkeypatch.setattr(queue, method, fail_then_work)

        return fail_at

    def test_what_was_done_when_the_receiver_came_back_is_not_done_again(self, put, worker, queue, clock, fail_once):
        worker.answers["all"] = ReceiverAway("no connection")
        put("a1")
        assert not work(worker)
        worker.answers.clear()
        clock.advance(60)
        fail_once("note_back")
        assert not work(worker)
        assert work(worker)
        assert worker.done == ["a1"]
        assert queue.status().away_since is None

    def test_that_the_receiver_is_away_is_told_later(self, put, worker, queue, clock, fail_once):
        worker.answers["all"] = ReceiverAway("no connection")
        put("a1")
        fail_once("note_away")
        assert not work(worker)
        clock.advance(60)
        assert not work(worker)
        assert (queue.status().failure, queue.status().failed) == ("no connection", 2)

    def test_a_receiver_that_wants_no_more_is_asked_no_more(self, put, worker, queue, fail_once):
        worker.answers["all"] = ReceiverGone("410")
        put("a1", "b1")
        fail_once("switch_off")
        assert not work(worker)
        work(worker)
        assert (queue.status().failure, queue.status().failed) == ("410", 1)
        assert worker.asked == 1

    def test_told_to_stop_it_lets_go_of_what_it_never_heard_of(self, put, worker, redis, queue, monkeypatch):
        """Else another worker would have to wait for the end of the hold."""
        whole = queue.turn

        def lose_the_reply(*args, **how):
            whole(*args, **how)
            monkeypatch.setattr(queue, "turn", whole)
            raise StoreError("away")

        put("a1")
        monkeypatch.setattr(queue, "turn", lose_the_reply)
        assert not work(worker)
        assert [job.content for job in queue.turn("another", [], 1, 30)] == ["a1"]
