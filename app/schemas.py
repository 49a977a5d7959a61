"""What comes in: the whole contract of each body. An error is a text "CODE: message", as errors.py renders it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, get_args

import email_validator
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate, validates_schema

from app import totp
from app.accounts import MAX_EMAIL_LENGTH, require_email
from app.client_info import clean
from app.imports import Email, ImportedUser
from app.passwords import MAX_BYTES, MAX_ROUNDS, MIN_LENGTH, MIN_ROUNDS, is_common
from app.second_factor import MfaType
from app.times import iso_seconds

email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()  # an intranet's .local and .test are somebody's addresses

_REQUIRED = "BASE_TYPE_REQUIRED: This field is required"
_NO_EMAIL = "EMAIL_TYPE_INVALID_EMAIL: Not a well formed email address."
_USER_ID = re.compile(r"[0-9]{1,20}")
_ID_HASH = re.compile(r"[A-Za-z0-9+/]{43}=")
# The last characters of salt and digest have bits to spare, which are 0: bcrypt raises at other salts, and no password
# would ever match another digest.
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]")

# What the document says of fields that several bodies have
USER_ID = {"description": "A snowflake", "examples": ["1234567890123456789"]}
ID_HASH = {
    "description": "Names a session without giving it away: SHA-256 of its token in standard base64",
    "examples": ["q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="],
}
TICKET = {
    "description": "Of the challenge that is answered; good for a few minutes and five wrong answers",
    "examples": ["MTIzNDU2Nzg5MDEyMzQ1Njc4OQ.aHg3gA.7rGkGm9PvGdVd1rVgKkC7M1fBmDqkqXhJ3wzQ5LrY0s"],
}
PASSWORD = {"examples": ["correct horse battery"]}
CODE = {"examples": ["123456"]}
EMAIL = {"examples": ["ada@example.com"]}
LOGIN = {"description": "The e-mail address"} | EMAIL

_Check = TypeVar("_Check", bound=Callable[..., Any])


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


def says(**keywords: Any) -> Callable[[_Check], _Check]:
    """Give a check of our own the JSON Schema keywords that the document has for it."""

    def decorate(check: _Check) -> _Check:
        check.json_schema = keywords  # type: ignore[attr-defined]
        return check

    return decorate


def _length(least: int, most: int) -> validate.Length:
    return validate.Length(least, most, error="BASE_TYPE_BAD_LENGTH: Must be between {min} and {max} in length.")


@says(
    minLength=MIN_LENGTH,
    maxLength=MAX_BYTES,
    description=f"None of the 3,000 most common, without NUL, and at most {MAX_BYTES} bytes in UTF-8",
)
def _fit_for_password(password: str) -> None:
    _length(MIN_LENGTH, MAX_BYTES)(password)
    if len(password.encode()) > MAX_BYTES:
        raise ValidationError(f"BASE_TYPE_BAD_LENGTH: Must be {MAX_BYTES} bytes or fewer in UTF-8.")
    if "\0" in password:
        raise ValidationError("PASSWORD_BAD_PASSWORD: Password may not contain a NUL character.")
    if is_common(password):
        raise ValidationError("PASSWORD_BAD_PASSWORD: Password is too weak or common to use.")


@says(description="Without hidden characters and outer spaces")
def _fit_for_name(name: str) -> None:
    if clean(name) != name:
        raise ValidationError("BASE_TYPE_BAD_CHARACTERS: Must not contain hidden characters or outer spaces.")


@says(format="email")
def _fit_for_email(email: str) -> None:
    _length(1, MAX_EMAIL_LENGTH)(email)
    try:
        email_validator.validate_email(email, check_deliverability=False)
    except email_validator.EmailNotValidError:
        raise ValidationError(_NO_EMAIL) from None


@says(pattern=f"^{_ID_HASH.pattern}$")
def _id_hash(text: str) -> None:
    if not _ID_HASH.fullmatch(text):
        raise ValidationError("BASE_TYPE_BAD_FORMAT: Must be the base64 of 32 bytes.")


@says(pattern=f"^{_USER_ID.pattern}$")
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
    email = Text(required=True, validate=_fit_for_email, metadata=EMAIL)
    username = Text(required=True, validate=[_length(2, 32), _fit_for_name], metadata={"examples": ["ada"]})
    password = Text(required=True, validate=_fit_for_password, metadata=PASSWORD)
    global_name = Text(allow_none=True, validate=[_length(1, 32), _fit_for_name], metadata={"examples": ["Ada"]})


@dataclass(frozen=True)
class Login:
    login: str
    password: str


class LoginSchema(WireSchema):
    into = Login
    login = Text(required=True, metadata=LOGIN)
    password = Text(required=True, metadata=PASSWORD)


@dataclass(frozen=True)
class LoginCode:
    ticket: str
    code: str
    login_instance_id: str | None = None


class LoginCodeSchema(WireSchema):
    into = LoginCode
    ticket = Text(required=True, metadata=TICKET)
    code = Text(required=True, metadata=CODE)
    login_instance_id = Text(allow_none=True)


@dataclass(frozen=True)
class Forgot:
    login: str


class ForgotSchema(WireSchema):
    into = Forgot
    login = Text(required=True, metadata=LOGIN)


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
    token = Text(required=True, metadata={"description": "What the link in the mail has behind its #"})
    password = Text(required=True, validate=_fit_for_password, metadata=PASSWORD)
    ticket = Text(allow_none=True, metadata={"description": "Where a code was asked for: of that answer"})
    code = Text(allow_none=True, metadata={"description": "With a ticket: the code"})
    method = Text(
        allow_none=True,
        metadata={"description": "With a ticket: what the code is; `totp`, if nothing is said"},
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
    session_id_hashes = Items(Text(validate=_id_hash, metadata=ID_HASH), required=True, validate=_length(1, 64))


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


@dataclass(frozen=True)
class ChangePassword:
    password: str
    new_password: str


class ChangePasswordSchema(WireSchema):
    into = ChangePassword
    password = Text(required=True, metadata=PASSWORD)
    new_password = Text(required=True, validate=_fit_for_password, metadata={"examples": ["another horse battery"]})


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
            "description": "Of the client's making: base32 of 20 bytes or more",
            "examples": ["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"],
        },
    )
    code = Text(allow_none=True, metadata={"description": "What the app shows for that secret"} | CODE)


@dataclass(frozen=True)
class RenewCodes:
    password: str
    regenerate: bool


class RenewCodesSchema(WireSchema):
    into = RenewCodes
    password = Text(required=True, metadata=PASSWORD)
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
    user_id = Text(required=True, validate=_user_id, metadata=USER_ID)
    id_hash = Text(required=True, validate=_id_hash, metadata=ID_HASH)


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
    name = Text(
        required=True,
        allow_none=True,
        validate=[_length(1, 64), _fit_for_name],
        metadata={"examples": ["Kitchen tablet"]},
    )


@dataclass(frozen=True)
class RevokeSessions:
    ids: list[str]


class RevokeSessionsSchema(WireSchema):
    into = RevokeSessions
    ids = Items(
        Text(metadata={"examples": [ID_HASH["examples"][0].rstrip("=")]}), required=True, validate=_length(1, 64)
    )


class IntrospectSchema(Schema):
    """A form, as RFC 7662 has it."""

    class Meta:
        unknown = EXCLUDE

    token = Text(required=True)


# What `flask users import` reads


class Snowflake(fields.Field[str]):
    """A user's id, as a text or a number."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch("[1-9][0-9]{0,19}", text) or int(text) >= 2**64:
            raise ValidationError("NUMBER_TYPE_COERCE: Must be a snowflake.")
        return text


class Moment(fields.Field[int]):
    """Unix seconds, from these or from ISO 8601; without a zone it is UTC."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        try:
            at = iso_seconds(value) if isinstance(value, str) else int(value)
        except (TypeError, ValueError, OverflowError):
            at = -1
        if isinstance(value, bool) or not 0 <= at < 2**32:
            raise ValidationError("DATE_TIME_TYPE_PARSE: Must be a time, ISO 8601 or Unix seconds.")
        return int(at)


class EmailAddress(Text):
    """An address, looked at once: to do it twice would take a third of the time of a line."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        told = super()._deserialize(value, *args, **kwargs)
        try:
            return Email(told, require_email(told))
        except email_validator.EmailNotValidError:
            raise ValidationError(_NO_EMAIL) from None


class TotpSecret(fields.Field[str]):
    """A base32 secret; other services made shorter ones than ours."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        secret = totp.lengthen_secret(value) if isinstance(value, str) else None
        if secret is None:
            raise ValidationError("BASE_TYPE_BAD_FORMAT: Must be a base32 secret of 80 bits or more.")
        return secret


def _fit_for_hash(hashed: str) -> None:
    match = _BCRYPT.fullmatch(hashed)
    if not match or not MIN_ROUNDS <= int(match[1]) <= MAX_ROUNDS:
        raise ValidationError(
            f"BASE_TYPE_BAD_FORMAT: Must be bcrypt's ($2a$, $2b$, $2y$), of a cost from {MIN_ROUNDS} to {MAX_ROUNDS}."
        )


class ImportedUserSchema(WireSchema):
    """A line; names and address are as at registration."""

    into = ImportedUser
    email = EmailAddress(required=True)
    username = Text(required=True, validate=[_length(2, 32), _fit_for_name])
    password_hash = Text(required=True, validate=_fit_for_hash)
    global_name = Text(allow_none=True, validate=[_length(1, 32), _fit_for_name])
    totp_secret = TotpSecret(allow_none=True)
    created_at = Moment(allow_none=True)
    id = Snowflake(allow_none=True)
    disabled = Flag()
