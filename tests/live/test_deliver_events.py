"""`flask deliver-events` as ops run it: started, stopped and killed, on a real Redis and a real receiver."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.receivers.receiver import Receiver
from app.stores.connection.connect import from_redis_py
from app.stores.events import event_queue
from app.stores.jobs import JobQueue
from app.stores.keys import unprefixed as keys
from tests.conftest import ENVIRONMENT
from tests.live.server import ROOT, Service
from tests.queues import left
from tests.receivers.conftest import WHSEC
from tests.servers import wait_until


class Hook:
    """A receiver on loopback; it answers 204, late if it is told to."""

    def __init__(self):
        self.got = []  # the id, and the event, in the order in which they came
        self.late_s = 0.0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.headers["webhook-id"], json.loads(body)))
                time.sleep(hook.late_s)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def types(self):
        return [event["type"] for _, event in self.got]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook():
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture
def deliver(live_server):
    """Starts `flask deliver-events`; what is still running at the end is killed."""
    running = []

    def start(*options, redis_url=live_server.url, **settings):
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **ENVIRONMENT,
            **{"REDIS_URL": redis_url, "WEBHOOK_SECRETS": WHSEC[0]},
            **settings,
        }
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "deliver-events", *options]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finished(process) -> tuple[int, str]:
    """Its exit code and what it said."""
    _, said = process.communicate(timeout=30)
    return process.returncode, said


def queue_of(redis, hook):
    return JobQueue(from_redis_py(redis), event_queue(keys, Receiver("webhook", hook.url).id), bytes)


def test_an_ending_is_at_the_receiver_at_once(live_server, hook, deliver):
    """From a log out over the queue to the webhook, without a pause that somebody would notice."""
    service = Service(live_server.url, WEBHOOK_URLS=hook.url, WEBHOOK_SECRETS=WHSEC[0])
    worker = deliver(WEBHOOK_URLS=hook.url)
    try:
        alice = service.device().register("alice@example.com")
        wait_until(lambda: hook.types == ["user.created", "AUTH_SESSION_CREATE"], "it was not told", within_s=30)
        began = time.monotonic()
        alice.post("/auth/logout")
        wait_until(lambda: hook.types[2:] == ["AUTH_SESSION_REMOVE"], "it was not told", within_s=10)
        assert time.monotonic() - began < 2
        worker.send_signal(signal.SIGTERM)
        code, said = finished(worker)
        assert code == 0
        assert "alice" not in said
    finally:
        service.close()


def test_killed_in_the_middle_again_and_again_it_loses_nothing_and_keeps_the_order(real_redis, hook, deliver):
    """What comes twice has the same id."""
    queue = queue_of(real_redis, hook)
    expected = defaultdict(list)
    for number in range(400):
        user_id = str(number % 40)
        expected[user_id].append(f"evt_{number}")
        text = {"id": f"evt_{number}", "type": "test", "user_id": user_id, "at": "2025-12-01T00:00:00+00:00"}
        queue.put(json.dumps(text).encode(), user_id)
    hook.late_s = 0.02
    for told in (50, 150, 250):
        worker = deliver(WEBHOOK_URLS=hook.url)
        wait_until(lambda told=told: len(hook.got) >= told, "it does not go on", within_s=30)
        worker.kill()
        users = real_redis.zrange(queue.queue.keys.due, 0, -1)
        real_redis.zadd(queue.queue.keys.due, dict.fromkeys(users, 0))  # as when the holds are over
    code, _ = finished(deliver("--once", WEBHOOK_URLS=hook.url))
    assert code == 0
    assert left(real_redis, queue.queue.keys) == (0, 0, 0)
    first_told = defaultdict(list)
    for event_id, event in hook.got:
        if event_id not in first_told[event["user_id"]]:
            first_told[event["user_id"]].append(event_id)
    assert first_told == expected


def test_once_says_so_when_not_all_was_delivered(real_redis, hook, deliver):
    queue = queue_of(real_redis, hook)
    queue.put(b'{"id":"evt_1","type":"test","user_id":"7","at":"2025-12-01T00:00:00+00:00"}', "7")
    hook.close()
    code, said = finished(deliver("--once", WEBHOOK_URLS=hook.url))
    assert code == 1
    assert "not all that is due was delivered" in said
    assert "is away, events wait: no connection" in said


def test_without_a_receiver_it_says_what_to_set(deliver):
    code, said = finished(deliver())
    assert code == 2
    assert "set WEBHOOK_URLS, BACKCHANNEL_LOGOUT_URLS or SSF_PUSH_URLS" in said
