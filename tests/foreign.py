"""Keys as another application would write them, under names of ours and like ours."""

from app.stores.keys import unprefixed as keys
from tests.web.test_secrets import dump

HASH = "A" * 43 + "="
PUT = {
    "string": lambda redis, key: redis.set(key, "theirs"),
    "hash": lambda redis, key: redis.hset(key, HASH, "theirs"),
    "list": lambda redis, key: redis.rpush(key, "theirs"),
    "set": lambda redis, key: redis.sadd(key, "theirs"),
    "zset": lambda redis, key: redis.zadd(key, {"theirs": 1.7e12}),
    "stream": lambda redis, key: redis.xadd(key, {"theirs": "x"}),
}
SHARED = (*keys.mail.all(), keys.mail_later)


def names_of_user(user_id):
    """Every key of a user; the kinds that have another name behind them, with one."""
    one = [keys.user, keys.last_used, keys.sessions, keys.ended, keys.backup_codes, keys.passkeys, keys.links]
    one += [keys.newest_reset, keys.known_devices]
    two = [keys.ticket(user_id, HASH), keys.open_tickets(user_id, HASH), keys.proof(user_id, HASH)]
    return [*(name(user_id) for name in one), *two, keys.notice_count(user_id, "sign_in")]


def others_names(user_id):
    """Names like ours that are none: of no id, behind a user's id, among the limits."""
    names = [name.replace("{7}", "{abc}") for name in names_of_user("7")]
    limits = [f"LIMITS:LIMITER/{user_id}/{scope}/10/1/minute" for scope in ("orders", "step_up_x")]
    return [*names, *limits, f"user:{{{user_id}}}:settings", f"user:{{{user_id}}}:ticket", "mail:x", "session:1"]


def only(redis, names):
    return "\n".join(line for line in dump(redis).splitlines() if line.partition(" ")[0] in names)
