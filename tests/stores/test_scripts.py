"""The scripts on sessions: events are handed on, and an error names its file and line."""

import logging

import pytest
from redis import ResponseError

from app.stores.keys import unprefixed as keys
from app.stores.lua import session_script
from app.stores.scripts import SessionScripts
from app.stores.session_records import Client
from app.stores.sessions import SessionStore
from app.stores.users import Change
from app.watch.events import Event
from tests.conftest import LIFETIMES

FIRST, SECOND = "A" * 43 + "=", "B" * 43 + "="


def test_every_listener_hears_each_event_once_and_in_order(store, clock, redis):
    heard = {"one": [], "two": []}
    scripts = SessionScripts(store, LIFETIMES, clock, listeners=[heard["one"].extend, heard["two"].extend])
    sessions = SessionStore(store, scripts)
    redis.hset(keys.user("1"), "epoch", "1")
    sessions.open("1", FIRST, int(clock()), Client(), "1", 50)
    sessions.touch("1", FIRST, Client())
    sessions.open("1", SECOND, int(clock()), Client(), "1", 50)
    sessions.end("1", [FIRST, SECOND], "revoked", SECOND)
    assert heard["one"] == heard["two"]
    assert heard["one"] == [
        Event("AUTH_SESSION_CREATE", "1", FIRST, None, None, None),
        Event("AUTH_SESSION_CREATE", "1", SECOND, None, None, None),
        Event("AUTH_SESSION_REMOVE", "1", FIRST, "revoked", None, SECOND),
        Event("AUTH_SESSION_REMOVE", "1", SECOND, "revoked", None, SECOND),
    ]


@pytest.mark.parametrize("redis", ["real", "cluster"], indirect=True)  # fakeredis names no line
def test_an_error_of_a_script_names_file_and_line_and_quotes_nothing(users, redis, caplog):
    """The user's version is no number, so the command of change.lua that counts it up is refused."""
    redis.hset(keys.user("1"), "epoch", "a secret")
    with caplog.at_level(logging.WARNING, "app"), pytest.raises(ResponseError):
        users.change("1", Change(unset=["disabled"]))
    lines = session_script("change_user").source.splitlines()
    [(_, _, said)] = caplog.record_tuples
    kind, _, place = said.removeprefix("redis: ResponseError: ").partition(" at ")
    name, _, line = place.partition(":")
    assert (kind, name) == ("hash", "change.lua")
    start = {file: before for before, file in session_script("change_user").starts}["change"]
    assert 'redis.call("HINCRBY", user, "epoch", 1)' in lines[start + int(line) - 1]
