"""The surfaces: a blueprint for each noun, and where it hangs."""

from flask import Blueprint

from app.config import Settings
from app.routes import (
    document,
    gateway,
    health,
    login,
    me,
    mfa,
    pages,
    recovery,
    recovery_pages,
    sessions,
    settings,
    users,
)

API = "/api/v9"


def blueprints(chosen: Settings) -> list[tuple[Blueprint, str | None]]:
    """Each with the prefix of its routes; what asks for a secret is there where one is set."""
    api = [login.bp, recovery.bp, sessions.bp, mfa.bp, users.bp]
    asked_by_gateway = [(gateway.bp, "/gateway")] if chosen.gateway_secret else []
    asked_by_prometheus = [(health.metrics_bp, None)] if chosen.metrics_secret else []
    return [
        *((bp, API) for bp in api),
        (me.bp, None),
        *asked_by_gateway,
        (health.bp, None),
        *asked_by_prometheus,
        *((bp, None) for bp in (document.bp, document.pages_bp, pages.bp, recovery_pages.bp)),
        (settings.bp, "/settings"),
    ]
