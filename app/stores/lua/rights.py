"""Lua that asks whether a user of Redis may send the commands of a script, before the script writes anything.

A server refuses forbidden keys before a script starts. It refuses a forbidden command only when the script reaches
it, and what the script wrote before stays.
Redis 7.0 and Valkey can be asked beforehand (`redis.acl_check_cmd`); older servers cannot, and are not asked.
"""

import re
from collections.abc import Iterable, Sequence

_COMMAND = re.compile(r'redis\.call\("(\w+)"')
# The number of values behind the key of each command, because redis.acl_check_cmd counts them
_VALUES = {
    **dict.fromkeys(("DEL", "EXISTS", "GET", "HGETALL", "PERSIST", "SCARD", "TTL", "TYPE", "XLEN", "ZCARD"), 0),
    **dict.fromkeys(("EXPIRE", "HDEL", "HEXISTS", "HGET", "HMGET", "LPUSH", "RPUSH", "SADD", "SET", "SREM"), 1),
    **dict.fromkeys(("XDEL", "ZREM", "ZSCAN", "ZSCORE"), 1),
    **dict.fromkeys(("HINCRBY", "HSET", "LRANGE", "LREM", "LTRIM", "XACK", "XRANGE", "XTRIM", "ZADD", "ZRANGE"), 2),
    **dict.fromkeys(
        ("ZRANGEBYLEX", "ZRANGEBYSCORE", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE"), 2
    ),
    "XADD": 3,
}


def commands_in(lines: Iterable[str]) -> Sequence[str]:
    """Return the commands that lines of Lua send, in the order of the alphabet."""
    return sorted({command for line in lines for command in _COMMAND.findall(line)})


def check(command: str, channel: str) -> str:
    """Return an expression that is true if the command is allowed. `a` is redis.acl_check_cmd.

    Args:
        channel: An expression for the channel that PUBLISH is asked about.
    """
    if command == "PUBLISH":
        return f'a("PUBLISH", {channel}, "")'
    if command == "TIME":
        return 'a("TIME")'
    return f'a("{command}", KEYS[1]{", 0" * _VALUES[command]})'


def right(command: str, channel: str) -> str:
    """Return an expression for the right to a command, as ACL SETUSER takes it."""
    return f'"+publish &" .. {channel}' if command == "PUBLISH" else f'"+{command.lower()}"'


def refuse_without(commands: Sequence[str], condition: str = "") -> str:
    """Return a line that refuses a script of which the server would refuse a part.

    Args:
        condition: An expression that is true if the script may send these commands; "" for always.
    """
    channel = "call.channel"
    no = 'local function no(right) return redis.error_reply("NOPERM Keyrack needs the right " .. right) end'
    checks = (f"if not {check(command, channel)} then return no({right(command, channel)}) end" for command in commands)
    asks = f"redis.acl_check_cmd and {condition}" if condition else "redis.acl_check_cmd"
    return f"if {asks} then local a = redis.acl_check_cmd {no} {' '.join(checks)} end"
