"""The servers of a run, the sessions in them, and the load on them."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis as RedisPy

from app import tokens
from app.stores.connection.connect import connect
from app.stores.keys import unprefixed as keys
from app.stores.lifetimes import Lifetimes
from app.stores.scripts import SessionScripts
from app.stores.session_records import Client
from app.stores.sessions import SessionStore
from app.stores.tickets import proof_value
from app.stores.users import UserStore

ROOT = Path(__file__).parents[2]
SECONDS = 3
CONNECTIONS = 32
SESSIONS_A_USER = 5
NO_LIMITS = {
    f"RATE_LIMIT_{name}": "1000000000 per minute"
    for name in ("LOGIN", "LOGIN_ADDRESS", "LOGIN_ACCOUNT", "REGISTER", "STEP_UP", "STEP_UP_USER")
}
FIREFOX = Client(os="Linux", platform="Firefox", location="Bern, Bern, Switzerland", ip="203.0.113.7")


@dataclass
class Measured:
    """Figures of wrk, run after run: requests a second, and latencies in milliseconds."""

    per_second: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    def add(self, report: str) -> None:
        if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", report):
            raise SystemExit(f"{refused[1]} answers were refused, so the figures would mean nothing:\n{report}")
        if re.search(r"Socket errors: (?!connect 0, read 0, write 0, timeout 0)", report):
            raise SystemExit(f"connections failed, so the figures would mean nothing:\n{report}")
        self.per_second.append(float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1]))
        for share, series in (("50", self.p50_ms), ("99", self.p99_ms)):
            value, unit = re.search(rf"\s{share}%\s+([\d.]+)(us|ms|s|m)\b", report).groups()
            series.append(float(value) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit])

    def median(self) -> tuple[float, float, float]:
        """Return the medians: requests a second, p50 and p99 in milliseconds."""
        return tuple(statistics.median(series) for series in (self.per_second, self.p50_ms, self.p99_ms))


class Redis:
    """A Redis server on a throw-away socket. It writes no data to disk."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="keyrack-bench-")
        socket = f"{self._folder}/redis.sock"
        self.url = f"unix://{socket}"
        options = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", self._folder]
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        _until(Path(socket).exists)
        self.client = connect(self.url)
        self.raw = RedisPy(unix_socket_path=socket)
        self.raw.set("bench", "x")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)


class Server:
    """One application under gunicorn. The settings are the same for all applications."""

    def __init__(self, application: str, redis: Redis, port: int, **environment: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        own = {"REDIS_URL": redis.url, "SECRET_KEYS": "b" * 32, "PORT": str(port)} | NO_LIMITS | environment
        command = [sys.executable, "-m", "gunicorn", "--log-level", "warning", application]
        self._process = subprocess.Popen(command, cwd=ROOT, env=os.environ | own)
        _until(lambda: subprocess.run(["curl", "-s", "-o", "/dev/null", self.url], check=False).returncode == 0)

    def cpu_ticks(self) -> list[int]:
        """Return the processor time that each worker has used so far."""
        listed = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=True)
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in listed.stdout.split()]
        return [int(stat[11]) + int(stat[12]) for stat in stats]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Seeds:
    """Test data in Redis: users made by the stores, and a crowd of copies of one of them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        scripts = SessionScripts(redis.client, Lifetimes(30 * 86400, 365 * 86400))
        self._users, self._sessions = UserStore(redis.client, scripts), SessionStore(redis.client, scripts)
        self._users_made = 0
        self.last_email = ""
        self._crowd = 0

    def user(self, password_hash: str = "$2b$12$" + "x" * 53, sessions: int = SESSIONS_A_USER) -> tuple[str, list[str]]:
        """Make a user with sessions. Return their id and tokens."""
        self._users_made += 1
        now, user_id = int(time.time()), str(10**18 + self._users_made)
        email = self.last_email = f"user{self._users_made}@example.com"
        named = {"email": email, "username": email, "global_name": None, "password_hash": password_hash}
        self._users.create(user_id, email, **named, created_at=now)
        held = [tokens.issue(user_id, now) for _ in range(sessions)]
        for token in held:
            self._sessions.open(user_id, tokens.id_hash(token), now, FIREFOX, "1", 50)
        return user_id, held

    def proof(self, user_id: str, session: str) -> str:
        proof = tokens.issue(user_id, time.time())
        value = proof_value("password", tokens.id_hash(session)) + " 0"  # the secrets version of a new user
        self._redis.raw.set(keys.proof(user_id, tokens.id_hash(proof)), value, ex=3600)
        return proof

    def crowd(self, users: int) -> None:
        """Add more users with five sessions each, to make Redis large. Nobody has their tokens."""
        user_id, _ = self.user()
        named = (keys.user, keys.last_used, keys.sessions)
        dumped = [self._redis.raw.dump(key(user_id)) for key in named]
        for first in range(self._crowd, self._crowd + users, 2000):
            with self._redis.raw.pipeline(transaction=False) as pipe:
                for number in range(first, min(first + 2000, self._crowd + users)):
                    copy = str(3 * 10**18 + number)
                    pipe.set(keys.email(f"user{copy}@example.com"), copy)
                    for key, value in zip(named, dumped, strict=True):
                        pipe.restore(key(copy), 0 if key is keys.user else 30 * 86400 * 1000, value)
                pipe.execute()
        self._crowd += users


def request(method: str, token: str = "", proof: str = "", body: str = "") -> str:
    """Return a line for requests.lua."""
    return "\t".join((method, token, proof, body))


def load(url: str, requests: Sequence[str], connections: int = CONNECTIONS, seconds: int = SECONDS) -> str:
    """Send the requests one after the other, over and over. Return wrk's report."""
    with tempfile.NamedTemporaryFile("w", prefix="keyrack-bench-") as file:
        file.write("\n".join(requests) + "\n")
        file.flush()
        script = str(Path(__file__).with_name("requests.lua"))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "30", "--latency", "-s", script, url]
        environment = os.environ | {"REQUESTS": file.name}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("a server did not start")
        time.sleep(0.05)
