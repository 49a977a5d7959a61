"""How gunicorn runs Keyrack; each number can be set by its variable."""

import os
import sys

from app.config import ConfigError, load_settings

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", os.cpu_count() or 1))
worker_class = "gthread"
# More than BCRYPT_CONCURRENCY + BCRYPT_QUEUE: while that many logins wait, the other threads serve the rest.
threads = int(os.environ.get("WEB_THREADS", "32"))
http_parser = "fast"
keepalive = 15
# X-Super-Properties may be longer than is read of it, and is never an error.
limit_request_field_size = 64 * 1024
control_socket_disable = True
if os.path.isdir("/dev/shm"):  # noqa: PTH112, S108 - gunicorn's heartbeat files, which a slow disk would hold up
    worker_tmp_dir = "/dev/shm"  # noqa: S108


def on_starting(_server):
    """Refuse to start on a bad environment, with all its problems in one message."""
    try:
        load_settings(os.environ)
    except ConfigError as problems:
        sys.exit(str(problems))
