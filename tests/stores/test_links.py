"""The links of mails: good once, for their time, for one purpose, and gone with their user."""

from itertools import pairwise

import orjson
import pytest

from app.stores.keys import unprefixed as keys
from app.stores.links import Link
from app.stores.session_records import Client
from app.stores.users import Change, Deletion

HOUR = 3600
CLIENT = Client(os="Linux", platform="Firefox", location="Bern, Switzerland")
SESSION, OTHER = ("A" * 43 + "=", "B" * 43 + "=")


@pytest.fixture(autouse=True)
def two_sessions(users, sessions, clock):
    users.create(
        "1",
        "alice@example.com",
        email="alice@example.com",
        username="",
        global_name=None,
        password_hash="",
        created_at=0,
    )
    for id_hash in (SESSION, OTHER):
        sessions.open("1", id_hash, int(clock()), CLIENT, "1", 50)


@pytest.fixture
def open_link(links, clock):
    def open_one(name, purpose="not_me", session=SESSION, credentials_version="1", ttl_s=48 * HOUR):
        links.open("1", name, Link(purpose, session, credentials_version, clock() + ttl_s))

    return open_one


def signed_in(sessions):
    return {session.id_hash for session in sessions.list("1")}


def test_a_link_ends_exactly_its_session_once(links, open_link, sessions):
    open_link("link")
    assert links.end_session("1", "other link") is None
    assert links.end_session("2", "link") is None
    assert links.end_session("1", "link") == CLIENT
    assert signed_in(sessions) == {OTHER}
    assert links.end_session("1", "link") is None


def test_the_ended_row_and_event_say_revoked(links, open_link, sessions):
    open_link("link")
    links.end_session("1", "link")
    [ended] = sessions.list_ended("1", 0)
    assert (ended.session.id_hash, ended.reason, ended.by) == (SESSION, "revoked", None)


def test_a_link_finds_its_session_under_the_hash_it_moved_to(links, open_link, sessions, users, redis):
    """Whoever signed in and then changed the password or the second factor does not get away with it, ever.

    What is kept for that ends with the session, and does not grow with each change.
    """
    open_link("link")
    hashes = [SESSION, *(f"{number:043}=" for number in range(40))]
    for old, new in pairwise(hashes):
        users.change("1", Change(caller=old, new_id_hash=new, reason="mfa_change"))
    kept = orjson.loads(redis.hget(keys.sessions("1"), hashes[-1]))["formers"]
    assert kept == [SESSION, *hashes[-10:-1]]
    assert sessions.first_id_hash("1", hashes[-1]) == SESSION
    assert sessions.first_id_hash("1", OTHER) == OTHER
    assert links.end_session("1", "link")
    assert signed_in(sessions) == {OTHER}


def test_a_link_finds_its_session_though_it_moved_before_the_mail_was_made(links, open_link, sessions, users):
    new = "C" * 43 + "="
    users.change("1", Change(caller=SESSION, new_id_hash=new, reason="mfa_change"))
    open_link("link")
    assert links.end_session("1", "link")
    assert signed_in(sessions) == {OTHER}


def test_a_link_whose_session_is_over_is_used_up_all_the_same(links, open_link, sessions):
    open_link("link")
    sessions.end("1", [SESSION], "revoked")
    assert links.end_session("1", "link") == Client()
    assert signed_in(sessions) == {OTHER}


def test_a_link_has_its_time(links, open_link, sessions, clock):
    open_link("link")
    clock.advance(48 * HOUR)
    assert links.get("1", "link") is None
    assert not links.end_session("1", "link")
    assert signed_in(sessions) == {SESSION, OTHER}


def test_a_new_link_leaves_the_others_alone(links, open_link):
    """Else a stranger who asks for one would put out the link that the owner is about to use."""
    open_link("not me")
    for name in ("first", "second"):
        open_link(name, "reset", session="")
    assert [links.get("1", name) is not None for name in ("not me", "first", "second")] == [True, True, True]


def test_a_reset_link_ends_no_session(links, open_link, sessions):
    open_link("link", "reset", session=SESSION)
    assert not links.end_session("1", "link")
    assert signed_in(sessions) == {SESSION, OTHER}


def test_links_of_the_past_are_cleared_away(links, open_link, redis, clock):
    """What Redis keeps of links does not grow, and runs out with the last of them."""
    open_link("link")
    clock.advance(48 * HOUR)
    open_link("reset", "reset", ttl_s=HOUR)
    assert redis.hkeys(keys.links("1")) == ["reset"]
    assert 0 < redis.ttl(keys.links("1")) <= HOUR


@pytest.mark.parametrize(
    ("link", "seconds", "expected"),
    [("reset", 0, True), ("reset", HOUR, False), ("not me", 0, False), ("unknown", 0, False)],
)
def test_a_change_by_link_needs_a_reset_that_is_good(users, open_link, links, sessions, clock, link, seconds, expected):
    open_link("reset", "reset", session="", ttl_s=HOUR)
    open_link("not me")
    clock.advance(seconds)
    change = Change(credentials_version="1", set={"password_hash": "new"}, end_others="password_change", link=link)
    assert bool(users.change("1", change)) is expected
    assert (users.get("1").password_hash == "new") is expected
    assert signed_in(sessions) == (set() if expected else {SESSION, OTHER})


def test_a_reset_link_is_used_up_also_where_no_session_ends(users, open_link, links):
    open_link("reset", "reset", session="")
    open_link("not me")
    change = Change(set={"password_hash": "new"}, link="reset")
    assert users.change("1", change)
    assert links.get("1", "reset") is None
    assert not users.change("1", change)
    assert links.get("1", "not me") is not None


@pytest.mark.parametrize("reason", ["admin", "password_change"])
def test_where_all_sessions_end_so_do_all_links(users, open_link, redis, reason):
    open_link("link")
    open_link("reset", "reset")
    users.change("1", Change(end_others=reason))
    assert not redis.exists(keys.links("1"))


def test_a_deleted_user_leaves_no_link(users, open_link, redis):
    open_link("link")
    users.change("1", Change(caller=SESSION, new_id_hash="C" * 43 + "=", reason="mfa_change"))
    users.delete(Deletion("1", ["alice@example.com"], "digest"))
    assert list(redis.scan_iter("user:{1}*")) == []
