"""Bodies of a gateway's requests: reconcile and introspect. The check of each request (web/verify.py) has no body."""

from dataclasses import dataclass

from marshmallow import EXCLUDE, Schema

from app.wire.fields import ID_HASH, USER_ID, Items, Nested, Text, WireSchema, check_id_hash, check_user_id, length


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
