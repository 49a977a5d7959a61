"""gunicorn's workers: none ends before all who waited there were served, and none waits for half a request for ever.

What they refuse themselves is JSON as well.
"""

import select
import socket
import time
from contextlib import suppress
from typing import Any

import orjson
from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from app.errors import status_message

_HEAD_S = 5


class Worker(ThreadWorker):
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

    def is_parent_alive(self) -> bool:
        """gunicorn's; without its master a worker leaves its loop to end, but does not take itself for one that ends.

        It would go on with connections that are kept busy until its time is up, and hold the port of the next master.
        """
        self.alive = self.alive and super().is_parent_alive()
        return self.alive

    def set_accept_enabled(self, enabled: bool | None) -> None:
        """gunicorn's; where the worker is about to end, it takes on all who wait and leaves its listener."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            self._leave_listeners()

    def _leave_listeners(self) -> None:
        """At a reload the master holds them and the next worker goes on; at a stop nobody does, and the port closes.

        gunicorn's own worker holds them for some two seconds more and answers nobody who comes meanwhile.
        """
        listeners, self.sockets = self.sockets, []
        for listener in listeners:
            waiting = select.poll()
            waiting.register(listener, select.POLLIN)
            while waiting.poll(0):
                self.accept(listener)
            listener.close()


def write_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:  # noqa: ARG001 - gunicorn's
    """What no application sees, such as a request line that is none or too long, is refused in the same form.

    mesg repeats what the client sent, and stays in the log.
    """
    message = status_message(status_int)
    body = orjson.dumps({"code": 0, "message": message})
    head = (
        f"HTTP/1.1 {message.replace(':', '')}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


util.write_error = write_error  # gunicorn has no setting for it
