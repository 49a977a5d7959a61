"""The application, for gunicorn and for `flask --app wsgi`."""

import os
import sys

from app import create_app
from app.config import ConfigError
from app.serving.reload import load_or_keep_settings
from app.stores.connection.connect import connect

WORKER_BOOT_ERROR = 3  # after any other status gunicorn starts the worker again, for ever

try:
    settings = load_or_keep_settings(os.environ)
except ConfigError as problems:
    print(problems, file=sys.stderr)
    sys.exit(WORKER_BOOT_ERROR if "gunicorn.arbiter" in sys.modules else 2)
app = create_app(settings, connect(settings.redis_url))
