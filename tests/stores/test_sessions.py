"""The session store, on fakeredis and on a real server: what it promises whatever races for it."""

import json
from dataclasses import replace

import pytest

from app.stores.keys import unprefixed as keys
from app.stores.scripts import SessionScripts
from app.stores.session_records import Client
from app.stores.sessions import CallerGone, SessionStore
from app.stores.users import Change
from tests.conftest import LIFETIMES

DAY = 24 * 3600
FIREFOX = Client(os="Linux", platform="Firefox", location="Bern, Bern, Switzerland", ip="192.0.2.1")
PHONE = Client(os="Android", platform="Discord Android", location=None, ip="198.51.100.7")


def hashed(name: str) -> str:
    return name.ljust(43, "x") + "="


@pytest.fixture(autouse=True)
def alice_and_bob(users):
    for user_id in ("1", "2"):
        users.create(
            user_id, f"{user_id}@example.com", email="", username="", global_name=None, password_hash="", created_at=0
        )


@pytest.fixture
def open_session(sessions, clock):
    def open_one(name, user_id="1", client=FIREFOX, credentials_version="1", cap=50):
        return sessions.open(user_id, hashed(name), int(clock()), client, credentials_version, cap)

    return open_one


@pytest.fixture
def heard(redis):
    """The events told from here on."""
    subscription = redis.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(keys.channel)
    while subscription.get_message(timeout=1) is not None:
        pass

    def messages():
        told = []
        while (message := subscription.get_message(timeout=0.2)) is not None:
            told.append(json.loads(message["data"]))
        return told

    yield messages
    subscription.close()


def test_open_lists_what_was_seen(sessions, open_session, clock):
    """A session is listed with its client, beginning and last use; another user's list has none of it."""
    assert open_session("a")
    [session] = sessions.list("1")
    assert (session.id_hash, session.client, session.last_used_at) == (hashed("a"), FIREFOX, clock())
    assert session.began_at == int(clock())
    assert sessions.list("2") == []


def test_open_asks_for_the_epoch_it_began_with(sessions, users, open_session):
    """A login that began before the credentials changed cannot finish into a session after it."""
    assert users.change("1", Change(set={"password_hash": "new"}))
    assert not open_session("late", credentials_version="1")
    assert open_session("new", credentials_version="2")
    assert [session.id_hash for session in sessions.list("1")] == [hashed("new")]


def test_a_form_that_is_sent_twice_has_one_session(sessions, clock, heard):
    """The one opened last; another form has its own, and a use ends what is known of the form."""

    def opened(name, attempt):
        assert sessions.open("1", hashed(name), int(clock()), FIREFOX, "1", 50, attempt=attempt)
        return {session.id_hash for session in sessions.list("1")}

    assert opened("a", hashed("form")) == {hashed("a")}
    assert opened("b", hashed("form")) == {hashed("b")}
    assert opened("c", hashed("other")) == {hashed("b"), hashed("c")}
    [ended] = sessions.list_ended("1", 0)
    assert (ended.session.id_hash, ended.reason) == (hashed("a"), "logout")
    told = [event["type"] for event in heard() if event["auth_session_id_hash"] == hashed("a")]
    assert told == ["AUTH_SESSION_CREATE", "AUTH_SESSION_REMOVE"]
    clock.advance(61)
    assert sessions.touch("1", hashed("b"), FIREFOX)
    assert opened("d", hashed("form")) == {hashed("b"), hashed("c"), hashed("d")}


def test_open_for_a_user_who_is_gone_opens_nothing(open_session, redis):
    assert not open_session("a", user_id="404")
    assert not list(redis.scan_iter("user:{404}*"))


def test_the_cap_ends_the_least_recently_used(sessions, open_session, clock, heard):
    """The next login over the cap ends the least recently used session, never the new one."""
    for name in ("a", "b", "c"):
        open_session(name, cap=3)
        clock.advance(100)
    sessions.touch("1", hashed("a"), FIREFOX)
    heard()
    open_session("d", cap=3)
    assert {session.id_hash for session in sessions.list("1")} == {hashed("a"), hashed("c"), hashed("d")}
    told = [(event["type"], event["auth_session_id_hash"], event["reason"]) for event in heard()]
    assert told == [("AUTH_SESSION_REMOVE", hashed("b"), "evicted"), ("AUTH_SESSION_CREATE", hashed("d"), None)]


def test_the_new_session_lives_where_the_clock_went_back(sessions, open_session, clock):
    """A machine whose clock is behind opens a session that scores lowest: another one makes room."""
    open_session("a", cap=2)
    open_session("b", cap=2)
    clock.advance(-5)
    open_session("c", cap=2)
    assert hashed("c") in {session.id_hash for session in sessions.list("1")}


def test_list_is_ordered_by_last_use(sessions, open_session, clock):
    for name in ("a", "b", "c"):
        open_session(name)
        clock.advance(61)
    sessions.touch("1", hashed("a"), FIREFOX)
    assert [session.id_hash for session in sessions.list("1")] == [hashed("a"), hashed("c"), hashed("b")]


def test_list_shows_a_session_whose_record_was_lost(sessions, open_session, redis):
    """What is signed in is in sight, even where Redis lost what was known of it."""
    open_session("a")
    redis.delete(keys.sessions("1"))
    [session] = sessions.list("1")
    assert (session.id_hash, session.client) == (hashed("a"), Client())


def test_touch_moves_at_most_once_a_minute(sessions, open_session, clock):
    """Time and client move together, and not before a minute has passed."""
    open_session("a")
    began = clock()
    clock.advance(59.9)
    assert not sessions.touch("1", hashed("a"), PHONE)
    assert sessions.list("1")[0].client == FIREFOX
    clock.advance(0.1)
    assert sessions.touch("1", hashed("a"), PHONE)
    [session] = sessions.list("1")
    assert (session.last_used_at, session.client, session.began_at) == (clock(), PHONE, int(began))


def test_touch_keeps_the_client_where_a_request_tells_none(sessions, open_session, clock):
    """A request without client headers moves address and place only."""
    open_session("a")
    clock.advance(60)
    sessions.touch("1", hashed("a"), Client(ip="203.0.113.9"))
    assert sessions.list("1")[0].client == Client(os="Linux", platform="Firefox", ip="203.0.113.9")


TOLD = Client(os="Windows", platform="Discord Client", program="Discord", form="desktop", told=True, ip="192.0.2.1")
LIBRARY = Client(platform="okhttp", form="program", ip="192.0.2.1")


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        (TOLD, replace(FIREFOX, location=None), TOLD),
        (TOLD, replace(PHONE, told=True, ip="192.0.2.1"), replace(PHONE, told=True, ip="192.0.2.1")),
        (replace(FIREFOX, location=None), TOLD, TOLD),
        (TOLD, LIBRARY, TOLD),
        (replace(FIREFOX, location=None), LIBRARY, replace(FIREFOX, location=None)),
        (replace(LIBRARY, platform="curl"), LIBRARY, LIBRARY),
        (LIBRARY, replace(FIREFOX, location=None), replace(FIREFOX, location=None)),
    ],
)
def test_touch_keeps_what_was_told(sessions, open_session, clock, first, then, kept):
    """Properties stay until others come, and a library for HTTP takes no device's name."""
    open_session("a", client=first)
    clock.advance(60)
    sessions.touch("1", hashed("a"), then)
    assert sessions.list("1")[0].client == kept


def test_touch_never_brings_a_session_back(sessions, open_session, clock, redis):
    """A late update of an ended session writes nothing."""
    open_session("a")
    sessions.end("1", [hashed("a")], "revoked")
    clock.advance(120)
    assert not sessions.touch("1", hashed("a"), FIREFOX)
    assert sessions.look_up(sessions.last_use("1", hashed("a"))) == [None]
    assert not redis.exists(keys.sessions("1"), keys.last_used("1"))


def test_touch_of_an_expired_session_does_not_revive_it(sessions, open_session, clock):
    open_session("a")
    clock.advance(LIFETIMES.ttl_s)
    assert not sessions.touch("1", hashed("a"), FIREFOX)


def test_keys_outlive_the_longest_session(sessions, open_session, clock, redis):
    """By thirty days: time enough to notice that a user's last session expired, and to tell of it."""
    lasts = pytest.approx(LIFETIMES.ttl_s + 30 * DAY, abs=2)
    open_session("a")
    for key in (keys.last_used("1"), keys.sessions("1")):
        assert redis.ttl(key) == lasts
        redis.expire(key, 1000)
    clock.advance(60)
    sessions.touch("1", hashed("a"), FIREFOX)
    assert (redis.ttl(keys.last_used("1")), redis.ttl(keys.sessions("1"))) == (lasts, lasts)


@pytest.mark.parametrize(("named", "count"), [(["a"], 1), (["b"], 0), (["a", "a"], 1), (["b", "a", "nobody"], 1)])
def test_end_reaches_only_own_sessions(sessions, open_session, named, count):
    """Foreign hashes are passed over, and a hash named twice counts once."""
    open_session("a", user_id="1")
    open_session("b", user_id="2")
    assert sessions.end("1", [hashed(name) for name in named], "revoked") == count
    assert sessions.look_up(sessions.last_use("2", hashed("b"))) != [None]


def test_end_tells_one_event_for_each_that_ended(sessions, open_session, clock, heard):
    """One event with its reason a session, none for what was no session."""
    for name in ("a", "b", "c"):
        open_session(name)
    heard()
    sessions.end("1", [hashed("a"), hashed("c"), hashed("a"), hashed("nobody")], "revoked", caller=hashed("b"))
    told = heard()
    assert [event["auth_session_id_hash"] for event in told] == [hashed("a"), hashed("c")]
    assert all(event["type"] == "AUTH_SESSION_REMOVE" and event["reason"] == "revoked" for event in told)
    assert all(event["user_id"] == "1" and event["at"].endswith("+00:00") for event in told)


def test_end_asks_that_the_caller_lives(sessions, open_session):
    """A session that was ended in the meantime ends nobody else."""
    open_session("a")
    open_session("b")
    sessions.end("1", [hashed("b")], "revoked")
    with pytest.raises(CallerGone):
        sessions.end("1", [hashed("a")], "revoked", caller=hashed("b"))
    assert sessions.look_up(sessions.last_use("1", hashed("a"))) != [None]


def test_end_may_name_the_caller_among_others(sessions, open_session):
    for name in ("a", "b"):
        open_session(name)
    assert sessions.end("1", [hashed("a"), hashed("b")], "revoked", caller=hashed("a")) == 2
    assert sessions.list("1") == []


def test_end_leaves_a_row_of_who_and_why(sessions, open_session, redis, clock):
    """What ended is kept for thirty days with its client and the session that ended it, at most a hundred rows."""
    open_session("a")
    open_session("b", client=PHONE)
    sessions.end("1", [hashed("a")], "revoked", caller=hashed("b"))
    [(row, at)] = redis.zrange(keys.ended("1"), 0, -1, withscores=True)
    kept = json.loads(row)
    assert (kept["id_hash"], kept["reason"], at) == (hashed("a"), "revoked", pytest.approx(clock()))
    assert kept["session"]["platform"] == "Firefox"
    assert kept["by"]["platform"] == "Discord Android"
    assert redis.ttl(keys.ended("1")) == pytest.approx(30 * DAY, abs=2)
    for number in range(110):
        open_session(f"n{number}")
        sessions.end("1", [hashed(f"n{number}")], "logout")
    assert redis.zcard(keys.ended("1")) == 100


def test_rows_of_ended_sessions_go_after_thirty_days(sessions, open_session, redis, clock):
    open_session("a")
    sessions.end("1", [hashed("a")], "logout")
    clock.advance(31 * DAY)
    open_session("b")
    sessions.end("1", [hashed("b")], "logout")
    assert [json.loads(row)["id_hash"] for row in redis.zrange(keys.ended("1"), 0, -1)] == [hashed("b")]


@pytest.mark.parametrize("noticed_by", ["touch", "touch_all", "finish_expired"])
def test_old_addresses_go_without_a_further_end(sessions, open_session, redis, clock, noticed_by):
    """The rows of what ended, and the records of what was not used any more, of a user who only uses one session."""
    for name in ("used", "unused", "ended"):
        open_session(name)
    clock.advance(DAY)
    sessions.end("1", [hashed("ended")], "logout")
    clock.advance(28 * DAY)
    sessions.touch("1", hashed("used"), PHONE)
    clock.advance(2 * DAY + 60)
    if noticed_by == "touch":
        assert sessions.touch("1", hashed("used"), PHONE)
    elif noticed_by == "touch_all":
        sessions.touch_all([("1", hashed("used"), PHONE)])
    else:
        sessions.finish_expired("1")
    assert [json.loads(row)["id_hash"] for row in redis.zrange(keys.ended("1"), 0, -1)] == [hashed("unused")]
    assert redis.hkeys(keys.sessions("1")) == [hashed("used")]


def test_retention_is_a_setting(redis, store, clock, open_session, sessions):
    """What the default keeps for 30 days, an instance with a shorter one forgets at its next look."""
    open_session("a")
    open_session("b")
    sessions.end("1", [hashed("a")], "logout")
    clock.advance(2 * DAY)
    brief = SessionStore(store, SessionScripts(store, replace(LIFETIMES, retention_s=DAY), clock))
    brief.finish_expired("1")
    assert not redis.exists(keys.ended("1"))
    brief.end("1", [hashed("b")], "logout")
    assert redis.ttl(keys.ended("1")) == pytest.approx(DAY, abs=2)


def test_expired_sessions_are_told_of_when_noticed(sessions, open_session, clock, heard):
    """Idle too long, or older than the greatest age whatever the use: both end as "expired", the others stay."""
    open_session("old")
    for _ in range(12):
        clock.advance(29 * DAY)
        assert sessions.touch("1", hashed("old"), FIREFOX)
    open_session("young")
    clock.advance(29 * DAY)
    heard()
    sessions.finish_expired("1")
    assert [session.id_hash for session in sessions.list("1")] == [hashed("young")]
    assert [(event["auth_session_id_hash"], event["reason"]) for event in heard()] == [(hashed("old"), "expired")]


def test_open_makes_room_by_expiry_before_it_evicts(sessions, open_session, clock):
    open_session("idle", cap=2)
    clock.advance(20 * DAY)
    open_session("used", cap=2)
    clock.advance(11 * DAY)
    open_session("new", cap=2)
    assert [session.id_hash for session in sessions.list("1")] == [hashed("new"), hashed("used")]


def test_rename_reaches_only_own_sessions_and_survives_a_touch(sessions, open_session, clock):
    open_session("a")
    open_session("b", user_id="2")
    assert sessions.rename("1", hashed("a"), "Kitchen tablet", hashed("a"))
    assert not sessions.rename("1", hashed("b"), "Mine now", hashed("a"))
    clock.advance(60)
    assert sessions.touch("1", hashed("a"), PHONE)
    [session] = sessions.list("1")
    assert (session.name, session.client) == ("Kitchen tablet", PHONE)
    assert sessions.list("2")[0].name is None
    assert sessions.rename("1", hashed("a"), None, hashed("a"))
    assert sessions.list("1")[0].name is None


def test_rename_by_or_of_what_is_over_changes_nothing(sessions, open_session, redis, clock):
    """Nor does it bring anything back."""
    open_session("a")
    open_session("b")
    sessions.end("1", [hashed("b")], "revoked", hashed("a"))
    assert not sessions.rename("1", hashed("b"), "Back again", hashed("a"))
    with pytest.raises(CallerGone):
        sessions.rename("1", hashed("a"), "By a ghost", hashed("b"))
    clock.advance(LIFETIMES.ttl_s)
    with pytest.raises(CallerGone):
        sessions.rename("1", hashed("a"), "Too late", hashed("a"))
    assert redis.hlen(keys.sessions("1")) == 1


def test_rename_of_a_session_whose_record_was_lost(sessions, open_session, redis):
    """It is in the list, so it can be named."""
    open_session("a")
    redis.delete(keys.sessions("1"))
    assert sessions.rename("1", hashed("a"), "Found again", hashed("a"))
    [session] = sessions.list("1")
    assert (session.name, session.client) == ("Found again", Client())


def test_ended_tells_what_ended_why_and_by_whom(sessions, open_session, clock):
    open_session("a")
    open_session("b", client=PHONE)
    open_session("c", client=PHONE)
    sessions.rename("1", hashed("a"), "My laptop", hashed("a"))
    sessions.end("1", [hashed("b")], "revoked", hashed("a"))
    clock.advance(1)
    sessions.end("1", [hashed("c")], "admin")
    clock.advance(1)
    sessions.end("1", [hashed("a")], "logout", hashed("a"))
    newest, second, third = sessions.list_ended("1", since=0)
    assert (newest.reason, newest.by) == ("logout", newest.session)
    assert (second.reason, second.by, second.ended_at) == ("admin", None, clock() - 1)
    assert (third.session.id_hash, third.session.client, third.reason) == (hashed("b"), PHONE, "revoked")
    assert third.by is not None
    assert third.by.name == "My laptop"
    assert sessions.list_ended("1", since=clock()) == [newest]
    assert sessions.list_ended("2", since=0) == []


def test_ended_tells_twins_apart(sessions, open_session):
    """Two sessions alike to the letter: the one that ended the other did not end itself."""
    open_session("a")
    open_session("b")
    sessions.end("1", [hashed("b")], "revoked", hashed("a"))
    [row] = sessions.list_ended("1", since=0)
    assert row.by != row.session
    assert row.by.id_hash == hashed("a")


def test_ended_tells_of_a_session_whose_record_was_lost(sessions, open_session, redis):
    open_session("a")
    redis.delete(keys.sessions("1"))
    sessions.end("1", [hashed("a")], "logout", hashed("a"))
    [row] = sessions.list_ended("1", since=0)
    assert (row.session.client, row.by) == (Client(), None)


def test_uses_of_many_sessions_are_noted_in_one_trip(sessions, open_session, clock, redis):
    """Of those that are due and live, each with its client, also by a server that does not know the script yet."""
    for name, user_id in (("a", "1"), ("b", "1"), ("c", "2"), ("ended", "2")):
        open_session(name, user_id=user_id)
    sessions.end("2", [hashed("ended")], "revoked")
    clock.advance(60)
    sessions.touch("1", hashed("b"), FIREFOX)
    redis.script_flush()
    named = [("1", "a"), ("1", "b"), ("2", "c"), ("2", "ended"), ("3", "nobody")]
    sessions.touch_all([(user_id, hashed(name), PHONE) for user_id, name in named])
    found = sessions.find([(user_id, hashed(name)) for user_id, name in named])
    assert [session and session.client for session in found] == [PHONE, FIREFOX, PHONE, None, None]
    assert [session and session.last_used_at for session in found] == [clock(), clock(), clock(), None, None]


def test_of_many_uses_those_that_redis_refuses_are_passed_over(sessions, open_session, clock, redis, caplog):
    open_session("a", user_id="1")
    open_session("b", user_id="2")
    redis.delete(keys.last_used("1"))
    redis.set(keys.last_used("1"), "another application's")
    clock.advance(60)
    sessions.touch_all([("1", hashed("a"), PHONE), ("2", hashed("b"), PHONE)])
    assert [session.client for session in sessions.list("2")] == [PHONE]
    assert "redis: " in caplog.text
