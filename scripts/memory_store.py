"""A store in memory, on a port of this machine. scripts/serve uses it if no Redis is installed."""

import sys
from typing import Any

from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from redis import RedisError


class Handler(TCPFakeRequestHandler):
    """A handler that goes on after an error, as Redis does.

    fakeredis closes the connection after each error. Clients provoke errors on purpose, for example to see whether a
    script is known, and would find the store gone at their next command.
    """

    def setup(self) -> None:
        super().setup()
        read_response = self.current_client.read_response

        def read_response_or_error() -> Any:
            try:
                return read_response()
            except RedisError as error:
                return error

        self.current_client.read_response = read_response_or_error


def memory_store(port: int) -> TcpFakeServer:
    server = TcpFakeServer(("127.0.0.1", port))
    server.RequestHandlerClass = Handler
    return server


if __name__ == "__main__":
    memory_store(int(sys.argv[1])).serve_forever()
