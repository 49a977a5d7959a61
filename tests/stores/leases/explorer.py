"""Walks all states of a model, the nearest first."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)


class Walk(NamedTuple):
    """
    Attributes:
        states: How many states can be reached; up to the first wrong one, if there is one.
        trace: The names of the steps to the nearest state that is wrong; empty if none is.
    """

    states: int
    trace: tuple[str, ...]


def walk(first: S, steps: Callable[[S], Iterable[tuple[str, S]]], is_wrong: Callable[[S], bool]) -> Walk:
    """Walk until a state is wrong, or there is no new one."""
    came_by: dict[S, tuple[str, S] | None] = {first: None}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        for name, after in steps(state):
            if after in came_by:
                continue
            came_by[after] = (name, state)
            if is_wrong(after):
                return Walk(len(came_by), _trace(came_by, after))
            queue.append(after)
    return Walk(len(came_by), ())


def _trace(came_by: dict[S, tuple[str, S] | None], state: S) -> tuple[str, ...]:
    names: list[str] = []
    while (came := came_by[state]) is not None:
        names.append(came[0])
        state = came[1]
    return tuple(reversed(names))
