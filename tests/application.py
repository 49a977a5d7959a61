"""An application behind the gateway, as a test wants it to be: it notes what it is asked."""

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.certificates import Pair


class Request:
    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.method, self.path = handler.command, handler.path
        self.headers = {name.lower(): text for name, text in handler.headers.items()}
        self.raw = handler.rfile.read(int(self.headers.get("content-length", 0)))
        self.port = handler.client_address[1]  # tells connections apart

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class Application:
    """Keeps the fields of each user, unless `answers` is set: a function that writes the bytes of an answer itself."""

    def __init__(self, certificate: Pair | None = None, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.users: dict[str, dict[str, Any]] = {}
        self.answers: Callable[[Request, Any], None] | None = None
        own = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                request = Request(self)
                own.requests.append(request)
                if own.answers:
                    own.answers(request, self.wfile)
                    self.close_connection = True
                    return
                fields = own.users.setdefault(request.headers["x-auth-user-id"], {})
                if request.raw:
                    fields.update(request.json)
                body = json.dumps(fields).encode()
                self.send_response(200)
                self.send_header("Set-Cookie", "__Host-session=stolen; Path=/")
                self.send_header("X-Of-Application", "1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PATCH = _answer  # noqa: N815 - the library's names

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        scheme = "http"
        if certificate:
            scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def says(status: int, body: Any, **headers: str) -> Callable[[Request, Any], None]:
    """Answers with a status and a body, which may be text or bytes that are no JSON."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(raw)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    return lambda _, out: out.write("\r\n".join([*lines, "", ""]).encode() + raw)


def drips(begin: bytes, each: bytes, every_s: float = 0.05) -> Callable[[Request, Any], None]:
    """Begins an answer and goes on byte by byte, as long as it is listened to."""

    def drip(_: Request, out: Any) -> None:
        try:
            out.write(begin)
            while True:
                out.write(each)
                out.flush()
                time.sleep(every_s)
        except OSError:
            pass

    return drip
