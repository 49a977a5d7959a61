"""What comes in: the whole contract of each body. An error is a text "CODE: message", as errors.py renders it."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import email_validator
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate, validates_schema

from app.accounts import MAX_EMAIL_LENGTH
from app.client_info import clean
from app.passwords import MAX_BYTES, MIN_LENGTH, is_common
from app.second_factor import MfaType

email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()  # an intranet's .local and .test are somebody's addresses

_REQUIRED = "BASE_TYPE_REQUIRED: This field is required"
_USER_ID = re.compile(r"[0-9]{1,20}")
_ID_HASH = re.compile(r"[A-Za-z0-9+/]{43}=")


class WireSchema(Schema):
    """A body that becomes the dataclass `into`; unknown keys are passed over, real clients send many."""

    class Meta:
        unknown = EXCLUDE

    into: ClassVar[type]
    error_messages = {"type": "DICT_TYPE_CONVERT: Only dictionaries may be used in a DictType"}

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Any:
        return self.into(**data)


class Text(fields.String):
    default_error_messages = {
        "required": _REQUIRED,
        "null": _REQUIRED,
        "invalid": "STRING_TYPE_CONVERT: Could not interpret value as string.",
    }


class Items(fields.List[Any]):
    default_error_messages = {
        "required": _REQUIRED,
        "null": _REQUIRED,
        "invalid": "LIST_TYPE_CONVERT: Only iterables may be used in a ListType",
    }


class Flag(fields.Boolean):
    default_error_messages = {
        "required": _REQUIRED,
        "null": _REQUIRED,
        "invalid": "BOOLEAN_TYPE_CONVERT: Could not interpret value as boolean.",
    }


class Nested(fields.Nested):
    default_error_messages = {"required": _REQUIRED, "null": _REQUIRED}


def _length(least: int, most: int) -> validate.Length:
    return validate.Length(least, most, error="BASE_TYPE_BAD_LENGTH: Must be between {min} and {max} in length.")


def _fit_for_password(password: str) -> None:
    _length(MIN_LENGTH, MAX_BYTES)(password)
    if len(password.encode()) > MAX_BYTES:
        raise ValidationError(f"BASE_TYPE_BAD_LENGTH: Must be {MAX_BYTES} bytes or fewer in UTF-8.")
    if "\0" in password:
        raise ValidationError("PASSWORD_BAD_PASSWORD: Password may not contain a NUL character.")
    if is_common(password):
        raise ValidationError("PASSWORD_BAD_PASSWORD: Password is too weak or common to use.")


def _fit_for_name(name: str) -> None:
    if clean(name) != name:
        raise ValidationError("BASE_TYPE_BAD_CHARACTERS: Must not contain hidden characters or outer spaces.")


def _fit_for_email(email: str) -> None:
    _length(1, MAX_EMAIL_LENGTH)(email)
    try:
        email_validator.validate_email(email, check_deliverability=False)
    except email_validator.EmailNotValidError:
        raise ValidationError("EMAIL_TYPE_INVALID_EMAIL: Not a well formed email address.") from None


def _id_hash(text: str) -> None:
    if not _ID_HASH.fullmatch(text):
        raise ValidationError("BASE_TYPE_BAD_FORMAT: Must be the base64 of 32 bytes.")


def _user_id(text: str) -> None:
    if not _USER_ID.fullmatch(text):
        raise ValidationError("NUMBER_TYPE_COERCE: Must be a snowflake.")


@dataclass(frozen=True)
class Register:
    email: str
    username: str
    password: str
    global_name: str | None = None


class RegisterSchema(WireSchema):
    into = Register
    email = Text(required=True, validate=_fit_for_email)
    username = Text(required=True, validate=[_length(2, 32), _fit_for_name])
    password = Text(required=True, validate=_fit_for_password)
    global_name = Text(allow_none=True, validate=[_length(1, 32), _fit_for_name])


@dataclass(frozen=True)
class Login:
    login: str
    password: str


class LoginSchema(WireSchema):
    into = Login
    login = Text(required=True)
    password = Text(required=True)


@dataclass(frozen=True)
class LoginCode:
    ticket: str
    code: str
    login_instance_id: str | None = None


class LoginCodeSchema(WireSchema):
    into = LoginCode
    ticket = Text(required=True)
    code = Text(required=True)
    login_instance_id = Text(allow_none=True)


@dataclass(frozen=True)
class Forgot:
    login: str


class ForgotSchema(WireSchema):
    into = Forgot
    login = Text(required=True)


@dataclass(frozen=True)
class Reset:
    """A new password by a link; with ticket, code and method where a code was asked for."""

    token: str
    password: str
    ticket: str | None = None
    code: str | None = None
    method: MfaType | None = None


class ResetSchema(WireSchema):
    into = Reset
    token = Text(required=True)
    password = Text(required=True, validate=_fit_for_password)
    ticket = Text(allow_none=True)
    code = Text(allow_none=True)
    method = Text(
        allow_none=True,
        validate=validate.OneOf(get_args(MfaType), error="BASE_TYPE_CHOICES: Value must be one of {choices}."),
    )

    @validates_schema
    def _has_code(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("ticket") and not data.get("code"):
            raise ValidationError(_REQUIRED, "code")


@dataclass(frozen=True)
class ResetCode:
    """The page's way to answer with a code: its ticket knows the rest."""

    ticket: str
    code: str


class ResetCodeSchema(WireSchema):
    into = ResetCode
    ticket = Text(required=True)
    code = Text(required=True)


@dataclass(frozen=True)
class NotMe:
    token: str


class NotMeSchema(WireSchema):
    into = NotMe
    token = Text(required=True)


@dataclass(frozen=True)
class LogoutSessions:
    session_id_hashes: list[str]


class LogoutSessionsSchema(WireSchema):
    into = LogoutSessions
    session_id_hashes = Items(Text(validate=_id_hash), required=True, validate=_length(1, 64))


@dataclass(frozen=True)
class FinishMfa:
    ticket: str
    mfa_type: str
    data: str


class FinishMfaSchema(WireSchema):
    into = FinishMfa
    ticket = Text(required=True)
    mfa_type = Text(required=True)
    data = Text(required=True)


@dataclass(frozen=True)
class ChangePassword:
    password: str
    new_password: str


class ChangePasswordSchema(WireSchema):
    into = ChangePassword
    password = Text(required=True)
    new_password = Text(required=True, validate=_fit_for_password)


@dataclass(frozen=True)
class EnableTotp:
    password: str
    secret: str | None = None
    code: str | None = None


class EnableTotpSchema(WireSchema):
    into = EnableTotp
    password = Text(required=True)
    secret = Text(allow_none=True)
    code = Text(allow_none=True)


@dataclass(frozen=True)
class RenewCodes:
    password: str
    regenerate: bool


class RenewCodesSchema(WireSchema):
    into = RenewCodes
    password = Text(required=True)
    regenerate = Flag(
        required=True,
        validate=validate.OneOf([True], error="BASE_TYPE_CHOICES: Only hashes are kept: codes are renewed, not shown."),
    )


@dataclass(frozen=True)
class NamedSession:
    user_id: str
    id_hash: str


class NamedSessionSchema(WireSchema):
    into = NamedSession
    user_id = Text(required=True, validate=_user_id)
    id_hash = Text(required=True, validate=_id_hash)


@dataclass(frozen=True)
class Reconcile:
    sessions: list[NamedSession]


class ReconcileSchema(WireSchema):
    into = Reconcile
    sessions = Items(Nested(NamedSessionSchema), required=True, validate=_length(0, 1000))


@dataclass(frozen=True)
class RenameSession:
    name: str | None


class RenameSessionSchema(WireSchema):
    into = RenameSession
    name = Text(required=True, allow_none=True, validate=[_length(1, 64), _fit_for_name])


@dataclass(frozen=True)
class RevokeSessions:
    ids: list[str]


class RevokeSessionsSchema(WireSchema):
    into = RevokeSessions
    ids = Items(Text(), required=True, validate=_length(1, 64))
