"""`flask doctor` against gunicorn: its canary passes a good gateway, catches a bad one, and leaves nobody behind."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from app import create_app
from app.config import load_settings
from app.routes import API
from app.stores.keys import unprefixed as keys
from tests.conftest import ENVIRONMENT
from tests.live.server import ROOT, Service
from tests.servers import wait_until


@contextmanager
def gateway(service, answer=None):
    """A way to the service; answer: what it does with a request, given how it would pass it on.

    At the end none is under way any more: one that reached the service later would leave its keys to other tests.
    """
    under_way = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self):
            under_way.add(self)
            try:
                self._answer()
            finally:
                under_way.discard(self)

        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name not in ("Host", "X-Forwarded-For")}

            def ask():
                headers["X-Forwarded-For"] = "203.0.113.9"
                answered = requests.request(
                    self.command, service.url + self.path, data=body, headers=headers, timeout=30
                )
                return answered.status_code, answered.content

            status, content = answer(self, ask) if answer else ask()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError):  # who asked may be gone
                self.wfile.write(content)

        do_GET = do_POST = _pass_on  # noqa: N815 - as http.server calls them

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        wait_until(lambda: not under_way, "a request is under way still")
        server.server_close()


def remembers_yes(fresh_alone):
    """A gateway that asks once for each token, and forgets with each connection or never."""
    remembered = {}

    def answer(request, ask):
        caller = (request.path, request.headers.get("Authorization"), request.client_address if fresh_alone else "")
        if request.command != "GET" or caller not in remembered:
            status, content = ask()
            if status != 200 or request.command != "GET":
                return status, content
            remembered[caller] = status, content
        return remembered[caller]

    return answer


@pytest.fixture
def examine(real_redis):
    """Runs the doctor; what it found, by check, and how it ended."""

    def run(*args, **environment):
        app = create_app(load_settings(ENVIRONMENT | {"SMTP_URL": ""} | environment), real_redis)
        ran = app.test_cli_runner().invoke(args=["doctor", "--json", *args])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exc_info
        found = [json.loads(line) for line in ran.stdout.splitlines()]
        return {finding["check"]: finding for finding in found}, ran.exit_code

    return run


def test_a_good_gateway_passes_and_nobody_is_left(service, examine, real_redis):
    with gateway(service) as url:
        found, exit_code = examine("--through", url, PUBLIC_URL="")
    assert found["gateway"]["level"] == "warn", found["gateway"]
    assert (
        "--path" in found["gateway"]["advice"]
    )  # what asks Keyrack itself alone says nothing of the gateway's question
    assert exit_code == 5  # this Redis keeps its data in memory alone, and the tests' secret could be guessed
    assert {name for name, finding in found.items() if finding["level"] == "fail"} == {"secret keys", "persistence"}
    left = [key for key in real_redis.scan_iter() if not key.endswith(("/minute", "/hour"))]
    assert set(left) <= {keys.leases}  # the service's workers hold some


@pytest.mark.parametrize("fresh_alone", [False, True])
def test_a_gateway_that_remembers_a_yes_is_caught(service, examine, real_redis, fresh_alone):
    """One that remembers for everybody, and one that remembers for as long as a connection is open."""
    with gateway(service, remembers_yes(fresh_alone)) as url:
        found, exit_code = examine("--through", url)
    assert (found["gateway"]["level"], exit_code) == ("fail", 5)
    assert "after its end" in found["gateway"]["said"]
    assert not list(real_redis.scan_iter(match="user:*"))


def test_a_path_of_the_application_is_tried_too(service, examine):
    """Where the gateway asks Keyrack right, but remembers for what is behind it."""

    def answer(request, ask):
        return (200, b"{}") if request.path == "/wiki" else ask()

    with gateway(service, answer) as url:
        assert examine("--through", url)[0]["gateway"]["level"] == "warn"
        own = f"{API}/auth/sessions"
        assert examine("--through", url, "--path", own)[0]["gateway"]["level"] == "ok"
        found, _ = examine("--through", url, "--path", "/wiki")
        assert "/wiki" in found["gateway"]["said"]
        assert found["gateway"]["level"] == "fail"
        refused, _ = examine("--through", url, "--path", "/nowhere")
        assert "refuses a user who is signed in, at /nowhere" in refused["gateway"]["said"]


@pytest.mark.parametrize("answer", [lambda *_: (502, b"oops"), lambda *_: (200, b"<html>"), lambda *_: (200, b"[]")])
def test_whatever_a_gateway_answers_nobody_is_left(service, examine, real_redis, answer):
    with gateway(service, answer) as url:
        found, exit_code = examine("--through", url)
    assert (found["gateway"]["level"], exit_code) == ("fail", 5)
    assert not list(real_redis.scan_iter(match="user:*"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://example.com", "nonsense", "http://127.0.0.1:x"])
def test_no_gateway_at_all(examine, real_redis, url):
    found, exit_code = examine("--through", url)
    assert (found["gateway"]["level"], exit_code) == ("fail", 5)
    assert not list(real_redis.scan_iter(match="user:*"))


def test_the_address_that_is_seen(live_server, examine):
    """Through a proxy that is trusted its word counts; through one that is not all callers are the proxy."""
    for trusted, level, seen in [("127.0.0.1", "ok", "203.0.113.9"), ("", "warn", "127.0.0.1")]:
        service = Service(live_server.url, TRUSTED_PROXIES=trusted, WEB_CONCURRENCY="1")
        with gateway(service) as url:
            found, _ = examine(PUBLIC_URL=url, TRUSTED_PROXIES=trusted)
        service.close()
        assert found["address"]["level"] == level, found["address"]
        assert f"seen as from {seen}" in found["address"]["said"]


def test_a_doctor_who_is_sent_away_leaves_nobody(service, live_server, real_redis):
    """SIGTERM while the gateway hangs."""
    reached, over = threading.Event(), threading.Event()

    def answer(request, ask):
        reached.set()
        over.wait(20)
        return ask()

    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = kept | ENVIRONMENT | {"REDIS_URL": live_server.url, "SMTP_URL": "", "PUBLIC_URL": ""}
    with gateway(service, answer) as url:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor", "--through", url]
        doctor = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert reached.wait(20)
        assert list(real_redis.scan_iter(match="user:*"))
        doctor.send_signal(signal.SIGTERM)
        _, told = doctor.communicate(timeout=20)
        over.set()
    assert (doctor.returncode, told.splitlines()[-1]) == (4, b"Error: Stopped.")
    assert not list(real_redis.scan_iter(match="user:*"))


@pytest.fixture
def start_log():
    """Starts gunicorn on a Redis; what its log said by the time that it served."""

    def start(redis_url, **environment):
        service = Service(redis_url, **environment)
        log = service.logged()
        service.close()
        return log

    return start


def test_the_log_at_start_says_what_is_wrong(live_server, start_log):
    """Once, however many workers there are."""
    log = start_log(live_server.url, WEB_CONCURRENCY="3")
    assert log.count("Redis keeps its data in memory alone") == 1
    assert log.count("SECRET_KEYS could be guessed") == 1
    assert ENVIRONMENT["SECRET_KEYS"] not in log


def test_redis_away_does_not_keep_it_from_starting(start_log):
    assert start_log("redis://127.0.0.1:1", WEB_CONCURRENCY="1").count("Redis cannot be asked") == 1


def test_a_good_setup_is_silent(live_server, real_redis, start_log):
    real_redis.config_set("appendonly", "yes")
    try:
        log = start_log(live_server.url, SECRET_KEYS="wJ0cR4k9ZpQx7tLm2vBn8sHd5fGy3uEa", WEB_CONCURRENCY="1")
    finally:
        real_redis.config_set("appendonly", "no")
    assert '"level":"warning"' not in log
