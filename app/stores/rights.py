"""The rights that Keyrack's user of Redis must have, asked for all at once: for /readyz, the start and flask doctor.

Each script asks for its own before its first write: lua/rights.py. docs/operations.md shows the user to make.
"""

from collections.abc import Sequence
from itertools import chain

from redis.exceptions import NoPermissionError, ResponseError

from app.snowflakes import NOBODY
from app.stores.connection.client import RedisClient
from app.stores.keys import Keys
from app.stores.lua import all_commands
from app.stores.lua.rights import check, right

_OUTSIDE_SCRIPTS = ("GET", "PERSIST", "TTL", "ZREVRANGE", "ZREVRANGEBYSCORE", "ZSCAN")


def find_missing_rights(redis: RedisClient, keys: Keys, streams: Sequence[str] = ()) -> Sequence[str]:
    """Return the rights that are missing, as ACL SETUSER takes them. Servers older than Redis 7.0 do not tell.

    Args:
        streams: The queues into which scripts write.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    args = [keys.channel, keys.passkey_start(""), *chain.from_iterable((name, _pattern(name)) for name in streams)]
    try:
        missing, _ = redis.run_script(_SCRIPT, [keys.last_used(NOBODY)], args)
    except NoPermissionError as refused:  # the names of keys, or scripts at all
        return [f"~{keys.start}user:* +eval +evalsha ({refused})"]
    except ResponseError:  # a server that cannot be asked; requests will tell
        return []
    return [str(name) for name in missing]


def _pattern(stream: str) -> str:
    """Return the right to a queue, as ACL SETUSER takes it. Those of events are given together."""
    start, brace, _ = stream.partition("{")
    return f"~{start}*" if start.endswith("events:") and brace else f"~{stream}"


_SCRIPT = "\n".join(
    (
        "local a, missing = redis.acl_check_cmd, {}",
        "if not a then return missing end",
        *(
            f"if not {check(command, 'ARGV[1]')} then table.insert(missing, {right(command, 'ARGV[1]')}) end"
            for command in sorted({*all_commands(), *_OUTSIDE_SCRIPTS})
        ),
        "if not a('GET', ARGV[2]) then table.insert(missing, '~' .. ARGV[2] .. '*') end",
        "for at = 3, #ARGV, 2 do",
        "if not a('XLEN', ARGV[at]) and missing[#missing] ~= ARGV[at + 1] then table.insert(missing, ARGV[at + 1]) end",
        "end",
        "return missing",
    )
)
