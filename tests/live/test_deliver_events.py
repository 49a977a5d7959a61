"""`flask deliver-events` as ops run it: started, stopped and killed, on a real Redis and a real receiver."""

import json
import signal
import time
from collections import defaultdict

import pytest

from app.receivers.receiver import Receiver
from app.stores.connection.connect import from_redis_py
from app.stores.events import event_queue
from app.stores.jobs import JobQueue
from app.stores.keys import unprefixed as keys
from tests.live.server import Service, finished
from tests.queues import left
from tests.receivers.conftest import WHSEC
from tests.receivers.conftest import Receiver as TellingReceiver
from tests.servers import wait_until


@pytest.fixture
def receiver():
    receiver = TellingReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def deliver(start_command):
    """Starts `flask deliver-events`."""
    return lambda *options, **settings: start_command(
        "deliver-events", *options, **{"WEBHOOK_SECRETS": WHSEC[0], **settings}
    )


def events_of(receiver):
    return [json.loads(body) for _, _, body in receiver.got]


def types_of(receiver):
    return [event["type"] for event in events_of(receiver)]


def queue_of(redis, receiver):
    return JobQueue(from_redis_py(redis), event_queue(keys, Receiver("webhook", receiver.url).id), bytes)


def test_an_ending_is_at_the_receiver_at_once(live_server, receiver, deliver):
    """From a log out over the queue to the webhook, without a pause that somebody would notice."""
    service = Service(live_server.url, WEBHOOK_URLS=receiver.url, WEBHOOK_SECRETS=WHSEC[0])
    worker = deliver(WEBHOOK_URLS=receiver.url)
    try:
        alice = service.device().register("alice@example.com")
        wait_until(
            lambda: types_of(receiver) == ["user.created", "AUTH_SESSION_CREATE"], "it was not told", within_s=30
        )
        began = time.monotonic()
        alice.post("/auth/logout")
        wait_until(lambda: types_of(receiver)[2:] == ["AUTH_SESSION_REMOVE"], "it was not told", within_s=10)
        assert time.monotonic() - began < 2
        worker.send_signal(signal.SIGTERM)
        code, said = finished(worker)
        assert code == 0
        assert "alice" not in said
    finally:
        service.close()


def test_killed_in_the_middle_again_and_again_it_loses_nothing_and_keeps_the_order(real_redis, receiver, deliver):
    """What comes twice has the same id."""
    queue = queue_of(real_redis, receiver)
    expected = defaultdict(list)
    for number in range(1500):
        user_id = str(number % 40)
        expected[user_id].append(f"evt_{number}")
        text = {"id": f"evt_{number}", "type": "test", "user_id": user_id, "at": "2025-12-01T00:00:00+00:00"}
        queue.put(json.dumps(text).encode(), user_id)
    for told in (50, 400, 800):
        worker = deliver(WEBHOOK_URLS=receiver.url)
        wait_until(lambda told=told: len(receiver.got) >= told, "it does not go on", within_s=30)
        worker.kill()
        users = real_redis.zrange(queue.queue.keys.due, 0, -1)
        real_redis.zadd(queue.queue.keys.due, dict.fromkeys(users, 0))  # as when the holds are over
    code, _ = finished(deliver("--once", WEBHOOK_URLS=receiver.url))
    assert code == 0
    assert left(real_redis, queue.queue.keys) == (0, 0, 0)
    first_told = defaultdict(list)
    for event in events_of(receiver):
        if event["id"] not in first_told[event["user_id"]]:
            first_told[event["user_id"]].append(event["id"])
    assert first_told == expected


def test_once_says_so_when_not_all_was_delivered(real_redis, deliver):
    receiver = TellingReceiver()
    receiver.close()
    queue = queue_of(real_redis, receiver)
    queue.put(b'{"id":"evt_1","type":"test","user_id":"7","at":"2025-12-01T00:00:00+00:00"}', "7")
    code, said = finished(deliver("--once", WEBHOOK_URLS=receiver.url))
    assert code == 1
    assert "not all that is due was delivered" in said
    assert "is away, events wait: no connection" in said


def test_without_a_receiver_it_says_what_to_set(deliver):
    code, said = finished(deliver())
    assert code == 2
    assert "set WEBHOOK_URLS, BACKCHANNEL_LOGOUT_URLS or SSF_PUSH_URLS" in said
