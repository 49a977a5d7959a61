"""Bodies of requests about a forgotten password, and of the page "This wasn't me" behind a link in a mail."""

from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, validates_schema

from app.stores.factors import MfaType
from app.wire.fields import (
    LOGIN,
    MFA_TYPE,
    PASSWORD,
    PUBLIC_COMPUTER,
    REQUIRED,
    Flag,
    Text,
    WireSchema,
    check_password,
)


@dataclass(frozen=True)
class Forgot:
    login: str


class ForgotSchema(WireSchema):
    into = Forgot
    login = Text(required=True, metadata=LOGIN)


@dataclass(frozen=True)
class Reset:
    """A new password by a link. The second request, if a factor was asked for, also has ticket, code and method."""

    token: str
    password: str
    ticket: str | None = None
    code: str | None = None
    method: MfaType | None = None


class ResetSchema(WireSchema):
    into = Reset
    token = Text(required=True, metadata={"description": "The part of the link in the mail behind `#`"})
    password = Text(required=True, validate=check_password, metadata=PASSWORD)
    ticket = Text(allow_none=True, metadata={"description": "The ticket of the answer that asked for a second factor"})
    code = Text(
        allow_none=True,
        metadata={"description": "With a ticket: the code, or the text of the browser's answer by a passkey"},
    )
    method = Text(
        allow_none=True,
        metadata={"description": "With a ticket: the kind of the code; `totp` if left out"},
        validate=MFA_TYPE,
    )

    @validates_schema
    def _has_code(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("ticket") and not data.get("code"):
            raise ValidationError(REQUIRED, "code")


@dataclass(frozen=True)
class BrowserReset(Reset):
    public_computer: bool = False


class BrowserResetSchema(ResetSchema):
    into = BrowserReset
    public_computer = Flag(metadata=PUBLIC_COMPUTER)


@dataclass(frozen=True)
class ResetCode:
    """A code that the page sends. The ticket stands for the link and the new password."""

    ticket: str
    code: str


class ResetCodeSchema(WireSchema):
    into = ResetCode
    ticket = Text(required=True)
    code = Text(required=True)


@dataclass(frozen=True)
class Revert:
    token: str
    password: str


class RevertSchema(WireSchema):
    into = Revert
    token = Text(required=True, metadata={"description": "The part of the link in the mail behind `#`"})
    password = Text(required=True, validate=check_password, metadata=PASSWORD)


@dataclass(frozen=True)
class NotMe:
    token: str


class NotMeSchema(WireSchema):
    into = NotMe
    token = Text(required=True)
