"""How gunicorn runs Keyrack; app/config.py has the settings, and tells all that is wrong with them at once."""

import os
import socket
import sys

from app.checkup import warn_at_start
from app.config import ConfigError, load_settings

try:
    settings = load_settings(os.environ)
except ConfigError as problems:
    sys.exit(str(problems))

bind = f"{settings.host}:{settings.port}"
workers = settings.web_concurrency or os.cpu_count() or 1
worker_class = "gthread"
threads = settings.web_threads
http_parser = "fast"
keepalive = 15
# A listener for each worker, between which the kernel divides new connections. Of a common one a single worker may take
# all the connections that a gateway keeps open, while the others idle: docs/performance.md has the figures.
reuse_port = True
# X-Super-Properties may be longer than is read of it, and is never an error.
limit_request_field_size = 64 * 1024
# What proxies say is for TRUSTED_PROXIES to believe: gunicorn itself believes no header, from wherever it comes.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers = {}
control_socket_disable = True
if os.path.isdir("/dev/shm"):  # noqa: PTH112, S108 - gunicorn's heartbeat files, which a slow disk would hold up
    worker_tmp_dir = "/dev/shm"  # noqa: S108


def on_starting(server):
    """Say what is off. Refuse a port that is taken: the workers' listeners would share it without a word."""
    if settings.smtp_url is None:
        server.log.warning(
            "mails are off: nobody is told of sign-ins or can reset a password; set SMTP_URL, MAIL_FROM and PUBLIC_URL"
        )
    if "GUNICORN_PID" in os.environ:  # an upgrade on the fly, which shares it on purpose
        return
    try:
        socket.create_server((settings.host, settings.port)).close()
    except OSError as problem:
        sys.exit(f"Keyrack cannot listen on {bind}: {problem.strerror}")


def when_ready(server):
    """Say in the log what `flask doctor` would say of the secrets and of Redis, once for all workers."""
    warn_at_start(settings, server.log.warning)
