"""What gunicorn loads, and `flask --app wsgi`."""

import os
import sys

from app import create_app
from app.config import ConfigError, load_settings
from app.stores.connect import connect

try:
    settings = load_settings(os.environ)
except ConfigError as problems:
    print(problems, file=sys.stderr)
    sys.exit(2)
app = create_app(settings, connect(settings.redis_url))
