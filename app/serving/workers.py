"""gunicorn's workers, changed in three points.

A worker serves all who wait at its listener before it ends. It does not wait for half a request for ever. Its own
refusals are JSON.
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

_HEAD_S = 5  # within this time the head of a request must be there


class Worker(ThreadWorker):
    """A worker with a time limit on heads of requests, and with an end that loses no connection.

    gunicorn reads a head without a limit of time. As many half heads as there are threads would block the worker. A
    gateway reads heads before it passes requests on, so the limit is for clients that reach the port without one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: dict[Any, float] = {}  # connections that a thread reads, until the head is whole; monotonic seconds

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
        """Close idle connections, and those whose head is late. gunicorn's main thread calls this each second."""
        now = time.monotonic()
        for conn, due in list(self._due.items()):
            if due <= now:
                with suppress(OSError):  # it may be shut already
                    conn.sock.shutdown(socket.SHUT_RDWR)  # the thread that reads from it finds its end
        super().murder_keepalived(*args, **kwargs)

    def is_parent_alive(self) -> bool:
        """Tell whether the master lives, and mark this worker as ending if it does not.

        gunicorn leaves the loop, but does not mark the worker. Busy connections would then keep it until its time is
        up, and it would hold the port of the next master.
        """
        self.alive = self.alive and super().is_parent_alive()
        return self.alive

    def set_accept_enabled(self, enabled: bool | None) -> None:
        """Accept connections or stop doing so. A worker that is about to end leaves its listener, too."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            self._leave_listeners()

    def _leave_listeners(self) -> None:
        """Accept all connections that wait, then close the listeners.

        At a reload the master holds them, too, and the next worker goes on. At a stop nobody does, and the port closes.
        gunicorn's own worker holds them for some two seconds more, and answers nobody who connects meanwhile.
        """
        listeners, self.sockets = self.sockets, []
        for listener in listeners:
            waiting = select.poll()
            waiting.register(listener, select.POLLIN)
            while waiting.poll(0):
                self.accept(listener)
            listener.close()


def write_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:  # noqa: ARG001 - gunicorn's
    """Refuse a request that cannot reach the application, such as a bad request line, in the form of all refusals.

    Args:
        mesg: Is not sent, because it repeats what the client sent.
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
