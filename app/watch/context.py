"""The context of a thread: its request, and the user or operator who acts. Log and audit lines take it from here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Actor = dict[str, str]


@dataclass(slots=True)
class Context:
    """The request that a thread serves, or the operator that it works for.

    Attributes:
        request_id: From the gateway, or made here. None if no request is served.
        address: Returns the address of the client. It is called only if the address is needed.
        actor: {"user_id", "session"} of a caller, or {"operator"}. None until somebody is known.
        unconfirmed: Too few replicas have confirmed a change, so that the answer must not be a success.
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
    """Set the session that acts from here on."""
    context = current()
    if context:
        context.actor = {"user_id": user_id, "session": id_hash}


def note_unconfirmed() -> bool:
    """Note that a change is unconfirmed. The request goes on, and is refused at its end (errors.Unconfirmed).

    Returns:
        False if there is no context to note it in.
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
    """Record the actions inside as those of an operator.

    Args:
        name: The operator's name on this machine.
    """
    before = begin(Context(None, lambda: None, {"operator": name}))
    try:
        yield
    finally:
        end(before)
