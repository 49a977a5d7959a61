"""What the cookie API answers about an account's activity."""

from typing import get_args

from marshmallow import fields, validate

from app.stores.activities import ActivityKind
from app.stores.session_records import Amr
from app.wire.response_fields import ResponseSchema, integer, nullable, text, time

_TYPES = (*get_args(ActivityKind), "sessions_ended")


class ActivitySchema(ResponseSchema):
    type = text(validate=validate.OneOf(_TYPES), metadata={"examples": ["sign_in_refused"]})
    at = time()
    explanation = text(metadata={"description": "It in words", "examples": ["Login refused: wrong password"]})
    reason = text(
        allow_none=True,
        metadata={
            "description": "Why it was refused, or the sessions ended; by what it was confirmed; the name of a passkey",
            "examples": ["wrong_password"],
        },
    )
    amr = fields.List(
        fields.String(validate=validate.OneOf(get_args(Amr))),
        required=True,
        allow_none=True,
        metadata={"description": "Of a sign-in, by what its session was opened (RFC 8176)"},
    )
    deviceName = text(  # noqa: N815 - as the cookie API spells it
        allow_none=True,
        metadata={"description": "Who did it, or which ended; null for an operator", "examples": ["Firefox on Linux"]},
    )
    ip = nullable("203.0.113.7")
    location = nullable("Bern, Bern, Switzerland")
    sessions = integer(metadata={"description": "How many sessions ended by it, in one moment", "examples": [0]})
