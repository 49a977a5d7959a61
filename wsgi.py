"""What gunicorn loads, and `flask --app wsgi`."""

import os
import sys

from app import create_app
from app.config import ConfigError
from app.serving.running import settings_to_run_with
from app.stores.connection.connect import connect

WORKER_BOOT_ERROR = 3  # gunicorn starts a worker that ended with any other status again, and for ever

try:
    settings = settings_to_run_with(os.environ)
except ConfigError as problems:
    print(problems, file=sys.stderr)
    sys.exit(WORKER_BOOT_ERROR if "gunicorn.arbiter" in sys.modules else 2)
app = create_app(settings, connect(settings.redis_url))
