"""What the bodies of responses share: their base, and the fields that most of them have.

Fields of requests: wire/fields.py.
"""

from functools import partial
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

text = partial(fields.String, required=True)
flag = partial(fields.Boolean, required=True)
integer = partial(fields.Integer, required=True)


def const(value: Any) -> validate.OneOf:
    return validate.OneOf([value])


def time(**more: Any) -> fields.Field[Any]:
    return fields.AwareDateTime(
        **{"required": True} | more, metadata={"examples": ["2025-07-16T23:34:24.697588+00:00"]}
    )


def nullable(example: str, **more: Any) -> fields.Field[Any]:
    return fields.String(**{"required": True} | more, allow_none=True, metadata={"examples": [example]})


class ResponseSchema(Schema):
    """A body of a response. Later versions may add fields."""

    class Meta:
        unknown = EXCLUDE
