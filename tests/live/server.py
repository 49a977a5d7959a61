"""The service as ops run it: gunicorn in processes of its own, spoken to over sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import requests

from tests.conftest import ENVIRONMENT, wait_until
from tests.device import Device

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
    """A client with a connection for each thread that uses it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = threading.local()

    def open(self, path: str, method: str, headers: dict[str, str], json: Any = None) -> Answer:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        response = self._local.session.request(
            method, self._url + path, json=json, headers=headers, timeout=60, allow_redirects=False
        )
        return Answer(response)


class Service:
    """gunicorn on a free port, on one Redis; log: an open file that takes its log."""

    def __init__(self, redis_url: str, log: Any = None, **environment: str) -> None:
        self._log = log
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **ENVIRONMENT,
            **{"REDIS_URL": redis_url, "PORT": str(self.port), "WEB_CONCURRENCY": "2"},
            **environment,
        }
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "--log-level", "warning", "wsgi:app"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stderr=self._log)
        wait_until(self._accepts, "gunicorn did not start", within_s=20)

    def _accepts(self) -> bool:
        assert self.process.poll() is None, "gunicorn ended at once"
        try:
            requests.get(self.url, timeout=1)
        except (requests.ConnectionError, requests.Timeout):  # it listens before a worker is there
            return False
        return True

    def device(self, **headers: str) -> Device:
        return Device(Http(self.url), headers)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
