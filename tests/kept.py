"""Keeps what libraries would work out again for each service and each connection, of which the tests make thousands."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis.utils
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

from app import Keyrack

_compile = Rule.compile


@dataclass(frozen=True)
class _Compiled:
    """How paths are held against a rule, and how they are built of it."""

    parts: list[Any]
    trace: list[tuple[bool, str]]
    converters: dict[str, Any]
    build: Callable[..., tuple[str, str]]
    build_unknown: Callable[..., tuple[str, str]]


_compiled: dict[Any, _Compiled] = {}


class _Templates(BytecodeCache):
    """What templates are compiled to, by their name and text."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key, bucket.checksum] = bucket.code


def keep() -> None:
    """Compile rules of routes and templates once a process, and read once which redis-py is installed."""
    Keyrack.jinja_options = Keyrack.jinja_options | {"bytecode_cache": _Templates()}
    Rule.compile = _compile_once
    redis.utils.get_lib_version = functools.cache(redis.utils.get_lib_version)


def _compile_once(rule: Rule) -> None:
    """Give a rule what the first of the same text was compiled to; the two builders are functions of the rule."""
    if rule.defaults or rule.host or rule.subdomain:
        _compile(rule)
        return
    key = (rule.rule, rule.merge_slashes)
    if key not in _compiled:
        _compile(rule)
        builders = rule._build.__func__, rule._build_unknown.__func__
        _compiled[key] = _Compiled(rule._parts, rule._trace, rule._converters, *builders)
    known = _compiled[key]
    rule._parts, rule._trace, rule._converters = known.parts, known.trace, known.converters
    rule._build, rule._build_unknown = known.build.__get__(rule), known.build_unknown.__get__(rule)
