"""The gateways of docs/gateway.md as processes of their own, each under its very configuration but for the ports."""

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from tests.certificates import Pair
from tests.device import Device
from tests.live.gateway_tls import with_tls
from tests.live.server import ROOT, Answer, Http, free_port
from tests.servers import missing, wait_until

DOCS = ROOT / "docs" / "gateway"
ADDRESS = "127.0.0.1"  # that Keyrack sees a gateway under
ORIGIN = "https://chat.example.com"  # of a page that Keyrack lets call it
SECRET = "a-secret-of-the-gateway-for-tests-alone"
# As the documentation has them
GATEWAY_PORT, KEYRACK_PORT, APPLICATION_PORT, SOCKET_PORT = "8080", "8000", "9000", "8081"


class Application:
    """What stands behind the gateway: it answers 200 with the request as it arrived.

    To an upgrade, whatever it is to, it answers 101 and takes what follows on that connection for further requests.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.connections: set[Any] = set()
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    body = b"".join(self._chunks())
                arrived = {"method": self.command, "path": self.path, "headers": self.headers.items()}
                application.requests.append(arrived | {"body": body.decode()})
                application.connections.add(self.client_address)
                answer = json.dumps(application.requests[-1]).encode()
                time.sleep(int(self.headers.get("X-Wait", 0)))
                if upgrade := self.headers.get("Upgrade"):
                    self.send_response(101)
                    self.send_header("Connection", "Upgrade")
                    self.send_header("Upgrade", upgrade)
                    self.send_header("Sec-WebSocket-Accept", _accepted(self.headers.get("Sec-WebSocket-Key", "")))
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else answer)

            def _chunks(self) -> Iterator[bytes]:
                while length := int(self.rfile.readline().partition(b";")[0], 16):
                    yield self.rfile.read(length)
                    self.rfile.readline()
                self.rfile.readline()

            do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = do_PUT = do_OPTIONS = _answer  # noqa: N815 - as http.server calls them
            do_CONNECT = _answer  # noqa: N815 - as http.server calls it

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _accepted(key: str) -> str:
    """The answer to a WebSocket's key (RFC 6455, 4.2.2), without which HAProxy passes no handshake on."""
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


class Relay:
    """A way to Keyrack that counts the connections, and can be cut or made to answer nothing."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.accepted = 0
        self.is_silent = False
        self._unanswered: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            self.accepted += 1
            if self.is_silent:
                self._unanswered.append(near)
                continue
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def fall_silent(self) -> None:
        """From here on connections are accepted, and nothing is answered on any."""
        self.is_silent = True
        for one in self._open:
            _shut(one)

    def cut(self) -> None:
        """From here on nothing listens on the port, and nothing that was open is."""
        for one in (self._listener, *self._open):
            _shut(one)
        for one in (self._listener, *self._unanswered):
            one.close()

    close = cut


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with source, suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _shut(sink)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):  # it may be shut already
        one.shutdown(socket.SHUT_RDWR)


def names() -> list[str]:
    """nginx, and the other gateways that are on the PATH; all of them where every leg is required, as in .ci/run."""
    others = ("caddy", "traefik", "envoy", "haproxy")
    return ["nginx", *(name for name in others if os.environ.get("REQUIRE_ALL_LEGS") or _can_run(name))]


def _can_run(name: str) -> bool:
    """Caddy before 2.7, as in Debian 12, does not read the file."""
    if name != "caddy" or not _program(name):
        return _program(name) is not None
    told = subprocess.run([_program("caddy"), "version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.findall(r"\d+", told)[:2]) >= (2, 7)


def require(name: str) -> None:
    if _program(name) is None:
        missing(name)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Gateway:
    """One gateway of docs/gateway in front of Keyrack and the application; nginx has the example's entrance as well.

    certificate  of a second listener, for TLS and HTTP/2, on tls_port
    """

    def __init__(
        self,
        name: str,
        keyrack_port: int,
        application_port: int,
        socket_port: int | None = None,
        certificate: Pair | None = None,
    ) -> None:
        self.name = name
        self.port = free_port()
        self.tls_port = free_port() if certificate else None
        self._certificate = certificate
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = Http(self.url, None)
        self._ports = {
            GATEWAY_PORT: str(self.port),
            KEYRACK_PORT: str(keyrack_port),
            APPLICATION_PORT: str(application_port),
            SOCKET_PORT: str(socket_port or free_port()),
        }
        self._folder = tempfile.TemporaryDirectory(prefix="keyrack-")
        self._place = Path(self._folder.name)
        self._place.chmod(0o755)  # nginx' workers are another user where its master is root
        self._log = (self._place / "log").open("wb")
        options, environment = getattr(self, f"_{name}")()
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        self.process = subprocess.Popen(
            [_program(name), *options],
            cwd=self._place,
            env=kept | {"HOME": self._folder.name} | environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(self._asks, f"{name} did not start", within_s=60)
        except BaseException:
            self.close()
            raise

    def _nginx(self) -> tuple[list[str], dict[str, str]]:
        """Debian's nginx reads conf.d/ within its http block; this is that block for a folder of its own."""
        sites = [
            self._configured("nginx.conf", "keyrack.conf"),
            self._configured("../example/socket.conf", "socket.conf"),
        ]
        included = "\n".join(f"include {site};" for site in sites)
        paths = [f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
        main = f"pid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{' '.join(paths)}\n{included}\n}}\n"
        (self._place / "nginx.conf").write_text(main, encoding="utf-8")
        return ["-p", self._folder.name, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"], {}

    def _caddy(self) -> tuple[list[str], dict[str, str]]:
        site = self._configured("Caddyfile", "Caddyfile")
        admin = {"CADDY_ADMIN": f"unix/{self._folder.name}/admin.sock"}
        return ["run", "--adapter", "caddyfile", "--config", str(site)], admin

    def _traefik(self) -> tuple[list[str], dict[str, str]]:
        self._configured("traefik-routes.yaml", "traefik-routes.yaml")
        return [f"--configFile={self._configured('traefik.yaml', 'traefik.yaml')}"], {}

    def _envoy(self) -> tuple[list[str], dict[str, str]]:
        config = str(self._configured("envoy.yaml", "envoy.yaml"))
        return ["-c", config, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warn"], {}

    def _haproxy(self) -> tuple[list[str], dict[str, str]]:
        self._configured("keyrack.lua", "keyrack.lua")
        return ["-db", "-f", str(self._configured("haproxy.cfg", "haproxy.cfg"))], {}

    def _configured(self, name: str, copy: str) -> Path:
        """The file of the documentation with this run's ports in place of its own."""
        text = (DOCS / name).read_text(encoding="utf-8")
        text = re.sub(rf"\b({'|'.join(self._ports)})\b", lambda match: self._ports[match[0]], text)
        if self._certificate and self.tls_port:
            text = with_tls(name, text, self.port, self.tls_port, self._certificate)
        place = self._place / copy
        place.write_text(text, encoding="utf-8")
        return place

    def _asks(self) -> bool:
        """Traefik, for one, listens before it has read its routes."""
        assert self.process.poll() is None, self.log()
        try:
            return self.http.open("/", "GET", {}).status_code == 401
        except requests.ConnectionError:
            return False

    def log(self) -> str:
        return (self._place / "log").read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self._log.close()
        self._folder.cleanup()


def new_device(gateway: Gateway, **headers: str) -> Device:
    return Device(gateway.http, headers)


def ask(gateway: Gateway, path: str = "/channels/1", method: str = "GET", json: Any = None, **headers: str) -> Answer:
    """Ask for something of the application's."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.http.open(path, method, sent, json)


def values(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    """All that a CGI application would take for this header: letters of either case, and whatever for a -."""
    return [value for key, value in headers if _cgi_name(key) == _cgi_name(name)]


def _cgi_name(header: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", header.upper())
