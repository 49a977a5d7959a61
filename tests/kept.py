"""Keeps what libraries would work out again for each service and each connection, of which the tests make thousands."""

import functools
from collections.abc import Callable
from typing import Any

import redis.utils
from werkzeug.routing import Rule

_compile_builder = Rule._compile_builder
_builders: dict[Any, Callable[..., tuple[str, str]]] = {}


def keep() -> None:
    """Compile how the URLs of a rule are built once a process, and read once which redis-py is installed."""
    Rule._compile_builder = _builder_of
    redis.utils.get_lib_version = functools.cache(redis.utils.get_lib_version)


def _builder_of(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    """Return the same function for rules of the same text; it is given the rule, and asks that for its converters."""
    if rule.defaults:
        return _compile_builder(rule, append_unknown)
    key = (rule.rule, tuple(rule._trace), append_unknown)
    if key not in _builders:
        _builders[key] = _compile_builder(rule, append_unknown)
    return _builders[key]
