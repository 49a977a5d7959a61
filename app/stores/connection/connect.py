"""Makes clients of Redis from a URL. No other module knows which kind of client it is.

How the URL is read: redis_url.py.
"""

from collections.abc import Callable
from typing import Any

from redis import DriverInfo, Redis, SSLConnection
from redis import RedisError as StoreError
from redis import ResponseError as StoreRefused

from app.stores.connection.client import OneServer, RedisClient
from app.stores.connection.cluster import Cluster
from app.stores.connection.primary import Named, Primary
from app.stores.connection.redis_url import Host, RedisUrl, parse
from app.stores.connection.sentinel import Sentinels

__all__ = ["StoreError", "StoreRefused", "connect", "from_redis_py"]

# The name and version of redis-py, which it would otherwise read from the disk for each connection.
_DRIVER = DriverInfo()


def connect(url: str) -> RedisClient:
    """Return a client for a URL. It connects at the first command. It raises what redis_url.parse raises."""
    address = parse(url)

    def make(**options: Any) -> Any:
        return address.connection_class(driver_info=_DRIVER, **{**address.options, **options})

    def connect_to(host: Host) -> Any:
        return make(host=host[0], port=host[1])

    if address.kind == "cluster":
        return Cluster(address.hosts, connect_to)
    if address.kind == "sentinel":
        return OneServer(Primary(_sentinels(address, connect_to)))
    return OneServer(Primary(Named(make)))


def from_redis_py(redis: Redis) -> RedisClient:
    """Return a client for the server of a client of redis-py or fakeredis."""
    pool = redis.connection_pool
    return OneServer(Primary(Named(lambda **options: pool.connection_class(**{**pool.connection_kwargs, **options}))))


def _sentinels(address: RedisUrl, connect_to: Callable[[Host], Any]) -> Sentinels:
    make: Callable[..., Redis] = Redis
    is_tls = issubclass(address.connection_class, SSLConnection)
    clients = [make(host, port, ssl=is_tls, **address.sentinel_options) for host, port in address.hosts]
    return Sentinels(clients, address.service, connect_to)
