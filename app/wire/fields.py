"""The fields that bodies of several surfaces share, with their checks and their descriptions in the document.
The bodies themselves: the module of each surface.

A check raises ValidationError with a text "CODE: message", as form_errors.py renders it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, get_args

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate

from app.rules.email_addresses import MAX_EMAIL_LENGTH, NO_EMAIL, may_register, trim_email
from app.rules.password_hashes import MAX_BYTES
from app.rules.passwords import COMMON, MIN_LENGTH, problem_with
from app.stores.factors import MfaType
from app.text import has_hidden

REQUIRED = "BASE_TYPE_REQUIRED: This field is required"
_USER_ID = re.compile(r"[0-9]{1,20}")
_ID_HASH = re.compile(r"[A-Za-z0-9+/]{43}=")

# Descriptions and examples for the document, of fields in several bodies
USER_ID = {"description": "A snowflake", "examples": ["1234567890123456789"]}
ID_HASH = {
    "description": "Names a session without giving it away: SHA-256 of its token in standard base64",
    "examples": ["q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="],
}
TICKET = {
    "description": "The ticket of the challenge that is answered; good for a few minutes and five wrong answers",
    "examples": ["MTIzNDU2Nzg5MDEyMzQ1Njc4OQ.aHg3gA.7rGkGm9PvGdVd1rVgKkC7M1fBmDqkqXhJ3wzQ5LrY0s"],
}
START_TICKET = {
    "description": "The ticket of a sign-in by a passkey alone; good once, for a few minutes",
    "examples": ["mJ7vVh0lq2c8bXwT4kQm1AmJ7vVh0lq2c8bXwT4kQm1"],
}
PASSWORD = {"examples": ["correct horse battery"]}
USERNAME = {"examples": ["ada"]}
GLOBAL_NAME = {"description": "The name that others see", "examples": ["Ada"]}
CODE = {"examples": ["123456"]}
ASSERTION = {"description": "The text of the browser's answer: JSON.stringify of its `PublicKeyCredential`"}
EMAIL = {"examples": ["ada@example.com"]}
LOGIN = {"description": "The e-mail address"} | EMAIL
PUBLIC_COMPUTER = {
    "description": "Others use this computer, too: closing the browser signs out, and the session ends soon",
    "examples": [False],
}

REMEMBER = {
    "description": "Ask for no code at the next logins in this browser, for `REMEMBER_TTL`; passed over on a public "
    "computer",
    "examples": [False],
}
UNDELETE = {
    "description": "Take it back that the account was disabled or deleted. Without it, such an account cannot log in",
    "examples": [False],
}

PASSWORD_AS_PROOF = {"description": "A proof without a challenge, where MFA is off"} | PASSWORD
CODE_AS_PROOF = {"description": "A proof without a challenge, where MFA is on: a TOTP or backup code"} | CODE

_Check = TypeVar("_Check", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class ProvingBody:
    """A body that may have the answer to a challenge: the password, or where MFA is on a code."""

    password: str | None = None
    code: str | None = None

    only_proves: ClassVar[bool] = True  # False: the password is judged although the caller has proved itself

    @property
    def has_answer(self) -> bool:
        return self.password is not None or self.code is not None


class WireSchema(Schema):
    """A body that is loaded as the dataclass `into`. Unknown keys are ignored, because real clients send many."""

    class Meta:
        unknown = EXCLUDE

    into: ClassVar[type]
    error_messages = {"type": "DICT_TYPE_CONVERT: Only dictionaries may be used in a DictType"}

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Any:
        return self.into(**data)


class Text(fields.String):
    default_error_messages = {
        "required": REQUIRED,
        "null": REQUIRED,
        "invalid": "STRING_TYPE_CONVERT: Could not interpret value as string.",
    }


class ProvingSchema(WireSchema):
    """A body that may have the answer to a challenge, alone or beside what a subclass adds."""

    into: ClassVar[type] = ProvingBody
    password = Text(allow_none=True, metadata=PASSWORD_AS_PROOF)
    code = Text(allow_none=True, metadata=CODE_AS_PROOF)


class EmailAddress(Text):
    """An e-mail address. Outer spaces and hidden characters, which keyboards and copying add, are dropped."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return trim_email(super()._deserialize(value, *args, **kwargs))


class Items(fields.List[Any]):
    default_error_messages = {
        "required": REQUIRED,
        "null": REQUIRED,
        "invalid": "LIST_TYPE_CONVERT: Only iterables may be used in a ListType",
    }


class Flag(fields.Boolean):
    """True or false as JSON has them, or a tick of a form. The library itself would take 0, "t" and "off", too."""

    default_error_messages = {
        "required": REQUIRED,
        "null": REQUIRED,
        "invalid": "BOOLEAN_TYPE_CONVERT: Could not interpret value as boolean.",
    }

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool) and value != "on":
            raise self.make_error("invalid", input=value)
        return bool(value)


class Wish(fields.Boolean):
    """A flag that real clients send in many forms: only true, and the value of a ticked box, mean yes."""

    def deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        return value is True or value == "on"


class Nested(fields.Nested):
    default_error_messages = {"required": REQUIRED, "null": REQUIRED}


def documented_as(**keywords: Any) -> Callable[[_Check], _Check]:
    """Attach JSON Schema keywords to a check. They describe it in the document."""

    def decorate(check: _Check) -> _Check:
        check.json_schema = keywords  # type: ignore[attr-defined]
        return check

    return decorate


def length(least: int, most: int) -> validate.Length:
    return validate.Length(least, most, error="BASE_TYPE_BAD_LENGTH: Must be between {min} and {max} in length.")


@documented_as(
    minLength=MIN_LENGTH,
    maxLength=MAX_BYTES,
    description=f"None of the {len(COMMON):,} most common, not leaked, without NUL and what the user is called, "
    f"{MAX_BYTES} bytes in UTF-8 at most",
)
def check_password(typed: str) -> None:
    problem = problem_with(typed)
    if problem:
        raise ValidationError(problem)


@documented_as(description="Without hidden characters and outer spaces")
def check_name(name: str) -> None:
    if has_hidden(name) or name != name.strip():
        raise ValidationError("BASE_TYPE_BAD_CHARACTERS: Must not contain hidden characters or outer spaces.")


MFA_TYPE = validate.OneOf(get_args(MfaType), error="BASE_TYPE_CHOICES: Value must be one of {choices}.")
USERNAME_CHECKS: list[Callable[[str], Any]] = [length(2, 32), check_name]
GLOBAL_NAME_CHECKS: list[Callable[[str], Any]] = [length(1, 32), check_name]


@documented_as(format="email")
def check_email(email: str) -> None:
    length(1, MAX_EMAIL_LENGTH)(email)
    if not may_register(email):
        raise ValidationError(NO_EMAIL)


@documented_as(pattern=f"^{_ID_HASH.pattern}$")
def check_id_hash(text: str) -> None:
    if not _ID_HASH.fullmatch(text):
        raise ValidationError("BASE_TYPE_BAD_FORMAT: Must be the base64 of 32 bytes.")


@documented_as(pattern=f"^{_USER_ID.pattern}$")
def check_user_id(text: str) -> None:
    if not _USER_ID.fullmatch(text):
        raise ValidationError("NUMBER_TYPE_COERCE: Must be a snowflake.")
