"""The one place that makes a client of Redis."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 0.75  # to connect, and again to be answered: a request that finds Redis gone has its 503 within 1.5 s


def connect(url: str) -> Redis:
    """A client with a pool of connections; none is made before the first command.

    A command is sent once: redis-py notices a connection that broke while it was idle and makes a new one, but a
    command whose answer was lost may have happened, so whoever asked hears of it.
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        protocol=2,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
