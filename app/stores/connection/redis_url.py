"""Reads REDIS_URL: one server, a set that Sentinels watch, or a Cluster, and the options of its connections."""

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import connection as redis_py
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.retry import Retry

_parse_url: Callable[[str], dict[str, Any]] = redis_py.parse_url

Host = tuple[str, int]
RedisKind = Literal["server", "sentinel", "cluster"]

TIMEOUT_S = 0.75  # for connecting, and again for the reply. So a request gets 503 within 1.5 s if Redis is away.
_SENTINEL_TIMEOUT_S = 0.25  # three Sentinels may be asked in turn
_LONGEST_S = 3600

_PORTS = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_URL = re.compile(r"(rediss?)(?:\+(sentinel|cluster))?://(?:([^/?#]*)@)?([^@/?#]*)(/[^?#]*)?(?:\?([^#]*))?")
_UNIX_URL = re.compile(r"unix://(?:[^/?#]*@)?/+[^/?#][^?#]*(?:\?[^#]*)?")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::([0-9]{1,5}))?")
_OPTIONS = {
    *("db", "username", "password", "client_name", "socket_timeout", "socket_connect_timeout", "socket_keepalive"),
    *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs"),
    *("ssl_check_hostname", "ssl_min_version", "ssl_ciphers", "ssl_include_verify_flags", "ssl_exclude_verify_flags"),
}
_SENTINEL_OPTIONS = {"sentinel_username", "sentinel_password"}
# Accepted and ignored: options of redis-py's pools and retries. Many URLs have them, but Keyrack uses neither pools nor
# retries, and always decodes replies in one way.
_WITHOUT_MEANING = {
    *("max_connections", "timeout", "retry_on_timeout", "health_check_interval", "decode_responses", "protocol"),
}


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A parsed REDIS_URL.

    Attributes:
        hosts: The Sentinels, or some nodes of the Cluster. Empty for one server.
        service: The Sentinels' name for the set.
        options: Options for a connection to a server with data, named as in redis-py.
        sentinel_options: Options for a connection to a Sentinel.
    """

    kind: RedisKind
    hosts: tuple[Host, ...]
    service: str
    options: Mapping[str, Any] = field(repr=False)
    sentinel_options: Mapping[str, Any] = field(repr=False)
    connection_class: type[Any] = Connection


def parse(url: str) -> RedisUrl:
    """Parse a URL of one of these forms. After a "?" come options of redis-py's connections.

    redis://  rediss://  unix://                             one server; the "s" is for TLS
    redis+sentinel://user:password@host:port,host:port/service/db   user and password are for the servers; the options
                                                             sentinel_username and sentinel_password for the Sentinels
    redis+cluster://user:password@host:port,host:port        some nodes; they name the others
    rediss+sentinel://  rediss+cluster://                    with TLS, to the Sentinels as well

    Raises:
        ValueError: The URL has none of these forms, or an option is unknown or wrong. TypeError, OSError and
            redis.RedisError also mean this.
    """
    if " " in url or not url.isprintable():
        raise ValueError
    unquote(url, errors="strict")
    match = _URL.fullmatch(url)
    address = _parse_hosts_url(match) if match else _parse_socket_url(url)
    _require_usable(address.connection_class, address.options)
    _require_usable(address.connection_class, address.sentinel_options)
    return address


def _parse_socket_url(url: str) -> RedisUrl:
    if not _UNIX_URL.fullmatch(url):
        raise ValueError
    options = _parse_options(url, _OPTIONS)
    connection_class = options.pop("connection_class")
    if not options["path"].isprintable():
        raise ValueError
    return RedisUrl("server", (), "", _with_timeouts(options), {}, connection_class)


def _parse_hosts_url(match: re.Match[str]) -> RedisUrl:
    scheme, many, login, named, path, query = match.groups()
    kind: RedisKind = "sentinel" if many == "sentinel" else "cluster" if many else "server"
    hosts = (
        tuple(_parse_host(part, _PORTS[kind]) for part in named.split(",")) if named or many else (("localhost", 6379),)
    )
    service, db = _parse_path(kind, path or "")
    options = _parse_options(
        f"{scheme}://{login + '@' if login else ''}host/{db}?{query or ''}",
        _OPTIONS | (_SENTINEL_OPTIONS if kind == "sentinel" else set()),
    )
    connection_class = options.pop("connection_class", Connection)
    del options["host"]
    if kind == "server":
        [(host, port)] = hosts
        return RedisUrl(kind, (), "", _with_timeouts(options | {"host": host, "port": port}), {}, connection_class)
    if kind == "cluster":
        if options["db"]:
            raise ValueError
        return RedisUrl(kind, hosts, "", _with_timeouts(options), {}, connection_class)
    sentinel_login = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    shared = {name: value for name, value in options.items() if name.startswith(("ssl_", "socket_"))}
    return RedisUrl(
        kind,
        hosts,
        service,
        _with_timeouts(options),
        _with_timeouts(shared | sentinel_login, _SENTINEL_TIMEOUT_S),
        connection_class,
    )


def _parse_path(kind: RedisKind, path: str) -> tuple[str, str]:
    parts = path.removeprefix("/").removesuffix("/").split("/")
    service = unquote(parts.pop(0)) if kind == "sentinel" else ""
    db = "/".join(parts)
    if (kind == "sentinel") != bool(service) or not service.isprintable() or not re.fullmatch("[0-9]{0,4}", db):
        raise ValueError
    return service, db


def _parse_host(text: str, default_port: int) -> Host:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError
    ipv6, name, port = match[1], match[2], int(match[3] or default_port)
    if not 0 < port < 2**16:
        raise ValueError
    return str(ipaddress.IPv6Address(ipv6)) if ipv6 else name.encode("idna").decode(), port


def _parse_options(url: str, known: set[str]) -> dict[str, Any]:
    """Return the options that redis-py reads from a URL.

    redis-py accepts any name, even of options whose values are objects, and any timeout. Here an unknown name is
    refused, and so is a timeout that is not above 0 and at most 3600 seconds.
    """
    names = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    options = {"db": 0} | _parse_url(url)
    times = [options[name] for name in ("socket_timeout", "socket_connect_timeout") if name in options]
    if not names <= known | _WITHOUT_MEANING or not all(0 < time_s <= _LONGEST_S for time_s in times):
        raise ValueError
    if options["db"] < 0 or not re.fullmatch("[!-~]*", options.get("client_name", "")):
        raise ValueError
    return options


def _with_timeouts(options: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> Mapping[str, Any]:
    """Add timeouts to options. Make redis-py decode replies, and never send a command twice by itself.

    Only the caller knows whether a command may be sent again.
    """
    always = {"decode_responses": True, "protocol": 2, "retry": Retry(NoBackoff(), 0)}
    asked = {name: value for name, value in options.items() if name not in _WITHOUT_MEANING}
    return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s} | asked | always


def _require_usable(connection_class: type[Any], options: Mapping[str, Any]) -> None:
    """Raise if the connection class does not know one of the options, or if TLS cannot be set up with them.

    No connection is made.
    """
    connection = connection_class(**options)
    if isinstance(connection, SSLConnection):
        if connection.ca_path and not Path(connection.ca_path).is_dir():
            raise ValueError
        # If a password is set, even an empty one, OpenSSL does not ask for a password on the terminal.
        connection.certificate_password = connection.certificate_password or ""
        wrap: Callable[[socket.socket], socket.socket] = connection._wrap_socket_with_ssl  # as after connecting
        with socket.socket() as unconnected:
            wrap(unconnected).close()
