"""gunicorn's worker with a fast lane: what needs no thread is answered in its loop. What that is: web/fast_lane.py.

gunicorn hands each request to a thread and back, which takes longer than a gateway's check. Here the loop itself reads
what has arrived. If the fast lane has no answer, a thread gets the same bytes, as if the loop had not read them.
"""

import os
import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.workers.gthread import DEFAULT_WORKER_DATA_TIMEOUT

from app.serving.closing import ClosingWorker
from app.serving.waiting import Waiting

_MAX_HEAD = 8192  # what gunicorn's parser reads at once. The fast lane takes no longer head
_SEND_S = 5  # within this time a client must take the rest of an answer
# Oftener than a look at the primary is due (stores/connection/primary.py): one that came a moment too early for it
# would leave the primary unknown until the next.
_LOOK_EVERY_S = 0.25
_COUNT_EVERY_S = 1.0
_TURNS_S = 0.05  # gunicorn looks for its parent and for idle connections so often, and jobs are started
_NOTE_EVERY_S = 0.1  # uses of sessions are noted in batches
_LONG_S = 0.01  # after so long a wait the holder must look at its clock
_MOST_AT_ONCE = 32  # connections that are served before the holder is again, so that its lease does not run out
_NO_DATA = (BlockingIOError, InterruptedError)


class FastWorker(ClosingWorker):
    """A worker with a fast lane, if the application has one, and gunicorn is told nothing that only threads do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keepalive_s = self.cfg.keepalive
        self.keepalived_conns: Any = Waiting()
        self.pending_conns: Any = Waiting()
        self._lane: Any = None
        self._holder: Any = None
        self._of_holder: Any = None  # its socket
        self._keep_until = 0.0  # how long connections wait for the next request if one is answered in this turn
        self._parked: dict[Any, bytes] = {}  # what connections have sent whose answer waits for Redis
        self._unwatched: set[Any] = set()  # those of them that the poller does not watch now
        self._look_at = self._note_at = self._count_at = 0.0
        self._is_looking = self._is_noting = False

    def run(self) -> None:
        lane = getattr(self.wsgi, "fast_lane", None)
        holder = lane.make_holder(self) if lane is not None else None
        if holder is not None and is_plain(self.cfg):
            self._holder, self._lane = holder, lane
        elif holder is not None:
            self.log.warning("gunicorn's settings leave checks to threads; set VERIFY_LEASE=0, or endings wait for it")
        try:
            super().run()
        finally:
            if lane is not None:
                lane.pass_counts_on()

    # -- What the holder of a lease needs of a loop

    def run_apart(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run a job in a thread, then hand its result to `then` in the loop."""

        def finish(future: Any) -> None:
            if not future.cancelled():
                self.method_queue.defer(self._finish_job, then, future)

        self.tpool.submit(job).add_done_callback(finish)

    def _finish_job(self, then: Callable[[Any], None], future: Any) -> None:
        problem = future.exception()
        if problem is not None:
            self.log.error("a job beside the requests failed", exc_info=problem)
        then(problem if problem is not None else future.result())

    def watch(self, sock: Any) -> None:
        """Tell the holder whenever its socket is readable, from now on."""
        self._of_holder = sock
        self.poller.register(sock, selectors.EVENT_READ, self._on_holder_readable)

    def unwatch(self, sock: Any) -> None:
        self._of_holder = None
        self.poller.unregister(sock)

    def _on_holder_readable(self, sock: Any) -> None:
        if sock is self._of_holder:  # else it was left in this turn of the loop
            self._guard(self._holder.on_readable)

    # -- Turns of the loop

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Take turns for a while. What gunicorn does after each call need not be done after each turn."""
        if self._lane is None:
            super().wait_for_and_dispatch_events(timeout)
            return
        due_s = self._start_jobs()
        until = time.monotonic() + _TURNS_S
        while self._take_turn(due_s if timeout is None else min(timeout, due_s)) < until:
            if not self.alive or self._lane is None or self.nr_conns >= self.worker_connections:
                return

    def _take_turn(self, timeout: float) -> float:
        """Serve the connections that become readable within this time. Return when they did (monotonic s)."""
        due_s = self._guard(self._holder.tick)
        began = time.monotonic()
        events = self.poller.select(min(timeout, due_s))  # PEP 475: a signal does not end it
        now = time.monotonic()
        self._keep_until = now + self._keepalive_s
        if now - began > _LONG_S:
            self._serve_holder()
        for first in range(0, len(events), _MOST_AT_ONCE):
            if first:
                self._serve_holder()
            for key, _ in events[first : first + _MOST_AT_ONCE]:
                key.data(key.fileobj)
        return now

    def _serve_holder(self) -> None:
        """Let the holder take what Redis may have sent, and renew its lease."""
        if self._lane is not None and self._of_holder is not None:
            self._guard(self._holder.on_readable)
        if self._lane is not None:
            self._guard(self._holder.tick)

    def _guard(self, call: Callable[[], float | None]) -> float:
        """Call the holder, and do without it from then on if it fails: that must not end the worker."""
        try:
            return call() or 0.0
        except Exception:
            self.log.exception("the fast lane failed; threads answer from now on")
            self._close_lane()
            return 0.0

    def _start_jobs(self) -> float:
        """Start what is due in threads. Return in how many seconds to call this again at the latest."""
        if self._lane is None:
            return 0.0
        now = time.monotonic()
        if now >= self._look_at and not self._is_looking:
            self._is_looking, self._look_at = True, now + _LOOK_EVERY_S
            self.run_apart(self._lane.look_after_redis, self._end_looking)
        if now >= self._count_at:
            self._count_at = now + _COUNT_EVERY_S
            self._lane.pass_counts_on()
        if not self._lane.has_uses or self._is_noting:
            return _LOOK_EVERY_S
        if now >= self._note_at:
            self._is_noting, self._note_at = True, now + _NOTE_EVERY_S
            self.run_apart(self._lane.take_uses(), self._end_noting)
        return _NOTE_EVERY_S

    def _end_looking(self, _: Any) -> None:
        self._is_looking = False

    def _end_noting(self, _: Any) -> None:
        self._is_noting = False

    def set_accept_enabled(self, enabled: bool | None) -> None:
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            self._close_lane()

    def _close_lane(self) -> None:
        """Give back the lease. Threads answer what comes until this worker ends, and whoever waits for Redis now."""
        lane, self._lane = self._lane, None
        if lane is None:
            return
        try:
            self._holder.close()
        except Exception:
            self.log.exception("a lease was not given back")
        for conn in list(self._parked):
            self._on_asked(conn, None, None)
        self.tpool.submit(lane.take_uses())

    def _cap_keepalive(self, deadline: float) -> None:
        """Close connections that stay silent while this worker ends: new ones as soon as a thread would have."""
        super()._cap_keepalive(deadline)  # type: ignore[misc]  # the stubs are of an earlier gunicorn
        new_deadline = time.monotonic() + DEFAULT_WORKER_DATA_TIMEOUT
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, new_deadline)

    # -- Connections

    @property
    def _is_open(self) -> bool:
        """Tell whether the fast lane takes requests now. gunicorn closes connections that are too many."""
        return self._lane is not None and self.alive and len(self.keepalived_conns) < self.max_keepalived

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread. A new one first waits in the poller, as long as it would in a thread."""
        if conn.initialized or conn.data_ready or not self._is_open:
            super().enqueue_req(conn)
            return
        conn.timeout = time.monotonic() + DEFAULT_WORKER_DATA_TIMEOUT + self._keepalive_s
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:
        if conn not in self.pending_conns:  # closed in this turn of the loop
            return
        if not self._is_open or not self._answer_in_loop(conn, self.pending_conns):
            super().on_pending_socket_readable(conn, client)

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        if conn in self._parked:  # it has sent more, or is closed; that is looked at after its answer
            self._unwatched.add(conn)
            self.poller.unregister(client)
        elif conn not in self.keepalived_conns:  # closed, or handed to a thread, in this turn of the loop
            return
        elif not self._is_open or not self._answer_in_loop(conn, self.keepalived_conns):
            super().on_client_socket_readable(conn, client)

    def _answer_in_loop(self, conn: Any, waiting: Waiting) -> bool:
        """Answer what a connection has sent. Return False if a thread must do that, with the same bytes."""
        try:
            head = conn.sock.recv(_MAX_HEAD)
        except _NO_DATA:
            return True
        except OSError:
            head = b""
        if not head:
            self.drop(conn, waiting)
            return True
        try:
            question = self._lane.read(head, conn.client)
            last_used_at = question and self._holder.find(question.claim.user_id, question.claim.id_hash)
            answer = last_used_at and self._lane.answer(question, last_used_at, "memory")
        except Exception:  # a mistake here must not end the worker with all its connections
            self.log.exception("the fast lane failed")
            question = answer = None
        if answer:
            self._keep(conn, waiting)
            self._send(conn, answer)
            return True
        if question and last_used_at is None:
            then = partial(self._on_asked, conn, question)
            if self._holder.ask(question.claim.user_id, question.claim.id_hash, then):
                self._keep(conn, waiting)
                self._parked[conn] = head
                return True
        _put_back(conn, head)
        return False

    def _answer(self, question: Any, last_used_at: float, lane: str) -> bytes | None:
        try:
            answer: bytes | None = self._lane.answer(question, last_used_at, lane)
        except Exception:
            self.log.exception("the fast lane failed")
            return None
        return answer

    def _on_asked(self, conn: Any, question: Any, last_used_at: float | None) -> None:
        """Answer a connection that waited for Redis, or hand it to a thread."""
        head = self._parked.pop(conn, None)
        is_watched = conn not in self._unwatched
        self._unwatched.discard(conn)
        if head is None or conn not in self.keepalived_conns:  # handed to a thread already, or closed
            return
        answer = self._answer(question, last_used_at, "loop") if last_used_at is not None and self._is_open else None
        if not is_watched:
            self._watch(conn)
        if answer is None:
            _put_back(conn, head)
            super().on_client_socket_readable(conn, conn.sock)
        else:
            self._send(conn, answer)

    def _watch(self, conn: Any) -> None:
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))

    def _keep(self, conn: Any, waiting: Waiting) -> None:
        """Let a connection wait for its next request, as long as after the answer of a thread."""
        conn.timeout = self._keep_until
        if waiting is self.keepalived_conns:
            waiting.move_to_end(conn)
        else:
            waiting.remove(conn)
            self.keepalived_conns.append(conn)
            self.poller.modify(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))

    def _send(self, conn: Any, answer: bytes) -> None:
        try:
            sent = conn.sock.send(answer)
        except _NO_DATA:
            sent = 0
        except OSError:
            self.drop(conn, self.keepalived_conns)
            return
        if sent < len(answer):  # the client takes its answers late: a thread waits for it
            self.poller.unregister(conn.sock)
            self.keepalived_conns.remove(conn)
            conn.init()
            self.tpool.submit(_send_rest, conn, answer[sent:]).add_done_callback(
                lambda future: self.method_queue.defer(self.finish_request, conn, future)
            )


def is_plain(cfg: Any) -> bool:
    """Tell whether gunicorn's settings ask for nothing that only its threads do.

    All that GUNICORN_CMD_ARGS may set and that would change what a check is answered, or what happens beside.
    """
    hooks = ("pre_request", "post_request")
    return (
        bool(cfg.keepalive)
        and not cfg.is_ssl
        and cfg.proxy_protocol == "off"
        and cfg.http2_cleartext == "off"
        and not cfg.secure_scheme_headers
        and not cfg.max_requests
        and not cfg.statsd_host
        and all(cfg.settings[hook].get() is cfg.settings[hook].default for hook in hooks)
        and cfg.limit_request_fields >= 100
        and cfg.limit_request_field_size >= _MAX_HEAD
        and (cfg.limit_request_line == 0 or cfg.limit_request_line >= 100)
        and not os.environ.get("SCRIPT_NAME")
    )


def _put_back(conn: Any, head: bytes) -> None:
    """Let the thread that gets a connection read these bytes first."""
    conn.data_ready = True
    conn.init()
    conn.parser.unreader.unread(head)


def _send_rest(conn: Any, rest: bytes) -> bool:
    """Send the rest of an answer. Return whether the connection can be kept."""
    conn.sock.settimeout(_SEND_S)
    try:
        conn.sock.sendall(rest)
    except OSError:
        return False
    return True
