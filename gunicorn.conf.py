"""Gunicorn's configuration for Keyrack, made of the settings in app/config.py.

Options of gunicorn without a setting there can be set by GUNICORN_CMD_ARGS. The hooks do their work in app/serving/.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - files in memory wait for no slow disk


def make_metrics_folder():
    """Make the folder in which the workers write their metrics. It is removed when this master ends.

    A reload reads this file again in the same process, and keeps the folder. An upgrade on the fly is another process,
    and makes its own.
    """
    master = os.getpid()
    prefix = f"keyrack-metrics-{master}-"
    if Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")).name.startswith(prefix):
        return
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=prefix, dir=MEMORY)
    atexit.register(lambda: os.getpid() == master and shutil.rmtree(folder, ignore_errors=True))


make_metrics_folder()  # prometheus_client looks for the folder when it is imported

from prometheus_client import multiprocess  # noqa: E402

from app.config import ConfigError  # noqa: E402
from app.serving.checkup import warn_at_start  # noqa: E402
from app.serving.listeners import Listeners  # noqa: E402
from app.serving.reload import load_or_keep_settings  # noqa: E402

try:
    settings = load_or_keep_settings(os.environ)
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
# X-Super-Properties may be long: Keyrack reads a part of it, and never refuses it.
limit_request_field_size = 64 * 1024
# TRUSTED_PROXIES decides which proxies are believed. Gunicorn itself believes no header from anywhere.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers = {}
control_socket_disable = True
worker_tmp_dir = MEMORY  # gunicorn's heartbeat files
nworkers_changed = listeners.nworkers_changed
pre_fork = listeners.pre_fork
post_fork = listeners.post_fork


def on_starting(server):
    """Log which features are off, and open the port."""
    if settings.smtp_url is None:
        server.log.warning(
            "mails are off: no notices of sign-ins, no password resets; set SMTP_URL, MAIL_FROM and PUBLIC_URL"
        )
    listeners.on_starting(server)


def when_ready(server):
    """Log the warnings of `flask doctor` on secrets and Redis, once for all workers."""
    listeners.when_ready(server)
    warn_at_start(settings, server.log.warning)


def post_worker_init(worker):
    """Publish the keys that sign tokens for receivers, and finish an upgrade."""
    worker.wsgi.publish_keys()
    listeners.post_worker_init(worker)


def child_exit(_server, worker):
    """Keep the counts of a worker that has ended, and drop its gauges, which say what it was doing."""
    multiprocess.mark_process_dead(worker.pid)
