"""Security event tokens, held against RFC 8417, RFC 8935, SSF 1.0 and CAEP 1.0 by tests/receivers/sets.py."""

import threading

import pytest

from tests.receivers import sets
from tests.receivers.conftest import AT_S, EVENT_ID, FIRST_HASH, HASH, ISSUER, SECOND_HASH, event, says

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)

USER = {"format": "iss_sub", "iss": ISSUER, "sub": "7"}


def deliver(delivering, *bodies):
    for body in bodies:
        delivering.queue.put(body, "7")
    return delivering.make_worker().deliver_due(threading.Event())


def sets_in(receiver, delivering):
    """The claims of all that the receiver got, read as a receiver would: by the published keys."""
    jwks = delivering.app.test_client().get("/.well-known/jwks.json").json
    audience = delivering.receiver.audience
    return [sets.read(body, jwks, ISSUER, audience) for _, _, body in receiver.got]


def test_an_ending_is_session_revoked(telling, receiver):
    delivering = telling("ssf", SSF_PUSH_AUDIENCES="https://chat.example.com", SSF_PUSH_TOKENS="a-token=")
    deliver(delivering, event())
    assert sets_in(receiver, delivering) == [
        {
            "iss": ISSUER,
            "aud": "https://chat.example.com",
            "jti": EVENT_ID,
            "iat": AT_S,
            "txn": EVENT_ID.removesuffix("_1"),
            "sub_id": {"format": "complex", "user": USER, "session": {"format": "opaque", "id": HASH}},
            "events": {
                f"{sets.CAEP}session-revoked": {
                    "event_timestamp": AT_S,
                    "initiating_entity": "user",
                    "reason_admin": {"en": "The user logged out."},
                }
            },
        }
    ]
    line, headers, _ = receiver.got[0]
    assert line == "POST /told?from=keyrack HTTP/1.1"
    told = {name: headers[name] for name in ("content-type", "accept", "authorization")}
    assert told == {
        "content-type": "application/secevent+jwt",
        "accept": "application/json",
        "authorization": "Bearer a-token=",
    }


def test_without_a_token_nothing_is_authorized(telling, receiver):
    deliver(telling("ssf"), event())
    assert "authorization" not in receiver.got[0][1]


@pytest.mark.parametrize(
    ("reason", "entity"),
    [
        *((reason, "user") for reason in ("logout", "revoked", "password_change", "mfa_change")),
        *(("evicted", "policy"), ("expired", "policy"), ("admin", "admin"), ("of a later release", "user")),
    ],
)
def test_each_reason_of_an_ending_is_said_in_words(telling, receiver, reason, entity):
    """reason_admin must not be empty."""
    delivering = telling("ssf")
    deliver(delivering, event(reason=reason))
    [claims] = sets_in(receiver, delivering)
    told = claims["events"][f"{sets.CAEP}session-revoked"]
    assert told["initiating_entity"] == entity
    assert len(told["reason_admin"]["en"]) > 10


def test_a_session_keeps_the_name_that_it_was_established_under(telling, receiver):
    """By its first hash, whatever its hash is by then: so a receiver finds what it has noted."""
    delivering = telling("ssf")
    began = event("AUTH_SESSION_CREATE", auth_session_id_hash=FIRST_HASH)
    deliver(delivering, began, event(former_auth_session_id_hashes=[FIRST_HASH, SECOND_HASH]))
    claims = sets_in(receiver, delivering)
    assert [kind.removeprefix(sets.CAEP) for one in claims for kind in one["events"]] == [
        "session-established",
        "session-revoked",
    ]
    assert [one["sub_id"]["session"]["id"] for one in claims] == [FIRST_HASH, FIRST_HASH]


@pytest.mark.parametrize(
    ("type", "fields", "credential", "change", "entity"),
    [
        ("credential.created", {"credential": "password", "by": "link"}, "password", "create", "user"),
        ("credential.updated", {"credential": "password", "by": "user"}, "password", "update", "user"),
        ("credential.created", {"credential": "totp", "by": "user"}, "app", "create", "user"),
        ("credential.deleted", {"credential": "totp", "by": "operator"}, "app", "delete", "admin"),
        ("credential.updated", {"credential": "backup_codes", "by": "user"}, "backup-codes", "update", "user"),
        ("authenticator.created", {}, "fido2-platform", "create", None),
        ("authenticator.updated", {}, "fido2-platform", "update", None),
        ("authenticator.deleted", {}, "fido2-platform", "delete", None),
    ],
)
def test_a_change_of_credentials_is_of_the_user(telling, receiver, type, fields, credential, change, entity):
    """It says which, not the name that its user has given it."""
    delivering = telling("ssf")
    if type.startswith("authenticator"):
        fields = {"authenticator": {"id": "1", "type": 1, "name": "Zoës Schlüssel"}}
    deliver(delivering, event(type, **fields))
    [claims] = sets_in(receiver, delivering)
    told = claims["events"][f"{sets.CAEP}credential-change"]
    assert claims["sub_id"] == USER
    assert (told["credential_type"], told["change_type"], told.get("initiating_entity")) == (credential, change, entity)
    assert "Schlüssel" not in str(claims)


def test_the_same_event_has_the_same_id_and_time_at_each_attempt(telling, receiver, clock):
    receiver.answers = [says(500), says(400, b'{"err": "invalid_key", "description": "unknown kid"}')]
    delivering = telling("ssf")
    delivering.queue.put(event(), "7")
    worker = delivering.make_worker()
    for _ in range(3):
        worker.deliver_due(threading.Event())
        clock.advance(90_000)
    assert len(receiver.got) == 3
    assert len({body for _, _, body in receiver.got}) == 1
    assert {claims["iat"] for claims in sets_in(receiver, delivering)} == {AT_S}


def test_a_verification_gives_the_state_back(telling, receiver, clock):
    delivering = telling("ssf")
    delivering._form.verification("evt_1", clock(), "what the receiver gave")  # signs without a fault
    event_id = delivering.send_test().event_id
    [claims] = sets_in(receiver, delivering)
    assert claims["events"] == {sets.VERIFICATION: {"state": event_id}}
    assert claims["sub_id"] == {"format": "opaque", "id": delivering.receiver.id}
    assert claims["jti"] == event_id


def test_what_caep_has_no_event_for_is_dead_at_once(telling, receiver):
    delivering = telling("ssf")
    bodies = [event("user.deleted"), event("credential.created", credential="smoke"), event("x.created"), b"[]", b"{"]
    deliver(delivering, *bodies)
    assert receiver.got == []
    assert [one.failure for one in delivering.queue.dead(9)] == ["it is no event for this receiver"] * len(bodies)
