"""The one place that makes clients of Redis; nothing else knows of which kind they are."""

from collections.abc import Callable, Mapping
from typing import Any

from redis import ConnectionError as ConnectionBroken
from redis import Redis, Sentinel, SSLConnection
from redis import RedisError as StoreError
from redis import TimeoutError as AnswerTooLate

from app.stores.address import Address, Host, parse
from app.stores.client import OneServer, RedisClient
from app.stores.cluster import Cluster
from app.stores.node import Node, Primary

__all__ = ["StoreError", "connect", "describe", "over"]


def connect(url: str) -> RedisClient:
    """A client of what the URL names; no connection is made before the first command.

    Raises: as address.parse
    """
    address = parse(url)

    def connect_to(host: Host) -> Any:
        return address.connection_class(host=host[0], port=host[1], **address.options)

    if address.kind == "cluster":
        return Cluster(address.hosts, connect_to)
    if address.kind == "sentinel":
        return OneServer(Primary(_sentinels(address), address.service, connect_to))
    return OneServer(Node(lambda: address.connection_class(**address.options)))


def over(redis: Redis) -> RedisClient:
    """A client of the server that one of redis-py's, or fakeredis', is of."""
    pool = redis.connection_pool
    return OneServer(Node(lambda: pool.connection_class(**pool.connection_kwargs)))


def describe(error: StoreError) -> str:
    """What went wrong, without the command: that may hold an e-mail address."""
    told = str(error) if isinstance(error, ConnectionBroken | AnswerTooLate) else str(error).partition(" ")[0]
    return f"{type(error).__name__}: {told}"


def _sentinels(address: Address) -> Sentinel:
    options: Mapping[str, Any] = {
        **address.sentinel_options,
        "ssl": issubclass(address.connection_class, SSLConnection),
    }
    make: Callable[..., Sentinel] = Sentinel
    return make(address.hosts, sentinel_kwargs=options)
