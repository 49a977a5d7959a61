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
    """

    request_id: str | None
    address: Callable[[], object]
    actor: Actor | None = None


_current: ContextVar[Context | None] = ContextVar("context", default=None)

current = _current.get
begin = _current.set
end = _current.reset


def note_caller(user_id: str, id_hash: str) -> None:
    """From here on it is this session that acts."""
    context = current()
    if context:
        context.actor = {"user_id": user_id, "session": id_hash}


@contextmanager
def operator(name: str) -> Iterator[None]:
    """What is done within is done by an operator, whom their name on this machine names."""
    before = begin(Context(None, lambda: None, {"operator": name}))
    try:
        yield
    finally:
        end(before)
