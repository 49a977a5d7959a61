#!/usr/bin/env bash
# gunicorn 27.0.1 (PyPI), worker class gthread, on Linux.
#
# One would guess: a reload (SIGHUP) loses nobody, with or without --reuse-port: the old worker ends, the new one is
# there.
#
# What happens: with --reuse-port each worker has a listener of its own, and the kernel divides newcomers among them. An
# old worker that ends takes nobody on any more, but keeps its listener open as long as it has connections: up to two
# seconds for a single idle one that is kept alive, up to graceful_timeout for a slow request. In that time the kernel
# goes on to give it about half of all who connect, though the new worker is up and idle. They wait, and are reset when
# the old worker closes its listener. Without --reuse-port the workers share one listener, and all are answered.
#
# Seen (the number that is reset varies by chance):
#   one listener: of 40 who connect after the reload 40 are answered, 0 reset
#   --reuse-port: of 40 who connect after the reload 24 are answered, 16 reset
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps gunicorn==27.0.1

cat > "$folder/hello.py" <<'PYTHON'
import os
import time


def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(10)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
PYTHON

timeout 60 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit("it took too long"))
folder = Path(sys.argv[1])
NEWCOMERS = 40
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def ask(port, path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def reload_with(*options):
    """A reload while a slow request is under way: what 40 newcomers hear, and what the slow one does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [str(Path(sys.executable).with_name("gunicorn")), "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    command += ["--worker-class", "gthread", "--threads", "8", *options, "hello:application"]
    master = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(100):
            if before := ask(port):
                break
            time.sleep(0.1)
        else:
            sys.exit("gunicorn did not start")

        slow = []
        slowly = threading.Thread(target=lambda: slow.append(ask(port, "/slow")))
        slowly.start()
        time.sleep(0.5)
        master.send_signal(signal.SIGHUP)
        for _ in range(100):
            if ask_new(port, before):
                break
        time.sleep(2)  # the old worker has left its loop by now

        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(NEWCOMERS)]
        answered = 0
        for one in sockets:
            one.sendall(REQUEST)
        for one in sockets:
            one.settimeout(20)
            try:
                answered += one.recv(1000).startswith(b"HTTP/1.1 200")
            except ConnectionResetError:
                pass
            one.close()
        slowly.join()
        assert slow == [before], "the slow request was not answered by the old worker"
        return answered
    finally:
        os.killpg(master.pid, signal.SIGKILL)
        master.wait()


def ask_new(port, before):
    """Whether the new worker answers; who is not answered at once leaves again."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.3) as one:
            one.sendall(REQUEST)
            answer = one.recv(1000)
    except OSError:
        return False
    return bool(answer) and not answer.endswith(before)


with ThreadPoolExecutor() as pool:
    shared, divided = pool.submit(reload_with), pool.submit(reload_with, "--reuse-port")
for name, found in ("one listener", shared.result()), ("--reuse-port", divided.result()):
    print(f"{name}: of {NEWCOMERS} who connect after the reload {found} are answered, {NEWCOMERS - found} reset")
assert shared.result() == NEWCOMERS, "the behaviour has changed"
assert 0 < divided.result() < NEWCOMERS, "the behaviour has changed"
PYTHON
