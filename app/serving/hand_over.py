"""gunicorn's worker with a shorter way of a request to a thread and back.

gunicorn makes a future for each request. It tells its loop of each answer through a pipe, so that the loop lets the
connection wait for the next request. That wakes the loop once more, and the threads wait for it, because only one of
them can run at a time. Here the thread that has answered does that itself.
"""

import selectors
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

from gunicorn.http.body import LengthReader
from gunicorn.workers.gthread import ThreadWorker

_LINGER_S = 2.0  # gunicorn's STOP_KEEPALIVE_LINGER
_NOTIFY_EVERY_S = 1.0


class HandOverWorker(ThreadWorker):
    """A worker whose threads take connections from one queue, and let the poller wait for the next request themselves.

    gunicorn's pool of threads is left for other jobs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._requests: SimpleQueue[Any] = SimpleQueue()  # connections with a request; None ends a thread
        self._under_way: set[Any] = set()  # connections whose request waits for a thread, or is answered by one
        self._threads = 0
        self._notify_at = 0.0
        # Connections that wait again and are not yet in `keepalived_conns`, which only the loop uses.
        self._returned: deque[Any] = deque()

    def run(self) -> None:
        # gunicorn looks a setting up some twenty times a request. As plain attributes they cost nothing.
        vars(self.cfg).update({name: setting.get() for name, setting in self.cfg.settings.items()})
        try:
            super().run()
        finally:
            for _ in range(self._threads):
                self._requests.put(None)

    def enqueue_req(self, conn: Any) -> None:
        self._under_way.add(conn)
        if self._threads < min(len(self._under_way), self.cfg.threads):
            self._threads += 1
            Thread(target=self._work).start()
        self._requests.put(conn)

    def _work(self) -> None:
        while (conn := self._requests.get()) is not None:
            self._serve(conn)

    def _serve(self, conn: Any) -> None:
        """Answer a request. If the connection is not to wait for another one, tell the loop."""
        result, problem = None, None
        try:
            result = self.handle(conn)
        except BaseException as raised:  # finish_request() closes the connection
            problem = raised
        self._under_way.discard(conn)
        if result is True and self._let_wait(conn):
            return
        outcome: Future[Any] = Future()
        outcome.set_exception(problem) if problem else outcome.set_result(result)
        self.method_queue.defer(self.finish_request, conn, outcome)

    def _let_wait(self, conn: Any) -> bool:
        """Let the poller wait for the next request. Return False if it has begun to arrive, or if this worker ends."""
        if not self.alive or conn.parser.unreader.buf.getvalue():
            return False
        conn.sock.setblocking(False)
        conn.set_timeout()
        self._returned.append(conn)
        with suppress(KeyError, ValueError, OSError):  # the worker has ended meanwhile, and closed all
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_readable, conn))
        if not self.alive:  # since a moment: the loop may be about to sleep until it closes the connections it knows
            self.method_queue.defer(self._collect_returned)
        return True

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Tell whether a connection can be kept. Where nothing of a body is left, gunicorn need not read the rest."""
        reader = conn.parser.mesg.body.reader
        if keepalive and isinstance(reader, LengthReader) and reader.length == 0:
            conn.parser.mesg = None  # else gunicorn would look again before the next request
            return True
        return bool(super()._keepalive_after(conn, keepalive))  # type: ignore[misc]  # the stubs are of an earlier gunicorn

    def _on_readable(self, conn: Any, client: Any) -> None:
        self._collect_returned()
        self.on_client_socket_readable(conn, client)

    def _collect_returned(self) -> None:
        while self._returned:
            conn = self._returned.popleft()
            if not self.alive:
                conn.timeout = min(conn.timeout, time.monotonic() + _LINGER_S)
            self.keepalived_conns.append(conn)

    def notify(self) -> None:
        """Tell the master that this worker lives. A call of the system in each turn of the loop would cost more."""
        now = time.monotonic()
        if now >= self._notify_at:
            self._notify_at = now + min(_NOTIFY_EVERY_S, self.timeout / 4)
            super().notify()

    def murder_keepalived(self, *args: Any, **kwargs: Any) -> None:
        self._collect_returned()
        super().murder_keepalived(*args, **kwargs)
