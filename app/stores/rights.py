"""The rights that Keyrack's user of Redis must have, asked for all at once: for /readyz, the start and flask doctor.

Each script asks for its own before its first write: lua/rights.py. docs/operations.md shows the user to make.
"""

from collections.abc import Sequence

from redis.exceptions import NoPermissionError, ResponseError

from app.snowflakes import NOBODY
from app.stores.connection.client import RedisClient
from app.stores.keys import Keys
from app.stores.lua import all_commands
from app.stores.lua.rights import check, right

_OUTSIDE_SCRIPTS = ("GET", "PERSIST", "TTL", "ZREVRANGE", "ZREVRANGEBYSCORE", "ZSCAN")


def find_missing_rights(redis: RedisClient, keys: Keys) -> Sequence[str]:
    """Return the rights that are missing, as ACL SETUSER takes them. Servers older than Redis 7.0 do not tell.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    try:
        missing, _ = redis.run_script(_SCRIPT, [keys.last_used(NOBODY)], [keys.channel, keys.passkey_start("")])
    except NoPermissionError as refused:  # the names of keys, or scripts at all
        return [f"~{keys.start}user:* +eval +evalsha ({refused})"]
    except ResponseError:  # a server that cannot be asked; requests will tell
        return []
    return [str(name) for name in missing]


_SCRIPT = "\n".join(
    (
        "local a, missing = redis.acl_check_cmd, {}",
        "if not a then return missing end",
        *(
            f"if not {check(command, 'ARGV[1]')} then table.insert(missing, {right(command, 'ARGV[1]')}) end"
            for command in sorted({*all_commands(), *_OUTSIDE_SCRIPTS})
        ),
        "if not a('GET', ARGV[2]) then table.insert(missing, '~' .. ARGV[2] .. '*') end",
        "return missing",
    )
)
