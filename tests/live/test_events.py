"""Events on the channel auth-events, told by the operation itself: one for each session, heard by another process."""

import json
import time

import pytest

from app import create_app
from app.config import load_settings
from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD
from tests.live.server import Service
from tests.servers import wait_until


class Listener:
    def __init__(self, redis):
        self._subscription = redis.pubsub(ignore_subscribe_messages=True)
        self._subscription.subscribe("auth-events")
        self._subscription.get_message(timeout=1)

    def heard(self):
        """What was told since the last call."""
        events = []
        while (message := self._subscription.get_message(timeout=0.3)) is not None:
            events.append(json.loads(message["data"]))
        return events

    def brief(self):
        return sorted((event["type"], event["auth_session_id_hash"], event["reason"]) for event in self.heard())


@pytest.fixture
def events(real_redis):
    return Listener(real_redis)


def test_every_beginning_and_every_end_is_told_once(service, alice, events):
    """Login, logout, revocation: exactly one event for each session, with its reason."""
    events.heard()
    phone, tablet = service.device().log_in(alice), service.device().log_in(alice)
    hashes = [phone.id_hash, tablet.id_hash]
    assert events.brief() == sorted(("AUTH_SESSION_CREATE", id_hash, None) for id_hash in hashes)
    phone.post("/auth/logout")
    alice.end([hashes[1], hashes[0], "A" * 43 + "="])
    told = events.heard()
    assert [(event["auth_session_id_hash"], event["reason"]) for event in told] == [
        (hashes[0], "logout"),
        (hashes[1], "revoked"),
    ]
    assert all(event["type"] == "AUTH_SESSION_REMOVE" for event in told)
    assert all(set(event) == {"type", "user_id", "auth_session_id_hash", "reason", "at"} for event in told)
    assert all(event["user_id"] == alice.user_id for event in told)


def test_a_password_change_tells_of_all_it_ends_and_of_the_new_hash(service, alice, events):
    others = sorted(service.device().log_in(alice).id_hash for _ in range(3))
    old = alice.id_hash
    events.heard()
    answer = alice.patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"})
    alice.token = answer.json["token"]
    told = events.heard()
    removed = [event for event in told if event["type"] == "AUTH_SESSION_REMOVE"]
    assert sorted(event["auth_session_id_hash"] for event in removed) == others
    assert {event["reason"] for event in removed} == {"password_change"}
    [changed] = [event for event in told if event["type"] == "AUTH_SESSION_CHANGE"]
    assert (changed["old_auth_session_id_hash"], changed["auth_session_id_hash"]) == (old, alice.id_hash)


def test_turning_totp_on_tells_of_the_new_hash_alone(service, alice, events):
    service.device().log_in(alice)
    old = alice.id_hash
    events.heard()
    alice.enable_totp(time.time())
    [changed] = events.heard()
    assert (changed["type"], changed["reason"]) == ("AUTH_SESSION_CHANGE", "mfa_change")
    assert (changed["old_auth_session_id_hash"], changed["auth_session_id_hash"]) == (old, alice.id_hash)


def test_eviction_is_told(live_server, real_redis, alice, events):
    """By another process, with a cap of two."""
    service = Service(live_server.url, MAX_SESSIONS_PER_USER="2", WEB_CONCURRENCY="1")
    first = alice.id_hash
    second = service.device().log_in(alice).id_hash
    events.heard()
    third = service.device().log_in(alice).id_hash
    service.close()
    assert events.brief() == [("AUTH_SESSION_CREATE", third, None), ("AUTH_SESSION_REMOVE", first, "evicted")]
    assert second != third


def test_the_end_by_time_is_told_once_by_whoever_notices(live_server, events, at_once):
    """Also that of a user's only session, though many ask at once."""
    service = Service(live_server.url, SESSION_TTL="2s")
    device = service.device().register("carol@example.com")
    id_hash = device.id_hash
    events.heard()
    wait_until(lambda: device.get("/gateway/verify").status_code == 401, "the session did not end")
    at_once(*[lambda: device.get("/gateway/verify")] * 8)
    service.close()
    assert events.brief() == [("AUTH_SESSION_REMOVE", id_hash, "expired")]


def test_an_operators_end_is_told(service, alice, events, real_redis):
    """Disabling a user, by another process."""
    own = create_app(load_settings(ENVIRONMENT), real_redis)
    id_hash = alice.id_hash
    events.heard()
    assert own.extensions["keyrack"].leaving.disable(alice.user_id)
    assert events.brief() == [("AUTH_SESSION_REMOVE", id_hash, "admin")]
    assert not alice.is_signed_in


def test_ending_that_races_is_told_once(service, alice, events, at_once):
    """Eight who end the same session at once: one 204, one event."""
    phone = service.device().log_in(alice)
    ended, proof = phone.id_hash, alice.prove()
    events.heard()
    answers = at_once(*[lambda: alice.end([ended], proof)] * 8)
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 7
    assert events.brief() == [("AUTH_SESSION_REMOVE", ended, "revoked")]


def test_a_verify_is_one_command(service, alice, real_redis):
    """By MONITOR's word it is one ZSCORE at most; a proof at hand, or the list, costs further commands."""
    for _ in range(4):
        alice.get("/gateway/verify")  # so that the connections that will be used are open

    def commands(act):
        with real_redis.monitor() as monitor:
            act()
            real_redis.echo("over")
            told = []
            while not (command := monitor.next_command()["command"]).startswith("ECHO"):
                if command.split()[1:2] != ["leases"]:  # the pings of holders
                    told.append(command.split()[0])
        # A connection introduces itself. Once a second a process looks which server is the primary, and asks the time.
        return [name for name in told if name not in ("CLIENT", "ROLE", "INFO", "TIME")]

    assert commands(lambda: alice.get("/gateway/verify")) in ([], ["ZSCORE"])
    proof = alice.prove()
    asked = commands(lambda: alice.get("/gateway/verify?require=mfa", X_Discord_MFA_Authorization=proof))
    assert asked == ["ZSCORE", "GET", "HGET", "EXISTS", "HEXISTS"]
    assert commands(lambda: alice.get("/auth/sessions")) == ["ZSCORE", "HGETALL", "ZREVRANGE"]
