"""The context of a thread: its request, and the acting user or operator. Log and audit lines contain it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Actor = dict[str, str]


@dataclass(slots=True)
class Context:
    """The request that a thread serves, or the operator that it works for.

    Attributes:
        request_id: An id from the gateway, or a new one; None if no request is served.
        address: A function that returns the address of the client. It is called only if the address is needed.
        network: A function that returns the network of the client; "" if there is no client.
        actor: {"user_id", "session"} for a caller, {"operator"} for an operator, {"service": "gateway"} for who has the
            gateway's secret and changes something; None until one of them is known.
        unconfirmed: Too few replicas have confirmed a change, so the answer must not be a success.
    """

    request_id: str | None
    address: Callable[[], object]
    network: Callable[[], str] = lambda: ""
    actor: Actor | None = None
    unconfirmed: bool = False


_current: ContextVar[Context | None] = ContextVar("context", default=None)

current = _current.get
begin = _current.set
end = _current.reset


def note_caller(user_id: str, id_hash: str) -> None:
    """Set the acting session."""
    context = current()
    if context:
        context.actor = {"user_id": user_id, "session": id_hash}


def note_gateway() -> None:
    """Set who has the gateway's secret as acting."""
    context = current()
    if context:
        context.actor = {"service": "gateway"}


def note_unconfirmed() -> bool:
    """Note that too few replicas have confirmed a change. The request goes on, and its answer is errors.Unconfirmed.

    Returns:
        False if there is no context, so nothing was noted.
    """
    context = current()
    if context:
        context.unconfirmed = True
    return context is not None


def network() -> str:
    """Return the network of the client of the request; "" outside of a request."""
    context = current()
    return context.network() if context else ""


def is_unconfirmed() -> bool:
    context = current()
    return context is not None and context.unconfirmed


@contextmanager
def operator(name: str) -> Iterator[None]:
    """Record the actions in the `with` block as an operator's.

    Args:
        name: The operator's name on this machine.
    """
    before = begin(Context(None, lambda: None, actor={"operator": name}))
    try:
        yield
    finally:
        end(before)
