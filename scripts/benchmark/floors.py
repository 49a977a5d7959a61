"""The floors of the benchmark: the least that Flask, or a WSGI application, does on the same gunicorn."""

import os

from flask import Flask
from redis import Redis

from app.stores.connection.connect import connect

redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
client = connect(os.environ["REDIS_URL"])

flask_empty = Flask("flask_empty")
flask_get = Flask("flask_get")


@flask_empty.get("/")
def nothing():
    return ""


@flask_get.get("/")
def one_get():
    return redis.get("bench") or ""


def wsgi_empty(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []


def wsgi_get(environ, start_response):
    """Ask Redis by redis-py's usual client."""
    redis.get("bench")
    start_response("200 OK", [("Content-Length", "0")])
    return []


def wsgi_get_lean(environ, start_response):
    """Ask Redis on a connection of this thread, as Keyrack does."""
    client.read(("GET", "bench"))
    start_response("200 OK", [("Content-Length", "0")])
    return []
