"""What REDIS_URL can say; and what it cannot, which is told at start and not to the first who sign in."""

import os
import pty
import subprocess
import sys

import pytest
from redis import SSLConnection, UnixDomainSocketConnection
from redis.connection import Connection

from app.config import ConfigError, load_settings
from app.stores.connection.connect import connect
from app.stores.connection.redis_url import parse
from tests.certificates import Authority


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What URLs of these tests name, by the names that stand in them within braces."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    client, locked = authority.issue("client"), authority.issue("locked", password="open-sesame")
    (folder / "text").write_text("no certificate", encoding="utf-8")
    return {
        **{"folder": folder, "ca": authority.certificate, "text": folder / "text", "nowhere": folder / "nowhere"},
        **{"client": client.certificate, "key": client.key, "locked": locked.certificate, "locked_key": locked.key},
    }


def options_of(url):
    """What a connection to a server that keeps the data is made with, beside what all are made with."""
    always = {"decode_responses", "protocol", "retry", "socket_timeout", "socket_connect_timeout"}
    return {name: value for name, value in parse(url).options.items() if name not in always}


def refuse(url):
    with pytest.raises(ConfigError) as refused:
        load_settings({"REDIS_URL": url, "SECRET_KEYS": "s" * 32})
    [line] = str(refused.value).splitlines()[1:]
    assert line.startswith("- REDIS_URL must be a URL: redis://host:port/0, ")
    return line


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://", {"host": "localhost", "port": 6379, "db": 0}),
        ("redis:///3", {"host": "localhost", "port": 6379, "db": 3}),
        ("redis://cache", {"host": "cache", "port": 6379, "db": 0}),
        ("redis://cache_1.internal.:7000/15", {"host": "cache_1.internal.", "port": 7000, "db": 15}),
        ("redis://cache/", {"host": "cache", "port": 6379, "db": 0}),
        ("redis://cache/?db=2", {"host": "cache", "port": 6379, "db": 2}),
        ("redis://127.0.0.1:1", {"host": "127.0.0.1", "port": 1, "db": 0}),
        ("redis://[::1]", {"host": "::1", "port": 6379, "db": 0}),
        ("redis://[2001:DB8::7]:65535/0", {"host": "2001:db8::7", "port": 65535, "db": 0}),
        ("redis://zürich.example", {"host": "xn--zrich-kva.example", "port": 6379, "db": 0}),
        ("redis://:sesame@cache", {"host": "cache", "port": 6379, "db": 0, "password": "sesame"}),
        (
            "redis://ada%40x:p%2F%3A%25%23%3F%20%C3%A9@cache",
            {"host": "cache", "port": 6379, "db": 0, "username": "ada@x", "password": "p/:%#? é"},
        ),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock", "db": 0}),
        ("unix:///run/the%20redis.sock?db=2", {"path": "/run/the redis.sock", "db": 2}),
        ("unix://ada:p%2F@/run/redis.sock", {"path": "/run/redis.sock", "db": 0, "username": "ada", "password": "p/"}),
    ],
)
def test_one_server(url, options):
    address = parse(url)
    assert (address.kind, address.hosts, address.service) == ("server", (), "")
    assert options_of(url) == options
    assert address.connection_class is (UnixDomainSocketConnection if url.startswith("unix") else Connection)


@pytest.mark.parametrize(
    ("url", "hosts", "service", "db"),
    [
        ("redis+sentinel://a/main", [("a", 26379)], "main", 0),
        ("redis+sentinel://a,b:1,[::1],[::2]:7/main/", [("a", 26379), ("b", 1), ("::1", 26379), ("::2", 7)], "main", 0),
        ("redis+sentinel://a,b@c,d/main", [("c", 26379), ("d", 26379)], "main", 0),
        ("redis+sentinel://a/main/3/", [("a", 26379)], "main", 3),
        ("redis+sentinel://a/main?db=3", [("a", 26379)], "main", 3),
        ("redis+sentinel://a/my%2Fset%20of%20three/0", [("a", 26379)], "my/set of three", 0),
    ],
)
def test_sentinels(url, hosts, service, db):
    address = parse(url)
    assert (address.kind, list(address.hosts), address.service) == ("sentinel", hosts, service)
    assert parse(url).options["db"] == db


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("redis+cluster://a", [("a", 6379)]),
        ("redis+cluster://a:7000,b,[::1]:7002", [("a", 7000), ("b", 6379), ("::1", 7002)]),
        *((f"redis+cluster://a{path}", [("a", 6379)]) for path in ("/", "/0", "?db=0")),
    ],
)
def test_cluster(url, hosts):
    address = parse(url)
    assert (address.kind, list(address.hosts), address.service) == ("cluster", hosts, "")
    assert options_of(url) == {"db": 0}


def test_sentinels_are_asked_with_a_login_of_their_own():
    """Neither the servers' login nor their database is said to them."""
    url = "redis+sentinel://ada:p%2F1@a/main/2?sentinel_username=eve&sentinel_password=p%262"
    assert options_of(url) == {"db": 2, "username": "ada", "password": "p/1"}
    assert parse(url).sentinel_options.items() >= {"username": "eve", "password": "p&2"}.items()
    assert "db" not in parse(url).sentinel_options
    assert parse("redis+sentinel://:p1@a/main").sentinel_options["password"] is None


@pytest.mark.parametrize("scheme", ["redis://", "unix:///x", "redis+sentinel://a/main", "redis+cluster://a"])
def test_time_outs(scheme):
    """Short ones, so that a request that finds Redis gone has its answer in time; those of the URL count."""
    assert parse(scheme).options["socket_timeout"] == 0.75
    assert parse(scheme).options["socket_connect_timeout"] == 0.75
    given = parse(f"{scheme}?socket_timeout=2.5&socket_connect_timeout=0.1")
    assert (given.options["socket_timeout"], given.options["socket_connect_timeout"]) == (2.5, 0.1)
    if given.kind == "sentinel":
        assert parse(scheme).sentinel_options["socket_timeout"] == 0.25
        assert given.sentinel_options["socket_connect_timeout"] == 0.1


@pytest.mark.parametrize("scheme", ["redis://a", "rediss://a", "unix:///x", "redis+cluster://a", "rediss+cluster://a"])
def test_options_that_stand_in_many_a_url_change_nothing(scheme):
    """Of redis-py's pools and retries, and of what is so in any case."""
    ignored = "max_connections=9&timeout=5&retry_on_timeout=yes&health_check_interval=30&decode_responses=no&protocol=3"
    assert options_of(f"{scheme}?{ignored}") == options_of(scheme)
    assert parse(f"{scheme}?{ignored}").options["protocol"] == 2


@pytest.mark.parametrize("rest", ["://127.0.0.1:7/1", "+sentinel://a,b/main/1", "+cluster://a,b"])
def test_tls(files, rest):
    """All of it is for the Sentinels as well."""
    named = "ssl_ca_certs={ca}&ssl_certfile={client}&ssl_keyfile={key}&ssl_min_version=772&ssl_check_hostname=no"
    address = parse(f"rediss{rest}?{named}".format(**files))
    assert address.connection_class is SSLConnection
    expected = {
        **{"ssl_ca_certs": str(files["ca"]), "ssl_certfile": str(files["client"]), "ssl_keyfile": str(files["key"])},
        **{"ssl_min_version": 772, "ssl_check_hostname": False},
    }
    for options in (address.options, address.sentinel_options if address.kind == "sentinel" else address.options):
        assert options.items() >= expected.items()


@pytest.mark.parametrize(
    "options",
    [
        "",
        *("ssl_cert_reqs=none", "ssl_ca_path={folder}", "ssl_ciphers=ECDHE%2BAESGCM"),
        "ssl_certfile={locked}&ssl_keyfile={locked_key}&ssl_password=open-sesame",
    ],
)
def test_other_options_of_tls(files, options):
    parse("rediss://a?" + options.format(**files))


SCHEMES = ["redis://a/{0}", "rediss+sentinel://a/main/{0}", "redis+cluster://a/{0}"]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "a",
            "localhost:6379",
            "http://a",
            "REDIS://a",
            "redis:/a",
            "redis:a",
            "redis+sentinels://a/main",
            "redis+://a",
        ),
        *("redis+unix:///a", "unix+cluster:///a", "unix", "unix:", "unix://", "unix:///", "unix://?db=1", "unix:a"),
        *("unix://redis.sock", "unix://run/redis.sock", "unix:///a%00b", "unix:///a#b", "unixs:///a"),
        *(
            "redis+sentinel://",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a//",
            "redis+sentinel:///m",
        ),
        *(
            "redis+sentinel://a//0",
            "redis+sentinel://a/main/x",
            "redis+sentinel://a/main/-1",
            "redis+sentinel://a/m/0/1",
        ),
        *("redis+sentinel://a/ma%00in", "redis+sentinel://a/main//1"),
        *(
            "redis+cluster://",
            "redis+cluster:///",
            "redis+cluster://a/1",
            "redis+cluster://a?db=1",
            "redis+cluster://a/m",
        ),
        *("redis+cluster://a/0/0", "redis+cluster://a/0/5"),
        *("redis://a/x", "redis://a/-1", "redis://a/1/2", "redis://a/99999", "redis://a?db=-1", "redis://a?db=x"),
        *("redis://a,b", "redis://a:1,b:2/0", "redis://a#b", "redis://:pa#ss@a", "redis+cluster://:pa#ss@a"),
        *("redis://ada:pa/ss@a", "redis+cluster://ada:pa/ss@a", "redis://:%FF@a", "redis://:%ff@a"),
    ],
)
def test_no_url_of_redis(url):
    refuse(url)


@pytest.mark.parametrize("scheme", ["redis://{}", "rediss+sentinel://{}/main", "redis+cluster://{}"])
@pytest.mark.parametrize(
    "host",
    [
        *("a:0", "a:70000", "a:65536", "a:x", "a:-1", "a:", "a:1:2", ":1", "::1", "[::1", "::1]", "[]", "[a]", "[:::]"),
        *("[1.2.3.4]", "[::1]x", "a b", "a\tb", "a\nb", "a\0b", "a%41", "a%00", "a\\b", 'a"b', "a..b", ".", "a" * 64),
        *("a\u200eb", "a\u00a0b"),
    ],
)
def test_hosts_that_are_none(scheme, host):
    refuse(scheme.format(host))


@pytest.mark.parametrize("scheme", ["redis+sentinel://{}/main", "rediss+cluster://{}"])
@pytest.mark.parametrize("hosts", ["a,", ",a", "a,,b", ",", "a, b", "a;b", "a:1,b:0", "a:1,b:70000"])
def test_lists_of_hosts_with_one_that_is_none(scheme, hosts):
    refuse(scheme.format(hosts))


@pytest.mark.parametrize("scheme", ["redis://a", "unix:///x", "redis+sentinel://a/main", "rediss+cluster://a"])
@pytest.mark.parametrize(
    "option",
    [
        *("frobnicate=1", "host=b", "port=7", "path=/x", "retry=5", "connection_class=x", "credential_provider=x"),
        *("redis_connect_func=x", "socket_keepalive_options=x", "parser_class=x", "encoding=x", "socket_type=1"),
        *("socket_timeout=0", "socket_timeout=-1", "socket_timeout=nan", "socket_timeout=inf", "socket_timeout=1e300"),
        *("socket_timeout=soon", "socket_connect_timeout=0", "socket_connect_timeout=-inf", "max_connections=many"),
        *("client_name=a%20b", "ssl_validate_ocsp=1", "ssl_validate_ocsp_stapled=1", "ssl_ocsp_context=x"),
    ],
)
def test_options_that_are_none(scheme, option):
    refuse(f"{scheme}?{option}")


@pytest.mark.parametrize("scheme", ["redis://a", "redis+cluster://a", "unix:///x"])
@pytest.mark.parametrize("option", ["sentinel_username=a", "sentinel_password=a"])
def test_a_login_for_sentinels_where_there_are_none(scheme, option):
    refuse(f"{scheme}?{option}")


@pytest.mark.parametrize("scheme", ["redis://a", "unix:///x", "redis+sentinel://a/main", "redis+cluster://a"])
def test_tls_where_it_is_not_asked_for(files, scheme):
    """Whoever names a CA means TLS; without the "s" all would go unencrypted."""
    refuse(f"{scheme}?ssl_ca_certs={files['ca']}")


@pytest.mark.parametrize("scheme", ["rediss://a", "rediss+sentinel://a/main", "rediss+cluster://a"])
@pytest.mark.parametrize(
    "options",
    [
        *("ssl_ca_certs={nowhere}", "ssl_ca_certs={text}", "ssl_ca_certs={folder}", "ssl_ca_certs={key}"),
        *("ssl_ca_path={nowhere}", "ssl_ca_path={ca}", "ssl_ca_data=none"),
        *("ssl_certfile={client}", "ssl_keyfile={key}", "ssl_certfile={text}&ssl_keyfile={key}"),
        *("ssl_certfile={client}&ssl_keyfile={nowhere}", "ssl_certfile={client}&ssl_keyfile={text}"),
        *("ssl_certfile={nowhere}&ssl_keyfile={key}", "ssl_certfile={client}&ssl_keyfile={locked_key}"),
        *("ssl_certfile={locked}&ssl_keyfile={locked_key}&ssl_password=wrong", "ssl_ciphers=none-such"),
        *("ssl_cert_reqs=x", "ssl_min_version=7", "ssl_min_version=x", "ssl_include_verify_flags=x"),
    ],
)
def test_tls_that_cannot_be(files, scheme, options):
    refuse(f"{scheme}?{options}".format(**files))


_AT_A_TERMINAL = """
import os, sys
from app.config import ConfigError, load_settings
os.open(os.ttyname(0), os.O_RDWR)  # of a session without one: this is now where OpenSSL would ask
try:
    load_settings({"REDIS_URL": sys.argv[1], "SECRET_KEYS": "s" * 32})
except ConfigError as refused:
    print(refused)
"""


@pytest.mark.parametrize("scheme", ["rediss://a", "rediss+sentinel://a/main", "rediss+cluster://a"])
def test_a_key_with_a_password_that_is_not_given(files, scheme):
    """Nobody is asked for it, though there is a terminal: somebody may be at it or not."""
    url = f"{scheme}?ssl_certfile={files['locked']}&ssl_keyfile={files['locked_key']}"
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", _AT_A_TERMINAL, url],
            **{"stdin": theirs, "stdout": theirs, "stderr": theirs},
            start_new_session=True,
            check=True,
            timeout=60,
        )
        told = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "REDIS_URL must be a URL" in told
    assert "pass phrase" not in told


def test_what_is_refused_is_not_repeated(files):
    """It may hold a password."""
    for url in (
        "redis://ada:hunter2@a:0",
        "redis+sentinel://ada:hunter2@a?b=hunter3",
        "rediss://a?ssl_ca_certs=hunter2",
    ):
        assert "hunter" not in refuse(url)


def test_an_address_shows_no_password():
    assert "hunter" not in repr(parse("redis+sentinel://ada:hunter2@a/main?sentinel_password=hunter3"))


@pytest.mark.parametrize(
    "url", ["redis://192.0.2.1", "unix:///nowhere", "rediss+sentinel://192.0.2.1/main", "rediss+cluster://192.0.2.1"]
)
def test_a_client_is_made_without_a_connection(url):
    connect(url).close()
