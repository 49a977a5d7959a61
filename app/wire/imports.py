"""A line of the file that `flask users import` reads."""

import re
from typing import Any

import email_validator
from marshmallow import ValidationError, fields

from app.rules import totp
from app.rules.accounts import require_email
from app.rules.imports import Email, ImportedUser
from app.rules.passwords import MAX_ROUNDS, MIN_ROUNDS
from app.times import iso_seconds
from app.wire.fields import NO_EMAIL, Flag, Text, WireSchema, fit_for_name, length

# The last characters of salt and digest have bits to spare, which are 0: bcrypt raises at other salts, and no password
# would ever match another digest.
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]")


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
            raise ValidationError(NO_EMAIL) from None


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
    username = Text(required=True, validate=[length(2, 32), fit_for_name])
    password_hash = Text(required=True, validate=_fit_for_hash)
    global_name = Text(allow_none=True, validate=[length(1, 32), fit_for_name])
    totp_secret = TotpSecret(allow_none=True)
    created_at = Moment(allow_none=True)
    id = Snowflake(allow_none=True)
    disabled = Flag()
