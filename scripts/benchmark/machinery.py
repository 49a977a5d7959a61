"""The servers of a run: Redis, Keyrack and floors under gunicorn, and their processor time and memory."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import requests
from redis import Redis as RedisPy

from app.stores.connection.connect import connect
from scripts.benchmark.load import Load, Request, Run
from scripts.benchmark.seeds import Seeds
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
WORKERS = 2
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_METRICS_SECRET = "m" * 32
_NO_LIMITS = {
    f"RATE_LIMIT_{name}": "1000000000 per minute"
    for name in ("LOGIN", "LOGIN_ADDRESS", "LOGIN_ACCOUNT", "REGISTER", "STEP_UP", "STEP_UP_USER")
}


class Redis:
    """A Redis server on a throw-away socket. It writes no data to disk."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="keyrack-bench-")
        socket = f"{self._folder}/redis.sock"
        self.url = f"unix://{socket}"
        options = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", self._folder]
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        wait_until(Path(socket).exists)
        self.client = connect(self.url)
        self.raw = RedisPy(unix_socket_path=socket)
        self.raw.set("bench", "x")

    def cpu_s(self) -> float:
        return _cpu_s(self._process.pid)

    def used_memory(self) -> int:
        return int(self.raw.info("memory")["used_memory"])

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)


class Server:
    """One application under gunicorn. The settings are the same for all applications."""

    def __init__(
        self,
        application: str,
        redis_url: str,
        *options: str,
        checkout: Path | None = None,
        workers: int = WORKERS,
        **environment: str,
    ) -> None:
        """
        Args:
            options: Options of gunicorn that are other ones.
            checkout: The folder of another build, with its own .venv. None for this one.
        """
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        own = {"REDIS_URL": redis_url, "SECRET_KEYS": "b" * 32, "METRICS_SECRET": _METRICS_SECRET, "PORT": str(port)}
        python = sys.executable if checkout is None else str(checkout / ".venv/bin/python")
        command = [python, "-m", "gunicorn", "--log-level", "warning", *options, application]
        self._process = subprocess.Popen(
            command,
            cwd=checkout or ROOT,
            env=os.environ | own | _NO_LIMITS | {"WEB_CONCURRENCY": str(workers)} | environment,
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: answers(self.url))
        except BaseException:
            self.close()
            raise

    def _workers(self) -> list[int]:
        listed = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=True)
        return [int(pid) for pid in listed.stdout.split()]

    def cpu_s(self) -> list[float]:
        """Return the processor time that each worker has used so far, in seconds."""
        return [_cpu_s(pid) for pid in self._workers()]

    def memory(self) -> tuple[int, int]:
        """Return the bytes that the workers take: as the kernel counts them for each, and with shared pages divided."""
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self._workers()]
        rss, pss = (
            sum(int(re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[1]) for text in rollups)
            for name in ("Rss", "Pss")
        )
        return 1024 * rss, 1024 * pss

    def metrics(self, name: str) -> dict[str, float]:
        """Return the figures of a metric that are not 0, by the value of its label; by "" if it has none."""
        headers = {"Authorization": f"Bearer {_METRICS_SECRET}"}
        text = requests.get(f"{self.url}/metrics", headers=headers, timeout=30).text
        found = re.findall(rf'^{name}(?:\{{\w+="([^"]*)"\}})? (\S+)$', text, re.MULTILINE)
        return {label: float(value) for label, value in found if float(value)}

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Keyrack:
    """A Keyrack with a Redis of its own, and the sessions in it."""

    def __init__(
        self,
        *,
        beside: "Keyrack | None" = None,
        checkout: Path | None = None,
        workers: int = WORKERS,
        **environment: str,
    ) -> None:
        """
        Args:
            beside: Another Keyrack, whose Redis and sessions this one shares.
        """
        self._own_redis = Redis() if beside is None else None
        self.redis = self._own_redis or beside.redis
        self.seeds = Seeds(self.redis.client, self.redis.raw) if beside is None else beside.seeds
        try:
            self.server = Server("wsgi:app", self.redis.url, checkout=checkout, workers=workers, **environment)
        except BaseException:
            if self._own_redis:
                self._own_redis.close()
            raise

    def measure(self, sent: Sequence[Request], load: Load = Load()) -> Run:  # noqa: B008 - it is frozen
        return measure(self.server, sent, load)

    def close(self) -> None:
        self.server.close()
        if self._own_redis:
            self._own_redis.close()


def measure(server: Server, sent: Sequence[Request], load: Load = Load()) -> Run:  # noqa: B008 - it is frozen
    """Load a server. Return the figures, with the processor time of its workers."""
    before = server.cpu_s()
    run = load.run(server.url, sent)
    return replace(run, cpu_us=1e6 * (sum(server.cpu_s()) - sum(before)) / run.count)


def answers(url: str) -> bool:
    """Tell whether a server answers, whatever it says."""
    return subprocess.run(["curl", "-s", "-o", "/dev/null", url], check=False).returncode == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("a server did not start")
        time.sleep(0.05)


def _cpu_s(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICKS_A_SECOND
