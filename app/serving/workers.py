"""gunicorn's workers, with seven changes.

A worker serves all connections that wait at its listener before it ends. It does not end if it has no file left for one
more. A request whose head stays incomplete is dropped. The worker's own refusals are JSON. What needs no thread is
answered in the loop (fast_worker.py). A thread needs fewer steps for a request: see hand_over.py, and `AnswerAtOnce`
for how it sends an answer.
"""

import errno
import select
import socket
import time
from contextlib import suppress
from typing import Any

import orjson
from gunicorn import util
from gunicorn.http import wsgi

from app.errors import status_message
from app.serving.fast_worker import FastWorker

_HEAD_S = 5  # within this time the head of a request must be complete
_ACCEPT_AGAIN_S = 1.0  # after a connection for which no file was left


class Worker(FastWorker):
    """A worker with a time limit on heads of requests, and with an end that loses no connection.

    gunicorn reads a head without a time limit. As many incomplete heads as there are threads would block it. A gateway
    reads heads before it passes requests on, so the limit is for clients that reach the port without a gateway.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: dict[Any, float] = {}  # deadline (monotonic s) of each incomplete head
        self._accept_at = 0.0  # no connection is accepted before (monotonic s)

    def handle(self, conn: Any) -> Any:
        self._due[conn] = time.monotonic() + _HEAD_S
        try:
            return super().handle(conn)
        finally:
            self._due.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> Any:
        self._due.pop(conn, None)
        try:
            return super().handle_request(req, conn)
        except TimeoutError:  # the client takes no answer. gunicorn would log this as a mistake
            return False

    def murder_keepalived(self, *args: Any, **kwargs: Any) -> None:
        """Close idle connections, and connections with a late head. gunicorn's main thread calls this each second."""
        now = time.monotonic()
        for conn, due in list(self._due.items()):
            if due <= now:
                with suppress(OSError):  # it may be closed already
                    conn.sock.shutdown(socket.SHUT_RDWR)  # the thread that reads from it gets the end of the stream
        super().murder_keepalived(*args, **kwargs)

    def is_parent_alive(self) -> bool:
        """Tell whether the master is alive. If not, mark this worker as ending.

        gunicorn leaves its loop, but does not mark the worker. With busy connections the worker would then live until
        its time-out, and would hold the port that the next master needs.
        """
        self.alive = self.alive and super().is_parent_alive()
        return self.alive

    def accept(self, listener: Any) -> None:
        """Accept a connection. If no file is left for it, connections wait for a second."""
        if not self._accept(listener):
            self._accept_at = time.monotonic() + _ACCEPT_AGAIN_S
            self.set_accept_enabled(False)

    def _accept(self, listener: Any) -> bool:
        """Accept a connection. Return False if no file is left for it. That would end gunicorn's own worker."""
        try:
            super().accept(listener)
        except OSError as problem:
            if problem.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.log.warning("connections wait: %s (the limit can be raised)", problem.strerror)
            return False
        return True

    def set_accept_enabled(self, enabled: bool | None) -> None:
        """Accept connections or stop accepting. A worker that is about to end also closes its listener."""
        if enabled and time.monotonic() < self._accept_at:
            return
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            self._leave_listeners()

    def _leave_listeners(self) -> None:
        """Accept all connections that wait, then close the listeners.

        At a reload the master holds them, too, and the next worker uses them. At a stop nobody else holds them, so the
        port closes. gunicorn's own worker holds them for about two seconds more, and answers no new connections.
        """
        listeners, self.sockets = self.sockets, []
        for listener in listeners:
            waiting = select.poll()
            waiting.register(listener, select.POLLIN)
            while waiting.poll(0) and self._accept(listener):
                pass
            listener.close()


def write_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:  # noqa: ARG001 - gunicorn's
    """Refuse a request that cannot reach the application, such as a bad request line, in the form of all refusals.

    Args:
        mesg: Not sent, because it repeats text of the client.
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


class AnswerAtOnce(wsgi.Response):
    """An answer that is sent in one piece. gunicorn sends the head and the body apart, in two packets."""

    sock: Any

    def write(self, arg: bytes) -> None:
        if self.headers_sent:
            super().write(arg)
            return
        sock, self.sock = self.sock, _Gathered()
        try:
            super().write(arg)
            gathered = b"".join(self.sock)
        finally:
            self.sock = sock
        sock.sendall(gathered)


class _Gathered(list[bytes]):
    """Stands for a socket while gunicorn writes the parts of an answer."""

    sendall = list.append


wsgi.Response = AnswerAtOnce  # type: ignore[misc]  # gunicorn has no setting for it
