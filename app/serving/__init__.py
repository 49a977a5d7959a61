"""Changes to gunicorn: workers, listeners, log, settings at a reload, and checks at start.
The layers for each request: web/.
"""
