"""Lua that refuses a script if one of its keys has another type than ours, before the script writes anything.

Such a key is another application's. A server would refuse a command on it in the middle of the script, and what the
script wrote before would stay.
"""

from collections.abc import Mapping


def refuse_foreign_keys(types: Mapping[str, str], last_key: str = "#KEYS") -> str:
    """Return a line that does so.

    Args:
        types: The types of the keys, by the word that follows the hash tag.
        last_key: An expression for the number of the last one of KEYS that is looked at.
    """
    table = ", ".join(f'["{word}"] = "{kind}"' for word, kind in types.items())
    return (
        f"do local types = {{ {table} }} for at = 1, {last_key} do local key = KEYS[at] "
        'local kind = redis.call("TYPE", key)["ok"] '
        'if kind ~= "none" and kind ~= types[string.match(key, "}:?([a-z_]*)") or ""] then '
        'return redis.error_reply("WRONGTYPE A key of Keyrack has another type") end end end'
    )
