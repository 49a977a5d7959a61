"""gunicorn's workers: none ends before all who waited there were served, and what they refuse is JSON as well."""

import select
import socket

import orjson
from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from app.errors import status_message


class Worker(ThreadWorker):
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
