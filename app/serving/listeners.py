"""The port, divided among gunicorn's workers: each has a listener of its own, which the master makes and holds.

Of one common listener a single worker may take all the connections that a gateway keeps open, while the others idle;
docs/performance.md has the figures. The kernel divides connections among listeners evenly. What waits in the queue of
one is lost with the last process that holds it, so the master hands it from worker to worker, and to the next master.

The methods are named as the hooks of gunicorn.conf.py that call them.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

from gunicorn.sock import create_sockets
from gunicorn.systemd import sd_notify
from gunicorn.workers.base import Worker

Master = Any  # gunicorn's Arbiter; by its stubs no listener of a master could be one of a worker
Listener = Any


class Listeners:
    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        is_dual = host == "::" and socket.has_dualstack_ipv6()  # all addresses: those of IPv4 are among them
        self._listen_on = partial(socket.create_server, (host, port), family=family, dualstack_ipv6=is_dual)
        self.bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def on_starting(self, master: Master) -> None:
        """Refuse a port that is taken: those who divide a port among listeners share it without a word."""
        if master.cfg.bind != [self.bind]:
            sys.exit("HOST and PORT say where Keyrack listens, --bind does not")
        if master.master_pid:  # an upgrade: the master before hands its listeners on
            return
        try:
            self._listen_on().close()
            master.LISTENERS.append(self._listen(master))
        except OSError as problem:
            sys.exit(f"Keyrack cannot listen on {self.bind}: {problem.strerror}")

    def when_ready(self, master: Master) -> None:
        """After an upgrade to fewer workers the listeners that are left over end with the workers before."""
        _let_go(master, master.LISTENERS[master.num_workers :])

    def nworkers_changed(self, master: Master, count: int, _count_before: int | None) -> None:
        """Where workers become fewer (SIGTTOU), gunicorn ends the oldest, whose listeners go with them."""
        by_age = sorted(master.WORKERS.values(), key=lambda worker: worker.age)
        staying = [worker.sockets[0] for worker in by_age[-count:]]
        if by_age:
            _let_go(master, [listener for listener in master.LISTENERS if listener not in staying])

    def pre_fork(self, master: Master, worker: Worker) -> None:
        """Give a worker the listener whose workers are the oldest: at a reload those are about to end."""
        if len(master.LISTENERS) < master.num_workers:
            master.LISTENERS.append(self._listen(master))

        def youngest(listener: Listener) -> int:
            return max((other.age for other in master.WORKERS.values() if other.sockets[0] is listener), default=0)

        worker.sockets = [min(master.LISTENERS, key=youngest)]

    def post_fork(self, master: Master, worker: Worker) -> None:
        """A listener that another worker held as well would go on queueing when its own has left it."""
        for listener in master.LISTENERS:
            if listener is not worker.sockets[0]:
                listener.close()

    def post_worker_init(self, worker: Worker) -> None:
        """The last worker of an upgrade (SIGUSR2) has booted: systemd hears of the new master, the one before goes."""
        if "GUNICORN_PID" in os.environ and worker.age == worker.cfg.workers:
            sd_notify(f"MAINPID={worker.ppid}", worker.log)
            os.kill(int(os.environ["GUNICORN_PID"]), signal.SIGTERM)

    def _listen(self, master: Master) -> Listener:
        made = self._listen_on(backlog=master.cfg.backlog, reuse_port=True)
        return create_sockets(master.cfg, master.log, [made.detach()])[0]


def _let_go(master: Master, listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        master.LISTENERS.remove(listener)
        listener.close()
