"""gunicorn's worker with a loop that does not wait for clients to close their connections.

Before gunicorn closes a connection, it waits for the client to do so, for up to two seconds, and in its loop: nobody
else is served meanwhile. Here the loop goes on.
"""

import selectors
import socket
import time
from functools import partial
from typing import Any

from app.serving.hand_over import HandOverWorker
from app.serving.waiting import Waiting

_LINGER_S = 2.0  # gunicorn's own bounds for a client that was told that its connection closes
_MOST_LEFT = 65536
_READ_SIZE = 8192


class ClosingWorker(HandOverWorker):
    """A worker whose loop lets connections that it closes wait in the poller, until their clients close them too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._closing = Waiting()  # connections that wait for their clients to close them too

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep a connection after a thread has answered, or begin to close it."""
        if self.cfg.is_ssl or fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
            return
        conn.timeout = time.monotonic() + _LINGER_S
        conn.left_to_read = _MOST_LEFT
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_closing_readable, conn))
        except (OSError, ValueError):  # it is closed already
            self.nr_conns -= 1
            conn.close()
        else:
            self._closing.append(conn)

    def _on_closing_readable(self, conn: Any, client: Any) -> None:
        """Read what the client has sent before it heard that its connection closes. Unread, its last answer is lost."""
        try:
            size = len(client.recv(_READ_SIZE))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        conn.left_to_read -= size
        if not size or conn.left_to_read < 0:
            self.drop(conn, self._closing)

    def murder_pending(self) -> None:
        """Close connections whose time is over. gunicorn's main thread calls this each second."""
        super().murder_pending()
        now = time.monotonic()
        while self._closing and self._closing[0].timeout <= now:
            self.drop(self._closing[0], self._closing)

    def drop(self, conn: Any, waiting: Waiting) -> None:
        """Close a connection that the poller watches."""
        self.poller.unregister(conn.sock)
        waiting.remove(conn)
        self.nr_conns -= 1
        conn.close()
