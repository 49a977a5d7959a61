"""Webhooks are signed as Standard Webhooks has it: the libraries of receivers find each signature right."""

import base64
import hashlib
import hmac
import itertools
import json
import threading

import pytest
import standardwebhooks
import svix

from tests.receivers.conftest import EVENT_ID, SECRETS, WHSEC, event, says

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)

BODIES = [
    event(),
    event("authenticator.created", authenticator={"id": "1", "type": 1, "name": "Zoës Schlüssel"}),
    event()[:-1] + b', "n":1.0,  "spaced" : true }',
]


def deliver(delivering, body, receiver, user_id="7"):
    """Deliver one event. Return the headers and the body that the receiver got last."""
    delivering.queue.put(body, user_id)
    assert delivering.make_worker().deliver_due(threading.Event())
    return receiver.got[-1][1:]


def freeze(monkeypatch, clock, offset=0):
    """Let both libraries' clocks tell the time of the test."""
    standard = standardwebhooks.webhooks

    class Now(standard.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(clock() + offset, tz)

    monkeypatch.setattr(standard, "datetime", Now)


@pytest.mark.parametrize("body", BODIES, ids=["a session", "a name with ë", "text of another form"])
def test_the_body_is_the_text_of_the_queue_to_the_byte(telling, receiver, body):
    """It is signed as it stands there, and never written anew."""
    headers, got = deliver(telling("webhook"), body, receiver)
    assert got == body
    assert receiver.got[-1][0] == "POST /told?from=keyrack HTTP/1.1"
    assert headers["content-type"] == "application/json"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + got
    signature = base64.b64encode(hmac.new(SECRETS[0], signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert headers["webhook-id"] == EVENT_ID == json.loads(got)["id"]


@pytest.mark.parametrize("body", BODIES, ids=["a session", "a name with ë", "text of another form"])
@pytest.mark.parametrize("secrets", [WHSEC[:1], WHSEC, WHSEC[::-1]], ids=["one", "two", "two the other way"])
@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
@pytest.mark.parametrize("prefix", ["whsec_", ""])
def test_libraries_find_the_signature_right(telling, receiver, body, secrets, library, prefix):
    """With each of the secrets, with and without whsec_."""
    headers, got = deliver(telling("webhook", WEBHOOK_SECRETS=",".join(secrets)), body, receiver)
    for secret in secrets:
        library(secret.replace("whsec_", prefix)).verify(got, headers)
    with pytest.raises(Exception, match="No matching signature"):
        library("whsec_" + base64.b64encode(bytes(32)).decode()).verify(got, headers)
    with pytest.raises(Exception, match="No matching signature"):
        library(secrets[0]).verify(got + b" ", headers)


def test_a_secret_in_hex_is_the_same_to_libraries(telling, receiver):
    secret = "0123456789abcdef" * 4
    headers, got = deliver(telling("webhook", WEBHOOK_SECRETS=secret), event(), receiver)
    standardwebhooks.Webhook(secret).verify(got, headers)
    svix.Webhook(secret).verify(got, headers)


def test_two_secrets_are_two_signatures_in_one_header(telling, receiver):
    """The newest first, with one space between: readers in Python stumble over two, or one at the end."""
    headers, got = deliver(telling("webhook", WEBHOOK_SECRETS=",".join(WHSEC)), event(), receiver)
    signed = f"{EVENT_ID}.{headers['webhook-timestamp']}.".encode() + got
    expected = [base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode() for secret in SECRETS]
    assert headers["webhook-signature"] == f"v1,{expected[0]} v1,{expected[1]}"


def test_the_timestamp_is_of_whole_seconds(telling, receiver, clock):
    clock.now = int(clock.now) + 0.75
    headers, _ = deliver(telling("webhook"), event(), receiver)
    assert headers["webhook-timestamp"] == str(int(clock.now))


def test_each_attempt_is_signed_anew_under_the_same_id(telling, receiver, clock):
    """Receivers refuse a signature of more than five minutes ago."""
    receiver.answers = [says(500), says(500)]
    delivering = telling("webhook")
    delivering.queue.put(event(), "7")
    worker = delivering.make_worker()
    for _ in range(3):
        worker.deliver_due(threading.Event())
        clock.advance(400)
    assert len(receiver.got) == 3
    assert [headers["webhook-id"] for _, headers, _ in receiver.got] == [EVENT_ID] * 3
    assert [body for _, _, body in receiver.got] == [event()] * 3
    stamps = [int(headers["webhook-timestamp"]) for _, headers, _ in receiver.got]
    assert [later - former for former, later in itertools.pairwise(stamps)] == [400, 400]
    assert len({headers["webhook-signature"] for _, headers, _ in receiver.got}) == 3


@pytest.mark.parametrize(("off_s", "is_right"), [(299, True), (301, False), (-299, True), (-301, False)])
def test_a_library_refuses_what_is_older_or_newer_than_five_minutes(
    telling, receiver, clock, monkeypatch, off_s, is_right
):
    """So an attempt that kept the signature of the first one would be refused."""
    clock.now = float(int(clock.now))
    headers, got = deliver(telling("webhook"), event(), receiver)
    freeze(monkeypatch, clock, off_s)
    hook = standardwebhooks.Webhook(WHSEC[0])
    if is_right:
        hook.verify(got, headers)
    else:
        with pytest.raises(standardwebhooks.WebhookVerificationError, match="timestamp"):
            hook.verify(got, headers)


def test_a_receiver_that_asks_for_svix_headers_gets_those_alone(telling, receiver):
    headers, got = deliver(telling("webhook", WEBHOOK_HEADERS="svix"), event(), receiver)
    assert [name for name in headers if name.startswith(("svix-", "webhook-"))] == [
        "svix-id",
        "svix-timestamp",
        "svix-signature",
    ]
    svix.Webhook(WHSEC[0]).verify(got, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(WHSEC[0]).verify(got, headers)


def test_a_test_is_an_event_of_its_own_type(telling, receiver):
    """Of no user, and never in the queue."""
    delivering = telling("webhook")
    event_id = delivering.send_test().event_id
    _, headers, body = receiver.got[0]
    assert set(standardwebhooks.Webhook(WHSEC[0]).verify(body, headers)) == {"id", "type", "at"}
    assert (json.loads(body)["id"], json.loads(body)["type"]) == (event_id, "test")
    assert delivering.queue.status().waiting == 0
