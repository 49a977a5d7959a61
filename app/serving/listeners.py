"""The listeners of the port: one for each worker of gunicorn, or two, where the host is `localhost`. The master opens
them and keeps them open.

With one common listener a single worker may get all connections that a gateway keeps open, while other workers idle.
docs/performance.md has the figures. The kernel divides connections evenly among several listeners.

Connections that wait in the queue of a listener are lost when the last process closes it. So the master keeps each
listener, and passes it on to the next worker, and to the next master.

The methods have the names of the hooks in gunicorn.conf.py that call them.
"""

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from gunicorn.sock import create_sockets
from gunicorn.systemd import sd_notify
from gunicorn.workers.base import Worker

# gunicorn's Arbiter. Its stubs give the listeners of a master and of a worker types that do not fit each other.
Master = Any
Listener = Any


class Listeners:
    """The listeners, of each family of addresses apart. No host has two addresses of one family."""

    def __init__(self, host: str, port: int) -> None:
        hosts = loopback_addresses() if host == "localhost" else [host]
        self._listen_on = {_family_of(address): _server_at(address, port) for address in hosts}
        self.bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def try_to_listen(self) -> None:
        """Open each address for a moment. OSError says that this is not possible."""
        for listen in self._listen_on.values():
            listen().close()

    def on_starting(self, master: Master) -> None:
        """Open the first listener of each family, or exit if the port is taken.

        The check is needed, because with several listeners the kernel would let another process share the port.
        """
        if master.cfg.bind != [self.bind]:
            sys.exit("HOST and PORT say where Keyrack listens, --bind does not")
        if master.master_pid:  # an upgrade: the old master passes its listeners on
            return
        try:
            self.try_to_listen()
            for family in self._listen_on:
                master.LISTENERS.append(self._listen(master, family))
        except OSError as problem:
            # "Address already in use" is said of the port, all else of the address.
            setting = "PORT" if problem.errno == errno.EADDRINUSE else "HOST"
            sys.exit(f"Keyrack cannot listen on {self.bind}: {problem.strerror}. Look at the setting {setting}.")

    def when_ready(self, master: Master) -> None:
        """Close surplus listeners after an upgrade to fewer workers.

        The old workers still hold these listeners, so they disappear when the old workers end.
        """
        for family in self._listen_on:
            _close(master, _with_family(family, master.LISTENERS)[master.num_workers :])

    def nworkers_changed(self, master: Master, count: int, _count_before: int | None) -> None:
        """Close the listeners of the oldest workers, which gunicorn ends if the number is reduced (SIGTTOU)."""
        by_age = sorted(master.WORKERS.values(), key=lambda worker: worker.age)
        staying = [listener for worker in by_age[-count:] for listener in worker.sockets]
        if by_age:
            _close(master, [listener for listener in master.LISTENERS if listener not in staying])

    def pre_fork(self, master: Master, worker: Worker) -> None:
        """Give a new worker the listener of each family that has waited longest for a new worker.

        At a reload that listener's worker is the next to end.
        """

        def age_of_youngest(listener: Listener) -> int:
            return max((other.age for other in master.WORKERS.values() if listener in other.sockets), default=0)

        worker.sockets = []
        for family in self._listen_on:
            if len(_with_family(family, master.LISTENERS)) < master.num_workers:
                master.LISTENERS.append(self._listen(master, family))
            worker.sockets.append(min(_with_family(family, master.LISTENERS), key=age_of_youngest))

    def post_fork(self, master: Master, worker: Worker) -> None:
        """Close the inherited copies of other workers' listeners.

        Otherwise connections would still queue on them after their workers have closed them.
        """
        for listener in master.LISTENERS:
            if listener not in worker.sockets:
                listener.close()

    def post_worker_init(self, worker: Worker) -> None:
        """Finish an upgrade (SIGUSR2) when its last worker is up: tell systemd the new master, and end the old one."""
        if "GUNICORN_PID" in os.environ and worker.age == worker.cfg.workers:
            sd_notify(f"MAINPID={worker.ppid}", worker.log)
            os.kill(int(os.environ["GUNICORN_PID"]), signal.SIGTERM)

    def _listen(self, master: Master, family: socket.AddressFamily) -> Listener:
        made = self._listen_on[family](backlog=master.cfg.backlog, reuse_port=True)
        return create_sockets(master.cfg, master.log, [made.detach()])[0]


def loopback_addresses() -> list[str]:
    """Return the addresses that `localhost` means to browsers. Some containers have no IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return ["127.0.0.1"]
    return ["127.0.0.1", "::1"]


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _server_at(host: str, port: int) -> Callable[..., socket.socket]:
    """Return what opens a listener of this address."""
    is_dual = host == "::" and socket.has_dualstack_ipv6()  # all addresses, including IPv4
    return partial(socket.create_server, (host, port), family=_family_of(host), dualstack_ipv6=is_dual)


def _with_family(family: socket.AddressFamily, listeners: Iterable[Listener]) -> list[Listener]:
    return [listener for listener in listeners if listener.family == family]


def _close(master: Master, listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        master.LISTENERS.remove(listener)
        listener.close()
