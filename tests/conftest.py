"""What the tests share: a clock they set, the store on fakeredis and on a real server, devices that call the API."""

import os
import shutil
import subprocess
import tempfile
import time

import pytest
from fakeredis import FakeRedis, FakeServer
from flask.testing import FlaskClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from redis import Redis, RedisError

from app import Keyrack, create_app
from app.config import load_settings
from app.stores.connect import ThreadConnections, connect
from app.stores.links import LinkStore
from app.stores.notices import NoticeStore
from app.stores.sessions import Lifetimes, SessionScripts, SessionStore
from app.stores.tickets import TicketStore
from app.stores.users import UserStore
from tests import leaks
from tests.conformance import CheckedClient
from tests.device import Device
from tests.mail_server import SmtpServer

Keyrack.test_client_class = CheckedClient

# The same examples in every run, and no look at the clock: CI is no place for chance. HYPOTHESIS_PROFILE=long looks for
# what those examples miss, anew each time.
_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
hypothesis_settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, max_examples=50, suppress_health_check=_SLOW
)
hypothesis_settings.register_profile(
    "long", database=None, deadline=None, max_examples=20_000, suppress_health_check=_SLOW, print_blob=True
)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ENVIRONMENT = {
    "REDIS_URL": "redis://unused",
    "SECRET_KEYS": "a-secret-for-tests-long-enough-to-be-one",
    "BCRYPT_ROUNDS": "4",
    "RATE_LIMIT_LOGIN": "10000 per minute",
    "RATE_LIMIT_LOGIN_ADDRESS": "10000 per minute",
    "RATE_LIMIT_REGISTER": "10000 per minute",
    "RATE_LIMIT_STEP_UP": "10000 per minute",
    "RATE_LIMIT_STEP_UP_USER": "10000 per minute",
    "RATE_LIMIT_FORGOT": "10000 per minute",
    "SMTP_URL": "smtp://127.0.0.1:1",  # notices are queued; no test of routes delivers them
    "MAIL_FROM": "Keyrack <no-reply@example.com>",
    "PUBLIC_URL": "https://keys.example.com",
}


class Clock:
    """Time as the tests set it; it begins at the real time, as Redis' own expiry does."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def missing(what: str) -> None:
    """A leg that cannot run here is skipped, but where all legs are required it fails."""
    if os.environ.get("REQUIRE_ALL_LEGS"):
        pytest.fail(f"{what} is not on the PATH, and every leg must run here")
    pytest.skip(f"{what} is not on the PATH")


_PATIENCE_S = 20


class RedisServer:
    """A real server on a throw-away socket, with its data in a throw-away folder.

    url        for tests that mean the service to wait: on a busy machine the server has its turn late
    plain_url  with the time-outs that operators have
    """

    def __init__(self, *options: str) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            missing("redis-server or valkey-server")
        self._folder = tempfile.TemporaryDirectory(prefix="keyrack-")
        socket = f"{self._folder.name}/redis.sock"
        self.plain_url = f"unix://{socket}"
        self.url = f"{self.plain_url}?socket_timeout={_PATIENCE_S}&socket_connect_timeout={_PATIENCE_S}"
        self._command = [program, "--port", "0", "--unixsocket", socket, "--dir", self._folder.name, "--save", ""]
        self._command += options
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        with connect(self.url) as client:
            wait_until(lambda: _answers(client), "redis-server did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def wait_until(condition, message: str, within_s: float = 30) -> None:
    """Poll something outside this process, such as a server that starts."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


@pytest.fixture(scope="session")
def city_database(tmp_path_factory):
    """A small City database in MaxMind's format."""
    writer = MMDBWriter(ip_version=6, database_type="GeoIP2-City", ipv4_compatible=True)
    names = {"city": "Bern", "region": "Bern", "country": "Switzerland"}
    full = {
        "city": {"names": {"en": names["city"], "de": "Bern"}},
        "subdivisions": [{"names": {"en": names["region"]}}, {"names": {"en": "ignored"}}],
        "country": {"names": {"en": names["country"]}},
    }
    writer.insert_network(IPSet(["203.0.113.0/24"]), full)
    writer.insert_network(IPSet(["198.51.100.0/25"]), {"country": {"names": {"en": "France"}}})
    writer.insert_network(IPSet(["198.51.100.128/25"]), {"city": {"names": {"de": "Wien"}}, "subdivisions": []})
    writer.insert_network(IPSet(["2001:db8::/32"]), full)
    writer.insert_network(IPSet(["10.0.0.0/8", "192.168.0.0/16"]), full)
    path = tmp_path_factory.mktemp("geoip") / "city.mmdb"
    writer.to_db_file(str(path))
    return path


@pytest.fixture(scope="session")
def redis_server():
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture(params=["fake", "real"])
def redis(request):
    if request.param == "fake":
        client = FakeRedis(server=FakeServer(), decode_responses=True, protocol=2)
    else:
        client = connect(request.getfixturevalue("redis_server").url)
    assert client.dbsize() == 0, "refusing a database that holds keys"
    yield client
    client.flushdb()
    client.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_app(redis, clock):
    """Makes the service on this Redis, with settings beside those of all tests: two of them are two processes."""

    def make(**environment: str):
        app = create_app(load_settings(ENVIRONMENT | environment), redis, clock)
        app.test_client_class = NotingClient
        return app

    return make


class NotingClient(FlaskClient):
    """Flask's test client; the secrets that pass are noted, for the logs to be held against."""

    def open(self, *args, **kwargs):
        answer = super().open(*args, **kwargs)
        for sent in (kwargs.get("json"), kwargs.get("data"), answer.json if answer.is_json else None):
            leaks.note(sent)
        for cookie in answer.headers.getlist("Set-Cookie"):
            leaks.note({"token": cookie.partition("=")[2].partition(";")[0]})
        return answer


@pytest.fixture(scope="session")
def watched_logs():
    watch = leaks.Watch(ENVIRONMENT)
    yield watch
    watch.end()


@pytest.fixture(autouse=True)
def _no_secret_is_logged(watched_logs):
    """Of no test: what is logged while it runs holds nothing that it sent or was given."""
    yield
    watched_logs.check()


@pytest.fixture
def app(make_app):
    return make_app()


@pytest.fixture
def new_device(app):
    """Makes devices of nobody yet; headers are what each of its requests carries."""
    return lambda **headers: Device(app.test_client(use_cookies=False), headers)


@pytest.fixture
def alice(new_device):
    """Alice's first device: she has registered on it."""
    return new_device().register("alice@example.com")


@pytest.fixture
def bob(new_device):
    return new_device().register("bob@example.com")


@pytest.fixture
def with_totp(alice, clock):
    """Alice's device again, with TOTP on: the code of the clock's step is used up, that of the next is not."""
    alice.enable_totp(clock())
    return alice


LIFETIMES = Lifetimes(ttl_s=30 * 24 * 3600, max_age_s=365 * 24 * 3600)


@pytest.fixture
def scripts(redis, clock):
    return SessionScripts(ThreadConnections(redis), LIFETIMES, clock)


@pytest.fixture
def sessions(redis, scripts):
    return SessionStore(ThreadConnections(redis), scripts)


@pytest.fixture
def users(redis, scripts):
    return UserStore(redis, scripts)


@pytest.fixture
def tickets(redis, scripts):
    return TicketStore(redis, scripts)


@pytest.fixture
def links(redis, scripts, clock):
    return LinkStore(redis, scripts, clock)


@pytest.fixture
def notices(redis, scripts, clock):
    return NoticeStore(redis, scripts)


@pytest.fixture
def smtp():
    """Starts SMTP servers; `how` is what tests.mail_server says."""
    servers = []

    def start(**how):
        servers.append(SmtpServer(**how).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
