"""gunicorn's worker with a shorter way back: a thread that has answered lets its connection wait for the next request.

gunicorn tells its loop of each answer through a pipe, so that the loop may do this. That wakes the loop once more for
each request, and the threads wait for it, because only one of them can run at a time.
"""

import selectors
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

_LINGER_S = 2.0  # gunicorn's STOP_KEEPALIVE_LINGER


class HandOverWorker(ThreadWorker):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Connections that wait again and are not yet in `keepalived_conns`, which only the loop uses.
        self._returned: deque[Any] = deque()

    def enqueue_req(self, conn: Any) -> None:
        self.tpool.submit(self._serve, conn)

    def _serve(self, conn: Any) -> None:
        """Answer a request, in a thread. If the connection is not to wait for another one, tell the loop."""
        outcome: Future[Any]
        try:
            result = self.handle(conn)
            if result is True and self._let_wait(conn):
                return
            outcome = Future()
            outcome.set_result(result)
        except BaseException as problem:  # finish_request() closes the connection
            outcome = Future()
            outcome.set_exception(problem)
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

    def _on_readable(self, conn: Any, client: Any) -> None:
        self._collect_returned()
        self.on_client_socket_readable(conn, client)

    def _collect_returned(self) -> None:
        while self._returned:
            conn = self._returned.popleft()
            if not self.alive:
                conn.timeout = min(conn.timeout, time.monotonic() + _LINGER_S)
            self.keepalived_conns.append(conn)

    def murder_keepalived(self, *args: Any, **kwargs: Any) -> None:
        self._collect_returned()
        super().murder_keepalived(*args, **kwargs)
