"""What is in a queue of jobs, as tests look at it."""

import orjson

from app.stores.keys import unprefixed


def left(redis, queue=unprefixed.mail):
    """How many jobs there are: due or under way, put aside after a failure, given up."""
    put_aside = sum(not row.get("worker") and row["attempts"] > 0 for row in open_jobs(redis, queue).values())
    return redis.xlen(queue.waiting) - put_aside, put_aside, redis.xlen(queue.dead)


def open_jobs(redis, queue=unprefixed.mail):
    """The open job of each user."""
    return {user_id: orjson.loads(row) for user_id, row in redis.hgetall(queue.open).items()}


def let_all_be_due(redis, queue=unprefixed.mail):
    """Also what a worker holds that was killed."""
    if users := redis.zrange(queue.due, 0, -1):
        redis.zadd(queue.due, dict.fromkeys(users, 0))
