"""What the tests share: a clock they set, the store on fakeredis and on a real server, devices that call the API."""

import os
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fakeredis import FakeRedis, FakeServer
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from redis import Redis, RedisCluster

from app import Keyrack, create_app
from app.config import load_settings
from app.stores.connection.connect import StoreError, connect, from_redis_py
from app.stores.lifetimes import Lifetimes
from app.stores.links import LinkStore
from app.stores.notices import NoticeStore
from app.stores.scripts import SessionScripts
from app.stores.sessions import SessionStore
from app.stores.tickets import TicketStore
from app.stores.users import UserStore
from app.web import verify
from tests import kept, lanes, leaks
from tests.conformance import CheckedClient
from tests.device import Device
from tests.mail_server import ScriptedServer, SmtpServer
from tests.servers import RedisServer, redis_at, wait_until
from tests.sets import ClusterSet

Keyrack.test_client_class = CheckedClient
kept.keep()

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
    "RATE_LIMIT_LOGIN_ACCOUNT": "10000 per minute",
    "RATE_LIMIT_CODE_ACCOUNT": "10000 per minute",
    "RATE_LIMIT_REGISTER": "10000 per minute",
    "RATE_LIMIT_STEP_UP": "10000 per minute",
    "RATE_LIMIT_STEP_UP_USER": "10000 per minute",
    "RATE_LIMIT_END_OTHERS": "10000 per minute",
    "RATE_LIMIT_END_OTHERS_USER": "10000 per minute",
    "RATE_LIMIT_FORGOT": "10000 per minute",
    "RATE_LIMIT_DATA": "10000 per minute",
    "RATE_LIMIT_NEW_FACTOR": "10000 per minute",
    "VERIFY_LEASE": "0",  # nothing but gunicorn's worker holds one
    "SMTP_URL": "smtp://127.0.0.1:1",  # notices are queued; no test of routes delivers them
    "MAIL_FROM": "Keyrack <no-reply@example.com>",
    "PUBLIC_URL": "https://keys.example.com",
}

# The longest first, so that no worker is left alone with one of them at the end.
LONGEST = (
    "tests/live/test_move_to_cluster.py",
    "tests/fuzz/test_stores.py",
    "tests/test_slot_balance.py",
    "tests/faults/",
    "tests/live/",
    "tests/test_sets.py",
    "tests/browser/",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: next((at for at, path in enumerate(LONGEST) if item.nodeid.startswith(path)), 100))


class Clock:
    """Time as the tests set it; it begins at the real time, as Redis' own expiry does."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="session")
def city_database(tmp_path_factory):
    """A small City database in MaxMind's format."""
    writer = MMDBWriter(ip_version=6, database_type="GeoIP2-City", ipv4_compatible=True)
    names = {"city": "Bern", "region": "Bern", "country": "Switzerland"}
    full = {
        "city": {"names": {"en": names["city"], "de": "Bern"}},
        "subdivisions": [{"names": {"en": names["region"]}}, {"names": {"en": "ignored"}}],
        "country": {"iso_code": "CH", "names": {"en": names["country"]}},
    }
    writer.insert_network(IPSet(["203.0.113.0/24"]), full)
    writer.insert_network(IPSet(["198.51.100.0/25"]), {"country": {"iso_code": "FR", "names": {"en": "France"}}})
    writer.insert_network(IPSet(["192.0.2.200"]), {"country": {"iso_code": "AT"}})
    writer.insert_network(IPSet(["198.51.100.128/25"]), {"city": {"names": {"de": "Wien"}}, "subdivisions": []})
    writer.insert_network(IPSet(["2001:db8::/32"]), full)
    writer.insert_network(IPSet(["10.0.0.0/8", "192.168.0.0/16"]), full)
    path = tmp_path_factory.mktemp("geoip") / "city.mmdb"
    writer.to_db_file(str(path))
    return path


@pytest.fixture(scope="session")
def redis_server():
    server = RedisServer()
    with redis_at(server.url) as client:
        client.execute_command(*least_rights())
    yield server
    server.close()


def least_rights(name: str = "least", prefix: str = "") -> list[str]:
    """Return the command that makes the user whom docs/operations.md tells operators to make."""
    page = Path("docs/operations.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^(ACL SETUSER keyrack .*?)^```", page, re.MULTILINE | re.DOTALL)
    [(plain, prefixed)] = re.findall(r"in place of `(~user:.*?)`\s+`(~.*?)`", page, re.DOTALL)
    assert plain in command
    if prefix:
        command = command.replace(plain, prefixed.replace("staging:", f"{prefix}:"))
    return command.replace(" keyrack ", f" {name} ").split()


@pytest.fixture(scope="session")
def cluster():
    """A Cluster that stays as it is: on a busy machine no node is taken for dead because it has its turn late."""
    servers = ClusterSet()
    for node in servers.nodes:
        node.client.config_set("cluster-node-timeout", 60_000)
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def cluster_client(cluster):
    """redis-py's client of it, which asks each server for all its commands when it is made."""
    client = RedisCluster("127.0.0.1", cluster.nodes[0].port, decode_responses=True, protocol=2)
    yield client
    client.close()


@pytest.fixture(scope="session")
def live_server():
    """A server for services that run beside the tests: they write into it while no test looks."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def service(live_server):
    """gunicorn on that server, with the settings of all tests."""
    from tests.live.server import Service  # noqa: PLC0415 - it has those settings from here

    service = Service(live_server.url)
    yield service
    service.close()


@pytest.fixture(params=["fake", "real", "cluster"])
def redis(request):
    """redis-py's client of the store, for what tests look at and turn over in it."""
    if request.param == "fake":
        client = FakeRedis(server=FakeServer(), decode_responses=True, protocol=2)
    elif request.param == "real":
        client = redis_at(request.getfixturevalue("redis_server").url)
    else:
        client = request.getfixturevalue("cluster_client")
    assert client.keys("*") == [], "refusing a database that holds keys"
    yield client
    client.flushdb()
    if request.param != "cluster":
        client.close()


@pytest.fixture
def store(request, redis):
    """Keyrack's own client of that store: on a real server as the user of least rights.

    Of the Cluster, it has looked at it already. The first command waits for that no longer than operators would: on a
    busy machine, not long enough.
    """
    if not isinstance(redis, RedisCluster):
        return from_redis_py(_as_least_user(request, redis))
    client = connect(request.getfixturevalue("cluster").url)
    wait_until(lambda: _has_looked(client), "the Cluster was not looked at")
    return client


def _as_least_user(request, redis):
    known = redis.connection_pool.connection_kwargs
    if isinstance(redis, FakeRedis) or known["path"] not in request.getfixturevalue("redis_server").url:
        return redis  # a server of its own has no such user
    user = {"username": "least", "password": "PASSWORD"}
    url = request.getfixturevalue("redis_server").url
    return Redis.from_url(url, **user, decode_responses=True, protocol=2)


def _has_looked(client):
    with suppress(StoreError):
        return client.nodes()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_app(store, clock):
    """Makes the service on this store, with settings beside those of all tests: two of them are two processes."""

    def make(redis_clock=None, **environment: str):
        app = create_app(load_settings(ENVIRONMENT | environment), store, clock, redis_clock or clock)
        app.test_client_class = NotingClient
        return app

    return make


class NotingClient(CheckedClient):
    """Flask's test store, whose answers are held against the document, and the logs against the secrets that pass.

    What is asked at the gateway's check is asked in the fast lane too, which must say the same, or nothing.
    """

    def open(self, *args, **kwargs):
        answer = super().open(*args, **kwargs)
        for sent in (kwargs.get("json"), kwargs.get("data"), answer.json if answer.is_json and answer.data else None):
            leaks.note(sent)
        for cookie in answer.headers.getlist("Set-Cookie"):
            leaks.note({"token": cookie.partition("=")[2].partition(";")[0]})
        if answer.request.path == verify.PATH:
            lanes.compare(self.application, answer)
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
def scripts(store, clock):
    return SessionScripts(store, LIFETIMES, clock)


@pytest.fixture
def sessions(store, scripts):
    return SessionStore(store, scripts)


@pytest.fixture
def users(store, scripts):
    return UserStore(store, scripts)


@pytest.fixture
def tickets(store, scripts):
    return TicketStore(store, scripts)


@pytest.fixture
def links(store, scripts, clock):
    return LinkStore(store, scripts, clock)


@pytest.fixture
def notices(store, scripts):
    return NoticeStore(store, scripts)


@pytest.fixture
def scripted():
    """Starts mail servers that answer as a test wrote down: tests.mail_server.ScriptedServer."""
    servers = []

    def start(**says):
        servers.append(ScriptedServer(says))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


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
