"""What a thread works on: the request, its caller, or an operator. Lines that are logged say so by themselves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Actor = dict[str, str]


@dataclass(slots=True)
class Context:
    """
    request_id   as the gateway gave it, or made; None where no request is served
    address      of who asks, worked out when somebody wants it
    actor        who acts: {"user_id", "session"} of a caller, {"operator"}; None where nobody is known yet
    unconfirmed  whether too few replicas have something that was done: nobody may be told that it was
    """

    request_id: str | None
    address: Callable[[], object]
    actor: Actor | None = None
    unconfirmed: bool = False


_current: ContextVar[Context | None] = ContextVar("context", default=None)

current = _current.get
begin = _current.set
end = _current.reset


def note_caller(user_id: str, id_hash: str) -> None:
    """From here on it is this session that acts."""
    context = current()
    if context:
        context.actor = {"user_id": user_id, "session": id_hash}


def note_unconfirmed() -> bool:
    """Have who asked hear of it in the end, once all that follows is done and on record.

    Returns: False where nobody asks
    """
    context = current()
    if context:
        context.unconfirmed = True
    return context is not None


def is_unconfirmed() -> bool:
    context = current()
    return context is not None and context.unconfirmed


@contextmanager
def operator(name: str) -> Iterator[None]:
    """What is done within is done by an operator, whom their name on this machine names."""
    before = begin(Context(None, lambda: None, {"operator": name}))
    try:
        yield
    finally:
        end(before)
