"""What the figures are held against: the least that Flask, or a WSGI application, can do on the same gunicorn."""

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
    """By redis-py's ordinary way."""
    redis.get("bench")
    start_response("200 OK", [("Content-Length", "0")])
    return []


def wsgi_get_lean(environ, start_response):
    """By a connection of the thread's own, as Keyrack asks."""
    client.read(("GET", "bench"))
    start_response("200 OK", [("Content-Length", "0")])
    return []
