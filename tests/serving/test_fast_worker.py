"""The worker's loop: what it answers itself, what it hands on with the same bytes, and what becomes of connections."""

import os
import selectors
import socket
import threading
import time
from contextlib import ExitStack, closing

import pytest
from fakeredis import FakeRedis, FakeServer
from gunicorn.glogging import Logger

from app.serving.fast_worker import is_plain
from app.serving.workers import Worker
from app.stores.connection.primary import Primary
from app.watch import metrics
from app.web import front
from tests.files import no_file_left
from tests.lanes import comparable, gunicorn_config
from tests.servers import wait_until


@pytest.fixture
def redis():
    """One store will do: what is asked of it is the same as in threads."""
    with FakeRedis(server=FakeServer(), decode_responses=True, protocol=2) as client:
        yield client


class Holder:
    """Tells what a test has put in it, and keeps the questions that the test is to answer."""

    def __init__(self, loop):
        self.loop = loop
        self.kept = {}
        self.finds = 0
        self.asked = []
        self.asks = True
        self.is_closed = self.fails = False

    def find(self, user_id, id_hash):
        self.finds += 1
        return self.kept.get(id_hash)

    def ask(self, user_id, id_hash, then):
        if self.asks:
            self.asked.append(then)
        return self.asks

    def tick(self):
        if self.fails:
            raise ArithmeticError
        return 1.0

    def close(self):
        self.is_closed = True
        for then in self.asked:
            then(None)


class Running:
    """A worker of gunicorn in a thread of this process."""

    def __init__(self, app, **settings):
        config = gunicorn_config()
        config.set("threads", 2)
        config.set("keepalive", 30)
        for name, value in settings.items():
            config.set(name, value)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.address = listener.getsockname()
        self.holder = None
        app.fast_lane.make_holder = self._make_holder
        self.worker = Worker(0, os.getppid(), [listener], None, 30, config, Logger(config))
        self.worker.wsgi = app
        self.worker.tpool = self.worker.get_thread_pool()
        self.worker.poller = selectors.DefaultSelector()
        self.worker.method_queue.init()
        self.failures = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self.worker.run()
        except BaseException as failure:
            self.failures.append(failure)
            raise

    def _make_holder(self, loop):
        self.holder = Holder(loop)
        return self.holder

    def connect(self):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(10)
        connection.connect(self.address)
        return closing(connection)

    def in_loop(self, function):
        """Call a function in the worker's loop, and wait for its end."""
        done = threading.Event()
        self.worker.method_queue.defer(lambda: (function(), done.set()))
        assert done.wait(10)

    def stop(self):
        self.worker.handle_exit(0, None)
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert self.failures == []
        self.worker.tpool.shutdown()
        self.worker.tmp.close()


@pytest.fixture
def run(app):
    running = []

    def run(**settings):
        running.append(Running(app, **settings))
        return running[-1]

    yield run
    for one in running:
        one.stop()


@pytest.fixture
def worker(run, alice):
    """One that has Alice's session in memory."""
    running = run()
    wait_until(lambda: running.holder, "the worker has no holder")
    running.holder.kept[alice.id_hash] = time.time()
    return running


@pytest.fixture
def check(alice):
    lines = ["GET /gateway/verify HTTP/1.1", "Host: a", f"Authorization: {alice.token}", "X-Request-Id: a"]
    return "\r\n".join([*lines, "", ""]).encode()


LIST = "GET /api/v9/auth/sessions HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n"


def receive(connection, count=1):
    """The next answers on a connection; fewer if it ends before."""
    raw, answers = b"", []
    while len(answers) < count:
        head, end, rest = raw.partition(b"\r\n\r\n")
        if end:
            [length] = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            if len(rest) >= length:
                answers.append(head + end + rest[:length])
                raw = rest[length:]
                continue
        part = connection.recv(65536)
        if not part:
            break
        raw += part
    assert raw == b""
    return answers


def was_fast(worker, function):
    """Whether no thread took a connection meanwhile."""
    handled = []
    handle = worker.worker.handle
    worker.worker.handle = lambda conn: (handled.append(conn), handle(conn))[1]
    function()
    worker.worker.handle = handle
    return not handled


def test_the_first_request_and_those_after_it_are_answered_in_the_loop(worker, check):
    with worker.connect() as connection:

        def ask():
            for _ in range(3):
                connection.sendall(check)
                [answer] = receive(connection)
                assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

        assert was_fast(worker, ask)
        assert len(worker.worker.keepalived_conns) == 1
        assert len(worker.worker.pending_conns) == 0


def test_threads_and_the_loop_take_turns_on_a_connection(worker, check, alice):
    """What the loop has read and does not answer, a thread reads."""
    ended = check.replace(b"Host: a", b"Host: a\r\nContent-Length: 3")
    with worker.connect() as connection:
        for _ in range(2):
            connection.sendall(LIST.format(alice.token).encode())
            assert b'{"user_sessions":' in receive(connection)[0]
            connection.sendall(check)
            fast = receive(connection)[0]
            connection.sendall(ended + b"abc")
            assert comparable(receive(connection)[0]) == comparable(fast)
            connection.sendall(check.replace(b"GET", b"POST") + check)
            assert list(map(comparable, receive(connection, 2))) == [comparable(fast)] * 2


@pytest.mark.parametrize("at", [1, 20, 60, -1])
def test_a_head_in_pieces_is_answered(worker, check, at):
    with worker.connect() as connection:
        for _ in range(2):
            connection.sendall(check[:at])
            wait_until(worker.worker.tpool._work_queue.empty, "the piece was not read")
            time.sleep(0.05)
            connection.sendall(check[at:])
            assert receive(connection)[0].startswith(b"HTTP/1.1 200 OK\r\n")


def test_many_requests_in_one_packet_are_all_answered(worker, check):
    with worker.connect() as connection:
        for _ in range(2):
            connection.sendall(check * 10)
            assert len(receive(connection, 10)) == 10


def test_a_client_that_takes_its_answers_late_gets_them_whole(worker, check):
    """A thread waits for it. The loop answers others meanwhile."""
    with worker.connect() as slow, worker.connect() as other:
        sent, before = 0, -1
        while worker.worker.keepalived_conns or not sent:  # it leaves the loop
            if worker.holder.finds > before:
                before = worker.holder.finds
                slow.sendall(check)
                sent += 1
        other.sendall(check)
        assert receive(other)[0].startswith(b"HTTP/1.1 200 OK\r\n")
        answers = receive(slow, sent)
        assert {comparable(answer) for answer in answers} == {comparable(answers[0])}
        slow.sendall(check)
        assert receive(slow)


def test_a_client_that_hangs_up_costs_nothing(worker, check):
    for first in (b"", check):
        with worker.connect() as connection:
            connection.sendall(first)
            if first:
                receive(connection)
            wait_until(lambda: worker.worker.nr_conns == 1, "the connection was not accepted")
        wait_until(lambda: worker.worker.nr_conns == 0, "the connection is still there")
    assert not worker.worker.keepalived_conns
    assert not worker.worker.pending_conns


def ask_unknown(worker, connection, check):
    """Ask about a session that is not in memory, so that the connection waits for Redis."""
    worker.holder.kept.clear()
    connection.sendall(check)
    wait_until(lambda: worker.holder.asked, "nobody was asked")
    return worker.holder.asked.pop()


def test_the_holder_is_served_between_many_connections_that_ask_at_once(worker, check):
    """Else its lease could run out while they are answered, although Redis has sent long ago what renews it."""
    turns = []  # how many checks came between two looks at what Redis has sent
    end_of_redis, end_of_worker = socket.socketpair()
    with end_of_redis, end_of_worker, ExitStack() as stack:
        connections = [stack.enter_context(worker.connect()) for _ in range(100)]
        for connection in connections:
            connection.sendall(check)
            receive(connection)

        def look():
            turns.append(worker.holder.finds)
            worker.holder.finds = 0

        def send():
            worker.holder.finds = 0
            worker.holder.on_readable = look
            worker.worker.watch(end_of_worker)
            for connection in connections:
                connection.sendall(check)

        worker.in_loop(send)
        for connection in connections:
            receive(connection)
        worker.in_loop(lambda: (look(), worker.worker.unwatch(end_of_worker)))
    assert sum(turns) == 100
    assert max(turns) <= 32


def test_what_redis_says_is_answered_in_the_loop(worker, check):
    with worker.connect() as connection:

        def ask():
            for _ in range(2):
                then = ask_unknown(worker, connection, check)
                worker.in_loop(lambda then=then: then(time.time()))
                assert receive(connection)[0].startswith(b"HTTP/1.1 200 OK\r\n")

        assert was_fast(worker, ask)


def test_a_thread_answers_what_redis_does_not_say(worker, check):
    """Also where nobody can be asked."""
    with worker.connect() as connection:
        then = ask_unknown(worker, connection, check)
        worker.in_loop(lambda: then(None))
        assert receive(connection)[0].startswith(b"HTTP/1.1 200 OK\r\n")
        worker.holder.asks = False
        connection.sendall(check)
        assert receive(connection)[0].startswith(b"HTTP/1.1 200 OK\r\n")


def test_what_is_sent_while_redis_is_asked_is_answered_afterwards(worker, check):
    with worker.connect() as connection:
        then = ask_unknown(worker, connection, check)
        connection.sendall(check)
        wait_until(lambda: worker.worker._unwatched, "more was not noticed")
        worker.in_loop(lambda: then(time.time()))
        assert len(receive(connection)) == 1
        wait_until(lambda: worker.holder.asked, "nobody was asked")
        worker.in_loop(lambda: worker.holder.asked.pop()(None))
        assert len(receive(connection)) == 1


@pytest.mark.parametrize("said", [None, 1e10])
def test_a_connection_may_end_while_redis_is_asked(worker, check, said):
    with worker.connect() as connection:
        then = ask_unknown(worker, connection, check)
    worker.in_loop(lambda: then(said and time.time()))
    wait_until(lambda: worker.worker.nr_conns == 0, "the connection is still there")
    assert not worker.worker.keepalived_conns


def test_who_waits_for_redis_when_the_worker_stops_is_answered_by_a_thread(worker, check):
    with worker.connect() as connection, worker.connect() as idle:
        idle.sendall(check)
        receive(idle)
        then = ask_unknown(worker, connection, check)
        worker.holder.asked.append(then)
        worker.worker.handle_exit(0, None)
        [answer] = receive(connection)
        assert b"\r\nConnection: close\r\n" in answer
        assert worker.holder.is_closed
        idle.sendall(check)
        assert b"\r\nConnection: close\r\n" in receive(idle)[0]


def test_the_loop_goes_on_while_a_client_does_not_close(worker, check):
    """It was answered that its connection closes. What it sends then is read, so that it gets its answer."""
    closing_check = check.replace(b"Host: a", b"Connection: close")
    with worker.connect() as silent, worker.connect() as talks, worker.connect() as other:
        began = time.monotonic()
        for connection in (silent, talks):
            connection.sendall(closing_check)
            assert b"\r\nConnection: close\r\n" in receive(connection)[0]
        talks.sendall(check)
        other.sendall(check)
        assert receive(other)[0].startswith(b"HTTP/1.1 200 OK\r\n")
        assert time.monotonic() - began < 1.9
        assert talks.recv(1) == b""
        wait_until(lambda: worker.worker.nr_conns == 1, "the silent one is still there")
        assert time.monotonic() - began > 1.9


def test_clients_that_take_no_answers_hold_threads_for_seconds_alone(worker, check, alice, monkeypatch):
    """As many as there are threads. It is no mistake of the service, so the log does not show it as one."""
    monkeypatch.setattr(front, "_QUIET_S", 0.2)
    mistakes = []
    worker.worker.log.exception = lambda *said: mistakes.append(said)
    with worker.connect() as one, worker.connect() as another, worker.connect() as other:
        for silent in (one, another):
            silent.sendall(check * 200)
        for _ in range(100):  # the threads take turns; long before the last turn nothing more can be sent to the silent
            other.sendall(LIST.format(alice.token).encode())
            assert receive(other)[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert mistakes == []


def test_a_worker_without_a_file_for_a_new_connection_lets_it_wait(worker, check):
    """Those that it has are served meanwhile."""
    said = []
    worker.worker.log.warning = lambda *words: said.append(words)
    with worker.connect() as before, closing(socket.socket()) as after:
        before.sendall(check)
        assert receive(before)
        after.settimeout(10)
        with no_file_left():
            after.connect(worker.address)
            after.sendall(check)
            wait_until(lambda: said or worker.failures, "the connection was accepted")
            before.sendall(check)
            assert receive(before)
        assert receive(after)[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(said) == 1


def test_a_worker_without_files_can_be_stopped(worker, check):
    with worker.connect() as before, closing(socket.socket()) as after:
        before.sendall(check)
        assert receive(before)
        with no_file_left():
            after.connect(worker.address)
            worker.stop()


def test_a_worker_takes_no_more_connections_than_it_may_while_it_is_busy(run, check, alice):
    """One more waits at the listener until another has ended."""
    running = run(worker_connections=4)
    wait_until(lambda: running.holder, "the worker has no holder")
    running.holder.kept[alice.id_hash] = time.time()
    with ExitStack() as stack:
        first, *others = [stack.enter_context(running.connect()) for _ in range(6)]
        for connection in (first, *others[:3]):
            connection.sendall(check)
            receive(connection)
        assert running.worker.nr_conns == 4
        others[3].sendall(check)
        first.sendall(check)
        receive(first)
        assert running.worker.nr_conns == 4
        first.close()
        assert receive(others[3])


def test_a_worker_that_is_busy_closes_idle_connections_in_time(run, check, alice):
    running = run(keepalive=1)
    wait_until(lambda: running.holder, "the worker has no holder")
    running.holder.kept[alice.id_hash] = time.time()
    with running.connect() as busy, running.connect() as idle:
        idle.sendall(check)
        receive(idle)
        began = time.monotonic()
        idle.setblocking(False)
        while not (closed := is_closed(idle)) and time.monotonic() - began < 10:
            busy.sendall(check)
            receive(busy)
        assert closed
        assert time.monotonic() - began > 0.5


def is_closed(connection):
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


def test_uses_are_noted_before_the_worker_ends(app, worker, check, alice, clock):
    clock.advance(3600)
    with worker.connect() as connection:
        connection.sendall(check)
        assert receive(connection)
    worker.stop()
    [session] = app.extensions["keyrack"].devices.list(alice.user_id)
    assert session.last_used_at == pytest.approx(clock(), abs=1)


def test_checks_are_counted_while_the_worker_runs_and_before_it_ends(worker, check):
    metrics.CHECK_COUNTS.pass_on()
    counted = metrics.VERIFY["memory"]._value.get
    before = counted()
    with worker.connect() as connection:
        connection.sendall(check)
        receive(connection)
        wait_until(lambda: counted() == before + 1, "a worker that runs keeps to itself what it counted")
        connection.sendall(check)
        receive(connection)
    worker.stop()
    assert counted() == before + 2


class Way:
    """To a primary that is always the same."""

    looks = 0

    def attach(self, primary):
        self.primary = primary

    def look(self):
        self.looks += 1
        return "this one"

    def make_connection(self):
        raise NotImplementedError


def test_the_primary_stays_known_if_nobody_else_looks(app, run):
    """Although one look came a little late. Without the primary there is no lease."""
    way, delays = Way(), [0.2]
    primary = Primary(way)

    def look():
        if delays:
            time.sleep(delays.pop())
        primary.look_if_due()

    app.fast_lane.look_after_redis = look
    running = run()
    wait_until(lambda: running.holder, "the worker has no holder")
    running.holder.tick = lambda: 0.01  # a busy worker
    wait_until(lambda: way.looks, "nobody looked")
    while way.looks < 3:
        assert primary.is_known()
        time.sleep(0.01)


def test_a_mistake_in_the_fast_lane_is_left_to_a_thread(app, worker, check, monkeypatch):
    monkeypatch.setattr(app.fast_lane, "read", lambda *_: 1 / 0)
    with worker.connect() as connection:
        connection.sendall(check)
        assert receive(connection)[0].startswith(b"HTTP/1.1 200 OK\r\n")


def test_where_the_holder_fails_threads_go_on(worker, check):
    """Those who wait for it are answered, too."""
    with worker.connect() as waiting, worker.connect() as other:
        ask_unknown(worker, waiting, check)
        worker.holder.fails = True
        other.sendall(check)
        for connection in (waiting, other):
            assert receive(connection)[0].startswith(b"HTTP/1.1 200 OK\r\n")
        assert worker.worker._lane is None
        other.sendall(check)
        assert receive(other)


def test_idle_connections_are_closed_in_time(run, check, alice):
    """Those that are in use stay."""
    running = run(keepalive=2)
    wait_until(lambda: running.holder, "the worker has no holder")
    running.holder.kept[alice.id_hash] = time.time()
    with running.connect() as idle, running.connect() as used:
        for connection in (idle, used):
            connection.sendall(check)
            receive(connection)
        began = time.monotonic()
        while running.worker.nr_conns == 2:
            used.sendall(check)
            receive(used)
        assert 1.8 <= time.monotonic() - began < 10
        assert idle.recv(1) == b""
        used.sendall(check)
        assert receive(used)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keepalive", 0),
        ("max_requests", 10),
        ("proxy_protocol", "auto"),
        ("http2_cleartext", "both"),
        ("secure_scheme_headers", {"X-FORWARDED-PROTO": "https"}),
        ("statsd_host", "127.0.0.1:8125"),
        ("pre_request", lambda _worker, _request: None),
        ("post_request", lambda _worker, _request, _environ, _response: None),
        ("limit_request_fields", 50),
        ("limit_request_field_size", 4000),
        ("limit_request_line", 60),
        ("certfile", __file__),
    ],
)
def test_settings_that_only_threads_obey_close_the_fast_lane(name, value):
    config = gunicorn_config()
    assert is_plain(config)
    config.set(name, value)
    assert not is_plain(config)


def test_another_root_of_the_service_closes_the_fast_lane(monkeypatch):
    monkeypatch.setenv("SCRIPT_NAME", "/keyrack")
    assert not is_plain(gunicorn_config())
