"""The store of scripts/serve where no Redis is installed."""

import threading

import pytest
from redis import Connection, ResponseError
from redis.exceptions import NoScriptError

from scripts.memory_store import memory_store
from tests.ports import free_port


@pytest.fixture
def connection():
    port = free_port()
    server = memory_store(port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    connection = Connection("127.0.0.1", port, protocol=2, socket_timeout=10)
    yield connection
    connection.disconnect()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_connection_outlives_an_error(connection):
    """The errors are what Redis says, and the next command is answered on the same connection."""
    for command, error, said in [
        (("EVALSHA", "a" * 40, "0"), NoScriptError, "No matching script"),
        (("XREADGROUP", "GROUP", "g", "w", "STREAMS", "mail", ">"), ResponseError, "GROUP"),
        (("NOTHING",), ResponseError, "unknown command"),
    ]:
        connection.send_command(*command)
        with pytest.raises(error, match=said):
            connection.read_response()
        connection.send_command("PING")
        assert connection.read_response() == b"PONG"
