"""The rows on events: nothing that was answered goes untold, and the judge would find it if it did."""

import base64
import hmac
from dataclasses import replace
from math import inf

import orjson
import pytest

from scripts.faults.events.judge import SECRET, judge, missing
from scripts.faults.events.people import CREATE, NEW_USER, REMOVE, Account, Act
from scripts.faults.events.rows import EVENT_ROWS
from scripts.faults.events.runner import run

ROWS = {row.name: row for row in EVENT_ROWS}
USER = "7"
NEW, IN, OUT = Act(NEW_USER, (), 1.0), Act(CREATE, ("A",), 2.0), Act(REMOVE, ("A",), 3.0)


def told(event_id, kind, id_hash="", at=9.0, user_id=USER, **more):
    """What the receiver has written down of an event."""
    event = {"id": event_id, "type": kind, "user_id": user_id} | more
    event |= {"auth_session_id_hash": id_hash} if id_hash else {}
    body = orjson.dumps(event).decode()
    signature = base64.b64encode(hmac.digest(SECRET, f"{event_id}.1.{body}".encode(), "sha256")).decode()
    return {"at": at, "id": event_id, "timestamp": "1", "signature": f"v1,{signature}", "body": body}


ALL = [told("1", NEW_USER), told("2", CREATE, "A"), told("3", REMOVE, "A")]


@pytest.fixture
def kinds():
    """Judges what one user did, and what came."""

    def kinds(acts, lines, **more):
        account = Account(USER, list(acts), **more)
        assert missing([account], lines) == judge([account], lines).count("lost")
        return [finding.kind for finding in judge([account], lines).findings]

    return kinds


def test_all_that_happened_came_once_and_in_order(kinds):
    assert kinds([NEW, IN, OUT], ALL) == []
    judged = judge([Account(USER, [NEW, IN, OUT])], ALL)
    assert (judged.expected, judged.arrived, judged.again) == (3, 3, 0)
    assert judged.waits_s == [8.0, 7.0, 6.0]


def test_an_event_that_never_came(kinds):
    assert kinds([NEW, IN, OUT], ALL[:2]) == ["lost"]
    assert kinds([NEW, IN, replace(OUT, done_at=inf)], ALL[:2]) == [], "nobody was told that it is done"


def test_an_event_that_came_after_a_later_one(kinds):
    assert kinds([NEW, IN, OUT], [ALL[1], ALL[0], ALL[2]]) == ["out of order"]
    both = Act(REMOVE, ("A", "B"), 3.0)
    lines = [*ALL[:2], told("4", REMOVE, "B"), ALL[2]]
    assert kinds([NEW, IN, both], lines) == [], "of what happened at once none is later"


def test_an_event_that_came_again(kinds):
    again = [*ALL, ALL[1]]
    assert kinds([NEW, IN, OUT], again) == []
    assert judge([Account(USER, [NEW, IN, OUT])], again).again == 1
    assert kinds([NEW, IN, OUT], [*ALL, told("4", CREATE, "A")]) == ["two ids"]
    assert kinds([NEW, IN, OUT], [*ALL, told("2", CREATE, "A", more=1)]) == ["another text"]


def test_an_event_of_what_nobody_did(kinds):
    odd = [*ALL, told("4", CREATE, "B")]
    assert kinds([NEW, IN, OUT], odd) == ["made up"]
    assert kinds([NEW, IN, OUT], odd, has_unknown=True) == [], "a sign-in may have been done that was not answered"


def test_an_event_that_is_not_signed(kinds):
    assert kinds([NEW], [ALL[0] | {"timestamp": "2"}]) == ["forged"]
    assert kinds([NEW], [ALL[0] | {"body": ALL[0]["body"] + " "}]) == ["forged"]


def test_where_redis_may_lose_writes_no_event_may_be_forged():
    judged = judge([Account(USER, [NEW, IN])], [ALL[0]])
    assert not judged.is_good(must_keep=True)
    assert judged.is_good(must_keep=False)
    forged = judge([Account(USER, [NEW])], [ALL[0] | {"timestamp": "2"}])
    assert not forged.is_good(must_keep=False)


def test_nothing_is_lost_while_what_delivers_is_killed(redis_server, tmp_path):
    """Some hundred events; scripts/chaos makes a hundred thousand."""
    result = run(ROWS["events-kill"], events=200, seed=1, keep_in=tmp_path, most_s=30)
    assert result.judgement.findings == []
    assert result.judgement.expected >= 200
    assert result.faults > 0
