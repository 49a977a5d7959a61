"""What REDIS_URL says: one server, a set that Sentinels watch, or a Cluster, and how to speak with it."""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from redis import connection as redis_py
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.retry import Retry

_parse_url: Callable[[str], dict[str, Any]] = redis_py.parse_url

Host = tuple[str, int]
Kind = Literal["server", "sentinel", "cluster"]

TIMEOUT_S = 0.75  # to connect, and again to be answered: a request that finds Redis gone has its 503 within 1.5 s
_SENTINEL_TIMEOUT_S = 0.25  # three of them may be asked in turn

_PORTS = {"sentinel": 26379, "cluster": 6379}
_MANY = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^@/?]*)@)?([^@/?]+)(/[^?]*)?(?:\?(.*))?")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:,\s]+)(?::([0-9]{1,5}))?")
_OF_POOLS = ("max_connections", "timeout")  # options of redis-py's pools, which stand in many a URL; here are none


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is, as the URL has it.

    hosts            of the Sentinels, or of some nodes of the Cluster; none where it is one server
    service          the name that the Sentinels have for the set
    options          of a connection to a server that keeps the data, in redis-py's words
    sentinel_options of one to a Sentinel
    """

    kind: Kind
    hosts: tuple[Host, ...]
    service: str
    options: Mapping[str, Any] = field(repr=False)
    sentinel_options: Mapping[str, Any] = field(repr=False)
    connection_class: type[Any] = Connection


def parse(url: str) -> Address:
    """Read a URL of one of these forms; what follows a "?" are options of redis-py's connections.

    redis://  rediss://  unix://                             one server; the "s" is for TLS
    redis+sentinel://user:password@host:port,host:port/service/db   user and password are of the servers; the options
                                                             sentinel_username and sentinel_password of the Sentinels
    redis+cluster://user:password@host:port,host:port        some of the nodes, the others they name
    rediss+sentinel://  rediss+cluster://                    the same with TLS, to the Sentinels as well

    Raises: ValueError, TypeError, OSError or redis.RedisError for what is none of them, or has an option that is none
    """
    many = _MANY.fullmatch(url)
    address = _of_many(many) if many else _of_one(url)
    _try(address.connection_class, address.options)
    _try(address.connection_class, address.sentinel_options)
    return address


def _of_one(url: str) -> Address:
    options = _parse_url(url)
    connection_class = options.pop("connection_class", Connection)
    return Address("server", (), "", _timed(options), {}, connection_class)


def _of_many(match: re.Match[str]) -> Address:
    scheme, kind, user, hosts, path, query = match.groups()
    service, _, db = (path or "").strip("/").partition("/")
    if kind == "cluster":
        service, db = "", service or db
    # A Cluster has no databases, and a set of Sentinels has a name.
    if (
        (kind == "sentinel") != bool(service)
        or not re.fullmatch("[0-9]{0,4}", db)
        or (kind == "cluster" and int(db or 0))
    ):
        raise ValueError
    options = _parse_url(f"{scheme}://{user + '@' if user else ''}host/{db}?{query or ''}")
    for name in ("host", "port"):
        options.pop(name, None)
    connection_class = options.pop("connection_class", Connection)
    login = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    tls = {name: value for name, value in options.items() if name.startswith(("ssl_", "socket_"))}
    return Address(
        "sentinel" if kind == "sentinel" else "cluster",
        tuple(_host(part, _PORTS[kind]) for part in hosts.split(",")),
        unquote(service),
        _timed(options),
        _timed(tls | login, _SENTINEL_TIMEOUT_S) if kind == "sentinel" else {},
        connection_class,
    )


def _host(text: str, default_port: int) -> Host:
    match = _HOST.fullmatch(text.strip())
    port = int(match[2] or default_port) if match else 0
    if match is None or not 0 < port < 2**16:
        raise ValueError
    return unquote(match[1]).strip("[]"), port


def _timed(options: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> Mapping[str, Any]:
    """Replies are text, and a command is sent once: who asks knows whether it may be sent again."""
    always = {"decode_responses": True, "protocol": 2, "retry": Retry(NoBackoff(), 0)}
    asked = {name: value for name, value in options.items() if name not in _OF_POOLS}
    return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s} | asked | always


def _try(connection_class: type[Any], options: Mapping[str, Any]) -> None:
    """Refuse options that it does not know, and certificates that cannot be read; nothing is connected to."""
    connection = connection_class(**options)
    if isinstance(connection, SSLConnection):
        context = ssl.create_default_context(cafile=connection.ca_certs, capath=connection.ca_path)
        if connection.certfile:
            context.load_cert_chain(connection.certfile, connection.keyfile, connection.certificate_password or "")
