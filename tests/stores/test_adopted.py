"""What Redis keeps of adopted tokens. The scripts and stores/lifetimes.py agree on when such a session is over."""

import pytest

from app.stores.adopted import AdoptionStore
from app.stores.keys import unprefixed as keys
from app.stores.session_records import Client, NewSession
from app.stores.users import Change
from tests.conftest import LIFETIMES

HASH, SIGNED = "a" * 43 + "=", "b" * 43 + "="
DAY = 24 * 3600


@pytest.fixture
def adoptions(store, scripts):
    return AdoptionStore(store, scripts)


@pytest.fixture
def user(redis):
    redis.hset(keys.user("1"), mapping={"epoch": "1", "password_hash": "h"})


@pytest.fixture
def adopt(adoptions, clock, user):
    """Adopts a token of three years ago, under one hash and the same signed part."""

    def adopt(id_hash=HASH, ends_by=None):
        issued_at = int(clock()) - 3 * 365 * DAY
        new = NewSession(id_hash, issued_at, Client(), 50, adopted_at=int(clock()), ends_by=ends_by)
        return adoptions.adopt("1", id_hash, SIGNED, issued_at, new)

    return adopt


@pytest.mark.parametrize("ends_in_s", [None, 10 * DAY, 3, 400 * DAY])
@pytest.mark.parametrize("uses", [0, 13])
def test_the_scripts_and_lifetimes_agree_on_the_end(adoptions, sessions, adopt, clock, uses, ends_in_s):
    """A second before it the session lives, by every script, and at it no more."""
    ends_by = None if ends_in_s is None else int(clock()) + ends_in_s
    assert adopt(ends_by=ends_by) == "adopted"
    for _ in range(uses):
        clock.advance(25 * DAY)
        sessions.touch("1", HASH, Client())
    found = adoptions.look_up("1", HASH, SIGNED).session
    if found is None:
        assert ends_by is not None
        assert clock() >= ends_by
        return
    end = LIFETIMES.end_of(found)
    assert end <= (ends_by or end)
    clock.now = end - 1
    assert adopt() == "live"
    assert sessions.end("1", ["x" * 43 + "="], "revoked", HASH) == 0  # the caller lives
    clock.now = end
    assert adopt() == "ended"
    assert not sessions.touch("1", HASH, Client())
    assert adoptions.look_up("1", HASH, SIGNED).is_marked


def test_one_signed_part_is_adopted_once(adoptions, sessions, adopt):
    """Under whatever hash its token comes, as long as the first one lives and after it."""
    assert adopt() == "adopted"
    assert adopt() == "live"
    assert adopt("c" * 43 + "=") == "ended"
    assert sessions.end("1", [HASH], "admin") == 1
    assert adopt() == adopt("c" * 43 + "=") == "ended"
    assert sessions.list("1") == []


def test_to_ask_changes_nothing(adoptions, adopt, redis, clock):
    before = redis.hgetall(keys.user("1"))
    assert adoptions.adopt("1", HASH, SIGNED, int(clock())) == "adopted"
    assert redis.hgetall(keys.user("1")) == before
    assert redis.exists(keys.last_used("1")) == 0


def test_a_time_that_another_program_wrote_lets_nobody_in(adopt, redis):
    redis.hset(keys.user("1"), "tokens_valid_since", "yesterday")
    assert adopt() == "before_valid_since"


def test_the_time_since_when_tokens_count_never_goes_back(users, redis, clock, user):
    """Not by a clock that is behind another process', either."""
    assert users.change("1", Change(end_others="admin"))
    since = redis.hget(keys.user("1"), "tokens_valid_since")
    assert int(since) > clock()
    clock.advance(-3600)
    assert users.change("1", Change(end_others="admin"))
    assert redis.hget(keys.user("1"), "tokens_valid_since") == since


def test_what_ends_nothing_leaves_tokens_as_they_are(users, redis, user):
    """As a new hash of the same password does, and a factor that is turned on: other sessions go on."""
    assert users.change("1", Change(set={"password_hash": "x"}, same_credentials=True))
    assert users.change("1", Change(set={"totp_secret": "x"}))
    assert not redis.hexists(keys.user("1"), "tokens_valid_since")
