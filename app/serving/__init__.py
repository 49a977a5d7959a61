"""Changes to gunicorn: its workers, listeners and log, settings at a reload, and checks at start.
Everything that one request passes through: web/.
"""
