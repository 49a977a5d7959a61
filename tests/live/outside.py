"""The hosts that real clients know by name, on loopback: a proxy that is discord.com for them, before Keyrack."""

import http.client
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.certificates import Authority

HOSTS = ("discord.com", "static.discord.com", "cordapi.dolfi.es", "versionhistory.googleapis.com")
API_HOST = "discord.com"
# What the application behind a gateway would answer, and clients ask before they sign in.
APPLICATIONS = {"/": {}, "/api/v9/experiments": {"fingerprint": "1.made-up", "assignments": []}}
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Outside:
    """A proxy for HTTPS that ends each tunnel itself.

    asked    hosts that tunnels were asked for
    unknown  hosts among them that it is not
    """

    def __init__(self, keyrack_port: int, folder: Path) -> None:
        authority = Authority(folder, "outside")
        pair = authority.issue("web", hosts=HOSTS)
        self.ca = authority.certificate
        self.asked: set[str] = set()
        self.unknown: set[str] = set()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pair.certificate, pair.key)
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            host = ""

            def do_CONNECT(self) -> None:
                self.host = self.path.partition(":")[0]
                outside.asked.add(self.host)
                if self.host not in HOSTS:
                    outside.unknown.add(self.host)
                    self.send_error(502)
                    return
                self.send_response(200)
                self.end_headers()
                self.connection = tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
                self.close_connection = False

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.host == API_HOST and self.path in APPLICATIONS:
                    told = json.dumps(APPLICATIONS[self.path]).encode()
                    headers = [("Content-Type", "application/json"), ("Set-Cookie", "__dcfduid=1; __sdcfduid=2")]
                    self._send(200, headers, told)
                elif self.host == API_HOST and self.path.startswith("/api/"):
                    self._send(*ask_keyrack(self.command, self.path, self.headers.items(), body))
                else:
                    self._send(404, [], b"")

            def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - as http.server calls them

            def finish(self) -> None:
                super().finish()
                self.connection.close()  # that of a tunnel is no other's to close

            def log_message(self, *_: Any) -> None:
                pass

        def ask_keyrack(method: str, path: str, headers: Any, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", keyrack_port, timeout=60)
            sent = {name: value for name, value in headers if name.lower() not in _HOP_BY_HOP}
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
            told = answer.status, kept, answer.read()
            connection.close()
            return told

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
