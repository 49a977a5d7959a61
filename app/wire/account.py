"""Bodies of requests about the caller's own account: the answer to a challenge, the password, the second factor.
A new password by a link: recovery.py.
"""

from dataclasses import dataclass

from marshmallow import validate

from app.wire.fields import CODE, CODE_AS_PROOF, PASSWORD, TICKET, Flag, ProvingBody, Text, WireSchema, check_password


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
    data = Text(required=True, metadata={"description": "The code, or the password"} | PASSWORD)


@dataclass(frozen=True, kw_only=True)
class ChangePassword(ProvingBody):
    password: str
    new_password: str


class ChangePasswordSchema(WireSchema):
    into = ChangePassword
    password = Text(required=True, metadata=PASSWORD)
    new_password = Text(required=True, validate=check_password, metadata={"examples": ["another horse battery"]})
    code = Text(allow_none=True, metadata=CODE_AS_PROOF)


@dataclass(frozen=True)
class EnableTotp:
    password: str
    secret: str | None = None
    code: str | None = None


class EnableTotpSchema(WireSchema):
    into = EnableTotp
    password = Text(required=True, metadata=PASSWORD)
    secret = Text(
        allow_none=True,
        metadata={
            "description": "A secret that the client made: base32 of 20 bytes or more",
            "examples": ["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"],
        },
    )
    code = Text(allow_none=True, metadata={"description": "The code that the app shows for that secret"} | CODE)


@dataclass(frozen=True, kw_only=True)
class RenewCodes(ProvingBody):
    password: str
    regenerate: bool


class RenewCodesSchema(WireSchema):
    into = RenewCodes
    password = Text(required=True, metadata=PASSWORD)
    regenerate = Flag(
        required=True,
        validate=validate.OneOf([True], error="BASE_TYPE_CHOICES: Only hashes are kept: codes are renewed, not shown."),
    )
    code = Text(allow_none=True, metadata=CODE_AS_PROOF)


@dataclass(frozen=True, kw_only=True)
class DisableTotp(ProvingBody):
    pass


class DisableTotpSchema(WireSchema):
    into = DisableTotp
    code = Text(allow_none=True, metadata=CODE_AS_PROOF)
