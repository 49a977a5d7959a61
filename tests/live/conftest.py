"""Races, faults and floods run against gunicorn and a real Redis, from threads."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.certificates import Authority
from tests.conftest import ENVIRONMENT
from tests.live import gateways
from tests.live.server import ROOT, Service
from tests.servers import redis_at


@pytest.fixture
def start_command(live_server):
    """Starts a command of `flask --app wsgi` as ops run it; what is still running at the end is killed."""
    running = []

    def start(*command, **settings):
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **ENVIRONMENT,
            "REDIS_URL": live_server.url,
            **settings,
        }
        whole = [sys.executable, "-m", "flask", "--app", "wsgi", *command]
        process = subprocess.Popen(whole, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def real_redis(live_server):
    with redis_at(live_server.url) as client:
        yield client


@pytest.fixture(autouse=True)
def _empty_afterwards(real_redis):
    assert set(real_redis.keys()) <= {"leases"}
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


@pytest.fixture(scope="session", params=gateways.names())
def name(request):
    """One of the gateways; tests that ask for it run for each."""
    gateways.require(request.param)
    return request.param


@pytest.fixture(scope="session")
def keyrack(live_server):
    """The service that all gateways stand before."""
    service = Service(
        live_server.url,
        TRUSTED_PROXIES=gateways.ADDRESS,
        GATEWAY_SECRET=gateways.SECRET,
        ALLOWED_ORIGINS=gateways.ORIGIN,
    )
    yield service
    service.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Whose certificates clients of a gateway believe."""
    return Authority(tmp_path_factory.mktemp("gateways"))


@pytest.fixture(scope="session")
def running(name, keyrack, authority):
    application = gateways.Application()
    gateway = gateways.Gateway(name, keyrack.port, application.port, certificate=authority.issue("gateway"))
    yield gateway, application
    gateway.close()
    application.close()


@pytest.fixture
def gateway(running):
    return running[0]


@pytest.fixture
def application(running):
    running[1].requests.clear()
    return running[1]
