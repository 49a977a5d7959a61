"""Bodies of a gateway's requests: reconcile, introspect and revoke. The check (web/verify.py) has no body."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from marshmallow import EXCLUDE, Schema, ValidationError, validate, validates_schema

from app.wire.fields import (
    EMAIL,
    ID_HASH,
    REQUIRED,
    USER_ID,
    Items,
    Nested,
    Text,
    WireSchema,
    check_id_hash,
    check_user_id,
    length,
)


@dataclass(frozen=True)
class NamedSession:
    user_id: str
    id_hash: str


class NamedSessionSchema(WireSchema):
    into = NamedSession
    user_id = Text(required=True, validate=check_user_id, metadata=USER_ID)
    id_hash = Text(required=True, validate=check_id_hash, metadata=ID_HASH)


@dataclass(frozen=True)
class Reconcile:
    sessions: list[NamedSession]


class ReconcileSchema(WireSchema):
    into = Reconcile
    sessions = Items(Nested(NamedSessionSchema), required=True, validate=length(0, 1000))


class IntrospectSchema(Schema):
    """A form (RFC 7662, section 2.1)."""

    class Meta:
        unknown = EXCLUDE

    token = Text(required=True)


SubjectFormat = Literal["opaque", "email", "iss_sub"]
_NEEDED: Mapping[SubjectFormat, tuple[str, ...]] = {"opaque": ("id",), "email": ("email",), "iss_sub": ("iss", "sub")}


@dataclass(frozen=True)
class Subject:
    """Whom a request is about (RFC 9493)."""

    format: SubjectFormat
    id: str = ""
    email: str = ""
    iss: str = ""
    sub: str = ""


class SubjectSchema(WireSchema):
    into = Subject
    format = Text(
        required=True,
        validate=validate.OneOf(get_args(SubjectFormat), error="BASE_TYPE_CHOICES: Value must be one of {choices}."),
        metadata={"description": "`opaque` needs `id`, `email` needs `email`, `iss_sub` needs `iss` and `sub`"},
    )
    id = Text(metadata=USER_ID)
    email = Text(metadata=EMAIL)
    iss = Text(metadata={"description": "`ISSUER`, to the letter", "examples": ["https://accounts.example.com"]})
    sub = Text(metadata=USER_ID)

    @validates_schema
    def _require_those_of_the_format(self, data: Mapping[str, Any], **_: Any) -> None:
        missing = [name for name in _NEEDED[data["format"]] if name not in data]
        if missing:
            raise ValidationError(dict.fromkeys(missing, REQUIRED))


@dataclass(frozen=True)
class RevokeUser:
    sub_id: Subject


class RevokeUserSchema(WireSchema):
    into = RevokeUser
    sub_id = Nested(SubjectSchema, required=True)
