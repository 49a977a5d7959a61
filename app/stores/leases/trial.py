"""A lease that is held for a moment, to find out whether that works with this Redis: for `flask doctor`."""

import select
import time
from collections.abc import Callable
from typing import Any

from app.stores.leases.connection import Loop
from app.stores.leases.holder import Holder

_LONGEST_S = 2.0


class _Turns:
    """A loop with nothing but the holder of a lease in it."""

    def __init__(self) -> None:
        self.sock: Any = None

    def run_apart(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        then(job())

    def watch(self, sock: Any) -> None:
        self.sock = sock

    def unwatch(self, _sock: Any) -> None:
        self.sock = None

    def turn(self, holder: Holder) -> None:
        wait_s = min(holder.tick(), _LONGEST_S)
        if select.select([self.sock] if self.sock else [], [], [], wait_s)[0]:
            holder.on_readable()


def why_not_held(make_holder: Callable[[Loop], Holder | None]) -> str | None:
    """Hold a lease for a moment. Return why that cannot be done, "" if it can; None if there are no leases."""
    turns = _Turns()
    holder = make_holder(turns)
    if holder is None:
        return None
    until = time.monotonic() + _LONGEST_S
    try:
        while not holder.is_holding and time.monotonic() < until:
            turns.turn(holder)
            if holder.problem:
                return holder.problem
        return "" if holder.is_holding else "Redis does not answer in time"
    finally:
        holder.close()
