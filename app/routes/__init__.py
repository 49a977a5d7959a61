"""The views: a blueprint for each noun, and the prefix of its paths. Layers around every view: web/."""

from flask import Blueprint

from app.config import Settings
from app.routes import (
    account,
    activity,
    brand,
    document,
    gateway,
    health,
    login,
    me,
    mfa,
    own_data,
    pages,
    passkeys,
    recovery,
    recovery_pages,
    registration,
    remembered,
    sessions,
    settings_account,
    settings_security,
    settings_sessions,
    users,
    well_known,
)
from app.web.front import API


def blueprints(chosen: Settings) -> list[tuple[Blueprint, str | None]]:
    """Return each blueprint with the prefix of its routes.

    The routes for gateways and for Prometheus are left out if their secret is not set.
    """
    api = [login.bp, registration.bp, recovery.bp, account.bp, sessions.bp, mfa.bp, passkeys.bp, users.bp]
    asked_by_gateway = [(gateway.bp, "/gateway")] if chosen.gateway_secret else []
    asked_by_prometheus = [(health.metrics_bp, None)] if chosen.metrics_secret else []
    return [
        *((bp, API) for bp in api),
        (me.bp, None),
        (passkeys.cookie_bp, None),
        (activity.bp, None),
        (own_data.bp, None),
        (remembered.bp, None),
        *asked_by_gateway,
        (health.bp, None),
        *asked_by_prometheus,
        *((bp, None) for bp in (document.bp, document.pages_bp, pages.bp, recovery_pages.bp)),
        (settings_security.bp, "/settings"),
        (activity.pages_bp, "/settings"),
        (own_data.pages_bp, "/settings"),
        (settings_account.bp, "/settings"),
        (settings_sessions.bp, "/settings"),
        (brand.make_blueprint(chosen), None),
        (well_known.bp, "/.well-known"),
        (well_known.pages_bp, "/.well-known"),
    ]
