"""Races, faults and floods run against gunicorn and a real Redis, from threads."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.servers import redis_at


@pytest.fixture
def real_redis(redis_server):
    with redis_at(redis_server.url) as client:
        yield client


@pytest.fixture(autouse=True)
def _empty_afterwards(real_redis):
    assert real_redis.dbsize() == 0
    yield
    real_redis.flushdb()


@pytest.fixture
def alice(service):
    return service.device().register("alice@example.com")


@pytest.fixture
def at_once():
    """Runs functions in threads that set out together; what each returned, in their order."""

    def run(*functions):
        start = Barrier(len(functions))

        def set_out(function):
            start.wait(60)
            return function()

        with ThreadPoolExecutor(len(functions)) as threads:
            return list(threads.map(set_out, functions))

    return run
