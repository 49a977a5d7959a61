"""Lua that refuses a script if one of its keys has another type than ours, before the script writes anything.

Such a key is another application's. A server would refuse a command on it in the middle of the script, and what the
script wrote before would stay.
"""

from collections.abc import Mapping


def refuse_foreign_keys(types: Mapping[str, str]) -> str:
    """Return a line that does so.

    Args:
        types: The types of the keys, by the word that follows the hash tag.
    """
    table = ", ".join(f'["{word}"] = "{kind}"' for word, kind in types.items())
    return (
        f"do local types = {{ {table} }} for _, key in ipairs(KEYS) do "
        'local kind = redis.call("TYPE", key)["ok"] '
        'if kind ~= "none" and kind ~= types[string.match(key, "}:?([a-z_]*)") or ""] then '
        'return redis.error_reply("WRONGTYPE A key of Keyrack has another type") end end end'
    )
