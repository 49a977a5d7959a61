"""The contract of a route: its parameters, bodies, answers and refusals. Decorators store it on the view function.
The document made from it: document/openapi_generator.py. The bodies themselves: the other modules of wire/.

Guards add what follows from them; `answers`, `refuses` and `reads` add the rest. No request reads a contract.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from marshmallow import Schema

View = Callable[..., Any]
Shape = Schema | type[Schema] | Mapping[str, Any]  # JSON Schema, for a body without a schema class in wire/
KnownBy = Literal["nobody", "session", "gateway", "prometheus"]

_MARK = "__contract__"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a request, outside its body. It is required in a path and optional elsewhere."""

    place: Literal["path", "query", "header"]
    name: str
    meaning: str
    example: str


@dataclass(frozen=True)
class Header:
    """A header of a response.

    Attributes:
        always: Each response with this status has the header.
    """

    name: str
    meaning: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    always: bool = True


@dataclass(frozen=True)
class Response:
    """A successful response.

    Attributes:
        shapes: The shapes that the body may have; empty if there is no body.
    """

    status: int
    shapes: Sequence[Shape]
    headers: Sequence[Header]
    media_type: str


@dataclass(frozen=True)
class Limit:
    """A rate limit.

    Attributes:
        setting: The field of Settings with the rate.
    """

    setting: str
    counted_by: str


@dataclass(frozen=True)
class Contract:
    """The contract of a view.

    Attributes:
        known_by: The kind of caller: anybody, a session, or a program beside Keyrack.
        body: The schema of the JSON body.
        may_lack_body: A request without a body counts as one with an empty object.
        form: The schema of the body, if the body is a form.
        refusals: The exceptions that the view may raise: subclasses of errors.ApiError, and exceptions of Flask
            and Flask-Limiter.
    """

    known_by: KnownBy = "nobody"
    body: Shape | None = None
    may_lack_body: bool = False
    form: Shape | None = None
    parameters: tuple[Parameter, ...] = ()
    limits: tuple[Limit, ...] = ()
    answers: tuple[Response, ...] = ()
    refusals: tuple[type[Exception], ...] = ()


def contract_of(view: View) -> Contract:
    contract: Contract = getattr(view, _MARK, Contract())
    return contract


def mark(view: View, **parts: Any) -> View:
    """Add parts of a contract to a view, and return the view. A sequence is put before the existing entries."""
    contract = contract_of(view)
    known = vars(contract)
    more = {name: (*part, *known[name]) if isinstance(known[name], tuple) else part for name, part in parts.items()}
    setattr(view, _MARK, Contract(**known | more))
    return view


def join(hook: Contract, view: Contract) -> Contract:
    """Return the contract of a view joined with that of its blueprint's before-hook."""
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
    """Add a successful response to the contract of a view.

    Args:
        shapes: The shapes that the body may have. Without a shape there is no body.
        status: None means 200 with a body and 204 without.
    """
    response = Response(status or (200 if shapes else 204), shapes, headers, media_type)
    return lambda view: mark(view, answers=[response])


def refuses(*refusals: type[Exception]) -> Callable[[View], View]:
    """Add refusals to the contract of a view. Guards have already added their own."""
    return lambda view: mark(view, refusals=refusals)


def known_by(caller: KnownBy) -> Callable[[View], View]:
    """Set who may call a view. The document derives from this how other callers are refused."""
    return lambda view: mark(view, known_by=caller)


def reads(*parameters: Parameter) -> Callable[[View], View]:
    return lambda view: mark(view, parameters=parameters)


def reads_form(shape: Shape) -> Callable[[View], View]:
    return lambda view: mark(view, form=shape)
