"""docs/example as a process, and a client of its socket."""

import base64
import hmac
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_websocket

from tests.live.server import ROOT, Http
from tests.ports import free_port
from tests.servers import redis_at, wait_until

FOLDER = ROOT / "docs" / "example"
SECRET = "a-secret-of-the-gateway-for-tests-alone"


class Example:
    """
    redis_url   where it follows the channel; "" where it does not
    constants   other values for the example's own, as in `sockets.MAX_SOCKETS=2`
    settings    variables beside those that it needs
    """

    def __init__(
        self, keyrack_url: str, redis_url: str, *constants: str, port: int | None = None, **settings: str
    ) -> None:
        self.port = port or free_port()
        self.http = Http(f"http://127.0.0.1:{self.port}", None)
        self.socket_url = f"ws://127.0.0.1:{self.port}/socket"
        self.entrance_port = free_port()  # nginx listens there
        self.entrance_url = f"ws://127.0.0.1:{self.entrance_port}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(FOLDER),
            **{"KEYRACK_URL": keyrack_url, "REDIS_URL": redis_url, "GATEWAY_SECRET": SECRET, "PORT": str(self.port)},
            "SOCKET_URL": self.entrance_url,
            **settings,
        }
        run = f"import runpy, keyrack, sockets; runpy.run_path({str(FOLDER / 'application.py')!r}, run_name='__main__')"
        program = "; ".join(["import keyrack, sockets", *constants, run])
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - the process writes there as long as it lives
        command = [sys.executable, "-c", program]
        if not redis_url:
            self.process = subprocess.Popen(command, env=self._environment, stderr=self._log)
            wait_until(self._listens, "the example did not start")
            return
        with redis_at(redis_url) as redis:
            channel = f"{settings['REDIS_PREFIX']}:auth-events" if "REDIS_PREFIX" in settings else "auth-events"
            before = listeners(redis, channel)
            self.process = subprocess.Popen(command, env=self._environment, stderr=self._log)
            wait_until(lambda: self._listens() and listeners(redis, channel) > before, "the example did not start")

    def _listens(self) -> bool:
        assert self.process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self._log.close()

    @property
    def log(self) -> str:
        return os.pread(self._log.fileno(), 1 << 20, 0).decode()


def listeners(redis, channel: str = "auth-events") -> int:
    return dict(redis.pubsub_numsub(channel))[channel]


class OddKeyrack:
    """Answers each path as `answers` says at the moment, with JSON, and counts the questions."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        odd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                odd.asked.append(self.path)
                body = json.dumps(odd.answers[self.path]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def sign(body: bytes, *secrets: str, event_id: str = "evt_1", at: float | None = None) -> dict[str, str]:
    """The headers of a webhook, made by the word of the standard."""
    seconds = int(time.time() if at is None else at)
    signed = f"{event_id}.{seconds}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


class Client:
    """A client of the user API at its socket. It has heard HELLO."""

    def __init__(self, url: str, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection = open_websocket(url, additional_headers=named, proxy=None, max_size=None)

    def __enter__(self) -> "Client":
        self._websocket = self._connection.__enter__()
        self.hello = self.hear(10)
        return self

    def __exit__(self, *raised: object) -> None:
        self._connection.__exit__(*raised)

    def send(self, op: int, data: Any = None) -> None:
        self.send_text(json.dumps({"op": op, "d": data}))

    def send_text(self, text: str | bytes) -> None:
        self._websocket.send(text)

    def hear(self, op: int) -> Any:
        """The data of the next payload, which must be of this opcode."""
        payload = json.loads(self._websocket.recv(timeout=10))
        assert payload["op"] == op, payload
        return payload["d"]

    def dispatched(self, name: str) -> Any:
        """The data of the next event of a name; others before it are passed over."""
        while True:
            payload = json.loads(self._websocket.recv(timeout=10))
            if payload["t"] == name:
                return payload["d"]

    def identify(self, token: str | None = None) -> Any:
        self.send(2, {"token": token, "properties": {"os": "Linux", "browser": "a test"}})
        return self.dispatched("READY")

    @property
    def is_open(self) -> bool:
        self.send(1)
        while (payload := json.loads(self._websocket.recv(timeout=10)))["op"] == 0:
            pass
        return payload["op"] == 11

    @property
    def closed_with(self) -> int:
        """The code that the socket is closed with; it fails where it stays open."""
        with suppress(ConnectionClosed):
            while True:
                self._websocket.recv(timeout=15)
        return self._websocket.close_code
