"""docs/example told by webhook: what it believes, what it does, and that it needs no channel for it."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
import requests

from tests.conftest import ENVIRONMENT
from tests.live.example import SECRET, Client, Example, OddKeyrack, sign
from tests.live.gateways import Gateway, require
from tests.live.server import ROOT, Service
from tests.ports import free_port
from tests.servers import wait_until

NEW, FORMER = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
HASH, FORMER_HASH = "A" * 43 + "=", "B" * 43 + "="
SESSION_ENDED = 4004


@pytest.fixture(scope="module")
def keyrack():
    """Knows user 1, and whom a test names."""
    keyrack = OddKeyrack()
    keyrack.answers = {"/gateway/reconcile": {"ended": []}, "/gateway/users/1": person("1")}
    yield keyrack
    keyrack.close()


@pytest.fixture(scope="module")
def example(keyrack):
    """It has two secrets, and follows no channel."""
    example = Example(keyrack.url, "", WEBHOOK_SECRETS=f"{NEW},{FORMER}")
    yield example
    example.close()


@pytest.fixture
def client(example):
    with Client(example.socket_url, X_Auth_User_Id="1", X_Auth_Session_Id_Hash=HASH) as client:
        client.identify()
        yield client


def person(user_id, username="somebody", **fields):
    known = {"id": user_id, "username": username, "global_name": None, "discriminator": "0", "avatar": None}
    return known | {"disabled": False} | fields


numbers = count()


def event(kind, user_id="1", **fields):
    at = f"2026-12-01T10:00:00.{next(numbers):06}+00:00"
    return {"id": "evt_1", "type": kind, "user_id": user_id, "at": at} | fields


def removal(id_hash=HASH, **fields):
    return event("AUTH_SESSION_REMOVE", auth_session_id_hash=id_hash, reason="logout", **fields)


def post(example, body, headers):
    url = f"http://127.0.0.1:{example.port}/hooks/keyrack"
    return requests.post(url, body, headers=headers, timeout=10).status_code


def tell(example, told, secrets=(NEW, FORMER)):
    """Post an event with an id of its own, as Keyrack does."""
    event_id = f"evt_{next(numbers)}"
    body = json.dumps(told | {"id": event_id}).encode()
    assert post(example, body, sign(body, *secrets, event_id=event_id)) == 204


def test_the_socket_of_an_ended_session_closes_by_webhook_alone(example, client):
    with Client(example.socket_url, X_Auth_User_Id="1", X_Auth_Session_Id_Hash=FORMER_HASH) as other:
        other.identify()
        tell(example, removal())
        assert client.closed_with == SESSION_ENDED
        assert other.dispatched("AUTH_SESSION_REMOVE") == {"auth_session_id_hash": HASH}
        assert other.is_open


def test_an_ending_names_the_hashes_that_the_session_had(example, client):
    """So a socket closes whose move to a new hash was missed."""
    tell(example, removal(FORMER_HASH, former_auth_session_id_hashes=[HASH]))
    assert client.closed_with == SESSION_ENDED


@pytest.mark.parametrize("secrets", [[NEW], [FORMER], [OTHER, FORMER], [NEW, OTHER]])
def test_one_signature_of_a_secret_that_it_has_is_enough(example, client, secrets):
    """So secrets are replaced one side after the other."""
    tell(example, removal(), secrets)
    assert client.closed_with == SESSION_ENDED


FORGERIES = {
    "another secret": lambda body: sign(body, OTHER),
    "another body": lambda body: sign(body + b" ", NEW),
    "another id": lambda body: sign(body, NEW) | {"webhook-id": "evt_2"},
    "another time": lambda body: sign(body, NEW) | {"webhook-timestamp": str(int(time.time()) - 1)},
    "an old one": lambda body: sign(body, NEW, at=time.time() - 302),
    "one of the future": lambda body: sign(body, NEW, at=time.time() + 303),
    "no headers": lambda _: {},
    "no signature": lambda body: sign(body, NEW) | {"webhook-signature": ""},
    "no version": lambda body: sign(body, NEW) | {"webhook-signature": sign(body, NEW)["webhook-signature"][3:]},
    "another version": lambda body: (
        sign(body, NEW) | {"webhook-signature": f"v2,{sign(body, NEW)['webhook-signature'][3:]}"}
    ),
    "a time that is none": lambda body: sign(body, NEW) | {"webhook-timestamp": "nan"},
    "a time without end": lambda body: sign(body, NEW) | {"webhook-timestamp": "9" * 5000},
    "odd characters": lambda body: sign(body, NEW) | {"webhook-id": b"\xff", "webhook-signature": b"v1,\xff"},
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_what_is_forged_or_old_is_refused_and_does_nothing(example, client, forge):
    body = json.dumps(removal()).encode()
    assert post(example, body, forge(body)) == 401
    assert client.is_open


@pytest.mark.parametrize("age_s", [-297, 297])
def test_five_minutes_are_allowed_for_clocks_and_ways(example, client, age_s):
    body = json.dumps(removal()).encode()
    assert post(example, body, sign(body, NEW, event_id=f"evt_{age_s}", at=time.time() - age_s)) == 204
    assert client.closed_with == SESSION_ENDED


def test_an_event_that_comes_again_is_done_once(example, keyrack, client):
    """Also where it was signed anew and its text differs: the id is what counts."""
    keyrack.answers["/gateway/users/30"] = person("30")
    body = json.dumps(event("user.created", "30")).encode()
    assert post(example, body, sign(body, NEW, event_id="evt_twice")) == 204
    assert client.dispatched("GUILD_MEMBER_ADD")["user"]["id"] == "30"
    asked = len(keyrack.asked)
    for again in (body, body.replace(b"user.created", b"user.deleted")):
        assert post(example, again, sign(again, NEW, event_id="evt_twice")) == 204
    tell(example, event("AUTH_SESSION_CREATE", auth_session_id_hash=FORMER_HASH))
    client.dispatched("AUTH_SESSION_CREATE")
    assert len(keyrack.asked) == asked


def test_users_appear_change_and_go(example, keyrack, client):
    """An event tells that there is something new, and Keyrack is asked what it is."""
    keyrack.answers["/gateway/users/20"] = person("20", "bob")
    tell(example, event("user.created", "20"))
    assert client.dispatched("GUILD_MEMBER_ADD")["user"]["username"] == "bob"
    keyrack.answers["/gateway/users/20"] = person("20", "robert")
    tell(example, event("user.updated", "20", changed=["username"]))
    assert client.dispatched("GUILD_MEMBER_UPDATE")["user"]["username"] == "robert"
    keyrack.answers["/gateway/users/20"] |= {"disabled": True}
    tell(example, event("user.disabled", "20", reason="operator"))
    assert client.dispatched("GUILD_MEMBER_REMOVE")["user"]["id"] == "20"
    keyrack.answers["/gateway/users/20"] = person("20", "robert")
    tell(example, event("user.enabled", "20", by="operator"))
    assert client.dispatched("GUILD_MEMBER_ADD")["user"]["username"] == "robert"
    who = {"X-Auth-User-Id": "20", "X-Auth-Session-Id-Hash": FORMER_HASH}
    assert example.http.open("/api/v9/users/@me", "PATCH", who, {"bio": "Hello"}).json == {"bio": "Hello"}
    keyrack.answers["/gateway/users/20"] = {"code": 10013}
    tell(example, event("user.deleted", "20"))
    assert client.dispatched("GUILD_MEMBER_REMOVE")["user"]["id"] == "20"
    assert example.http.open("/api/v9/users/@me", "GET", who).json == {}


def test_passkeys_are_told_as_by_the_channel(example, client):
    told = {"id": "5", "type": 1, "name": "Büro"}
    for how, name in (("created", "CREATE"), ("updated", "UPDATE"), ("deleted", "DELETE")):
        tell(example, event(f"authenticator.{how}", authenticator=told))
        assert client.dispatched(f"AUTHENTICATOR_{name}") == told


def test_a_type_of_a_later_keyrack_is_passed_over(example, client):
    for kind in ("credential.updated", "AUTH_SESSION_OTHER", "something.new"):
        tell(example, event(kind, auth_session_id_hash=HASH, credential="password"))
    assert client.is_open


def test_what_it_fails_at_is_to_be_sent_again(example, client):
    """It answers 500, and the same event is done when it comes in order."""
    broken = json.dumps(removal() | {"auth_session_id_hash": None}).encode()
    assert post(example, broken, sign(broken, NEW, event_id="evt_again")) == 500
    assert client.is_open
    body = json.dumps(removal()).encode()
    assert post(example, body, sign(body, NEW, event_id="evt_again")) == 204
    assert client.closed_with == SESSION_ENDED


def test_without_secrets_it_believes_no_webhook(keyrack):
    example = Example(keyrack.url, "")
    try:
        body = json.dumps(removal()).encode()
        for secret in ("whsec_", "whsec_" + base64.b64encode(b"k" * 32).decode()):
            assert post(example, body, sign(body, secret)) == 401
    finally:
        example.close()


def test_nobody_comes_to_the_hook_through_the_gateway(live_server, real_redis):
    """Not even with an event that is signed as it should be. Keyrack comes past the gateway."""
    require("nginx")
    service = Service(live_server.url, TRUSTED_PROXIES="127.0.0.1", GATEWAY_SECRET=SECRET, WEB_CONCURRENCY="1")
    example = Example(service.url, "", WEBHOOK_SECRETS=NEW)
    gateway = Gateway("nginx", service.port, example.port, example.entrance_port)
    try:
        alice = service.device().register("alice@example.com")
        body = json.dumps(removal()).encode()
        signed = sign(body, NEW)
        for base, headers, status in (
            (gateway.url, {"Authorization": alice.token}, 404),
            (gateway.url, {}, 401),
            (f"http://127.0.0.1:{example.entrance_port}", {}, 404),
            (f"http://127.0.0.1:{example.port}", {}, 204),
        ):
            answer = requests.post(f"{base}/hooks/keyrack", body, headers=signed | headers, timeout=10)
            assert answer.status_code == status
    finally:
        for one in (gateway, example, service):
            one.close()


def test_an_event_by_both_ways_is_done_once(keyrack, live_server, real_redis):
    """The channel is the faster one, and has neither ids nor former hashes."""
    example = Example(keyrack.url, live_server.url, WEBHOOK_SECRETS=NEW)
    try:
        with Client(example.socket_url, X_Auth_User_Id="1", X_Auth_Session_Id_Hash=FORMER_HASH) as client:
            client.identify()
            for _ in range(2):
                told = removal()
                by_channel = {name: value for name, value in told.items() if name != "id"}
                real_redis.publish("auth-events", json.dumps(by_channel))
                assert client.dispatched("AUTH_SESSION_REMOVE") == {"auth_session_id_hash": HASH}
                tell(example, told | {"former_auth_session_id_hashes": []}, [NEW])
            real_redis.publish("auth-events", json.dumps(removal("C")))
            assert client.dispatched("AUTH_SESSION_REMOVE") == {"auth_session_id_hash": "C"}
    finally:
        example.close()


class Told:
    """A Keyrack that tells the example by webhook alone, and what delivers. The example is started by the test."""

    def __init__(self, redis_url):
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}/hooks/keyrack"
        settings = {"WEBHOOK_URLS": self._url, "WEBHOOK_SECRETS": NEW}
        self._environment = {"PATH": os.environ["PATH"], **ENVIRONMENT, "REDIS_URL": redis_url, **settings}
        self.service = Service(redis_url, GATEWAY_SECRET=SECRET, WEB_CONCURRENCY="1", **settings)
        self._delivery = self._run("deliver-events")

    def _run(self, *command):
        flask = Path(sys.executable).with_name("flask")
        how = {"cwd": ROOT, "env": self._environment, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([flask, "--app", "wsgi", *command], text=True, **how)

    def start_example(self):
        return Example(self.service.url, "", port=self._port, WEBHOOK_SECRETS=NEW)

    def send_test(self):
        with self._run("events", "send-test", self._url) as command:
            return command.communicate()[0]

    def close(self):
        with self._delivery:
            self._delivery.terminate()
        self.service.close()


@pytest.fixture
def told(live_server, real_redis):
    told = Told(live_server.url)
    yield told
    told.close()


def test_it_takes_what_operators_try_it_with(told):
    """An event of no user, which means nothing."""
    example = told.start_example()
    try:
        assert "took evt_" in told.send_test()
    finally:
        example.close()


def test_who_came_while_it_was_away_is_there_afterwards(told, real_redis):
    """Though they have asked for nothing since. Without webhooks they would be met at their next request."""
    alice = told.service.device().register("alice@example.com")
    example = told.start_example()
    example.close()
    carol = told.service.device().register("carol@example.com")
    assert alice.patch("/users/@me", {"global_name": "Al"}).status_code == 200
    example = told.start_example()
    try:
        wait_until(lambda: nothing_waits(real_redis), "the events were not delivered", within_s=70)
        with Client(example.socket_url) as client:
            [guild] = client.identify(alice.token)["guilds"]
            assert carol.user_id in {member["user"]["id"] for member in guild["members"]}
    finally:
        example.close()


def test_a_socket_closes_whose_session_ended_while_it_stood_still(told, real_redis):
    alice = told.service.device().register("alice@example.com")
    phone = told.service.device().log_in(alice)
    example = told.start_example()
    try:
        with Client(example.socket_url) as kept, Client(example.socket_url) as client:
            kept.identify(alice.token)
            client.identify(phone.token)
            wait_until(lambda: nothing_waits(real_redis), "the events were not delivered", within_s=70)
            proof = alice.prove()
            os.kill(example.process.pid, signal.SIGSTOP)
            try:
                assert alice.end([phone.id_hash], proof).status_code == 204
                wait_until(lambda: is_away(real_redis), "nobody has noticed", within_s=20)
            finally:
                os.kill(example.process.pid, signal.SIGCONT)
            assert client.closed_with == SESSION_ENDED
            assert kept.is_open
            wait_until(lambda: nothing_waits(real_redis), "it was not told again", within_s=70)
    finally:
        example.close()


def states(redis):
    """What is known of the one receiver's queue."""
    [state] = redis.scan_iter("events:*:state")
    return redis.hgetall(state)


def nothing_waits(redis):
    return not any(redis.xlen(queue) for queue in redis.scan_iter("events:{*}"))


def is_away(redis):
    return "away_since" in states(redis)
