"""The clock for times that other machines count, too: of leases, of Redis, and how long a primary is known."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # that of macOS counts a suspension anyway


def boot_clock() -> float:
    """Return seconds by a clock that nobody sets. It goes on while the machine is suspended."""
    return time.clock_gettime(_CLOCK)
