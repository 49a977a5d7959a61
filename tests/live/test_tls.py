"""TLS to one server, to a Sentinel set and to a Cluster, which all ask for a certificate of the client."""

import re
import time
from urllib.parse import urlencode

import pytest
from redis import RedisError

from app import create_app, tokens
from app.config import load_settings
from app.stores.connection.connect import connect
from tests.certificates import Authority, Tls
from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD, Device
from tests.live.server import Service
from tests.ports import lasting_port
from tests.servers import wait_until
from tests.sets import ClusterSet, Node, SentinelSet

_ANSWERED_S = 5  # 1.5 by the time-outs, and the rest for a busy machine


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return Tls(tmp_path_factory.mktemp("tls"))


def server_at(folder, how, tls=None):
    """One on two addresses; the certificates of the tests are for the first of them."""
    port = lasting_port()
    node = Node(folder, port, *how(port), "--bind", "127.0.0.1", "127.0.0.2", "--save", "", tls=tls)
    wait_until(node.answers, "redis-server did not start")
    return node


@pytest.fixture(scope="module")
def server(tls, tmp_path_factory):
    server = server_at(tmp_path_factory.mktemp("server"), tls.listen, tls)
    yield server
    server.close()


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory):
    server = server_at(tmp_path_factory.mktemp("plain"), lambda port: ["--port", str(port)])
    yield server
    server.close()


@pytest.fixture(scope="module")
def urls(tls, server, plain_server, tmp_path_factory):
    """Each is wrong in one thing, but for the first."""
    known = tls.options()
    of_another = Authority(tmp_path_factory.mktemp("another"), "another")
    other = of_another.issue("client")
    anonymous = {"ssl_ca_certs": known["ssl_ca_certs"]}
    stranger = anonymous | {"ssl_certfile": str(other.certificate), "ssl_keyfile": str(other.key)}

    def url(options, scheme="rediss", host="127.0.0.1", to=server):
        return f"{scheme}://{host}:{to.port}?{urlencode(options)}"

    return {
        "right": url(known),
        "another CA": url(known | {"ssl_ca_certs": str(of_another.certificate)}),
        "the system's CAs": url({name: value for name, value in known.items() if name != "ssl_ca_certs"}),
        "another host": url(known, host="127.0.0.2"),
        "no certificate": url(anonymous),
        "a stranger's certificate": url(stranger),
        "no TLS": url({}, scheme="redis"),
        "TLS with a server that has none": url(known, to=plain_server),
        "a Sentinel that is none": url(known, scheme="rediss+sentinel").replace("?", "/keyrack?"),
        "Sentinels without TLS": url({}, scheme="redis+sentinel").replace("?", "/keyrack?"),
        "a Cluster without TLS": url({}, scheme="redis+cluster"),
        "a Cluster and no certificate": url(anonymous, scheme="rediss+cluster"),
    }


WRONG = {
    "another CA": "certificate verify failed",
    "the system's CAs": "certificate verify failed",
    "another host": "IP address mismatch",
    "no certificate": "TLS|SSL|violation|reset|closed|Broken pipe",
    "a stranger's certificate": "TLS|SSL|violation|reset|closed|Broken pipe",
    "no TLS": "reset|closed",
    "TLS with a server that has none": "Timeout connecting",
    "a Sentinel that is none": "unknown command",
    "Sentinels without TLS": "reset|closed",
    "a Cluster without TLS": "no server of the Cluster",
    "a Cluster and no certificate": "no server of the Cluster",
}  # and what the error says


def assert_serves(url):
    """Two logins, a listing and an ending, in processes that have the URL from their environment."""
    service = Service(url)
    try:
        alice = service.device().register("alice@example.com")
        phone = service.device().log_in(alice)
        assert sorted(alice.id_hashes()) == sorted([alice.id_hash, phone.id_hash])
        assert alice.end([phone.id_hash]).status_code == 204
        assert [device.get("/gateway/verify").status_code for device in (alice, phone)] == [200, 401]
        assert service.http.open("/readyz", "GET", {}).status_code == 200
    finally:
        service.close()


def test_one_server(urls):
    assert_serves(urls["right"])


def test_a_sentinel_set(tls):
    """Servers and Sentinels, and each with a password."""
    servers = SentinelSet(password="open-sesame", tls=tls)
    try:
        assert servers.url.startswith("rediss+sentinel://:open-sesame@")
        assert_serves(servers.url)
    finally:
        servers.close()


def test_a_cluster(tls):
    servers = ClusterSet(password="open-sesame", tls=tls)
    try:
        assert servers.url.startswith("rediss+cluster://:open-sesame@")
        assert_serves(servers.url)
    finally:
        servers.close()


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_spoken_with_is_an_error_in_time(urls, what):
    with connect(urls[what]) as client:
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(RedisError, match=WRONG[what]):
                client.read(("EXISTS", "key"))
            assert time.monotonic() - began < _ANSWERED_S
    with connect(urls["right"]) as client:
        assert client.read(("EXISTS", "key")) == [0]


@pytest.mark.parametrize(
    ("what", "reason"), [("a Cluster without TLS", "reset|closed"), ("another CA", "certificate verify failed")]
)
def test_a_log_says_why_a_cluster_cannot_be_spoken_with(urls, caplog, what, reason):
    url = urls[what].replace("+cluster", "").replace("://", "+cluster://")
    with connect(url) as client, pytest.raises(RedisError):
        client.read(("EXISTS", "key"))
    assert re.search(f"what the Cluster looks like is not known: no server .*({reason})", caplog.text)


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_spoken_with_is_503(urls, what):
    """Nobody is signed in, or told of anything but a 503 with its Retry-After."""
    with connect(urls[what]) as client:
        app = create_app(load_settings(ENVIRONMENT | {"REDIS_URL": urls[what]}), client)
        device = Device(app.test_client(use_cookies=False))
        answers = [
            device.get("/gateway/verify", Authorization=tokens.issue("1", time.time())),
            device.post("/auth/login", {"login": "alice@example.com", "password": PASSWORD}),
        ]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
