"""How gunicorn runs Keyrack; app/config.py has the settings, and tells all that is wrong with them at once.

What has no setting there, GUNICORN_CMD_ARGS sets in gunicorn's own words.
"""

import atexit
import os
import shutil
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

from prometheus_client import multiprocess  # noqa: E402

from app.config import ConfigError  # noqa: E402
from app.serving.checkup import warn_at_start  # noqa: E402
from app.serving.listeners import Listeners  # noqa: E402
from app.serving.running import settings_to_run_with  # noqa: E402

try:
    settings = settings_to_run_with(os.environ)
except ConfigError as problems:
    sys.exit(str(problems))

logger_class = "app.serving.server_log.ServerLog"
listeners = Listeners(settings.host, settings.port)
bind = listeners.bind
workers = settings.web_concurrency or os.cpu_count() or 1
worker_class = "app.serving.workers.Worker"
threads = settings.web_threads
http_parser = "auto"  # that of gunicorn_h1c, where it could be built
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
nworkers_changed = listeners.nworkers_changed
pre_fork = listeners.pre_fork
post_fork = listeners.post_fork
post_worker_init = listeners.post_worker_init


def on_starting(server):
    """Say what is off."""
    if settings.smtp_url is None:
        server.log.warning(
            "mails are off: nobody is told of sign-ins or can reset a password; set SMTP_URL, MAIL_FROM and PUBLIC_URL"
        )
    listeners.on_starting(server)


def when_ready(server):
    """Say in the log what `flask doctor` would say of the secrets and of Redis, once for all workers."""
    listeners.when_ready(server)
    warn_at_start(settings, server.log.warning)


def child_exit(_server, worker):
    """Leave what a dead worker counted, and forget what it was just doing."""
    multiprocess.mark_process_dead(worker.pid)
