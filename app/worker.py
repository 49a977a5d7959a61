"""gunicorn's threaded worker, but that whoever does not finish the head of a request lets the thread go."""

import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

_HEAD_S = 5


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn reads a head without any limit of time: as many half heads as there are threads, and nobody is served.

    A gateway in front reads heads before it passes requests on; this is for those who reach the port without it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: dict[Any, float] = {}  # connections in a thread whose request has no whole head yet

    def handle(self, conn: Any) -> Any:
        self._due[conn] = time.monotonic() + _HEAD_S
        try:
            return super().handle(conn)
        finally:
            self._due.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> Any:
        self._due.pop(conn, None)
        return super().handle_request(req, conn)

    def murder_keepalived(self, *args: Any, **kwargs: Any) -> None:
        """gunicorn's main thread calls this each second, to close what nobody uses."""
        now = time.monotonic()
        for conn, due in list(self._due.items()):
            if due <= now:
                with suppress(OSError):  # it may be shut already
                    conn.sock.shutdown(socket.SHUT_RDWR)  # whoever reads from it finds its end
        super().murder_keepalived(*args, **kwargs)
