"""The figures: each thing that happens is counted once, under labels that no client can make up."""

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import create_app
from app.config import load_settings
from app.errors import Unavailable
from app.rules.hash_queue import HashQueue
from app.stores.connection.connect import connect
from app.watch import metrics
from tests import lanes
from tests.conftest import ENVIRONMENT
from tests.servers import wait_until

SECRET = "what Prometheus shows"
VERIFIED = {"route": "/gateway/verify", "method": "any", "status": "200"}


def figures(text):
    """Every figure by its name and labels, as in ("keyrack_x_total", frozenset({("kind", "late")}))."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


class Growth:
    """What was added to each figure since it was made."""

    def __init__(self):
        self._before = figures(metrics.render().decode())

    def __call__(self, name, **labels):
        key = (f"keyrack_{name}", frozenset(labels.items()))
        return figures(metrics.render().decode()).get(key, 0) - self._before.get(key, 0)


@pytest.fixture(autouse=True)
def _checks_are_asked_once(monkeypatch):
    """Elsewhere the tests' client asks each check in both lanes."""
    monkeypatch.setattr(lanes, "compare", lambda app, answer: None)


@pytest.fixture
def growth():
    return Growth()


@pytest.fixture
def client(make_app):
    return make_app(METRICS_SECRET=SECRET).test_client()


def test_metrics_ask_for_a_secret_of_their_own(client, app):
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer something else"}).status_code == 401
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {SECRET}"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "keyrack_request_seconds_bucket" in answer.text
    assert app.test_client().get("/metrics").status_code == 404, "without a secret they are not there"


def test_a_session_shows_no_metrics(alice, client):
    assert client.get("/metrics", headers={"Authorization": f"Bearer {alice.token}"}).status_code == 401


def test_requests_count_by_route_method_and_status(alice, growth):
    """verify, which Flask does not see, among them."""
    alice.get("/auth/sessions")
    alice.get("/gateway/verify")
    alice.get("/gateway/verify", Authorization="none")
    counted = "request_seconds_count"
    assert growth(counted, route="/api/v9/auth/sessions", method="GET", status="200") == 1
    assert growth(counted, route="/gateway/verify", method="any", status="200") == 1
    assert growth(counted, route="/gateway/verify", method="any", status="401") == 1


def test_a_check_counts_by_who_answered(alice, growth):
    alice.get("/gateway/verify")
    alice.get("/auth/sessions")
    assert growth("verify_total", lane="thread") == 1


def in_buckets(growth):
    bounds = ("0.001", "0.0025", "0.005", "0.01", "0.025", "5.0", "15.0", "+Inf")
    return {bound: growth("request_seconds_bucket", le=bound, **VERIFIED) for bound in bounds}


def test_the_loop_counts_as_the_library_does(growth):
    """A time that is a bucket's longest is in that bucket, and one that is longer than all in the last."""
    times = [0, 0.0009, 0.001, 0.00100001, 0.0025, 0.005, 0.02, 15, 15.1, 1000]
    for seconds in times:
        metrics.CHECK_COUNTS.count("memory", seconds)
    counted, total_s = in_buckets(growth), growth("request_seconds_sum", **VERIFIED)
    again = Growth()
    for seconds in times:
        metrics.request_seconds(*VERIFIED.values()).observe(seconds)
    assert counted == in_buckets(again)
    assert total_s == pytest.approx(again("request_seconds_sum", **VERIFIED)) == pytest.approx(sum(times))
    assert (growth("verify_total", lane="memory"), growth("verify_total", lane="loop")) == (len(times), 0)


def test_nothing_that_the_loop_counts_is_lost_or_counted_twice(growth):
    """Whichever threads pass it on, and whenever."""
    is_over = threading.Event()

    def pass_on():
        while not is_over.is_set():
            metrics.CHECK_COUNTS.pass_on()

    threads = [threading.Thread(target=pass_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20_000):
        metrics.CHECK_COUNTS.count("loop", 0.25)
    is_over.set()
    for thread in threads:
        thread.join()
    assert growth("verify_total", lane="loop") == 20_000
    assert growth("request_seconds_count", **VERIFIED) == 20_000
    assert growth("request_seconds_sum", **VERIFIED) == 5_000


def test_what_clients_make_up_is_one_label(app, alice, growth):
    client = app.test_client()
    for number in range(3):
        client.get(f"/made/up/{number}")
        client.open("/api/v9/auth/sessions", method=f"MADEUP{number}")
        client.open("/gateway/verify", method=f"MADEUP{number}")
        client.delete(f"/me/sessions/{number}")
    counted = "request_seconds_count"
    assert growth(counted, route="other", method="other", status="404") == 3
    assert growth(counted, route="other", method="other", status="405") == 3
    assert growth(counted, route="/gateway/verify", method="any", status="401") == 3
    assert growth(counted, route="/me/sessions/<any_text:session_id>", method="DELETE", status="401") == 3
    assert "MADEUP" not in metrics.render().decode()
    assert alice.user_id not in metrics.render().decode()


def test_one_trip_to_redis_in_sixteen_is_measured(alice, growth):
    for _ in range(32):
        alice.get("/gateway/verify")
    assert growth("redis_seconds_count") == 2


def test_a_request_that_redis_fails_is_an_error_of_redis(growth):
    client = create_app(load_settings(ENVIRONMENT), connect("redis://127.0.0.1:1")).test_client()
    token = "MQ.aaaaaa." + "a" * 43
    assert client.get("/gateway/verify", headers={"Authorization": token}).status_code == 503
    assert client.get("/readyz").status_code == 503
    assert growth("redis_errors_total", kind="away") == 2


class Turnstile:
    """Work that begins when its turn comes and ends when it may."""

    def __init__(self):
        self.may_end = threading.Event()

    def __call__(self):
        assert self.may_end.wait(10)
        return "done"


def test_password_hashes_count_as_they_wait_run_and_are_refused(growth):
    queue, work = HashQueue(concurrency=1, queue=1), Turnstile()
    hashing = [threading.Thread(target=queue.run, args=(work,)) for _ in range(2)]
    for thread in hashing:
        thread.start()
    wait_until(lambda: (growth("bcrypt_running"), growth("bcrypt_waiting")) == (1, 1), "one does not run, one wait")
    with pytest.raises(Unavailable):
        queue.run(work)
    work.may_end.set()
    for thread in hashing:
        thread.join(10)
    assert (growth("bcrypt_running"), growth("bcrypt_waiting")) == (0, 0)
    assert growth("bcrypt_refused_total") == 1
    assert growth("bcrypt_seconds_count") == growth("bcrypt_wait_seconds_count") == 2
