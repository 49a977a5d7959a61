"""The surfaces: a blueprint for each noun, and where it hangs."""

from flask import Blueprint

from app.config import Settings
from app.routes import gateway, login, me, mfa, pages, recovery, recovery_pages, sessions, settings, users

API = "/api/v9"


def blueprints(chosen: Settings) -> list[tuple[Blueprint, str | None]]:
    """Each with the prefix of its routes; what the gateway asks is there where the gateway has a secret to show."""
    api = [login.bp, recovery.bp, sessions.bp, mfa.bp, users.bp]
    asked_by_gateway = [(gateway.bp, "/gateway")] if chosen.gateway_secret else []
    shown = [(pages.bp, None), (recovery_pages.bp, None), (settings.bp, "/settings")]
    return [*((bp, API) for bp in api), (me.bp, None), *shown, *asked_by_gateway]
