"""The service as ops run it: gunicorn in processes of its own, spoken to over sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import requests
from fakeredis import FakeRedis

from app import create_app
from app.config import load_settings
from tests import leaks
from tests.conformance import Document, document_of
from tests.conftest import ENVIRONMENT
from tests.device import Device
from tests.ports import free_port
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]


class Answer:
    """What Flask's test client answers with, as far as devices look at it."""

    def __init__(self, response: requests.Response) -> None:
        self.status_code = response.status_code
        self.headers = response.headers
        self.data = response.content
        self.seconds = response.elapsed.total_seconds()

    @property
    def json(self) -> Any:
        return json.loads(self.data) if self.data else None


class Http:
    """A client with a connection for each thread that uses it.

    document   what each answer is held against, where it is Keyrack itself that answers
    """

    def __init__(self, url: str, document: Document | None) -> None:
        self._url = url
        self._document = document
        self._local = threading.local()

    def open(self, path: str, method: str, headers: dict[str, str], json: Any = None) -> Answer:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        response = self._local.session.request(
            method, self._url + path, json=json, headers=headers, timeout=60, allow_redirects=False
        )
        if self._document:
            self._document.check(
                method, path.partition("?")[0], response.status_code, response.headers, response.content
            )
        answer = Answer(response)
        leaks.note(json)
        leaks.note(answer.json if answer.headers.get("Content-Type") == "application/json" else None)
        return answer


class Service:
    """gunicorn on a free port, on one Redis."""

    def __init__(self, redis_url: str, port: int | None = None, **environment: str) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **ENVIRONMENT,
            **{"REDIS_URL": redis_url, "PORT": str(self.port), "WEB_CONCURRENCY": "2", "LOG_LEVEL": "debug"},
            "VERIFY_LEASE": "50ms",  # as operators have it
            **environment,
        }
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - until it is closed
        self._document = document_of(create_app(load_settings(self._environment), FakeRedis(protocol=2)))
        self.http = self.client()
        try:
            self.start()
        except BaseException:
            self._log.close()
            raise

    def start(self) -> None:
        gunicorn = Path(sys.executable).with_name("gunicorn")  # an upgrade fails where it was started with "python -m"
        self.process = subprocess.Popen(
            [gunicorn, "wsgi:app"], cwd=ROOT, env=self._environment, stdout=self._log, stderr=subprocess.STDOUT
        )
        wait_until(self._accepts, "gunicorn did not start", within_s=60)

    def _accepts(self) -> bool:
        assert self.process.poll() is None, f"gunicorn ended at once: {self.logged()}"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()  # costs a fiftieth of a request
            requests.get(self.url, timeout=1)
        except (OSError, requests.RequestException):  # refused, or in the queue of a worker that has yet to boot
            return False
        return True

    def device(self, **headers: str) -> Device:
        return Device(self.client(), headers)

    def client(self) -> Http:
        """One with connections of its own."""
        return Http(self.url, self._document)

    def logged(self) -> str:
        """All that its processes have written so far."""
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode()

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        logged = self.logged()
        self._log.close()
        leaks.assert_none(logged)


def finished(process) -> tuple[int, str]:
    """The exit code of a command that ends by itself, and what it said."""
    _, said = process.communicate(timeout=30)
    return process.returncode, said
