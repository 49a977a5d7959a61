"""Makes clients of Redis from a URL. No other module knows which kind of client it is.

How the URL is read: redis_url.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from redis import ConnectionError as ConnectionBroken
from redis import Redis, SSLConnection
from redis import RedisError as StoreError
from redis import ResponseError as StoreRefused
from redis import TimeoutError as AnswerTooLate
from redis.exceptions import NoPermissionError

from app.stores.connection.client import OneServer, RedisClient
from app.stores.connection.cluster import Cluster
from app.stores.connection.node import Node
from app.stores.connection.redis_url import Host, RedisUrl, parse
from app.stores.connection.sentinel import Primary, Sentinels

__all__ = ["StoreError", "StoreRefused", "connect", "describe", "from_redis_py"]


def connect(url: str) -> RedisClient:
    """Return a client for a URL. It connects at the first command. It raises what redis_url.parse raises."""
    address = parse(url)

    def connect_to(host: Host, **options: Any) -> Any:
        return address.connection_class(host=host[0], port=host[1], **address.options, **options)

    if address.kind == "cluster":
        return Cluster(address.hosts, connect_to)
    if address.kind == "sentinel":
        return OneServer(Primary(_sentinels(address), partial(connect_to, redis_connect_func=_refuse_replica)))
    return OneServer(Node(lambda: address.connection_class(**address.options)))


def from_redis_py(redis: Redis) -> RedisClient:
    """Return a client for the server of a client of redis-py or fakeredis."""
    pool = redis.connection_pool
    return OneServer(Node(lambda: pool.connection_class(**pool.connection_kwargs)))


def describe(error: StoreError) -> str:
    """Return an error's name and message. Of a refusal by Redis return only the first word: the rest may quote an
    e-mail.

    A message about a missing right is returned whole, because it names a command or a channel, and no value.
    """
    is_told = isinstance(error, ConnectionBroken | AnswerTooLate | NoPermissionError)
    message = str(error) if is_told else str(error).partition(" ")[0]
    return f"{type(error).__name__}: {message}"


def _refuse_replica(connection: Any) -> None:
    """Raise ConnectionBroken if this is a connection to a replica.

    A Sentinel that does not know of a failover yet may name a replica, and a replica's data may be old.
    """
    connection.on_connect()
    connection.send_command("ROLE")
    try:
        [role, *_] = connection.read_response()
    except NoPermissionError:  # a replica refuses writes anyway
        return
    if role != "master":
        raise ConnectionBroken("whom the Sentinels name is a replica")


def _sentinels(address: RedisUrl) -> Sentinels:
    make: Callable[..., Redis] = Redis
    is_tls = issubclass(address.connection_class, SSLConnection)
    clients = [make(host, port, ssl=is_tls, **address.sentinel_options) for host, port in address.hosts]
    return Sentinels(clients, address.service)
