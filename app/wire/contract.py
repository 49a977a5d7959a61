"""What a route takes, answers and refuses: left on its view by its decorators, made into the document by openapi.py.

The guards leave what they know by themselves; `answers`, `refuses` and `reads` say the rest of a view. None of it is
looked at while a request is served.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from marshmallow import Schema

View = Callable[..., Any]
Shape = Schema | type[Schema] | Mapping[str, Any]  # where it is no object of ours: JSON Schema as it is
Caller = Literal["nobody", "session", "gateway", "prometheus"]

_MARK = "__contract__"


@dataclass(frozen=True)
class Parameter:
    """What a request may say beside its body; in a path it is always there, elsewhere it may be left out."""

    place: Literal["path", "query", "header"]
    name: str
    meaning: str
    example: str


@dataclass(frozen=True)
class Header:
    """What an answer says beside its body. `always`: in each answer of its status"""

    name: str
    meaning: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    always: bool = True


@dataclass(frozen=True)
class Answer:
    """An answer to a request that was right. shapes: the body has one of them; none means that there is no body"""

    status: int
    shapes: Sequence[Shape]
    headers: Sequence[Header]
    media_type: str


@dataclass(frozen=True)
class Limit:
    """How often something may be asked. setting: the field of Settings that says it"""

    setting: str
    counted_by: str


@dataclass(frozen=True)
class Contract:
    """
    known_by   whose request it is: nobody's, a session's, or of what runs beside Keyrack
    body       schema of the JSON body
    form       schema of the body, where that is a form
    refusals   what it raises: errors.ApiError and what Flask and Flask-Limiter raise
    """

    known_by: Caller = "nobody"
    body: Shape | None = None
    form: Shape | None = None
    parameters: tuple[Parameter, ...] = ()
    limits: tuple[Limit, ...] = ()
    answers: tuple[Answer, ...] = ()
    refusals: tuple[type[Exception], ...] = ()


def contract_of(view: View) -> Contract:
    contract: Contract = getattr(view, _MARK, Contract())
    return contract


def marked(view: View, **parts: Any) -> View:
    """Leave parts of a contract on a view: sequences are added to those that are there already, in front."""
    contract = contract_of(view)
    known = vars(contract)
    more = {name: (*part, *known[name]) if isinstance(known[name], tuple) else part for name, part in parts.items()}
    setattr(view, _MARK, Contract(**known | more))
    return view


def joined(first: Contract, then: Contract) -> Contract:
    """The contract of a view that `first` stands before, as a hook of its blueprint does."""
    return replace(
        then,
        known_by=first.known_by if then.known_by == "nobody" else then.known_by,
        parameters=first.parameters + then.parameters,
        refusals=first.refusals + then.refusals,
    )


def answers(
    *shapes: Shape,
    status: int | None = None,
    headers: Sequence[Header] = (),
    media_type: str = "application/json",
) -> Callable[[View], View]:
    """Say what a view answers: a body of one of these shapes, or none. status: 200 with a body, 204 without"""
    answer = Answer(status or (200 if shapes else 204), shapes, headers, media_type)
    return lambda view: marked(view, answers=[answer])


def refuses(*refusals: type[Exception]) -> Callable[[View], View]:
    """Say what a view raises beside what its guards do."""
    return lambda view: marked(view, refusals=refusals)


def known_by(caller: Caller) -> Callable[[View], View]:
    """Say whose request it is, and with that how it is refused where it is somebody else's."""
    return lambda view: marked(view, known_by=caller)


def reads(*parameters: Parameter) -> Callable[[View], View]:
    return lambda view: marked(view, parameters=parameters)


def reads_form(shape: Shape) -> Callable[[View], View]:
    return lambda view: marked(view, form=shape)
