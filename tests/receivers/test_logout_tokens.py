"""Logout tokens, as OpenID Connect Back-Channel Logout 1.0 has them: a session is named, and never its user."""

import itertools
import threading
from urllib.parse import parse_qs

import jwt
import pytest

from tests.receivers.conftest import EVENT_ID, FIRST_HASH, HASH, ISSUER, KEYS, SECOND_HASH, event, says

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)


def deliver(delivering, body):
    delivering.queue.put(body, "7")
    return delivering.make_worker().deliver_due(threading.Event())


def tokens_in(receiver):
    """The headers and claims of all tokens that the receiver got, read with the published keys."""
    forms = [parse_qs(body.decode(), strict_parsing=True) for _, _, body in receiver.got]
    assert [[*form] for form in forms] == [["logout_token"]] * len(forms)
    tokens = [form["logout_token"][0] for form in forms]
    options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    read = [jwt.decode(token, KEYS[0].public_key(), ["RS256"], options=options) for token in tokens]
    return [jwt.get_unverified_header(token) for token in tokens], read


def test_a_token_names_the_session_alone(telling, receiver, clock):
    """With its user beside it, receivers end every device of the user."""
    assert deliver(telling("logout", BACKCHANNEL_LOGOUT_CLIENT_IDS="chat"), event())
    [header], [claims] = tokens_in(receiver)
    [key] = telling("logout").app.extensions["keyrack"].signing.jwks["keys"]
    assert header == {"alg": "RS256", "typ": "logout+jwt", "kid": key["kid"]}
    assert claims == {
        "iss": ISSUER,
        "aud": "chat",
        "iat": int(clock()),
        "exp": int(clock()) + 120,
        "jti": EVENT_ID,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        "sid": HASH,
    }
    line, headers, _ = receiver.got[0]
    assert line == "POST /told?from=keyrack HTTP/1.1"  # a query is kept
    assert headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("issuer", ["https://keys.example.com/", "https://keys.example.com/realms/a"])
def test_the_issuer_is_to_the_letter(telling, receiver, issuer):
    deliver(telling("logout", ISSUER=issuer), event())
    assert tokens_in(receiver)[1][0]["iss"] == issuer


def test_without_a_client_id_a_token_is_for_the_url(telling, receiver):
    deliver(telling("logout"), event())
    assert tokens_in(receiver)[1][0]["aud"] == receiver.url


def test_a_session_is_named_by_each_hash_that_it_had(telling, receiver):
    """A receiver has noted the one of the time when its user signed in there."""
    deliver(telling("logout"), event(former_auth_session_id_hashes=[FIRST_HASH, SECOND_HASH]))
    claims = tokens_in(receiver)[1]
    assert [one["sid"] for one in claims] == [HASH, SECOND_HASH, FIRST_HASH]
    assert [one["jti"] for one in claims] == [EVENT_ID, f"{EVENT_ID}.1", f"{EVENT_ID}.2"]
    assert receiver.connections == 1


def test_each_session_that_ended_has_a_token_of_its_own(telling, receiver):
    delivering = telling("logout")
    delivering.queue.put(event(), "7")
    delivering.queue.put(event(id="evt_0123456789abcdef01234567_2", auth_session_id_hash=FIRST_HASH), "7")
    delivering.make_worker().deliver_due(threading.Event())
    claims = tokens_in(receiver)[1]
    assert [(one["sid"], one["jti"][-2:]) for one in claims] == [(HASH, "_1"), (FIRST_HASH, "_2")]


def test_each_attempt_has_its_own_time_and_the_same_id(telling, receiver, clock):
    """An `exp` that has passed would be refused; by `jti` a receiver knows what it had already."""
    receiver.answers = [says(400), says(502)]
    delivering = telling("logout")
    delivering.queue.put(event(), "7")
    worker = delivering.make_worker()
    for _ in range(3):
        worker.deliver_due(threading.Event())
        clock.advance(500)
    claims = tokens_in(receiver)[1]
    assert [one["jti"] for one in claims] == [EVENT_ID] * 3
    assert [one["exp"] - one["iat"] for one in claims] == [120] * 3
    assert [later["iat"] - former["iat"] for former, later in itertools.pairwise(claims)] == [500, 500]


def test_a_test_is_a_token_for_a_session_that_nobody_has(telling, receiver):
    delivering = telling("logout")
    ids = [delivering.send_test().event_id for _ in range(2)]
    claims = tokens_in(receiver)[1]
    assert [one["jti"] for one in claims] == ids
    assert len({one["sid"] for one in claims}) == 2
    assert {"sub", "nonce"}.isdisjoint(claims[0])


def test_an_event_of_no_session_is_dead_at_once(telling, receiver):
    delivering = telling("logout")
    deliver(delivering, event("user.deleted"))
    deliver(delivering, b"no JSON")
    assert receiver.got == []
    assert [one.failure for one in delivering.queue.dead(9)] == ["it names no session"] * 2
