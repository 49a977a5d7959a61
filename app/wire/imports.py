"""The shape of a line in the file of `flask users import`. How lines are imported: rules/imports.py."""

import re
from typing import Any

import email_validator
from marshmallow import ValidationError, fields

from app.rules import totp
from app.rules.accounts import require_email
from app.rules.imports import Email, ImportedUser
from app.rules.passwords import MAX_ROUNDS, MIN_ROUNDS
from app.times import iso_seconds
from app.wire.fields import NO_EMAIL, Flag, Text, WireSchema, check_name, length

# The last characters of salt and digest have spare bits, which must be 0. Otherwise bcrypt raises (salt), or no
# password matches (digest).
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]")


class Snowflake(fields.Field[str]):
    """The id of a user, as a text or a number."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch("[1-9][0-9]{0,19}", text) or int(text) >= 2**64:
            raise ValidationError("NUMBER_TYPE_COERCE: Must be a snowflake.")
        return text


class Moment(fields.Field[int]):
    """A time in Unix seconds or ISO 8601, loaded as Unix seconds. A time without a zone is in UTC."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        try:
            at = iso_seconds(value) if isinstance(value, str) else int(value)
        except (TypeError, ValueError, OverflowError):
            at = -1
        if isinstance(value, bool) or not 0 <= at < 2**32:
            raise ValidationError("DATE_TIME_TYPE_PARSE: Must be a time, ISO 8601 or Unix seconds.")
        return int(at)


class EmailAddress(Text):
    """An e-mail address, loaded together with its normalised form.

    So it is validated only once. A second validation would take a third of the time for a line.
    """

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        email = super()._deserialize(value, *args, **kwargs)
        try:
            return Email(email, require_email(email))
        except email_validator.EmailNotValidError:
            raise ValidationError(NO_EMAIL) from None


class TotpSecret(fields.Field[str]):
    """A base32 secret. It may be shorter than Keyrack's own, because other services issue shorter secrets."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        secret = totp.read_secret(value, totp.LEAST_SECRET_BITS) if isinstance(value, str) else None
        if secret is None:
            raise ValidationError("BASE_TYPE_BAD_FORMAT: Must be a base32 secret of 80 bits or more.")
        return secret


def _check_bcrypt_hash(hashed: str) -> None:
    match = _BCRYPT.fullmatch(hashed)
    if not match or not MIN_ROUNDS <= int(match[1]) <= MAX_ROUNDS:
        raise ValidationError(
            f"BASE_TYPE_BAD_FORMAT: Must be bcrypt's ($2a$, $2b$, $2y$), of a cost from {MIN_ROUNDS} to {MAX_ROUNDS}."
        )


class ImportedUserSchema(WireSchema):
    """A line. Names and address follow the rules of registration."""

    into = ImportedUser
    email = EmailAddress(required=True)
    username = Text(required=True, validate=[length(2, 32), check_name])
    password_hash = Text(required=True, validate=_check_bcrypt_hash)
    global_name = Text(allow_none=True, validate=[length(1, 32), check_name])
    totp_secret = TotpSecret(allow_none=True)
    created_at = Moment(allow_none=True)
    id = Snowflake(allow_none=True)
    disabled = Flag()
