"""What the Redis server says of itself, as far as it says it: managed ones keep some to themselves."""

import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis, ResponseError

Reach = Literal["local", "private", "public"]


@dataclass(frozen=True, slots=True)
class Server:
    """None is what it does not tell.

    product           as in "Redis 7.2.4"
    appends           whether it writes an append-only file
    snapshots         whether it writes snapshots
    clock_ahead_s     how far its clock is ahead of ours
    """

    product: str | None
    version: tuple[int, ...] | None
    maxmemory_policy: str | None
    appends: bool | None
    snapshots: bool | None
    clock_ahead_s: float
    reach: Reach
    has_password: bool


def look_at(redis: Redis, clock: Callable[[], float] = time.time) -> Server:
    """Raises: redis.RedisError where it is away"""
    before = clock()
    seconds, microseconds = redis.time()
    now = (before + clock()) / 2
    info = _told(redis.info)
    config = _told(lambda: redis.config_get("*"))
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version")
    connection = redis.connection_pool.connection_kwargs
    return Server(
        product=f"{product} {version}" if version else None,
        version=tuple(int(part) for part in str(version).split(".") if part.isdecimal()) if version else None,
        maxmemory_policy=config.get("maxmemory-policy") or info.get("maxmemory_policy"),
        appends=bool(int(info["aof_enabled"])) if "aof_enabled" in info else None,
        snapshots=bool(config["save"]) if "save" in config else None,
        clock_ahead_s=int(seconds) + int(microseconds) / 1e6 - now,
        reach=reach_of(connection),
        has_password=bool(connection.get("password")) and not _takes_any_password(config, connection),
    )


def _takes_any_password(config: Mapping[str, Any], connection: Mapping[str, Any]) -> bool:
    """Without `requirepass` the user `default` has none, and whatever is said for it is right."""
    return config.get("requirepass") == "" and (connection.get("username") or "default") == "default"


def _told(ask: Callable[[], Any]) -> Mapping[str, Any]:
    """An answer, or nothing where the server does not know or allow the question."""
    try:
        told: Mapping[str, Any] = ask()
    except ResponseError:
        return {}
    return told


def reach_of(connection: Mapping[str, Any]) -> Reach:
    """From where a server with this address could be spoken to."""
    if connection.get("path"):
        return "local"
    try:
        found = socket.getaddrinfo(connection.get("host", "localhost"), None)
    except OSError:
        return "local"
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if any(address.is_global for address in addresses):
        return "public"
    return "local" if all(address.is_loopback for address in addresses) else "private"
