"""What must hold of every setting, whatever the environment says."""

import ipaddress
import re
from dataclasses import fields
from pathlib import Path
from urllib.parse import quote, urlsplit

import limits
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.callers.addresses import caller_address
from app.config import ConfigError, Settings, load_settings
from app.mail_settings import MailServer
from app.setting_reader import variable
from app.stores.connection.client import OneServer
from app.stores.connection.cluster import Cluster
from app.stores.connection.connect import connect
from app.stores.connection.redis_url import parse

NEEDED = {"REDIS_URL": "redis://localhost", "SECRET_KEYS": "s" * 32}
MAILING = {"SMTP_URL": "smtp://mail", "MAIL_FROM": "no-reply@example.com", "PUBLIC_URL": "https://a.example.com"}
NAMES = [variable(field.name) for field in fields(Settings)]
CENTURY_S = 100 * 365 * 24 * 3600
ENVIRONMENT_TEXT = st.text(st.characters(exclude_characters="\0"))  # as os.environ has them: lone surrogates are bytes


def load(**environment):
    """The settings, or None where they are refused; a refusal names its variable and no value."""
    try:
        return load_settings(NEEDED | MAILING | environment)
    except ConfigError as refused:
        lines = str(refused).splitlines()[1:]
        assert lines
        assert all(line.split()[1] in NAMES for line in lines)
        assert {line.split()[1] for line in lines} <= {*environment, "WEB_THREADS"}
        return None


@given(st.dictionaries(st.sampled_from(NAMES), ENVIRONMENT_TEXT))
def test_no_environment_is_an_error_of_another_kind(environment):
    load(**environment)


@given(name=st.sampled_from(NAMES), raw=ENVIRONMENT_TEXT)
@example(name="SECRET_KEYS", raw="\udcff" * 40)
@example(name="GATEWAY_SECRET", raw="\udcff")
@example(name="HOST", raw="\udcff")
def test_no_setting_has_what_is_no_text(name, raw):
    settings = load(**{name: raw})
    if settings is not None:
        raw.strip().encode()


SPANS = [variable(field.name) for field in fields(Settings) if field.name.endswith("_s") and field.type is int]


@pytest.mark.parametrize("name", SPANS)
@given(raw=st.from_regex(r"\A[0-9]{0,10}[smhdwy]?\Z") | ENVIRONMENT_TEXT)
@example(raw="999999999d")
@example(raw="0")
@example(raw="0s")
def test_spans(name, raw):
    settings = load(**{name: raw})
    if settings is not None and raw.strip():
        number, unit = re.fullmatch(r"([0-9]+)([smhd]?)", raw.strip()).groups()
        seconds = getattr(settings, name.lower() + "_s", None)
        assert seconds == int(number) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
        assert 0 < seconds <= CENTURY_S or (name, raw.strip()) == ("REMEMBER_TTL", "0")  # that switches it off


WHOLE = {
    **{"MAX_SESSIONS_PER_USER": (1, 50), "TOTP_WINDOW": (0, 10), "BCRYPT_ROUNDS": (4, 16), "PORT": (1, 65535)},
    **{"BCRYPT_CONCURRENCY": (1, 11), "BCRYPT_QUEUE": (0, 30), "WEB_CONCURRENCY": (1, 1000), "WEB_THREADS": (22, 1000)},
}


@pytest.mark.parametrize("name", WHOLE)
@given(raw=st.integers(-5, 70_000).map(str) | st.from_regex(r"\A[0-9٠-٩+-]{1,12}\Z") | ENVIRONMENT_TEXT)
def test_whole_numbers(name, raw):
    least, most = WHOLE[name]
    settings = load(**{name: raw})
    if raw.strip():
        is_number = re.fullmatch(r"[0-9]{1,9}", raw.strip()) and least <= int(raw) <= most
        assert (settings is not None) == bool(is_number)
    if settings is not None and raw.strip():
        assert getattr(settings, name.lower()) == int(raw)


RATES = [name for name in NAMES if name.startswith("RATE_LIMIT_")]
RATE_TEXTS = st.from_regex(r"\A[0-9]{1,25} ?(per|/) ?([0-9]{1,22} )?(second|minute|hour|day|month|year)s?\Z")


@given(name=st.sampled_from(RATES), raw=RATE_TEXTS | st.lists(RATE_TEXTS, max_size=3).map("; ".join) | ENVIRONMENT_TEXT)
@example(name=RATES[0], raw="1 per 99999999999999999999 years")
@example(name=RATES[0], raw="99999999999999999999 per minute")
def test_limits_are_ones_that_redis_can_count(name, raw):
    settings = load(**{name: raw})
    if settings is not None and raw.strip():
        parsed = limits.parse_many(getattr(settings, name.lower()))
        assert parsed
        assert all(1 <= limit.amount <= 10**9 and 1 <= limit.get_expiry() <= CENTURY_S for limit in parsed)


NETWORKS = st.ip_addresses().flatmap(
    lambda address: st.integers(0, address.max_prefixlen).map(
        lambda length: ipaddress.ip_network((address, length), strict=False)
    )
)
MAPPED = st.builds(
    "::ffff:{}/{}".format, st.ip_addresses(v=4, network="10.0.0.0/16").map(lambda _: "10.0.0.0"), st.integers(104, 128)
)


@given(st.lists(NETWORKS.map(str) | MAPPED, min_size=1, max_size=4), st.sampled_from([",", ", ", " ,,"]), st.data())
def test_every_proxy_that_is_named_is_believed(networks, separator, data):
    settings = load(TRUSTED_PROXIES=separator.join(networks))
    assert settings is not None
    network = ipaddress.ip_network(data.draw(st.sampled_from(networks)))
    proxy = network[data.draw(st.integers(0, network.num_addresses - 1))]
    others = "192.0.2.1" if proxy.version == 4 else "2001:db8::1"
    if not any(ipaddress.ip_address(others) in one for one in settings.trusted_proxies):
        assert str(caller_address(str(proxy), others, settings.trusted_proxies)) == others


@given(ENVIRONMENT_TEXT | st.text(st.sampled_from("0123456789abf.:/, %")))
def test_proxies_are_networks(raw):
    settings = load(TRUSTED_PROXIES=raw)
    if settings is not None:
        assert all(isinstance(one, ipaddress.IPv4Network | ipaddress.IPv6Network) for one in settings.trusted_proxies)


@given(ENVIRONMENT_TEXT | st.lists(st.text(st.characters(codec="ascii"), min_size=20, max_size=40)).map(",".join))
def test_secrets_are_long_and_whole(raw):
    settings = load(SECRET_KEYS=raw)
    if settings is not None and raw.strip():
        assert all(len(key) >= 32 and key == key.strip() and "," not in key for key in settings.secret_keys)
        assert [key.strip() for key in raw.split(",") if key.strip()] == list(settings.secret_keys)


HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"
HOSTS = st.text(st.sampled_from("aZ0.-_:[]@\\/%? é<\"'"), min_size=1, max_size=12) | st.sampled_from(["mail", "[::1]"])


@given(
    ENVIRONMENT_TEXT
    | st.builds(
        "{}://{}{}".format, st.sampled_from(["http", "https", "ftp"]), HOSTS, st.sampled_from(["", "/", "/a", ":1"])
    )
)
@example("https://a\\b")
@example("https://a<b>")
@example("https://a%41")
def test_links_begin_with_an_origin(raw):
    settings = load(PUBLIC_URL=raw)
    if settings is not None and raw.strip():
        assert re.fullmatch(rf"https?://({HOST})(:[0-9]{{1,5}})?", settings.public_url)
        assert urlsplit(settings.public_url).path == ""


USERS = st.none() | st.tuples(st.text(st.characters(codec="ascii"), max_size=6), st.text(max_size=6))


@given(st.sampled_from(["smtp", "smtps"]), USERS, HOSTS, st.sampled_from(["", ":25", ":0", ":99999", "/", "/x", "?a"]))
@example("smtp", None, "a b", "")
@example("smtp", None, "a\\b", "")
@example("smtp", None, "a%41", "")
def test_mails_go_to_a_server(scheme, user, host, rest):
    named = "" if user is None else f"{quote(user[0], safe='')}:{quote(user[1], safe='')}@"
    settings = load(SMTP_URL=f"{scheme}://{named}{host}{rest}")
    if settings is not None:
        server = settings.smtp_url
        assert isinstance(server, MailServer)
        assert re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", server.host)
        assert 0 < server.port < 65536
        assert server.implicit_tls == (scheme == "smtps")
        if user is not None and "@" not in host:
            assert (server.user, server.password) == user


@given(ENVIRONMENT_TEXT | st.text(st.sampled_from("/a.%0é ")), st.sampled_from(["file:", "file://", "smtp:", ""]))
@example("/a%00b", "file:")
def test_mails_go_somewhere(path, scheme):
    settings = load(SMTP_URL=scheme + path)
    if settings is not None and (scheme + path).strip():
        assert isinstance(settings.smtp_url, MailServer | Path)
        assert "\0" not in str(settings.smtp_url)


@given(ENVIRONMENT_TEXT | st.emails() | st.builds("{} <{}>".format, st.text(), st.emails()))
def test_mails_come_from_an_address(raw):
    settings = load(MAIL_FROM=raw)
    if settings is not None and raw.strip():
        assert settings.mail_from.addr_spec.isascii()
        assert not re.search(r"[\r\n]", str(settings.mail_from))


OPTIONS = st.lists(
    st.sampled_from(
        [
            *("db=1", "db=0", "db=-1", "socket_timeout=2", "socket_timeout=0", "socket_timeout=nan", "frobnicate=1"),
            *("retry=5", "encoding=x", "max_connections=5", "client_name=a%0Ab", "ssl_cert_reqs=none", "ssl_keyfile=x"),
            *(
                "ssl_cert_reqs=x",
                "ssl_ciphers=x",
                "ssl_min_version=771",
                "ssl_min_version=1",
                "sentinel_password=p%20q",
            ),
        ]
    ),
    max_size=3,
).map("&".join)
REDIS_SCHEMES = st.sampled_from(
    ["redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster", "redis+unix"]
)
LOGINS = st.just("") | st.text(st.sampled_from("aé:%/@#[ 0F"), max_size=6).map("{}@".format)
LISTS = st.lists(
    st.builds("{}{}".format, HOSTS | st.sampled_from(["a", "[::1]"]), st.sampled_from(["", ":7", ":0", ":70000"])),
    max_size=3,
).map(",".join)
PATHS = st.sampled_from(["", "/", "/0", "/7", "/main", "/main/0", "/main/x", "//0", "/a%00b", "/run/redis.sock"])


@given(
    ENVIRONMENT_TEXT | st.builds("{}://{}{}{}?{}".format, REDIS_SCHEMES, LOGINS, LISTS, PATHS, OPTIONS),
    st.sampled_from(["", "#x", " x", "\n"]) | ENVIRONMENT_TEXT,
)
@example("redis://localhost?frobnicate=1", "")
@example("rediss+sentinel://a:%2F@a,[::1]:7/main/1?sentinel_password=p", "")
@example("redis+cluster://a,b:7?socket_timeout=2", "")
@example("rediss://a?ssl_min_version=771", "")
@example("unix://a:b@/run/redis.sock?db=1", "")
def test_redis_is_where_a_client_can_be_made_for(raw, rest):
    """Made, not connected: what is wrong with it is told at start, and not to the first who sign in."""
    settings = load(REDIS_URL=raw + rest)
    if settings is not None and (raw + rest).strip():
        with connect(settings.redis_url) as client:
            assert isinstance(client, Cluster if "+cluster" in settings.redis_url.partition(":")[0] else OneServer)
        address = parse(settings.redis_url)
        assert all(0 < port < 2**16 and host.encode("idna") for host, port in address.hosts)
        assert (address.kind == "server") == (not address.hosts)
        assert 0 < address.options["socket_timeout"] <= 3600
        assert address.options["db"] >= 0
