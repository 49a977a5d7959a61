"""The queue of mails: each is one worker's at a time, until it is sent, given up, or its worker died."""

from dataclasses import replace

import orjson
import pytest

from app.rules.links import RESET_TTL_S
from app.stores.keys import unprefixed as keys
from app.stores.mail import MailStore, Notice
from app.stores.session_records import Client

LATE = 300
ID = "0123456789abcdef" * 4
CLIENT = Client(os="Linux", platform="Firefox", location="Zürich, Switzerland", ip="203.0.113.7")


def notice(user_id="1", kind="sign_in"):
    return Notice(kind, user_id, 1700000000.5, CLIENT, "S" * 43 + "=", id=ID)


@pytest.fixture
def mails(store, clock):
    return MailStore(store, clock)


@pytest.fixture
def take(mails):
    """What a worker takes; by default one of no other worker's."""
    return lambda worker="a", idle_s=LATE: mails.take(worker, idle_s)


def left(redis):
    """How many there are: due, put aside, given up."""
    return redis.xlen(keys.mail), redis.zcard(keys.mail_later), redis.xlen(keys.mail_dead)


def test_a_notice_is_what_it_was(mails, take):
    mails.add(notice())
    mail = take()
    assert (mail.content, mail.attempts, mail.failing_since) == (notice(), 0, None)


def test_each_has_an_id_of_its_own_that_it_keeps(mails, take, clock):
    """So a mail that is tried again is the same mail."""
    for _ in range(2):
        mails.add(Notice("sign_in", "1", 1700000000.5, CLIENT))
    first, second = take("a").content.id, take("b").content.id
    assert first != second
    assert len(first) == len(second) == 64
    mails.postpone(take("a"), clock())
    mails.requeue_due()
    assert take("a").content.id == first


def test_each_is_taken_once_oldest_first(mails, take):
    for user_id in "123":
        mails.add(notice(user_id))
    assert [take(worker).content.user_id for worker in "abc"] == ["1", "2", "3"]
    assert take("d") is None


@pytest.mark.parametrize("kind", ["sign_in", "reset"])
def test_of_the_resets_of_a_user_the_newest_is_known(mails, redis, kind):
    """For as long as its link can be good, and no longer; no other notice is meant."""
    for user_id, at in (("1", 100.0), ("1", 200.5), ("2", 300.0)):
        mails.add(Notice(kind, user_id, at, CLIENT))
    if kind == "reset":
        assert [mails.newest_reset(user_id) for user_id in "123"] == [200.5, 300.0, None]
        assert RESET_TTL_S - 2 <= redis.ttl(keys.newest_reset("1")) <= RESET_TTL_S
    else:
        assert [mails.newest_reset(user_id) for user_id in "123"] == [None] * 3


def test_what_is_finished_is_gone(mails, take, redis):
    for user_id in "12":
        mails.add(notice(user_id))
    mails.finish(take())
    assert take().content.user_id == "2"
    assert left(redis) == (1, 0, 0)
    assert redis.xpending(keys.mail, "deliverers")["pending"] == 1


def test_a_worker_has_again_what_it_did_not_speak_of(mails, take):
    """The answer to its taking was lost on the way."""
    mails.add(notice())
    mails.add(notice("2"))
    assert [take("a").content.user_id for _ in range(2)] == ["1", "1"]
    assert take("b").content.user_id == "2"


def test_a_dead_workers_mail_is_taken_over_when_it_is_late(mails, take):
    mails.add(notice())
    entry = take("dead").entry_id
    assert take("b") is None
    assert take("b", idle_s=0).entry_id == entry
    assert take("dead") is None


def test_late_ones_are_found_behind_many_that_are_not(mails, take, redis):
    """More are under way than Redis looks at in one go."""
    for _ in range(30):
        mails.add(notice())
    taken = [take(f"worker{number}") for number in range(30)]
    command = ("XCLAIM", keys.mail, "deliverers", "worker29", 0, taken[29].entry_id, "IDLE", LATE * 1000)
    redis.execute_command(*command)
    assert take("b").entry_id == taken[29].entry_id


def test_put_aside_until_it_is_due(mails, take, redis, clock):
    mails.add(notice())
    mail = take()
    mails.postpone(mail, clock() + 5)
    mails.requeue_due()
    assert (left(redis), take()) == ((0, 1, 0), None)
    failed_at = clock()
    for attempts in (1, 2):
        clock.advance(5)
        mails.requeue_due()
        again = take()
        assert (again.content, again.attempts) == (notice(), attempts)
        assert again.failing_since == pytest.approx(failed_at, abs=0.001)
        assert left(redis) == (1, 0, 0)
        mails.postpone(again, clock() + 5)


def test_equal_notices_that_are_put_aside_stay_two(mails, take, redis, clock):
    for _ in range(2):
        mails.add(notice())
        mails.postpone(take(), clock())
    mails.requeue_due()
    assert left(redis) == (2, 0, 0)


def test_many_become_due_a_hundred_at_a_time(mails, take, redis, clock):
    for _ in range(101):
        mails.add(notice())
        mails.postpone(take(), clock())
    mails.requeue_due()
    assert left(redis) == (100, 1, 0)
    mails.requeue_due()
    assert left(redis) == (101, 0, 0)


def test_what_another_was_done_with_is_neither_put_aside_nor_given_up(mails, take, redis, clock):
    mails.add(notice())
    slow = take("slow")
    mails.finish(take("fast", idle_s=0))
    mails.postpone(slow, clock())
    mails.give_up(slow, "TimeoutError")
    assert left(redis) == (0, 0, 0)


def test_given_up_it_is_kept_for_thirty_days(mails, take, redis):
    redis.xadd(keys.mail_dead, {"failure": "long ago"}, id="1600000000000-0")
    mails.add(notice())
    mails.give_up(take(), "TimeoutError")
    [(_, row)] = redis.xrange(keys.mail_dead)
    assert (row["attempts"], row["failure"]) == ("1", "TimeoutError")
    assert 30 * 86400 - 2 <= redis.ttl(keys.mail_dead) <= 30 * 86400


def test_what_was_given_up_can_begin_anew(mails, take, redis):
    for number in range(101):
        mails.add(notice(str(number)))
        mails.postpone(take(), due_at=0)
        mails.requeue_due()
        mails.give_up(take(), "TimeoutError")
    assert mails.revive() == 101
    assert left(redis) == (101, 0, 0)
    mail = take()
    assert (mail.content, mail.attempts, mail.failing_since) == (notice("0"), 0, None)


GOOD = {"kind": "reset", "user_id": "1", "at": 1, "client": {"os": "x"}, "session": ""}


@pytest.mark.parametrize(
    "row",
    [
        {"notice": b"\xff\xfe", "attempts": 0},
        {"notice": "{", "attempts": 0},
        {"notice": "[]", "attempts": 0},
        {"notice": orjson.dumps(GOOD), "attempts": "x"},
        {"notice": orjson.dumps(GOOD)},
        {b"\xff": b"\xff"},
        *(
            {"notice": orjson.dumps(GOOD | wrong), "attempts": 0}
            for wrong in (
                *({"kind": "lottery"}, {"kind": []}, {"user_id": 1}, {"at": "now"}, {"session": None}, {"to": "x"}),
                *({"id": 1}, {"client": None}, {"client": {"os": 1}}, {"client": {"hat": "x"}}, {"client": "x"}),
            )
        ),
    ],
)
def test_what_cannot_be_read_is_given_up_and_stands_in_nobodys_way(mails, take, redis, row):
    redis.xadd(keys.mail, row)
    mails.add(notice())
    mail = take()
    assert mail.content is None
    mails.give_up(mail, "unreadable")
    assert take().content == notice()
    assert left(redis) == (1, 0, 1)
    mails.revive()
    assert redis.xlen(keys.mail) + redis.xlen(keys.mail_dead) == 2


def test_one_that_was_deleted_under_way_is_no_stumbling_block(mails, take, redis):
    mails.add(notice())
    redis.xdel(keys.mail, take().entry_id)
    mail = take()
    assert mail is None or mail.content is None
    if mail:
        mails.give_up(mail, "unreadable")
    assert take() is None
    assert left(redis) == (0, 0, 0)


@pytest.mark.parametrize("loss", ["flushall", "group", "stream"])
def test_the_group_is_made_again(mails, take, redis, loss):
    mails.add(notice())
    mails.finish(take())
    mails.add(notice("2"))
    {
        "flushall": redis.flushdb,
        "group": lambda: redis.xgroup_destroy(keys.mail, "deliverers"),
        "stream": lambda: redis.delete(keys.mail),
    }[loss]()
    kept = take()
    assert kept.content.user_id == "2" if loss == "group" else kept is None
    mails.add(notice("3"))
    assert take("b").content.user_id == "3"


def test_a_worker_that_ends_is_forgotten_but_not_what_it_left_undone(mails, take, redis):
    mails.add(notice())
    take("a")
    take("b")
    for worker in "abc":
        mails.retire(worker)
    assert [worker["name"] for worker in redis.xinfo_consumers(keys.mail, "deliverers")] == ["a"]
    assert take("d", idle_s=0).content == notice()


def test_retiring_from_a_group_that_is_gone(mails, redis):
    mails.retire("a")
    assert redis.dbsize() == 0


def test_a_queue_that_nobody_empties_does_not_grow_for_ever(mails, redis, monkeypatch):
    monkeypatch.setattr(mails, "_queue", replace(mails._queue, max_ready=100))
    for _ in range(500):
        mails.add(notice())
    assert 100 <= redis.xlen(keys.mail) <= 300


def test_all_three_keys_are_in_one_slot():
    """A Cluster hashes what stands in braces, or else the whole key."""
    tagged = {
        key[key.find("{") + 1 : key.find("}")] if "{" in key else key for key in (keys.mail_later, keys.mail_dead)
    }
    assert tagged == {keys.mail}


def test_neither_an_address_nor_a_name_is_in_the_queue(mails, redis):
    mails.add(notice())
    [(_, row)] = redis.xrange(keys.mail)
    assert orjson.loads(row["notice"]) == {
        **{"kind": "sign_in", "user_id": "1", "at": 1700000000.5, "session": "S" * 43 + "=", "secrets_version": ""},
        **{"factor": "", "id": ID, "language": "", "digest": ""},
        "client": {"os": "Linux", "platform": "Firefox", "location": "Zürich, Switzerland", "ip": "203.0.113.7"},
    }
