"""Mails about a change: the script that makes it queues them, so a process that dies right after it loses none."""

import json

import pytest

from app.stores.keys import unprefixed as keys
from app.stores.mail import MailStore, Notice, _parse_notice
from app.stores.session_records import Client
from app.stores.users import Change
from app.stores.wiring import Stores
from tests.conftest import LIFETIMES

PHONE = Client(os="Android", platform="Firefox")
HASH = "A" * 43 + "="


@pytest.fixture
def stores(store, clock, redis):
    made = Stores(store, LIFETIMES, clock, sends_mail=True)
    redis.hset(keys.user("1"), mapping={"epoch": "1", "language": "de"})
    return made


@pytest.fixture
def queued(redis):
    return lambda: [_parse_notice(row["notice"].encode()) for _, row in redis.xrange(keys.mail.waiting)]


def notice(kind="password_changed"):
    return Notice(kind, "1", 7.5, PHONE, factor="f")


def test_it_is_queued_with_the_change_in_the_language_of_the_user(stores, queued):
    """Nothing else is called: here the process would have died."""
    told = notice()
    assert stores.users.change("1", Change(set={"password_hash": "x"}, notices=[told]))
    [found] = queued()
    assert found == Notice("password_changed", "1", 7.5, PHONE, factor="f", id=told.id, language="de")


def test_a_change_that_is_refused_mails_nothing(stores, queued):
    assert stores.users.change("1", Change(credentials_version="9", notices=[notice()])) is None
    assert queued() == []


def test_a_return_is_mailed_if_there_was_one(stores, queued, redis, clock):
    """Also if the session alone is opened."""
    told = notice("came_back")
    for _ in range(2):
        assert stores.users.change("1", Change(same_credentials=True, comes_back=True, return_notice=told))
        assert queued() == []
    for left in ("disabled", "deleted"):
        redis.hset(keys.user("1"), mapping={"disabled": "1", "left": left, "delete_at": int(clock()) + 60})
        for _ in range(2):
            opened = stores.sessions.open("1", HASH, int(clock()), PHONE, "1", 50, comes_back=True, return_notice=told)
            assert opened
    assert [found.kind for found in queued()] == ["came_back"] * 2


def test_a_script_and_a_rule_write_the_same_text(stores, redis, store, clock):
    """Both are read by deliverers of this release and of the one before."""
    told = notice()
    stores.users.change("1", Change(set={"password_hash": "x"}, notices=[told]))
    MailStore(store, clock).add(told)
    first, second = (row for _, row in redis.xrange(keys.mail.waiting))
    assert json.loads(first["notice"]) == json.loads(second["notice"])
    assert first["user"] == second["user"]


def test_without_a_mail_server_nothing_is_queued(store, clock, redis, queued):
    redis.hset(keys.user("1"), "epoch", "1")
    assert Stores(store, LIFETIMES, clock).users.change("1", Change(unset=["x"], notices=[notice()]))
    assert queued() == []


def test_a_queue_that_is_another_applications_fails_no_change(stores, redis):
    redis.set(keys.mail.waiting, "theirs")
    assert stores.users.change("1", Change(set={"password_hash": "x"}, notices=[notice()]))
    assert redis.hget(keys.user("1"), "password_hash") == "x"
