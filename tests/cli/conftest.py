"""Commands as operators type them, run in this process on the Redis of the test."""

import json
import re
import unicodedata

import pytest


class Ran:
    """How a command ended and what it said.

    audit   its lines on the error output, which are not in `err`
    """

    def __init__(self, result):
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        self.exit_code = result.exit_code
        for text in (result.stdout, result.stderr):
            assert [char for char in text if char != "\n" and unicodedata.category(char) in ("Cc", "Cf")] == []

        lines = result.stderr.splitlines(keepends=True)
        self.out = result.stdout
        self.err = "".join(line for line in lines if not line.startswith("{"))
        self.audit = [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def json(self):
        return [json.loads(line) for line in self.out.splitlines()]


def counts(ran):
    """What an import said in JSON of the outcomes that every import has."""
    [told] = ran.json[-1:]
    return {name: told[name] for name in ("imported", "there", "bad")}


@pytest.fixture
def run(app):
    def run_one(*args, given=None):
        return Ran(app.test_cli_runner().invoke(args=args, input=given))

    return run_one


@pytest.fixture
def heard(redis):
    """The events told from here on: which sessions, and why they ended."""
    subscription = redis.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe("auth-events")
    subscription.get_message(timeout=1)  # that it is subscribed

    def reasons():
        told = []
        while (message := subscription.get_message(timeout=0.05)) is not None:
            event = json.loads(message["data"])
            told.append((event["auth_session_id_hash"], event["reason"]))
        return sorted(told)

    yield reasons
    subscription.close()


@pytest.fixture
def user_ids(redis):
    """Of whom there is a record."""
    return lambda: {key[6:-1] for key in redis.scan_iter() if re.fullmatch(r"user:\{[0-9]+\}", key)}
