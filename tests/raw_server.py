"""A server on loopback that speaks as a test wants it to, byte by byte."""

import socket
import ssl
import threading
import time
from collections.abc import Callable

from tests.certificates import Pair


class RawServer:
    """Calls `speak` with each connection, in a thread of its own, and closes the connection afterwards."""

    def __init__(
        self, speak: Callable[[socket.socket], None], certificate: Pair | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.connections = 0
        self._speak = speak
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if certificate else 'http'}://{host}:{self.port}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                spoken = self._context.wrap_socket(connection, server_side=True) if self._context else connection
                with spoken:
                    self._speak(spoken)
        except OSError:  # whoever asked has hung up
            pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Return one request, head and body; b"" if the connection ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < lengths[0]:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def says(answer: bytes) -> Callable[[socket.socket], None]:
    """Answers one request with these bytes."""

    def speak(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return speak


def drips(begin: bytes, each: bytes, every_s: float = 0.0) -> Callable[[socket.socket], None]:
    """Begins an answer and goes on for ever."""

    def speak(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(begin)
        while True:
            connection.sendall(each)
            if every_s:
                time.sleep(every_s)

    return speak
