"""The names of keys: each is told by its name alone, with its type, and no two prefixes share one."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from app.stores.keys import LIMIT_SCOPES, Keys, QueueKeys
from app.web import limits

TYPES = {"Hash": "hash", "Sorted set": "zset", "String": "string", "List": "list", "Set": "set", "Stream": "stream"}
PREFIXES = ("", "keyrack", "keyrack2", "a.b-c_d")


def named(keys):
    """Each key that a method names, with the type that its docstring tells."""
    for name, method in inspect.getmembers(Keys, inspect.isfunction):
        kind = re.match(r"([A-Z][a-z ]+): ", method.__doc__ or "")
        if kind and kind[1] in TYPES:
            given = ["1", "x:y"][: len(inspect.signature(method).parameters) - 1]
            yield getattr(keys, name)(*given), TYPES[kind[1]]
    of_all_users = re.findall(r"(\w+): ([A-Z][a-z ]+): ", inspect.getdoc(Keys))
    for name, kind in of_all_users:
        if kind in TYPES:
            yield getattr(keys, name), TYPES[kind]
    for queue in (keys.mail, keys.events("webhook-0123abcd")):
        for part in dataclasses.fields(queue):
            kind = re.search(rf"^ *{part.name}: ([A-Z][a-z ]+): ", QueueKeys.__doc__, re.MULTILINE)[1]
            yield getattr(queue, part.name), TYPES[kind]
    for scope in LIMIT_SCOPES:
        yield f"{keys.limits}:LIMITER/192.0.2.1/1/{scope}/10/1/minute", "list"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_key_is_known_by_its_name(prefix):
    keys = Keys(prefix)
    found = dict(named(keys))
    assert len(found) == 17 + 3 + 6 + 2 * 6 + len(LIMIT_SCOPES)
    assert {key: keys.type_of(key) for key in found} == found
    assert {key for key in found if not key.startswith(keys.start)} == set()


def test_the_docs_name_every_key_with_its_type():
    """docs/operations.md has the table that operators read before they put others into the database."""
    page = Path("docs/operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+)` \| ([a-z ]+) \| ", page[page.index("### Keyrack's keys") :], re.MULTILINE)
    told = {
        key.replace("{id}", "{1}").replace("…", "1/login/1/1/minute").replace("{receiver}", "{webhook-0123abcd}"): kind
        for key, kind in rows
    }
    kinds = {kind: word.lower() for word, kind in TYPES.items()}
    assert {key: kinds[Keys().type_of(key)] for key in told} == told

    def shape(key):
        return re.sub(r":(hash|kind|address|x:y|1)$|1?/.*|{(receiver|1)}$", "", key)

    assert {shape(key) for key in told} == {shape(key) for key, _ in named(Keys())}


def test_no_two_prefixes_share_a_key_or_a_channel():
    every = [
        {key for key, _ in named(Keys(prefix))} | {Keys(prefix).channel, Keys(prefix).words("1")} for prefix in PREFIXES
    ]
    assert len(set.union(*every)) == sum(map(len, every))
    for prefix in PREFIXES:
        others = [key for other in PREFIXES if other != prefix for key, _ in named(Keys(other))]
        assert [key for key in others if Keys(prefix).type_of(key)] == []


@pytest.mark.parametrize(
    "key",
    [
        *(
            "user:{abc}",
            "user:{}",
            "user:7",
            "user:{7}:settings",
            "user:{7}:sessions:x",
            "user:{7}:ticket",
            "user:{7}x",
        ),
        *("user:{123456789012345678901}", "email:", "mail:x", "{mail}:x", "xmail", "session:1", "LIMITS:x"),
        *("LIMITS:LIMITER/7/other/10/1/minute", "LIMITS:LIMITER/7/login", "auth-events", "leases:1", "xleases", ""),
    ],
)
def test_other_names_are_not_ours(key):
    assert Keys().type_of(key) is None
    assert Keys("keyrack").type_of(f"keyrack:{key}") is None


def test_the_scopes_of_limits_are_those_that_are_counted():
    counted = [one for one in vars(limits).values() if isinstance(one, limits._SharedLimit)]
    assert {one.described.setting.removeprefix("rate_limit_") for one in counted} == set(LIMIT_SCOPES)
