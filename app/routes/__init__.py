"""The surfaces: a blueprint for each noun, and where it hangs."""

from app.routes import gateway, login, me, mfa, pages, sessions, users

API = "/api/v9"

BLUEPRINTS = [
    *((login.bp, API), (sessions.bp, API), (mfa.bp, API), (users.bp, API)),
    *((gateway.bp, "/gateway"), (me.bp, None), (pages.bp, None)),
]
