#!/usr/bin/env bash
# gunicorn 27.0.1 (PyPI), worker class gthread, graceful_timeout=12.
#
# One would guess: when gunicorn's master is killed (out of memory, say), its workers end within a second or so, as they
# look whether their parent is there. Or they go on as before. Either way the port is free, or somebody answers there.
#
# What happens: the worker logs "Parent changed, shutting down", and takes nobody new on. But it does not take itself
# for a worker that ends: a connection that is kept busy is answered "Connection: keep-alive" again and again, until
# graceful_timeout is over (30 seconds by default), and then closed without a word. The listener stays open meanwhile.
# So who connects now is let in by the kernel, waits, and is reset in the end. A new master finds the port in use, tries
# five times, and gives up with exit code 1. After a SIGTERM, in contrast, the next answer says "Connection: close".
#
# Seen:
#   master told to end: a busy connection goes on for 0 s, its last answer says: close
#   master killed:      a busy connection goes on for 12 s, its last answer says: keep-alive, then RemoteDisconnected
#                       somebody who connects two seconds after: ConnectionResetError
#                       a new master meanwhile ends with 1; its log says 5 times: Connection in use
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps gunicorn==27.0.1

cat > "$folder/hello.py" <<'PYTHON'
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
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
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit("it took too long"))
folder = Path(sys.argv[1])
GRACEFUL_S = 12
started = []


def start(port):
    number = len(started)
    command = [str(Path(sys.executable).with_name("gunicorn")), "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    command += ["--worker-class", "gthread", "--threads", "4", "--graceful-timeout", str(GRACEFUL_S)]
    command += ["--pid", str(folder / f"master-{number}"), "hello:application"]
    with (folder / f"log-{number}").open("w") as log:
        master = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    started.append(master)
    return master


def ask(connection):
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return answer.getheader("Connection")


def served(port):
    """A connection on which something was answered already."""
    for _ in range(100):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            ask(connection)
            return connection
        except OSError:
            time.sleep(0.1)
    sys.exit("gunicorn did not start")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def busy_after(port, end):
    """Ends a gunicorn; for how long a busy connection goes on, and what its last answer said of the connection."""
    connection = served(port)
    end()
    began = time.monotonic()
    said = None
    while time.monotonic() - began < GRACEFUL_S + 10:
        lasted = time.monotonic() - began
        try:
            said = ask(connection)
        except (OSError, http.client.HTTPException) as problem:
            return lasted, f"{said}, then {type(problem).__name__}"
        if said == "close":
            return lasted, said
        time.sleep(0.1)
    sys.exit("the connection goes on: the behaviour has changed")


def newcomer(port, found):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.connect()
    try:
        ask(connection)
        found.append("answered")
    except (OSError, http.client.HTTPException) as problem:
        found.append(type(problem).__name__)


try:
    port = free_port()
    first = start(port)
    lasted, said = busy_after(port, first.terminate)
    print(f"master told to end: a busy connection goes on for {lasted:.0f} s, its last answer says: {said}")
    assert said == "close" and lasted < 6, "the behaviour has changed"

    port = free_port()
    first = start(port)
    found = []
    second = []

    def newcomer_later():
        time.sleep(2)
        newcomer(port, found)

    waiting = threading.Thread(target=newcomer_later)

    def kill():
        first.kill()
        first.wait()
        second.append(start(port))
        waiting.start()

    lasted, said = busy_after(port, kill)
    waiting.join()
    print(f"master killed:      a busy connection goes on for {lasted:.0f} s, its last answer says: {said}")
    print(f"                    somebody who connects two seconds after: {found[0]}")
    assert said.startswith("keep-alive") and lasted > GRACEFUL_S - 1, "the behaviour has changed"
    assert found != ["answered"], "the newcomer was answered: the behaviour has changed"

    code = second[0].wait(timeout=20)
    log = (folder / f"log-{len(started) - 1}").read_text()
    tries = log.count("Connection in use")
    print(f"                    a new master meanwhile ends with {code}; its log says {tries} times: Connection in use")
    assert code == 1, "the new master came up: the behaviour has changed"
finally:
    for master in started:
        try:
            os.killpg(master.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        master.wait()
PYTHON
