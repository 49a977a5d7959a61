"""Keyrack: sign-in, the sessions of users, and how to end them at once and everywhere."""

import logging
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, request
from redis import Redis

from app.cli import init_cli
from app.config import Settings
from app.languages.choice import init_languages
from app.routes import blueprints
from app.stores.connection.client import RedisClient
from app.stores.connection.connect import from_redis_py
from app.stores.connection.redis_clock import RedisClock
from app.web.error_handlers import init_error_handlers
from app.web.fast_lane import FastLane
from app.web.frame import init_frame
from app.web.front import Front
from app.web.json_provider import OrjsonProvider
from app.web.limits import init_limits
from app.web.no_sessions import NoSessions
from app.web.services import EXTENSION, Services
from app.web.surfaces import init_surfaces, is_answered_by_page
from app.web.verify import Verify

log = logging.getLogger(__name__)

_MAX_BODY = 64 * 1024


class Keyrack(Flask):
    session_interface = NoSessions()

    fast_lane: FastLane  # for the worker's loop
    publish_keys: Callable[[], None]  # for each worker, when it begins

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a view or hook as it is. Flask would check at each request whether it is async. No view of ours is."""
        return func

    def log_exception(self, exc_info: Any) -> None:
        """Log an error with the URL pattern of the route. The path is left out: clients write what they like."""
        log.error("%s %s failed", request.method, request.url_rule, exc_info=exc_info)


def create_app(
    settings: Settings,
    redis: RedisClient | Redis,
    clock: Callable[[], float] = time.time,
    redis_clock: Callable[[], float] | None = None,
) -> Keyrack:
    """Return the whole service. It connects to Redis at the first request.

    Args:
        redis: A client made by stores/connection/connect.py. A client of redis-py or fakeredis for a single server is
            also accepted.
        redis_clock: None asks Redis for its time.
    """
    app = Keyrack("app", static_url_path="/keyrack")  # /static is what applications have
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    app.url_map.merge_slashes = False  # an unknown path is a 404, not a redirect to a Host that the client names
    client = redis if isinstance(redis, RedisClient) else from_redis_py(redis)
    services = app.extensions[EXTENSION] = Services(settings, client, clock, redis_clock or RedisClock(client, clock))
    app.json = OrjsonProvider(app)
    init_error_handlers(app)
    init_frame(app, settings)
    init_languages(app, settings.default_language, is_answered_by_page)
    init_limits(app, client, services.keys)
    init_cli(app)
    for blueprint, prefix in blueprints(settings):
        app.register_blueprint(blueprint, url_prefix=prefix)
    init_surfaces(app)
    front = Front(app.wsgi_app, Verify(services), services)
    app.wsgi_app = front  # type: ignore[method-assign]  # Flask's documented way
    app.fast_lane = FastLane(front, services)
    app.publish_keys = services.publish_keys
    return app
