"""gunicorn under a supervisor that starts it again when it is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import requests

from scripts.faults.api import GATEWAY_SECRET
from tests.conftest import ENVIRONMENT
from tests.ports import lasting_port
from tests.servers import wait_until

_ROOT = Path(__file__).parents[2]
_RESTARTS_AFTER_S = 0.1  # as systemd does


class Service:
    """gunicorn with two processes, fast password hashes and no rate limits. It logs into a file."""

    def __init__(self, log: Path, **environment: str) -> None:
        self.port = lasting_port()
        self._log = log.open("ab")
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **ENVIRONMENT,
            **{name: "1000000 per minute" for name in ENVIRONMENT if name.startswith("RATE_LIMIT_")},
            **{"PORT": str(self.port), "WEB_CONCURRENCY": "2", "GATEWAY_SECRET": GATEWAY_SECRET},
            **environment,
        }
        self._start()
        wait_until(self.answers, "gunicorn did not start", within_s=60)

    def _start(self) -> None:
        gunicorn = Path(sys.executable).with_name("gunicorn")
        self._process = subprocess.Popen(
            [gunicorn, "wsgi:app"],
            cwd=_ROOT,
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # the workers of a master that was killed are still found
        )
        self._groups = [*getattr(self, "_groups", []), self._process.pid]

    def answers(self) -> bool:
        try:
            requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=1)
        except requests.RequestException:
            return False
        return True

    def run_command(self, *arguments: str) -> int:
        """Run an operator's command, and return its exit code."""
        return self.start_command(*arguments).wait()

    def start_command(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start an operator's command."""
        flask = Path(sys.executable).with_name("flask")
        command = [flask, "--app", "wsgi", *arguments]
        return subprocess.Popen(command, cwd=_ROOT, env=self._environment, stdout=self._log, stderr=self._log)

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        pid = self._process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]

    def kill_worker(self, random: Random) -> float:
        """Send SIGKILL to a worker, and wait until the master has started another. Return the time of the kill."""
        count = int(self._environment["WEB_CONCURRENCY"])
        wait_until(lambda: len(self.workers()) == count, "a worker that ended before was not replaced", within_s=60)
        killed = random.choice(self.workers())
        at = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in self.workers(), "the master has not noticed that a worker is gone")
        wait_until(lambda: len(self.workers()) == count, "no worker came instead", within_s=60)
        return at

    def kill_master(self) -> tuple[float, float]:
        """Send SIGKILL to the master, and start it until it stays. Its old workers hold the port for a moment.

        Returns:
            The time of the kill, and the time when the service answered again.
        """
        at = time.monotonic()
        self._process.kill()
        self._process.wait()

        def is_back() -> bool:
            if self._process.poll() is not None:
                time.sleep(_RESTARTS_AFTER_S)
                self._start()
            return len(self.workers()) == 2 and self.answers() and self._process.poll() is None

        wait_until(is_back, "gunicorn did not start again", within_s=60)
        return at, time.monotonic()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(60)
        for group in self._groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:  # all of it ended by itself, as it should
                continue
        self._log.close()
