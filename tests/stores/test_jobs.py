"""Queues of jobs: nothing lost, in order for each user, held by one worker at a time."""

import pytest

from app.stores.job_records import Queue, Settled
from app.stores.jobs import JobQueue
from app.stores.keys import unprefixed
from tests.queues import left, open_jobs

HOLD_S = 30
KEYS = unprefixed.events("webhook-0123abcd")
NEVER = 10**9
KEPT_S = 7 * 24 * 3600  # as lua/queueing.lua has it


@pytest.fixture
def jobs(store, clock):
    return JobQueue(store, Queue("webhook-0123abcd", KEYS, "event"), bytes.decode, clock)


@pytest.fixture
def put(jobs):
    """Queues jobs, each named by its user and a number: "a1"."""

    def put_all(*names):
        return [jobs.put(name.encode(), name[0]) for name in names]

    return put_all


@pytest.fixture
def take(jobs):
    """What a worker takes; it settles what it had before."""
    return lambda *settled, worker="a", want=9, **how: [*jobs.turn(worker, settled, want, HOLD_S, **how)]


def names(taken):
    return [job.content for job in taken]


def test_a_job_is_taken_once_and_gone_when_it_is_done(put, take, redis):
    put("a1", "b1")
    first = take()
    assert names(first) == ["a1", "b1"]
    assert take(worker="b") == []
    assert take(*[Settled(job, "done") for job in first]) == []
    assert (redis.xlen(KEYS.waiting), open_jobs(redis, KEYS), redis.zcard(KEYS.due)) == (0, {}, 0)


def test_jobs_of_one_user_are_done_one_after_the_other(put, take, redis):
    put("a1", "a2", "b1", "a3")
    first, of_b = take(worker="a")
    assert names([first, of_b]) == ["a1", "b1"]
    assert take(worker="b") == []
    assert redis.zcard(KEYS.parked) == 2
    [second] = take(Settled(first, "done"), worker="a")
    [third] = take(Settled(second, "done"), worker="a")
    assert names([second, third]) == ["a2", "a3"]
    assert redis.zcard(KEYS.parked) == 0


def test_one_that_fails_holds_up_its_user_alone(put, take, redis, clock):
    put("a1", "a2", "b1")
    [first] = take(want=1)
    assert names(take(Settled(first, "postponed", clock() + 5))) == ["b1"]
    assert left(redis, KEYS) == (2, 1, 0)
    failed_at = clock()
    clock.advance(5)
    [again] = take()
    assert (again.content, again.attempts, again.failing_since) == ("a1", 1, pytest.approx(failed_at, abs=0.001))
    assert names(take(Settled(again, "done"))) == ["a2"]


def test_a_dead_workers_job_is_taken_over_when_its_hold_is_over(put, take, clock):
    put("a1", "a2")
    [held] = take(worker="dead")
    clock.advance(HOLD_S - 1)
    assert take(worker="b") == []
    clock.advance(1)
    [again] = take(worker="b")
    assert (again.content, again.attempts) == ("a1", 0)
    assert take(Settled(held, "done"), worker="dead") == []  # too late: another has it
    assert names(take(Settled(again, "done"), worker="b")) == ["a2"]


@pytest.mark.parametrize("outcome", ["done", "postponed", "dead"])
def test_a_worker_whose_hold_is_over_cannot_settle(put, take, redis, clock, outcome):
    put("a1")
    [held] = take(worker="slow")
    clock.advance(HOLD_S)
    take(worker="fast")
    take(Settled(held, outcome, clock() + 99, "x"), worker="slow")
    assert left(redis, KEYS) == (1, 0, 0)
    assert open_jobs(redis, KEYS)["a"]["worker"] == "fast"


def test_a_worker_that_missed_a_reply_has_its_jobs_again(put, take):
    put("a1", "b1")
    take(worker="a", want=1)
    take(worker="b", want=1)
    assert names(take(worker="a", lost_reply=True)) == ["a1"]


def test_what_is_settled_twice_counts_once(put, take, redis):
    """The reply to the first time was lost."""
    put("a1", "a2", "a3")
    [first] = take()
    take(Settled(first, "done"))
    assert names(take(Settled(first, "done"), lost_reply=True)) == ["a2"]
    assert redis.xlen(KEYS.waiting) == 2


def test_given_up_it_is_kept_for_thirty_days_and_the_next_comes(put, take, jobs, redis, clock):
    redis.xadd(KEYS.dead, {"failure": "long ago"}, id="1600000000000-0")
    put("a1", "a2")
    [first] = take()
    assert names(take(Settled(first, "dead", failure="404"))) == ["a2"]
    [dead] = jobs.dead(9)
    assert (dead.user_id, dead.content, dead.attempts, dead.failure) == ("a", b"a1", 1, "404")
    assert 30 * 86400 - 2 <= redis.ttl(KEYS.dead) <= 30 * 86400
    status = jobs.status()
    assert (status.waiting, status.dead, status.given_up, status.failed, status.delivered) == (1, 1, 1, 1, 0)


def test_what_was_given_up_can_begin_anew(put, take, jobs, redis):
    put(*[f"{chr(number)}1" for number in range(0x100, 0x100 + 230)])
    for job in take(want=230):
        take(Settled(job, "dead", failure="x"), want=0)
    assert left(redis, KEYS) == (0, 0, 230)
    assert jobs.revive(jobs.dead(1)[0].entry_id) == 1
    assert jobs.revive() == 229
    assert left(redis, KEYS) == (230, 0, 0)
    [job] = take(want=1)
    assert (job.attempts, job.failing_since) == (0, None)


def test_all_that_failed_can_be_hurried(put, take, jobs, clock):
    put("a1", "b1", "c1")
    a, b, c = take()
    take(Settled(a, "postponed", clock() + 3600), Settled(b, "postponed", clock() + 60), want=0)
    jobs.hurry()
    assert sorted(names(take(worker="b"))) == ["a1", "b1"]  # c1 is under way
    assert c.content == "c1"


def test_a_receiver_that_is_switched_off_gets_nothing_until_it_is_on(put, take, jobs, clock):
    put("a1")
    jobs.switch_off("410")
    put("a2")
    assert take() == []
    assert (jobs.status().off_since, jobs.status().failure) == (clock(), "410")
    jobs.switch_on()
    assert names(take()) == ["a1"]
    assert jobs.status().off_since is None


def test_a_receiver_that_is_away_is_told_of_until_it_takes_a_job_whoever_switches_it_on(put, take, jobs, clock):
    """An operator who has all tried again must not read that all is well while nothing arrives."""
    put("a1")
    [job] = take()
    jobs.note_away("connection refused")
    jobs.switch_on()
    assert (jobs.status().away_since, jobs.status().failure) == (clock(), "connection refused")
    take(Settled(job, "done"), want=0)
    assert jobs.status().away_since is None


def test_a_receiver_that_was_away_is_told_of_and_gets_all_at_once(put, take, jobs, clock):
    put("a1")
    [job] = take()
    take(Settled(job, "postponed", clock() + 3600), want=0)
    jobs.note_away("connection refused")
    assert (jobs.status().away_since, jobs.status().failure) == (clock(), "connection refused")
    jobs.note_back()
    assert jobs.status().away_since is None
    assert names(take()) == ["a1"]


def test_a_job_that_is_done_tells_that_the_receiver_is_back(put, take, jobs):
    """The process that noted it as away may have no further job."""
    put("a1", "b1")
    [job] = take(want=1)
    jobs.note_away("connection refused")
    take(Settled(job, "done"), worker="a")
    assert (jobs.status().away_since, jobs.status().failure) == (None, "")


def test_who_is_back_is_still_switched_off_for_the_same_reason(jobs, clock):
    """Two workers: one had an answer, the other the 410."""
    jobs.note_away("status 503")
    jobs.switch_off("status 410")
    jobs.note_back()
    assert (jobs.status().away_since, jobs.status().off_since, jobs.status().failure) == (None, clock(), "status 410")


def test_one_that_was_deleted_is_no_stumbling_block(put, take, redis):
    put("a1", "a2", "a3")
    [first] = take()
    redis.xdel(KEYS.waiting, first.entry_id, redis.xrange(KEYS.waiting)[1][0])
    assert names(take(Settled(first, "dead", failure="x"))) == ["a3"]
    assert left(redis, KEYS) == (1, 0, 0)


@pytest.mark.parametrize("part", ["open", "due", "parked", "state"])
def test_a_part_of_the_keys_that_is_gone_loses_no_job(put, take, redis, clock, part):
    """As an operator may delete it by mistake. A job may then come twice, and out of order."""
    put("a1", "a2", "b1")
    take(want=1)
    redis.delete(getattr(KEYS, part))
    told = set()
    for _ in range(20):
        clock.advance(HOLD_S)
        for job in take():
            told.add(job.content)
            take(Settled(job, "done"), want=0)
    assert told == {"a1", "a2", "b1"}
    assert redis.xlen(KEYS.waiting) == 0


def test_a_queue_that_nobody_empties_does_not_grow_for_ever_and_says_what_is_lost(store, clock, redis):
    jobs = JobQueue(store, Queue("webhook-0123abcd", KEYS, "event", most_waiting=100), bytes.decode, clock)
    lost = sum(jobs.put(b"x", "a") for _ in range(500))
    assert 100 <= redis.xlen(KEYS.waiting) <= 300
    assert lost == 500 - redis.xlen(KEYS.waiting)


def test_what_waits_too_long_is_lost_and_told(store, put, redis, clock):
    old = int((clock() - KEPT_S - 60) * 1000)
    for number in range(300):
        redis.xadd(KEYS.waiting, {"event": "x", "user": "a"}, id=f"{old}-{number + 1}")
    [lost] = put("a1")
    assert lost >= 200  # Redis removes whole nodes, of a hundred entries
    assert redis.xlen(KEYS.waiting) == 301 - lost


def test_a_process_whose_clock_is_a_month_ahead_has_no_job_thrown_away(put, take, jobs, clock):
    """Neither by what it queues, nor by what it revives."""
    put("a1", "b1")
    take(Settled(take(want=1)[0], "dead", failure="x"), want=0)
    clock.advance(30 * 24 * 3600)
    assert put("c1") == [0]
    jobs.revive()
    assert [kept.content for kept in jobs.waiting(9)] == [b"b1", b"c1", b"a1"]


def test_many_that_are_parked_do_not_hide_the_others(put, take):
    """A turn looks at so many entries only; the next goes on there."""
    put(*(f"a{number}" for number in range(2500)), "b1")
    [first] = take(want=1)
    found = [job for _ in range(3) for job in take(worker="b", want=5)]
    assert names([first, *found]) == ["a0", "b1"]


@pytest.mark.parametrize("user", ["", "not a user", b"\xff\xfe"])
def test_an_entry_of_nobody_is_a_job_in_no_order(take, redis, user):
    for content in ("x", "y"):
        redis.xadd(KEYS.waiting, {"event": content, "user": user})
    assert names(take()) == ["x", "y"]


def test_the_oldest_is_what_has_waited_longest(put, take, jobs, redis, clock):
    """Also behind one that fails."""
    assert jobs.status().oldest_at is None
    put("a1", "b1")
    ids = [entry for entry, _ in redis.xrange(KEYS.waiting)]
    a, b = take()
    take(Settled(a, "postponed", clock() + NEVER), Settled(b, "done"), want=0)
    assert jobs.status().oldest_at == int(ids[0].split("-")[0]) / 1000
    assert jobs.status().turned_at == clock()


def test_looking_at_the_queue_takes_nothing(put, take, jobs):
    put("a1", "b1", "a2")
    assert [kept.content for kept in jobs.waiting(2)] == [b"a1", b"b1"]
    assert [kept.content for kept in jobs.waiting(9, "a")] == [b"a1", b"a2"]
    assert names(take()) == ["a1", "b1"]


def test_what_waits_says_how_often_it_failed_and_why(put, take, jobs, clock):
    put("a1", "a2", "b1")
    [job] = take(want=1)
    take(Settled(job, "postponed", clock() + 60, "status 500"), want=0)
    assert [(kept.attempts, kept.failure) for kept in jobs.waiting(9)] == [(1, "status 500"), (0, ""), (0, "")]


def test_a_queue_can_be_deleted(put, take, jobs, redis):
    put("a1", "a2")
    take()
    jobs.drop()
    assert [key for key in KEYS.all() if redis.exists(key)] == []


def test_all_keys_of_a_queue_are_in_one_slot():
    """A Cluster hashes what stands in braces, or else the whole key."""
    for queue, tag in ((KEYS, "webhook-0123abcd"), (unprefixed.mail, "mail")):
        assert {key[key.find("{") + 1 : key.find("}")] if "{" in key else key for key in queue.all()} == {tag}


def test_a_clock_that_was_set_back_holds_nothing_up(put, take, jobs, clock):
    """By its old time, what failed and what a dead worker held would be due in an hour only."""
    put("a1", "b1", "c1")
    [failed, _] = take(want=2)
    take(Settled(failed, "postponed", clock() + 1), want=0)
    clock.advance(-3600)
    assert names(take(worker="b")) == ["a1", "c1"]
    assert jobs.status().turned_at == clock()  # else nobody would be missed for an hour
    clock.advance(HOLD_S)
    assert "b1" in names(take(worker="b"))


def test_a_clock_that_is_a_little_behind_another_hurries_nothing(put, take, clock):
    put("a1")
    [failed] = take()
    take(Settled(failed, "postponed", clock() + 60), want=0)
    clock.advance(-100)
    assert take(worker="b") == []
