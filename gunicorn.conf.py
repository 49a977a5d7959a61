"""How gunicorn runs Keyrack; app/config.py has the settings, and tells all that is wrong with them at once.

What has no setting there, GUNICORN_CMD_ARGS sets in gunicorn's own words.
"""

import os
import sys

from app.config import ConfigError, load_settings
from app.listeners import Listeners

try:
    settings = load_settings(os.environ)
except ConfigError as problems:
    sys.exit(str(problems))

listeners = Listeners(settings.host, settings.port)
bind = listeners.bind
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
if os.path.isdir("/dev/shm"):  # noqa: PTH112, S108 - gunicorn's heartbeat files, which a slow disk would hold up
    worker_tmp_dir = "/dev/shm"  # noqa: S108
nworkers_changed = listeners.nworkers_changed
when_ready = listeners.when_ready
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
