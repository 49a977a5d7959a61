"""Bodies of what a gateway asks beside the check: reconcile and introspect."""

from dataclasses import dataclass

from marshmallow import EXCLUDE, Schema

from app.wire.fields import ID_HASH, USER_ID, Items, Nested, Text, WireSchema, is_id_hash, is_user_id, length


@dataclass(frozen=True)
class NamedSession:
    user_id: str
    id_hash: str


class NamedSessionSchema(WireSchema):
    into = NamedSession
    user_id = Text(required=True, validate=is_user_id, metadata=USER_ID)
    id_hash = Text(required=True, validate=is_id_hash, metadata=ID_HASH)


@dataclass(frozen=True)
class Reconcile:
    sessions: list[NamedSession]


class ReconcileSchema(WireSchema):
    into = Reconcile
    sessions = Items(Nested(NamedSessionSchema), required=True, validate=length(0, 1000))


class IntrospectSchema(Schema):
    """A form, as RFC 7662 has it."""

    class Meta:
        unknown = EXCLUDE

    token = Text(required=True)
