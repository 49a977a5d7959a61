"""Keyrack: sign-in, the devices that are signed in, and how to end that, at once and everywhere."""

import logging
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, request
from redis import Redis

from app.callers.identity import Callers
from app.callers.location import Locations
from app.cli import init_cli
from app.config import Settings
from app.mail.delivery import Delivery
from app.mail.letters import Letters
from app.mail.transport import open_transport
from app.routes import blueprints
from app.rules.accounts import Accounts
from app.rules.devices import Devices
from app.rules.imports import Imports
from app.rules.keyring import Keyring
from app.rules.links import Links
from app.rules.notices import Notices
from app.rules.operators import Operators
from app.rules.passwords import Passwords
from app.rules.reauthentication import Reauthentication
from app.rules.recovery import Recovery
from app.rules.second_factor import SecondFactor
from app.stores.connection.client import RedisClient
from app.stores.connection.connect import over
from app.stores.connection.node import Wait
from app.stores.connection.server import look_at
from app.stores.lifetimes import Lifetimes
from app.stores.links import LinkStore
from app.stores.mail import MailStore
from app.stores.notices import NoticeStore
from app.stores.scripts import SessionScripts
from app.stores.sessions import SessionStore
from app.stores.tickets import TicketStore
from app.stores.users import UserStore
from app.web.error_handlers import init_error_handlers
from app.web.front import Front
from app.web.json_provider import OrjsonProvider
from app.web.limits import init_limits
from app.web.services import EXTENSION, Services
from app.web.surfaces import init_surfaces
from app.web.verify import Verify

log = logging.getLogger(__name__)

_MAX_BODY = 64 * 1024


class Keyrack(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Flask looks at each view and hook of each request whether it is async; none is."""
        return func

    def log_exception(self, exc_info: Any) -> None:
        """By the route: a path may hold what a client made up."""
        log.error("%s %s failed", request.method, request.url_rule, exc_info=exc_info)


def create_app(settings: Settings, redis: RedisClient | Redis, clock: Callable[[], float] = time.time) -> Flask:
    """The whole service on one client of Redis; no connection is made before the first request.

    redis: what stores.connect makes, or redis-py's client of one server, fakeredis' too
    """
    app = Keyrack("app")
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    app.url_map.merge_slashes = False  # a path that is none is a 404, not a redirect to the Host that a client names
    client = redis if isinstance(redis, RedisClient) else over(redis)
    services = app.extensions[EXTENSION] = _services(settings, client, clock)
    app.json = OrjsonProvider(app)
    init_error_handlers(app)
    init_limits(app, client)
    init_cli(app)
    for blueprint, prefix in blueprints(settings):
        app.register_blueprint(blueprint, url_prefix=prefix)
    init_surfaces(app)
    app.wsgi_app = Front(app.wsgi_app, Verify(services), services)  # type: ignore[method-assign]  # Flask's documented way
    return app


def _services(settings: Settings, redis: RedisClient, clock: Callable[[], float]) -> Services:
    lifetimes = Lifetimes(settings.session_ttl_s, settings.session_max_age_s, settings.retention_days * 24 * 60 * 60)
    wait = Wait(settings.redis_wait_replicas, settings.redis_wait_ms) if settings.redis_wait_replicas else None
    scripts = SessionScripts(redis, lifetimes, clock, wait)
    users, tickets = UserStore(redis, scripts, wait), TicketStore(redis, scripts)
    passwords = Passwords(settings.bcrypt_rounds, settings.bcrypt_concurrency, settings.bcrypt_queue)
    keyring = Keyring(settings.secret_keys)
    links = Links(LinkStore(redis, scripts, clock), clock)
    queue = MailStore(redis, clock, lifetimes.retention_s)
    mail = queue if settings.smtp_url else None
    notices = Notices(mail, NoticeStore(redis, scripts), clock)
    second_factor = SecondFactor(users, keyring, notices, settings.totp_window, clock)
    sessions = SessionStore(redis, scripts)
    devices = Devices(sessions, lifetimes, settings.max_sessions_per_user, clock)
    accounts = Accounts(
        users, tickets, devices, passwords, second_factor, keyring, notices, settings.mfa_ticket_ttl_s, clock
    )
    return Services(
        settings=settings,
        clock=clock,
        callers=Callers(devices, Locations(settings.geoip_database), settings.trusted_proxies),
        devices=devices,
        accounts=accounts,
        second_factor=second_factor,
        reauthentication=Reauthentication(
            users,
            tickets,
            passwords,
            second_factor,
            notices,
            settings.mfa_ticket_ttl_s,
            settings.mfa_proof_ttl_s,
            clock,
        ),
        links=links,
        notices=notices,
        delivery=_delivery(settings, mail, users, links, clock),
        recovery=Recovery(users, tickets, accounts, links, passwords, second_factor, notices),
        operators=Operators(users, sessions, queue, notices, accounts, devices, passwords, clock),
        imports=Imports(users, keyring, clock),
        look_at_redis=lambda: look_at(redis, clock),
    )


def _delivery(
    settings: Settings, mail: MailStore | None, users: UserStore, links: Links, clock: Callable[[], float]
) -> Delivery | None:
    if not (mail and settings.smtp_url and settings.mail_from and settings.public_url):  # all of them or none are set
        return None
    letters = Letters(users, links, settings.mail_from, settings.public_url, clock)
    return Delivery(mail, open_transport(settings.smtp_url), letters.compose, clock)
