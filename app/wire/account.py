"""Bodies of requests about the caller's own account: the answer to a challenge, the password, the second factor.
A new password by a link: recovery.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import post_load, validate

from app.rules.profile import ProfileChange
from app.wire.fields import (
    CODE,
    CODE_AS_PROOF,
    EMAIL,
    GLOBAL_NAME,
    GLOBAL_NAME_CHECKS,
    PASSWORD,
    TICKET,
    USERNAME,
    USERNAME_CHECKS,
    EmailAddress,
    Flag,
    ProvingBody,
    Text,
    WireSchema,
    check_password,
)


@dataclass(frozen=True)
class FinishMfa:
    ticket: str
    mfa_type: str
    data: str


class FinishMfaSchema(WireSchema):
    into = FinishMfa
    ticket = Text(required=True, metadata=TICKET)
    mfa_type = Text(
        required=True, metadata={"description": "One of the methods that were offered", "examples": ["password"]}
    )
    data = Text(
        required=True,
        metadata={"description": "The code, the password, or the text of the browser's answer by a passkey"} | PASSWORD,
    )


_OWN_PASSWORD = {"description": "Needed, unless the account has no password"} | PASSWORD
_NEW_PASSWORD = {"examples": ["another horse battery"]}


@dataclass(frozen=True)
class ChangePassword:
    new_password: str
    password: str | None = None


class ChangePasswordSchema(WireSchema):
    into = ChangePassword
    password = Text(allow_none=True, metadata=_OWN_PASSWORD)
    new_password = Text(required=True, validate=check_password, metadata=_NEW_PASSWORD)


# What the application behind the gateway neither has nor is told, so that nobody is deceived by it.
OWN_FIELDS = frozenset(
    {"id", "username", "global_name", "email", "pending_email", "verified", "mfa_enabled", "authenticator_types"}
    | {"disabled"}
    | {"password", "new_password", "code", "token"}
)


@dataclass(frozen=True, kw_only=True)
class ChangeUser(ProvingBody, ProfileChange):
    """Changes of a user.

    Attributes:
        others: The fields that Keyrack does not have. They are for the application behind the gateway.
    """

    others: Mapping[str, Any] = field(default_factory=dict)

    only_proves = False

    @property
    def has_answer(self) -> bool:
        return self.needs_password


class _ShownName(Text):
    """The name that others see. Null and an empty text remove it; both are loaded as an empty text."""

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return "" if value in (None, "") else super().deserialize(value, *args, **kwargs)


class ChangeUserSchema(WireSchema):
    """Null is as if the field was absent, but for `global_name`. Real clients send all fields that they know."""

    into = ChangeUser
    password = Text(
        allow_none=True,
        metadata={"description": "Needed with `new_password`, `email` and `username`, unless the account has none"}
        | PASSWORD,
    )
    code = Text(allow_none=True, metadata=CODE_AS_PROOF)
    new_password = Text(allow_none=True, validate=check_password, metadata=_NEW_PASSWORD)
    email = EmailAddress(
        allow_none=True,
        metadata={"description": "Another one counts once the link that is mailed to it was used"} | EMAIL,
    )
    username = Text(allow_none=True, validate=USERNAME_CHECKS, metadata=USERNAME)
    global_name = _ShownName(allow_none=True, validate=GLOBAL_NAME_CHECKS, metadata=GLOBAL_NAME)

    @post_load(pass_original=True)
    def _build(self, data: dict[str, Any], sent: dict[str, Any], **_: Any) -> ChangeUser:
        return ChangeUser(**data, others={name: value for name, value in sent.items() if name not in OWN_FIELDS})


@dataclass(frozen=True)
class Verify:
    token: str


class VerifySchema(WireSchema):
    into = Verify
    token = Text(required=True, metadata={"description": "The part of the link in the mail behind `#`"})


@dataclass(frozen=True)
class AskForAddress:
    email: str
    password: str | None = None


class AskForAddressSchema(WireSchema):
    into = AskForAddress
    email = EmailAddress(required=True, metadata=EMAIL)
    password = Text(allow_none=True, metadata=_OWN_PASSWORD)


@dataclass(frozen=True, kw_only=True)
class Leave(ProvingBody):
    only_proves = False


class LeaveSchema(WireSchema):
    into = Leave
    password = Text(allow_none=True, metadata=_OWN_PASSWORD)
    code = Text(allow_none=True, metadata=CODE_AS_PROOF)


@dataclass(frozen=True)
class EnableTotp:
    password: str | None = None
    secret: str | None = None
    code: str | None = None


class EnableTotpSchema(WireSchema):
    into = EnableTotp
    password = Text(allow_none=True, metadata=_OWN_PASSWORD)
    secret = Text(
        allow_none=True,
        metadata={
            "description": "A secret that the client made: base32 of `TOTP_CLIENT_SECRET_BITS` or more, or an "
            "`otpauth` URI with it, which may tell SHA256 or SHA512, 8 digits and another period",
            "examples": ["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"],
        },
    )
    code = Text(allow_none=True, metadata={"description": "The code that the app shows for that secret"} | CODE)


@dataclass(frozen=True, kw_only=True)
class RenewCodes(ProvingBody):
    regenerate: bool
    only_proves = False


class RenewCodesSchema(WireSchema):
    into = RenewCodes
    password = Text(allow_none=True, metadata=_OWN_PASSWORD)
    regenerate = Flag(
        required=True,
        validate=validate.OneOf([True], error="BASE_TYPE_CHOICES: Only hashes are kept: codes are renewed, not shown."),
    )
    code = Text(allow_none=True, metadata=CODE_AS_PROOF)


class DisableTotpSchema(WireSchema):
    into = ProvingBody
    code = Text(allow_none=True, metadata=CODE_AS_PROOF)
