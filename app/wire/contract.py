"""The contract of a route: what it takes, answers and refuses. Its decorators leave it on its view.
The document made of it: document/openapi_generator.py. The bodies themselves: the other modules of wire/.

The guards leave what they know by themselves; `answers`, `refuses` and `reads` say the rest of a view. None of it is
looked at while a request is served.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from marshmallow import Schema

View = Callable[..., Any]
Shape = Schema | type[Schema] | Mapping[str, Any]  # JSON Schema as it is, where the body is no object of ours
KnownBy = Literal["nobody", "session", "gateway", "prometheus"]

_MARK = "__contract__"


@dataclass(frozen=True)
class Parameter:
    """A part of a request beside its body. In a path it is always there, elsewhere it may be left out."""

    place: Literal["path", "query", "header"]
    name: str
    meaning: str
    example: str


@dataclass(frozen=True)
class Header:
    """A header of a response.

    Attributes:
        always: It is in each response of its status.
    """

    name: str
    meaning: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    always: bool = True


@dataclass(frozen=True)
class Response:
    """A response to a request that was right.

    Attributes:
        shapes: The body has one of them. Empty: there is no body.
    """

    status: int
    shapes: Sequence[Shape]
    headers: Sequence[Header]
    media_type: str


@dataclass(frozen=True)
class Limit:
    """A rate limit.

    Attributes:
        setting: The field of Settings that has the rate.
    """

    setting: str
    counted_by: str


@dataclass(frozen=True)
class Contract:
    """All that a view says of itself.

    Attributes:
        known_by: The caller is nobody in particular, a session, or a program that runs beside Keyrack.
        body: The schema of the JSON body.
        form: The schema of the body, where that is a form.
        refusals: The view raises them: errors.ApiError, and what Flask and Flask-Limiter raise.
    """

    known_by: KnownBy = "nobody"
    body: Shape | None = None
    form: Shape | None = None
    parameters: tuple[Parameter, ...] = ()
    limits: tuple[Limit, ...] = ()
    answers: tuple[Response, ...] = ()
    refusals: tuple[type[Exception], ...] = ()


def contract_of(view: View) -> Contract:
    contract: Contract = getattr(view, _MARK, Contract())
    return contract


def mark(view: View, **parts: Any) -> View:
    """Leave parts of a contract on a view, and return the view. A sequence goes in front of what is there already."""
    contract = contract_of(view)
    known = vars(contract)
    more = {name: (*part, *known[name]) if isinstance(known[name], tuple) else part for name, part in parts.items()}
    setattr(view, _MARK, Contract(**known | more))
    return view


def join(hook: Contract, view: Contract) -> Contract:
    """Return the contract of a view that a hook of its blueprint runs before."""
    return replace(
        view,
        known_by=hook.known_by if view.known_by == "nobody" else view.known_by,
        parameters=hook.parameters + view.parameters,
        refusals=hook.refusals + view.refusals,
    )


def answers(
    *shapes: Shape,
    status: int | None = None,
    headers: Sequence[Header] = (),
    media_type: str = "application/json",
) -> Callable[[View], View]:
    """Say what a view answers.

    Args:
        shapes: The body has one of them. Without any there is no body.
        status: 200 with a body and 204 without, if not given.
    """
    response = Response(status or (200 if shapes else 204), shapes, headers, media_type)
    return lambda view: mark(view, answers=[response])


def refuses(*refusals: type[Exception]) -> Callable[[View], View]:
    """Say what a view raises beside what its guards raise."""
    return lambda view: mark(view, refusals=refusals)


def known_by(caller: KnownBy) -> Callable[[View], View]:
    """Say who may call a view. The refusals of all other callers follow from that."""
    return lambda view: mark(view, known_by=caller)


def reads(*parameters: Parameter) -> Callable[[View], View]:
    return lambda view: mark(view, parameters=parameters)


def reads_form(shape: Shape) -> Callable[[View], View]:
    return lambda view: mark(view, form=shape)
