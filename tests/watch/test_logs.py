"""Log lines: which form they have, what each says, and what none ever says."""

import io
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.config import load_settings
from app.stores.connection.connect import connect
from app.watch import logs
from tests.conftest import ENVIRONMENT

SECRET = "what nobody should read"
PATH = "/gateway/verify"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def logged():
    """Makes a stream to which all lines go in the form that an environment chooses."""
    writers = []

    def begin(stream=None, **environment):
        writers.append(logs.make_handler(load_settings(ENVIRONMENT | environment), stream or io.StringIO()))
        logging.getLogger().addHandler(writers[-1])
        return writers[-1].stream

    yield begin
    for writer in writers:
        logging.getLogger().removeHandler(writer)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_its_time_in_utc(logged):
    stream = logged()
    logging.getLogger("app.anything").warning("a %s", "word")
    [line] = lines(stream)
    assert {name: line[name] for name in ("level", "logger", "message")} == {
        "level": "warning",
        "logger": "app.anything",
        "message": "a word",
    }
    assert line["time"].endswith("Z")
    assert abs(datetime.fromisoformat(line["time"]) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("environment", "stream", "is_json"),
    [
        ({}, io.StringIO, True),
        ({}, Terminal, False),
        ({"LOG_FORMAT": "json"}, Terminal, True),
        ({"LOG_FORMAT": "text"}, io.StringIO, False),
    ],
)
def test_a_terminal_gets_text_and_everything_else_json_unless_told(logged, environment, stream, is_json):
    stream = logged(stream(), **environment)
    logging.getLogger("app").error("a word")
    assert stream.getvalue().startswith("{") == is_json


def test_text_moves_no_cursor_and_begins_no_line(logged):
    stream = logged(LOG_FORMAT="text")
    logging.getLogger("app").warning("a\x1b[2J\nb\u202e", extra={"fields": {"name": "c\nd"}})
    [line] = stream.getvalue().splitlines()
    assert "a\\x1b[2J\\nb\\u202e" in line
    assert 'name="c\\nd"' in line


def test_what_is_no_text_is_logged_all_the_same():
    record = logging.makeLogRecord({"msg": "\udcff"})
    assert json.loads(logs.JsonLine().format(record))["message"] == "\\udcff"


@pytest.fixture
def without_redis():
    return create_app(load_settings(ENVIRONMENT), connect("redis://127.0.0.1:1"))


@pytest.mark.parametrize("path", [PATH, "/api/v9/users/@me"])
def test_each_line_of_a_request_has_its_id(logged, without_redis, path):
    """Of verify and of Flask's routes: the id that the gateway gave, or the one that was made."""
    stream = logged()
    token = {"Authorization": "MQ.aaaaaa." + "a" * 43}
    given = without_redis.test_client().get(path, headers=token | {"X-Request-Id": "given-by-gateway"})
    made = without_redis.test_client().get(path, headers=token)
    assert [line["request_id"] for line in lines(stream)] == ["given-by-gateway", made.headers["X-Request-Id"]]
    assert given.headers["X-Request-Id"] == "given-by-gateway"


def test_after_a_request_lines_are_no_longer_its_own(logged, app):
    app.test_client().get("/healthz", headers={"X-Request-Id": "over"})
    stream = logged()
    logging.getLogger("app").warning("between requests")
    assert "request_id" not in lines(stream)[0]


def fail(*_args, **_kwargs):
    password = SECRET
    try:
        int(password)
    except ValueError:
        raise KeyError(password)  # noqa: B904 - what led to it is told too


def test_an_unexpected_exception_tells_where_and_what_but_no_value(logged, app):
    """Neither the values of variables nor what the exception says, which quotes them; nor the path."""
    app.add_url_rule("/fails/<text>", view_func=fail, endpoint="fails")
    app.view_functions["fails"] = lambda text: fail()
    stream = logged()
    answer = FlaskClient(app, app.response_class).get("/fails/eve@example.com", headers={"X-Request-Id": "it-was-this"})
    assert (answer.status_code, answer.json) == (500, {"code": 0, "message": "500: Internal Server Error"})
    [line] = lines(stream)
    assert (line["message"], line["request_id"]) == ("GET /fails/<text> failed", "it-was-this")
    assert "in fail\n    int(password)" in line["traceback"]
    assert "builtins.ValueError\n\nwhich led to\n\n" in line["traceback"]
    assert line["traceback"].endswith("builtins.KeyError")
    assert SECRET not in stream.getvalue()
    assert "eve@" not in stream.getvalue()


def test_verify_that_fails_unexpectedly_tells_as_little(logged, app, monkeypatch):
    monkeypatch.setattr("app.callers.identity.Callers.identify", fail)
    stream = logged()
    assert app.test_client().get(PATH, headers={"Authorization": SECRET}).status_code == 503
    [line] = lines(stream)
    assert "builtins.KeyError" in line["traceback"]
    assert SECRET not in stream.getvalue()


def test_outside_of_requests_an_exception_says_what_it_has_to_say(logged):
    stream = logged()
    try:
        fail()
    except KeyError:
        logging.getLogger("app").exception("not started")
    assert f"KeyError: '{SECRET}'" in lines(stream)[0]["traceback"]


def test_requests_are_not_logged_unless_asked_for(logged, app, make_app, caplog):
    """Orchestrators ask for health every few seconds, and the gateway has a log of its own."""
    caplog.set_level(logging.INFO)
    stream = logged()
    for path in ("/healthz", "/readyz", "/login"):
        assert app.test_client().get(path).status_code == 200
    assert lines(stream) == []
    make_app(ACCESS_LOG="on").test_client().get("/made/up", headers={"X-Request-Id": "this"})
    [line] = lines(stream)
    named = ("logger", "route", "method", "status", "request_id")
    assert [line[name] for name in named] == ["keyrack.access", "other", "other", 404, "this"]
