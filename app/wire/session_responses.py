"""The shape of the body of each successful response about sessions and remembered devices."""

from typing import get_args

from marshmallow import fields, validate

from app.stores.session_records import Amr
from app.watch.events import Reason
from app.wire.fields import ID_HASH, USER_ID
from app.wire.response_fields import ResponseSchema, flag, nullable, text, time

_ID_IN_URL = {"examples": ["q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k"]}


class ClientInfoSchema(ResponseSchema):
    os = nullable("Android")
    platform = nullable("Discord Android")
    location = nullable("Vienna, Vienna, Austria")


class PlaceSchema(ResponseSchema):
    country_code = nullable("AT")
    country_name = nullable("Austria")
    region = nullable("Vienna")
    city = nullable("Vienna")


class SessionSchema(ResponseSchema):
    id_hash = text(metadata=ID_HASH)
    approx_last_used_time = time()
    client_info = fields.Nested(ClientInfoSchema, required=True)
    id = fields.String(
        metadata={
            "description": "The `id_hash` in the form for URLs. This field and the next ones come with `extended=true`"
        }
        | _ID_IN_URL
    )
    created_at = time(required=False)
    expires_at = time(required=False)
    last_seen = time(required=False)
    last_seen_ip = nullable("203.0.113.7", required=False)
    last_seen_location = nullable("Vienna, Vienna, Austria", required=False)
    last_seen_location_info = fields.Nested(PlaceSchema)
    amr = fields.List(
        text(validate=validate.OneOf(get_args(Amr))),
        allow_none=True,
        metadata={"description": "By what it was opened; null if a release before has opened it"},
    )
    public_computer = fields.Boolean(metadata={"description": "Whether it ends soon, whatever its use"})
    is_current = fields.Boolean(metadata={"description": "Whether it is the caller's own", "examples": [True]})


class UserSessionsSchema(ResponseSchema):
    user_sessions = fields.List(fields.Nested(SessionSchema), required=True)


class OwnSessionSchema(ResponseSchema):
    id = text(metadata={"description": "The id of the session in paths of this API"} | _ID_IN_URL)
    deviceName = text(metadata={"examples": ["Firefox on Linux"]})  # noqa: N815 - as the cookie API spells it
    ip = nullable("203.0.113.7")
    location = nullable("Vienna, Vienna, Austria")
    lastActiveAt = time()  # noqa: N815
    createdAt = time()  # noqa: N815
    endsAt = time()  # noqa: N815 - if it is not used again
    publicComputer = flag(metadata={"description": "Whether it ends soon, whatever its use"})  # noqa: N815
    isCurrent = flag(metadata={"description": "Whether it is the caller's own"})  # noqa: N815


class OwnEndedSessionSchema(ResponseSchema):
    id = text(metadata=_ID_IN_URL)
    deviceName = text(metadata={"examples": ["Firefox on Linux"]})  # noqa: N815
    ip = nullable("203.0.113.7")
    location = nullable("Vienna, Vienna, Austria")
    createdAt = time()  # noqa: N815
    endedAt = time()  # noqa: N815
    reason = text(validate=validate.OneOf(get_args(Reason)))
    explanation = text(
        metadata={
            "description": "The reason in words, for people",
            "examples": ["You signed it out from Firefox on Linux"],
        }
    )


class RememberedDeviceSchema(ResponseSchema):
    id = text(metadata=USER_ID)
    deviceName = text(metadata={"examples": ["Firefox on Linux"]})  # noqa: N815
    ip = nullable("203.0.113.7")
    location = nullable("Vienna, Vienna, Austria")
    createdAt = time()  # noqa: N815
    lastUsedAt = time()  # noqa: N815
    endsAt = time()  # noqa: N815
    isCurrent = flag(metadata={"description": "Whether it is the browser that asks"})  # noqa: N815
