"""Simulates how evenly a Cluster is loaded: by users, by heavy users, and by keys that belong to no user."""

import argparse
import ipaddress
import itertools
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from app.snowflakes import new_snowflake
from app.stores.keys import unprefixed as keys

SEED = 7
POPULATIONS = (1_000_000, 10_000_000, 100_000_000)
MADE = POPULATIONS[0]  # so many keys are made one by one; for larger populations the numbers are drawn
PRIMARIES = (3, 6, 12, 24, 48)
MOST_SESSIONS = 50  # MAX_SESSIONS_PER_USER
ZIPF = (0.6, 0.8, 1.0)
HEAVY = 100_000  # the heaviest users are simulated one by one; the use of the others is spread evenly

_SNOWFLAKES_BEGAN_MS = -(int(new_snowflake(0)) >> 22)
_FIRST_CAME_MS, _LAST_CAME_MS = 1_640_995_200_000, 1_750_000_000_000  # registrations are spread evenly over these years
_MADE_AT_ONCE = 250_000

Make = Callable[[random.Random], str]


def snowflake(rng: random.Random) -> str:
    """Return an id as the service makes it."""
    came_ms = rng.randrange(_FIRST_CAME_MS, _LAST_CAME_MS)
    return str(came_ms - _SNOWFLAKES_BEGAN_MS << 22 | rng.getrandbits(22))


def user(rng: random.Random) -> str:
    return keys.user(snowflake(rng))


def email(rng: random.Random) -> str:
    return keys.email(f"firstname.lastname{rng.getrandbits(32)}@example.com")


def limit(rng: random.Random) -> str:
    """Return the key of a counter by address, as Flask-Limiter names it."""
    return f"LIMITS:LIMITER/{ipaddress.IPv4Address(rng.getrandbits(32))}/login_address/30/1/minute"


def slot(key: str) -> int:
    return key_slot(key.encode())


def count(make: Make, number: int, seed: int = SEED) -> list[int]:
    """Make so many keys, and return how many are on each slot."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    counted = Counter(slot(make(rng)) for _ in range(number))
    return [counted[at] for at in range(SLOTS)]


def count_sessions(users: int, exponent: float, seed: int = SEED) -> list[int]:
    """Return how many sessions of so many users are on each slot.

    The number of users with n sessions is 1 / n**exponent of those with one.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    held = range(1, MOST_SESSIONS + 1)
    counts = [0] * SLOTS
    for sessions in rng.choices(held, [number**-exponent for number in held], k=users):
        counts[slot(user(rng))] += sessions
    return counts


def count_all(users: int) -> list[int]:
    """Return how many users are on each slot. A process for each core makes them, and each part has its own seed."""
    parts = [min(_MADE_AT_ONCE, users - made) for made in range(0, users, _MADE_AT_ONCE)]
    totals = [0] * SLOTS
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        for counted in processes.map(count, itertools.repeat(user), parts, itertools.count(SEED)):
            totals = [total + more for total, more in zip(totals, counted, strict=True)]
    return totals


def draw(number: int, seed: int = SEED) -> list[int]:
    """Return how many keys each slot has if chance alone decides. `dispersion` shows that it does."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    mean = number / SLOTS
    return [round(rng.gauss(mean, math.sqrt(mean))) for _ in range(SLOTS)]


def dispersion(counts: Sequence[int]) -> float:
    """Return the variance as a multiple of the mean. It is 1 if keys take their slots by chance, more if they crowd."""
    mean = sum(counts) / len(counts)
    return sum((each - mean) ** 2 for each in counts) / len(counts) / mean


def by_primary(loads: Sequence[float], primaries: int) -> list[float]:
    """Return the load of each primary. Each owns a range of slots, as `redis-cli --cluster create` deals them out."""
    bounds = [round(SLOTS * at / primaries) for at in range(primaries + 1)]
    return [sum(loads[first:end]) for first, end in itertools.pairwise(bounds)]


def busiest(loads: Sequence[float]) -> float:
    """Return the largest load as a multiple of the mean."""
    return max(loads) * len(loads) / sum(loads)


def zipf(exponent: float, users: int, seed: int = SEED) -> tuple[list[float], float]:
    """Return the share of all use on each slot, and the share of the heaviest user.

    The use of the n-th heaviest user is 1 / n**exponent of the heaviest.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    heavy = [rank**-exponent for rank in range(1, HEAVY + 1)]
    others = _integral(exponent, HEAVY + 0.5, users + 0.5)
    total = sum(heavy) + others
    shares = [others / total / SLOTS] * SLOTS
    for use in heavy:
        shares[slot(user(rng))] += use / total
    return shares, heavy[0] / total


def _integral(exponent: float, low: float, high: float) -> float:
    """Return the integral of x**-exponent."""
    if exponent == 1:
        return math.log(high / low)
    return float(high ** (1 - exponent) - low ** (1 - exponent)) / (1 - exponent)


def users_table(is_exact: bool) -> Iterator[str]:
    names = [f"of {primaries}" for primaries in PRIMARIES]
    yield from _head("what", "a slot: fewest", "mean", "most", "variance / mean", *names)
    for number in POPULATIONS:
        counts = count_all(number) if is_exact else count(user, number) if number == MADE else draw(number)
        own = [f"{min(counts):,}", f"{number / SLOTS:,.0f}", f"{max(counts):,}"]
        chance = f"{dispersion(counts):.2f}" if is_exact or number == MADE else "–"
        yield _row(f"{number:,} users", *own, chance, *_busiest_of_each(counts))
    for exponent in (2.0, 1.0):
        counts = count_sessions(MADE, exponent)
        own = [f"{min(counts):,}", f"{sum(counts) / SLOTS:,.0f}", f"{max(counts):,}", f"{dispersion(counts):.2f}"]
        yield _row(f"the sessions of {MADE:,}, exponent {exponent:.0f}", *own, *_busiest_of_each(counts))


def use_table() -> Iterator[str]:
    names = [f"of {primaries}" for primaries in PRIMARIES]
    yield from _head("exponent", "share of the heaviest user", "busiest slot", *names)
    for exponent in ZIPF:
        shares, heaviest = zipf(exponent, POPULATIONS[-1])
        yield _row(str(exponent), f"{heaviest:.4%}", f"{busiest(shares):,.1f}", *_busiest_of_each(shares))


def nobodys_table() -> Iterator[str]:
    yield from _head("key", "slots", "most on one slot / mean", "variance / mean", f"busiest of {PRIMARIES[-1]}")
    for name, make in (("`email:*`", email), ("`LIMITS:*` by address", limit)):
        counts = count(make, MADE)
        found = sum(1 for each in counts if each)
        yield _row(name, f"{found:,}", *(f"{figure(counts):.2f}" for figure in (busiest, dispersion)),
                   f"{busiest(by_primary(counts, PRIMARIES[-1])):.3f}")  # fmt: skip
    for name in (keys.mail.waiting, keys.mail.dead):
        yield _row(f"`{name}`", f"1, {slot(name)}", "all", "–", "all")


def _busiest_of_each(loads: Sequence[float]) -> list[str]:
    return [f"{busiest(by_primary(loads, primaries)):.3f}" for primaries in PRIMARIES]


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*["---"] * len(names))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def tables(is_exact: bool = False) -> str:
    parts = (users_table(is_exact), use_table(), nobodys_table())
    return "\n\n".join("\n".join(part) for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/slots", description=__doc__)
    parser.add_argument("--exact", action="store_true", help="make every id of every population, which takes minutes")
    print(tables(parser.parse_args().exact))


if __name__ == "__main__":
    main()
