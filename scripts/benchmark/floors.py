"""What the figures are held against: the least that Flask, or a WSGI application, can do on the same gunicorn."""

import os

from flask import Flask

from app.stores.connect import connect

redis = connect(os.environ["REDIS_URL"])

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
    redis.get("bench")
    start_response("200 OK", [("Content-Length", "0")])
    return []
