"""What gunicorn loads."""

import os

from app import create_app
from app.config import load_settings
from app.stores.connect import connect

settings = load_settings(os.environ)
app = create_app(settings, connect(settings.redis_url))
