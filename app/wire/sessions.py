"""Bodies of requests that end or rename sessions of the caller's user."""

from dataclasses import dataclass

from app.wire.fields import (
    ID_HASH,
    Items,
    ProvingBody,
    ProvingSchema,
    Text,
    WireSchema,
    check_id_hash,
    check_name,
    length,
)


@dataclass(frozen=True)
class RenameSession:
    name: str | None


class RenameSessionSchema(WireSchema):
    into = RenameSession
    name = Text(
        required=True,
        allow_none=True,
        validate=[length(1, 64), check_name],
        metadata={"examples": ["Kitchen tablet"]},
    )


class RevokeSchema(ProvingSchema):
    """An answer to a challenge, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class LogoutSessions(ProvingBody):
    session_id_hashes: list[str]


class LogoutSessionsSchema(ProvingSchema):
    into = LogoutSessions
    session_id_hashes = Items(Text(validate=check_id_hash, metadata=ID_HASH), required=True, validate=length(1, 64))


@dataclass(frozen=True, kw_only=True)
class RevokeSessions(ProvingBody):
    ids: list[str]


class RevokeSessionsSchema(ProvingSchema):
    into = RevokeSessions
    ids = Items(
        Text(metadata={"examples": [ID_HASH["examples"][0].rstrip("=")]}), required=True, validate=length(1, 64)
    )
