"""The user store: one e-mail address is one user, and a change of credentials is one step."""

import pytest

from app.stores.keys import unprefixed as keys
from app.stores.session_records import Client
from app.stores.sessions import CallerGone
from app.stores.users import Change, Deletion


@pytest.fixture
def create(users):
    def create_one(user_id="1", email="alice@example.com"):
        return users.create(
            user_id, email, email=email, username="alice", global_name=None, password_hash="$2b$04$x", created_at=7
        )

    return create_one


@pytest.fixture
def two_sessions(create, sessions, clock):
    create()
    for name in ("A", "B"):
        sessions.open("1", name * 43 + "=", int(clock()), Client(), "1", 50)
    return "A" * 43 + "=", "B" * 43 + "="


def test_an_address_is_one_user(users, create, redis):
    """Of two who register one address the second is refused, and the claim lasts."""
    assert create("1")
    assert not create("2")
    assert users.id_of("alice@example.com") == "1"
    assert users.get("2") is None
    assert redis.ttl(keys.email("alice@example.com")) == -1


def test_a_claim_whose_registration_died_runs_out(users, create, redis):
    """The claim of a registration that wrote no user stands for a minute at most."""
    redis.set(keys.email("alice@example.com"), "9", nx=True, ex=60)
    assert not create("1")
    redis.delete(keys.email("alice@example.com"))
    assert create("1")


@pytest.mark.parametrize("user_id", ["1", "2"])
def test_who_died_after_the_record_is_completed_by_the_next(users, create, redis, user_id):
    """While the claim still stands: the address stays theirs, whichever id the next one brings."""
    create("1")
    redis.expire(keys.email("alice@example.com"), 60)
    assert not create(user_id)
    assert redis.ttl(keys.email("alice@example.com")) == -1
    assert users.id_of("alice@example.com") == "1"


def test_a_record_whose_claim_ran_out_is_adopted(users, create, redis):
    """By whoever brings its id and its address."""
    create("1")
    redis.delete(keys.email("alice@example.com"))
    assert not create("1")
    assert users.id_of("alice@example.com") == "1"
    assert redis.ttl(keys.email("alice@example.com")) == -1


def test_a_claim_that_names_somebody_elses_record_is_not_made_lasting(users, create, redis):
    """Who died before they saw that their id is taken: the address is free in a minute, and never the other's."""
    create("1", "bob@example.com")
    redis.set(keys.email("alice@example.com"), "1", ex=60)
    assert not create("2")
    assert 0 < redis.ttl(keys.email("alice@example.com")) <= 60
    redis.delete(keys.email("alice@example.com"))
    assert not create("1")
    assert users.id_of("alice@example.com") is None


def test_get_reads_what_was_written(users, create):
    create()
    user = users.get("1")
    assert (user.id, user.email, user.username, user.global_name) == ("1", "alice@example.com", "alice", None)
    assert (user.credentials_version, user.has_mfa, user.disabled, user.backup_codes_left) == ("1", False, False, 0)
    assert users.get("2") is None


def test_change_moves_the_epoch_and_refuses_the_old_one(users, create):
    create()
    assert users.change("1", Change(credentials_version="1", set={"password_hash": "new"}))
    assert not users.change("1", Change(credentials_version="1", set={"password_hash": "newer"}))
    assert (users.get("1").password_hash, users.get("1").credentials_version) == ("new", "2")


def test_change_of_nobody_writes_nothing(users, redis):
    assert not users.change("1", Change(set={"disabled": "1"}, end_others="admin"))
    assert redis.dbsize() == 0


def test_change_by_a_session_that_ended_is_refused(users, sessions, two_sessions):
    sessions.end("1", [two_sessions[0]], "revoked")
    with pytest.raises(CallerGone):
        users.change("1", Change(caller=two_sessions[0], set={"password_hash": "new"}))
    assert users.get("1").password_hash == "$2b$04$x"


def test_the_callers_session_goes_on_under_its_new_hash(users, sessions, two_sessions):
    """The old token dies and the new one lives in the same step; beginning and last use stay."""
    before = sessions.list("1")
    new = "N" * 43 + "="
    assert users.change("1", Change(caller=two_sessions[0], new_id_hash=new, end_others="password_change"))
    [session] = sessions.list("1")
    assert session.id_hash == new
    assert (session.began_at, session.last_used_at) == (before[0].began_at, before[0].last_used_at)
    assert sessions.look_up(sessions.last_use("1", two_sessions[0])) == [None]


def test_others_stay_where_only_the_factor_changes(users, sessions, two_sessions):
    new = "N" * 43 + "="
    users.change("1", Change(caller=two_sessions[0], new_id_hash=new, reason="mfa_change"))
    assert {session.id_hash for session in sessions.list("1")} == {new, two_sessions[1]}


def test_an_operator_ends_all(users, sessions, two_sessions):
    users.change("1", Change(set={"disabled": "1"}, end_others="admin"))
    assert sessions.list("1") == []
    assert users.get("1").disabled


def test_the_factor_and_all_that_hangs_on_it_go_together(users, create, redis):
    create()
    users.change("1", Change(set={"totp_secret": "sealed", "totp_step": "5"}, backup_codes=["x", "y"]))
    assert users.get("1").has_mfa
    assert users.get("1").backup_codes_left == 2
    users.change("1", Change(forget=["totp", "backup"]))
    assert not users.get("1").has_mfa
    assert not redis.exists(keys.backup_codes("1"))


def test_delete_leaves_nothing(users, create, redis, two_sessions):
    users.change("1", Change(set={"disabled": "1"}, end_others="admin"))
    users.delete(Deletion("1", ["alice@example.com"], "digest"))
    assert redis.dbsize() == 0


def test_delete_leaves_an_address_that_is_somebody_elses(users, create):
    create("1", "alice@example.com")
    create("2", "bob@example.com")
    users.delete(Deletion("1", ["bob@example.com"], "digest"))
    assert users.id_of("bob@example.com") == "2"


def test_delete_leaves_the_counters_of_others(users, create, redis):
    """Whatever part of their name or of the limit's own numbers the id is."""
    create("1")
    names = ("1", "127.0.0.1/1", "127.0.0.1/digest", "reset/1")
    theirs = [f"LIMITS:LIMITER/{name}/login/10/1/minute" for name in names]
    others = [f"LIMITS:LIMITER/{name}/login/10/1/minute" for name in ("11", "21", "127.0.0.1", "1/2", "digest2")]
    for counter in theirs + others:
        redis.lpush(counter, 1)
    users.delete(Deletion("1", ["alice@example.com"], "digest"))
    assert set(redis.scan_iter()) == set(others)
