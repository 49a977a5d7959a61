"""The floors of the benchmark: the least that Flask, or a WSGI application, does on the same gunicorn."""

import os

from flask import Flask

from app.stores.connection.connect import connect

client = connect(os.environ["REDIS_URL"])

flask_empty = Flask("flask_empty")
flask_get = Flask("flask_get")


@flask_empty.get("/")
def nothing():
    return ""


@flask_get.get("/")
def one_get():
    """Ask Redis on a connection of this thread, as Keyrack does."""
    client.read(("GET", "bench"))
    return ""


def wsgi_empty(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []
