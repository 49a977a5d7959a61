"""The copy of all that is kept of a user, with the counters of rate limits: see rules/own_data.py."""

from collections.abc import Iterator
from typing import Any

from limits import parse_many

from app.callers.addresses import limit_keys
from app.web.services import services


def copy_of(user_id: str) -> dict[str, Any]:
    """Return all that is kept of a user, for JSON."""
    return services().own_data.of(user_id) | {"limits": _limits(user_id)}


def _limits(user_id: str) -> list[dict[str, Any]]:
    """Return the counters that count against a user. Of those by address, the addresses of the user's own devices."""
    settings, store = services().settings, services().own_data_store
    named = [
        (scope, name, counted_by, rate)
        for scope, name, counted_by in _counters(user_id)
        for rate in parse_many(getattr(settings, f"rate_limit_{scope}"))
    ]
    counts = store.counts([(name, scope, rate) for scope, name, _, rate in named])
    return [
        {"setting": f"RATE_LIMIT_{scope.upper()}", "rate": str(rate), "counted_by": counted_by, "count": count}
        for (scope, _, counted_by, rate), count in zip(named, counts, strict=True)
        if count
    ]


def _counters(user_id: str) -> Iterator[tuple[str, str, str]]:
    """Yield the scope and the name of each counter, as limit_keys.py makes them, and by what it counts in words."""
    for scope in ("login_account", "code_account", "forgot"):
        yield scope, user_id, "account"
    for scope in ("step_up_user", "end_others_user", "new_factor", "data", "verify"):
        yield scope, user_id, "user"
    yield "code_account", f"reset/{user_id}", "user, at resets"
    for id_hash in services().devices.lately_seen(user_id):
        for scope in ("login_account", "code_account"):
            yield scope, f"{id_hash}/{user_id}", "account, from a known device"
    for id_hash in services().own_data_store.first_id_hashes(user_id):
        for scope in ("step_up", "end_others"):
            yield scope, f"{id_hash}/{user_id}", "session"
    for address in sorted(limit_keys(services().devices.lately_seen(user_id).values())):
        yield "login", f"{address}/{user_id}", "address and account"
