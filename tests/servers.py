"""A real Redis of the tests' own, and what it takes to wait for it."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry


def missing(what: str, where: str = "on the PATH") -> None:
    """A leg that cannot run here is skipped, but where all legs are required it fails."""
    if os.environ.get("REQUIRE_ALL_LEGS"):
        pytest.fail(f"{what} is not {where}, and every leg must run here")
    pytest.skip(f"{what} is not {where}")


_PATIENCE_S = 20
_MEMORY = Path("/dev/shm")
_ROOM = 1 << 30  # bytes; a container has 64 MB there, unless it is told otherwise


def server_folder() -> tempfile.TemporaryDirectory:
    """Make a folder that outlives a server's process, in memory where there is room.

    A server syncs to the disk whatever it writes for good: with `appendfsync always` each write, in a Cluster each slot
    that moves.
    """
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM
    return tempfile.TemporaryDirectory(prefix="keyrack-", dir=_MEMORY if has_room else None)


def server_program() -> str:
    """Return the path of the server that tests run: the one that TEST_SERVER names, else the one on the PATH."""
    named = os.environ.get("TEST_SERVER")
    program = shutil.which(named) if named else shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        missing(named or "redis-server or valkey-server")
    return str(program)


class RedisServer:
    """A real server on a throw-away socket, with its data in a throw-away folder.

    url        for tests that mean the service to wait: on a busy machine the server has its turn late
    plain_url  with the time-outs that operators have
    """

    def __init__(self, *options: str) -> None:
        program = server_program()
        self._folder = server_folder()
        socket = f"{self._folder.name}/redis.sock"
        self.plain_url = f"unix://{socket}"
        self.url = f"{self.plain_url}?socket_timeout={_PATIENCE_S}&socket_connect_timeout={_PATIENCE_S}"
        self._command = [program, "--port", "0", "--unixsocket", socket, "--dir", self._folder.name, "--save", ""]
        self._command += options
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        with redis_at(self.url) as client:
            wait_until(lambda: _answers(client), "redis-server did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()


def redis_at(url: str) -> Redis:
    """redis-py's own client of one server, for what tests look at and turn over there."""
    return Redis.from_url(url, decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 0))


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def wait_until(condition, message: str, within_s: float = 30) -> None:
    """Poll something outside this process, such as a server that starts."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)
