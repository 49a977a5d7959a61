"""The queue of mails: what a notice is, in no order of users, and what the release before has left in it."""

import orjson
import pytest

from app.rules.links import RESET_TTL_S
from app.stores.job_records import Settled
from app.stores.keys import unprefixed as keys
from app.stores.mail import MailStore, Notice
from app.stores.session_records import Client
from tests.queues import left

ID = "0123456789abcdef" * 4
CLIENT = Client(os="Linux", platform="Firefox", location="Zürich, Switzerland", ip="203.0.113.7")
HOLD_S = 300


def notice(user_id="1", kind="sign_in"):
    return Notice(kind, user_id, 1700000000.5, CLIENT, "S" * 43 + "=", id=ID)


@pytest.fixture
def mails(store, clock):
    return MailStore(store, clock)


@pytest.fixture
def take(mails):
    """What a worker takes; None if there is nothing."""
    return lambda *settled: next(iter(mails.turn("a", settled, 1, HOLD_S)), None)


def test_a_notice_is_what_it_was(mails, take):
    mails.add(notice())
    mail = take()
    assert (mail.content, mail.attempts, mail.failing_since) == (notice(), 0, None)


def test_each_has_an_id_of_its_own_that_it_keeps(mails, take, clock):
    """So a mail that is tried again is the same mail."""
    for _ in range(2):
        mails.add(Notice("sign_in", "1", 1700000000.5, CLIENT))
    first, second = take(), take()
    assert first.content.id != second.content.id
    assert len(first.content.id) == len(second.content.id) == 64
    assert take(Settled(first, "postponed", clock())).content.id == first.content.id


def test_one_that_fails_does_not_hold_up_the_others_of_its_user(mails, take, clock):
    for kind in ("sign_in", "totp_on"):
        mails.add(notice(kind=kind))
    assert take(Settled(take(), "postponed", clock() + 5)).content.kind == "totp_on"


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


GOOD = {"kind": "reset", "user_id": "1", "at": 1, "client": {"os": "x"}, "session": ""}


@pytest.mark.parametrize(
    "row",
    [
        {"notice": b"\xff\xfe"},
        {"notice": "{"},
        *({"notice": text} for text in ("[]", "3", "null", "true", '"x"')),
        {b"\xff": b"\xff"},
        *(
            {"notice": orjson.dumps(GOOD | wrong)}
            for wrong in (
                *({"kind": "lottery"}, {"kind": []}, {"user_id": 1}, {"at": "now"}, {"session": None}, {"to": "x"}),
                *({"id": 1}, {"client": None}, {"client": {"os": 1}}, {"client": {"hat": "x"}}, {"client": "x"}),
            )
        ),
    ],
)
def test_what_cannot_be_read_is_given_up_and_stands_in_nobodys_way(mails, take, redis, row):
    redis.xadd(keys.mail.waiting, row)
    mails.add(notice())
    mail = take()
    assert mail.content is None
    assert take(Settled(mail, "dead", failure="unreadable")).content == notice()
    assert left(redis) == (1, 0, 1)
    mails.revive()
    assert redis.xlen(keys.mail.waiting) + redis.xlen(keys.mail.dead) == 2


def test_the_mails_of_a_user_can_be_deleted(mails, take, clock, redis):
    for user_id in ("1", "2", "12", "1"):
        mails.add(notice(user_id))
    take(Settled(take(), "dead", failure="x"))
    mails.forget("1")
    assert [kept.content for kept in mails.waiting(9)] == [kept.content for kept in mails.waiting(9)]
    assert {orjson.loads(kept.content)["user_id"] for kept in mails.waiting(9)} == {"2", "12"}
    assert left(redis) == (2, 0, 0)


class TestTheReleaseBefore:
    """It had a consumer group, and kept what failed as texts in a sorted set."""

    def test_what_it_has_left_is_delivered(self, mails, take, redis):
        content = {"kind": "sign_in", "user_id": "1", "at": 1.5, "client": {}, "id": ID}
        redis.xadd(keys.mail.waiting, {"attempts": 0, "notice": orjson.dumps(content | {"user_id": "1"})})
        redis.xgroup_create(keys.mail.waiting, "deliverers", "0")
        redis.xreadgroup("deliverers", "dead", {keys.mail.waiting: ">"})
        later = f"1700000000000-0 3 1700000000.000 {orjson.dumps(content | {'user_id': '2'}).decode()}"
        redis.zadd(keys.mail_later, {later: 1700000009})
        mails.adopt()
        mails.adopt()
        first = take()
        second = take(Settled(first, "done"))
        assert [one.content.user_id for one in (first, second)] == ["1", "2"]
        take(Settled(second, "done"))
        assert left(redis) == (0, 0, 0)
        assert (redis.exists(keys.mail_later), redis.xinfo_groups(keys.mail.waiting)) == (0, [])

    @pytest.mark.parametrize("row", ["", "x", "1700000000000-0 3", b"\xff \xfe"])
    def test_what_cannot_be_read_of_it_is_given_up_as_any_other(self, mails, take, redis, row):
        """And keeps no deliverer from its start."""
        redis.zadd(keys.mail_later, {row: 1})
        mails.adopt()
        assert take().content is None
        assert redis.exists(keys.mail_later) == 0

    def test_a_foreign_key_in_its_place_is_left(self, mails, redis):
        redis.set(keys.mail_later, "x")
        mails.adopt()
        assert redis.get(keys.mail_later) == "x"


def test_neither_an_address_nor_a_name_is_in_the_queue(mails, redis):
    mails.add(notice())
    [(_, row)] = redis.xrange(keys.mail.waiting)
    assert orjson.loads(row["notice"]) == {
        **{"kind": "sign_in", "user_id": "1", "at": 1700000000.5, "session": "S" * 43 + "=", "secrets_version": ""},
        **{"factor": "", "id": ID, "language": "", "digest": ""},
        "client": {"os": "Linux", "platform": "Firefox", "location": "Zürich, Switzerland", "ip": "203.0.113.7"},
    }
