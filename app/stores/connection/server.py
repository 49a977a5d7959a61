"""The settings of Redis servers, for checks at the start and `flask doctor`. Managed servers hide some settings.

The checks: serving/checkup.py.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis import ResponseError
from redis.exceptions import NoPermissionError

from app.stores.connection.client import RedisClient
from app.stores.connection.node import Node, why_not_primary

Reach = Literal["local", "private", "public"]


@dataclass(frozen=True, slots=True)
class Server:
    """A server and its settings. None stands for a setting that the server hides.

    Attributes:
        name: Host and port if there are several servers, else "".
        product: For example "Redis 7.2.4".
        appends: It writes an append-only file.
        snapshots: It writes snapshots.
        clock_ahead_s: How far its clock is ahead of ours, in seconds.
        replicas: The number of replicas that follow it now.
        reads_when_down: It still answers reads from its own data when it knows that it is cut off from its Cluster.
        why_not_primary: Why nothing that it answers is used, "" if it is a primary or does not tell.
        refused_rights: The rights that it refuses, of those that tell whether it was replaced: "+role", "+info".
        fsync: How often the append-only file is forced to disk (appendfsync).
        is_snapshot_failed: Its last snapshot failed, so it takes no writes (stop-writes-on-bgsave-error).
        is_file_failed: It could not write its append-only file, so it takes no writes.
        demanded_replicas: It takes no writes with fewer replicas (min-replicas-to-write); 0 is no demand.
        good_replicas: The number of replicas that count for that demand.
        memory_used: Its share of `maxmemory` that is used. None also stands for no limit.
    """

    name: str
    product: str | None
    version: tuple[int, ...] | None
    maxmemory_policy: str | None
    appends: bool | None
    snapshots: bool | None
    clock_ahead_s: float
    reach: Reach
    has_password: bool
    replicas: int | None
    reads_when_down: bool
    why_not_primary: str = ""
    refused_rights: Sequence[str] = ()
    fsync: str | None = None
    is_snapshot_failed: bool = False
    is_file_failed: bool = False
    demanded_replicas: int = 0
    good_replicas: int = 0
    memory_used: float | None = None


def inspect_servers(redis: RedisClient, clock: Callable[[], float] = time.time) -> Sequence[Server]:
    """Return the settings of each server with data: one server, or the primaries of a Cluster.

    Raises:
        redis.RedisError: One of them does not answer.
    """
    return [_inspect(node, clock) for node in redis.nodes()]


def _inspect(node: Node, clock: Callable[[], float]) -> Server:
    before = clock()
    [(seconds, microseconds)] = node.ask_anew(("TIME",))
    now = (before + clock()) / 2
    replies = node.ask_anew(("ROLE",), ("INFO",), ("CONFIG", "GET", "*"))
    role, (info, config) = replies[0], map(_mapping_of, replies[1:])
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version")
    connection = node.make_connection()
    host = None if getattr(connection, "path", None) else getattr(connection, "host", "localhost")
    return Server(
        name="{}:{}".format(*node.host) if node.host else "",
        product=f"{product} {version}" if version else None,
        version=tuple(int(part) for part in version.split(".") if part.isdecimal()) if version else None,
        maxmemory_policy=config.get("maxmemory-policy") or info.get("maxmemory_policy"),
        appends=bool(int(info["aof_enabled"])) if "aof_enabled" in info else None,
        snapshots=bool(config["save"]) if "save" in config else None,
        clock_ahead_s=int(seconds) + int(microseconds) / 1e6 - now,
        reach=reach_of(host),
        has_password=bool(connection.password) and not _takes_any_password(config, connection.username),
        replicas=_replicas(info) if "connected_slaves" in info else None,
        reads_when_down=config.get("cluster-allow-reads-when-down") == "yes",
        why_not_primary=why_not_primary(role),
        refused_rights=[right for right, reply in zip(("+role", "+info"), replies, strict=False) if _is_denied(reply)],
        fsync=config.get("appendfsync"),
        is_snapshot_failed=_is_snapshot_failed(info, config),
        is_file_failed=info.get("aof_last_write_status", "ok") != "ok",
        demanded_replicas=int(config.get("min-replicas-to-write") or 0),
        good_replicas=int(info.get("min_slaves_good_slaves") or 0),
        memory_used=_memory_used(info),
    )


def _is_denied(reply: Any) -> bool:
    return isinstance(reply, NoPermissionError)


def _is_snapshot_failed(info: Mapping[str, str], config: Mapping[str, str]) -> bool:
    """Tell whether writes are refused because a snapshot failed. Without `save` they are not."""
    stops = config.get("stop-writes-on-bgsave-error", "yes") == "yes" and config.get("save", "unknown") != ""
    return stops and info.get("rdb_last_bgsave_status", "ok") != "ok"


def _memory_used(info: Mapping[str, str]) -> float | None:
    limit = int(info.get("maxmemory") or 0)
    if not limit or "used_memory" not in info:
        return None
    return (int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict") or 0)) / limit


def _replicas(info: Mapping[str, str]) -> int:
    """Return how many replicas are up to date. A replica confirms nothing while it receives its first copy."""
    rows = [info.get(f"slave{number}", "") for number in range(int(info["connected_slaves"]))]
    return sum("state=online" in row for row in rows)


def _takes_any_password(config: Mapping[str, str], username: str | None) -> bool:
    """Tell whether any password is accepted.

    Without `requirepass` the user `default` has no password, so every password is accepted.
    """
    return config.get("requirepass") == "" and (username or "default") == "default"


def _mapping_of(reply: Any) -> Mapping[str, str]:
    """Return the reply to INFO or CONFIG GET as a mapping; empty if the server refuses the command."""
    if isinstance(reply, ResponseError):
        return {}
    if isinstance(reply, str):
        return dict(line.split(":", 1) for line in reply.splitlines() if ":" in line)
    return dict(zip(reply[::2], reply[1::2], strict=True))


def reach_of(host: str | None) -> Reach:
    """Return "local", "private" or "public": from where a server at this host can be reached.

    Args:
        host: None stands for a socket of this machine.
    """
    if host is None:
        return "local"
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return "local"
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if any(address.is_global for address in addresses):
        return "public"
    return "local" if all(address.is_loopback for address in addresses) else "private"
