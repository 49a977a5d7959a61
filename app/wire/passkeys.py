"""Bodies of requests about passkeys: adding, renaming and removing them, and signing in by one alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, validates_schema

from app.wire.fields import (
    ASSERTION,
    PUBLIC_COMPUTER,
    REQUIRED,
    START_TICKET,
    TICKET,
    UNDELETE,
    Flag,
    ProvingBody,
    ProvingSchema,
    Text,
    WireSchema,
    Wish,
    check_name,
    length,
)

MAX_NAME = 32  # characters of a passkey's name
ATTESTATION = {"description": "The text of what the browser made: JSON.stringify of its `PublicKeyCredential`"}
_NAME = {"examples": ["Phone"]}


class _PasskeyName(Text):
    """A name that a person types. Outer spaces are dropped."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize(value, *args, **kwargs).strip()


_NAME_CHECKS: list[Callable[[str], Any]] = [length(1, MAX_NAME), check_name]


@dataclass(frozen=True, kw_only=True)
class AddPasskey(ProvingBody):
    """Without a ticket it asks for one. With a ticket it has what the browser made."""

    ticket: str | None = None
    name: str = ""
    credential: str = ""


class AddPasskeySchema(ProvingSchema):
    into = AddPasskey
    ticket = Text(allow_none=True, metadata=TICKET | {"description": "The ticket of the first answer"})
    name = _PasskeyName(validate=_NAME_CHECKS, metadata=_NAME | {"description": "Needed with a ticket"})
    credential = Text(metadata=ATTESTATION)

    @validates_schema
    def _is_whole(self, data: dict[str, Any], **_: Any) -> None:
        missing = [name for name in ("name", "credential") if data.get("ticket") and not data.get(name)]
        if missing:
            raise ValidationError({name: [REQUIRED] for name in missing})


@dataclass(frozen=True, kw_only=True)
class RenamePasskey(ProvingBody):
    name: str | None = None


class RenamePasskeySchema(ProvingSchema):
    into = RenamePasskey
    name = _PasskeyName(allow_none=True, validate=_NAME_CHECKS, metadata=_NAME)


class RemovePasskeySchema(ProvingSchema):
    """The answer to a challenge, and nothing else."""


@dataclass(frozen=True)
class StartSignIn:
    conditional: bool = False


class StartSignInSchema(WireSchema):
    into = StartSignIn
    conditional = Flag(
        metadata={"description": "Whether the browser offers passkeys as it fills the form in", "examples": [True]}
    )


@dataclass(frozen=True)
class FinishSignIn:
    ticket: str
    credential: str
    undelete: bool = False


class FinishSignInSchema(WireSchema):
    into = FinishSignIn
    ticket = Text(required=True, metadata=START_TICKET)
    credential = Text(required=True, metadata=ASSERTION)
    undelete = Wish(metadata=UNDELETE)


@dataclass(frozen=True)
class FinishBrowserSignIn(FinishSignIn):
    public_computer: bool = False


class FinishBrowserSignInSchema(FinishSignInSchema):
    into = FinishBrowserSignIn
    public_computer = Flag(metadata=PUBLIC_COMPUTER)
