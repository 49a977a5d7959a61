"""How gunicorn runs Keyrack; app/config.py has the settings, and tells all that is wrong with them at once.

What has no setting there, GUNICORN_CMD_ARGS sets in gunicorn's own words.
"""

import atexit
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - files here, no slow disk holds them up


def make_metrics_folder():
    """A fresh folder where the workers write their figures, for as long as this master lives.

    A reload reads this file again in the same process, and goes on with the folder there is; an upgrade on the fly is
    another process, and makes its own.
    """
    master = os.getpid()
    prefix = f"keyrack-metrics-{master}-"
    if Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")).name.startswith(prefix):
        return
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=prefix, dir=MEMORY)
    atexit.register(lambda: os.getpid() == master and shutil.rmtree(folder, ignore_errors=True))


make_metrics_folder()  # before prometheus_client is imported: it looks then whether there is one

from gunicorn.sock import create_sockets  # noqa: E402
from gunicorn.systemd import sd_notify  # noqa: E402
from prometheus_client import multiprocess  # noqa: E402

from app.checkup import warn_at_start  # noqa: E402
from app.config import ConfigError  # noqa: E402
from app.running import settings_to_run_with  # noqa: E402

try:
    settings = settings_to_run_with(os.environ)
except ConfigError as problems:
    sys.exit(str(problems))

logger_class = "app.server_log.ServerLog"
family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
is_dual = settings.host == "::" and socket.has_dualstack_ipv6()  # all addresses: those of IPv4 are among them
bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
workers = settings.web_concurrency or os.cpu_count() or 1
worker_class = "app.workers.Worker"
threads = settings.web_threads
http_parser = "fast"
keepalive = settings.web_keepalive_s
graceful_timeout = settings.web_stop_timeout_s
# X-Super-Properties may be longer than is read of it, and is never an error.
limit_request_field_size = 64 * 1024
# What proxies say is for TRUSTED_PROXIES to believe: gunicorn itself believes no header, from wherever it comes.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers = {}
control_socket_disable = True
worker_tmp_dir = MEMORY  # gunicorn's heartbeat files

# Each worker has a listener of its own, between which the kernel divides new connections: of a common one a single
# worker may take all the connections that a gateway keeps open, while the others idle; docs/performance.md has the
# figures. The master makes and holds them, so that who waits in a queue waits for the next worker when one ends.


def _listen(server):
    address = (settings.host, settings.port)
    made = socket.create_server(
        address, family=family, backlog=server.cfg.backlog, reuse_port=True, dualstack_ipv6=is_dual
    )
    return create_sockets(server.cfg, server.log, [made.detach()])[0]


def on_starting(server):
    """Say what is off. Refuse a port that is taken: those who divide a port among listeners share it without a word."""
    if settings.smtp_url is None:
        server.log.warning(
            "mails are off: nobody is told of sign-ins or can reset a password; set SMTP_URL, MAIL_FROM and PUBLIC_URL"
        )
    if server.cfg.bind != [bind]:
        sys.exit("HOST and PORT say where Keyrack listens, --bind does not")
    if server.master_pid:  # an upgrade: the master before hands its listeners on
        return
    try:
        socket.create_server((settings.host, settings.port), family=family, dualstack_ipv6=is_dual).close()
        server.LISTENERS = [_listen(server)]
    except OSError as problem:
        sys.exit(f"Keyrack cannot listen on {bind}: {problem.strerror}")


def when_ready(server):
    """After an upgrade to fewer workers the listeners that are left over end with the workers before.

    And once for all workers the log has what `flask doctor` would say of the secrets and of Redis.
    """
    _let_go(server, server.LISTENERS[server.num_workers :])
    warn_at_start(settings, server.log.warning)


def nworkers_changed(server, count, _count_before):
    """Where workers become fewer (SIGTTOU), gunicorn ends the oldest, whose listeners go with them."""
    by_age = sorted(server.WORKERS.values(), key=lambda worker: worker.age)
    staying = [worker.sockets[0] for worker in by_age[-count:]]
    if by_age:
        _let_go(server, [listener for listener in server.LISTENERS if listener not in staying])


def _let_go(server, listeners):
    for listener in listeners:
        server.LISTENERS.remove(listener)
        listener.close()


def pre_fork(server, worker):
    """Give a worker the listener whose workers are the oldest: at a reload those are about to end."""
    if len(server.LISTENERS) < server.num_workers:
        server.LISTENERS.append(_listen(server))

    def youngest(listener):
        return max((other.age for other in server.WORKERS.values() if other.sockets[0] is listener), default=0)

    worker.sockets = [min(server.LISTENERS, key=youngest)]


def post_fork(server, worker):
    """A listener that another worker held as well would go on queueing when its own has left it."""
    for listener in server.LISTENERS:
        if listener is not worker.sockets[0]:
            listener.close()


def post_worker_init(worker):
    """The last worker of an upgrade (SIGUSR2) has booted: systemd hears of the new master, and the one before goes."""
    if "GUNICORN_PID" in os.environ and worker.age == worker.cfg.workers:
        sd_notify(f"MAINPID={worker.ppid}", worker.log)
        os.kill(int(os.environ["GUNICORN_PID"]), signal.SIGTERM)


def child_exit(_server, worker):
    """Leave what a dead worker counted, and forget what it was just doing."""
    multiprocess.mark_process_dead(worker.pid)
