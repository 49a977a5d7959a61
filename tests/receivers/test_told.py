"""What people do is told to receivers: from the request to what arrives there, on each store."""

import json
import threading
from urllib.parse import parse_qs

import jwt
import pytest

from app.tokens import id_hash
from tests.device import Device
from tests.receivers import sets
from tests.receivers.conftest import ISSUER


@pytest.fixture
def deliver(telling, receiver):
    """Makes what tells the receiver by one kind, a device, and a function that delivers and returns the bodies."""

    def make(kind):
        delivering = telling(kind)
        device = Device(delivering.app.test_client(use_cookies=False)).register("alice@example.com")
        other = Device(delivering.app.test_client(use_cookies=False)).log_in(device)

        def told():
            before = len(receiver.got)
            assert delivering.make_worker().deliver_due(threading.Event())
            return [body for _, _, body in receiver.got[before:]]

        return delivering, device, other, told

    return make


def change_password(device):
    new = {"password": device.password, "new_password": "another long battery"}
    answer = device.patch("/users/@me", new)
    assert answer.status_code == 200, answer.json
    return answer.json["token"]


def test_a_webhook_tells_of_each_thing_once_and_in_order(deliver):
    _, device, other, told = deliver("webhook")
    first, second = id_hash(device.token), id_hash(other.token)
    events = [json.loads(body) for body in told()]
    assert [one["type"] for one in events] == ["user.created", "AUTH_SESSION_CREATE", "AUTH_SESSION_CREATE"]
    assert len({one["id"] for one in events}) == 3
    other.post("/auth/logout")
    [event] = map(json.loads, told())
    assert (event["type"], event["auth_session_id_hash"], event["reason"]) == ("AUTH_SESSION_REMOVE", second, "logout")
    change_password(device)
    kinds = {one["type"]: one for one in map(json.loads, told())}
    assert kinds["credential.updated"]["credential"] == "password"
    assert kinds["AUTH_SESSION_CHANGE"]["old_auth_session_id_hash"] == first


def test_a_logout_token_names_the_session_that_ended_by_all_its_hashes(deliver):
    _, device, other, told = deliver("logout")
    first = id_hash(device.token)
    assert told() == []
    device.token = change_password(device)
    ended = [sid_in(body) for body in told()]
    assert ended == [id_hash(other.token)]
    last = id_hash(device.token)
    device.post("/auth/logout")
    assert [sid_in(body) for body in told()] == [last, first]


def sid_in(body):
    claims = jwt.decode(parse_qs(body.decode())["logout_token"][0], options={"verify_signature": False})
    assert {"sub", "nonce"}.isdisjoint(claims)
    return claims["sid"]


def test_a_session_is_revoked_under_the_name_that_it_was_established_under(deliver, redis):
    """Also if its token was changed meanwhile. Each token is what RFC 8417, SSF and CAEP ask for."""
    delivering, device, _, told = deliver("ssf")
    device.token = change_password(device)
    device.post("/auth/logout")
    jwks = delivering.app.test_client().get("/.well-known/jwks.json").json
    claims = [sets.read(body, jwks, ISSUER, delivering.receiver.audience) for body in told()]
    kinds = [kind.removeprefix(sets.CAEP) for one in claims for kind in one["events"]]
    established = [one["sub_id"]["session"]["id"] for one, kind in zip(claims, kinds, strict=True) if "est" in kind]
    revoked = [one["sub_id"]["session"]["id"] for one, kind in zip(claims, kinds, strict=True) if "revoked" in kind]
    assert len(established) == 2
    assert sorted(revoked) == sorted(established)
    assert kinds.count("credential-change") == 1
    assert {one["sub_id"].get("sub", device.user_id) for one in claims} == {device.user_id}
    assert len({one["jti"] for one in claims}) == len(claims)
