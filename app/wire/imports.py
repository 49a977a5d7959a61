"""The shape of a line in the file of `flask users import`. How lines are imported: rules/imports.py."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, pre_load, validates, validates_schema

from app.rules import totp, webauthn
from app.rules.cose import BadKey, cose_from_pem, plain_key
from app.rules.email_addresses import may_be_imported, normalise_email
from app.rules.imports import Email, ImportedPasskey, ImportedUser
from app.rules.passwords import MAX_ROUNDS, MIN_ROUNDS
from app.stores.passkeys import MAX_PASSKEYS
from app.text import visible
from app.times import iso_seconds
from app.wire.fields import (
    GLOBAL_NAME_CHECKS,
    NO_EMAIL,
    REQUIRED,
    USERNAME_CHECKS,
    Flag,
    Items,
    Nested,
    Text,
    WireSchema,
    length,
)

# The last characters of salt and digest have spare bits, which must be 0. Otherwise bcrypt raises (salt), or no
# password matches (digest).
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]")

_MAX_NAME = 32  # characters of a passkey's name


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


class SqlFlag(Flag):
    """A flag. It may be 0 or 1, because MySQL and MariaDB write their booleans so."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        return super()._deserialize(bool(value) if isinstance(value, int) and value in (0, 1) else value)


class ForeignEmailAddress(Text):
    """An e-mail address of another service, loaded together with its normalised form.

    Its owner logs in with it, so it need not be one that may register here.
    """

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        email = super()._deserialize(value, *args, **kwargs)
        if not may_be_imported(email):
            raise ValidationError(NO_EMAIL)
        return Email(email, normalise_email(email))


class TotpSecret(fields.Field[str]):
    """A base32 secret. It may be shorter than Keyrack's own, because other services issue shorter secrets."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        secret = totp.read_secret(value, totp.LEAST_SECRET_BITS) if isinstance(value, str) else None
        if secret is None:
            raise ValidationError("BASE_TYPE_BAD_FORMAT: Must be a base32 secret of 80 bits or more.")
        return secret


class CredentialId(fields.Field[str]):
    """The id of a passkey in base64 or base64url, loaded as base64url without padding."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        try:
            raw = webauthn.read_base64(value) if isinstance(value, str) else b""
        except ValueError:
            raw = b""
        if not 0 < len(raw) <= webauthn.MAX_CRED_ID:
            raise ValidationError("BASE_TYPE_BAD_FORMAT: Must be a credential id in base64.")
        return webauthn.b64url(raw)


class PublicKey(fields.Field[bytes]):
    """A public key, as COSE in base64 or base64url, or in PEM; loaded as COSE."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bytes:
        text = value.strip() if isinstance(value, str) else ""
        try:
            return cose_from_pem(text.encode()) if text.startswith("-") else plain_key(webauthn.read_base64(text))
        except (BadKey, ValueError):
            raise ValidationError(
                "BASE_TYPE_BAD_FORMAT: Must be a COSE key in base64 or a key in PEM, of a kind that is verified here."
            ) from None


class Counter(fields.Field[int]):
    """The counter of a passkey."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
            raise ValidationError("NUMBER_TYPE_COERCE: Must be a whole number below 4,294,967,296.")
        return value


class Transports(fields.Field[tuple[str, ...]]):
    """The names of transports. What is none is passed over, as in what browsers tell."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        return webauthn.read_transports(value)


class ImportedPasskeySchema(WireSchema):
    """A passkey of a line. Its name is cut to what a name may have, because other services have longer ones."""

    into = ImportedPasskey

    cred_id = CredentialId(required=True, data_key="id", error_messages={"required": REQUIRED})
    public_key = PublicKey(required=True, error_messages={"required": REQUIRED})
    sign_count = Counter()
    transports = Transports()
    name = Text(validate=GLOBAL_NAME_CHECKS)
    backup_eligible = SqlFlag(allow_none=True)
    created_at = Moment(allow_none=True)

    @pre_load
    def _clean(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, dict):  # refused as soon as it is loaded
            return data
        name = data.get("name")
        shown = (visible(visible(name).strip()[:_MAX_NAME]).strip() or None) if isinstance(name, str) else name
        told = data | {"name": shown}
        return {field: value for field, value in told.items() if value is not None}


class ImportedUserSchema(WireSchema):
    """A line. Names follow the rules of registration, once outer spaces and hidden characters are taken from them.

    Attributes:
        most_rounds: The highest cost that a password hash may have.
        why_no_passkeys: Why passkeys cannot be used here, as a sentence; "" if they can. They are a second factor, so
            whoever has one that cannot be used would be locked out.
    """

    into = ImportedUser
    most_rounds = MAX_ROUNDS
    why_no_passkeys = ""

    email = ForeignEmailAddress(required=True)
    username = Text(required=True, validate=USERNAME_CHECKS)
    password_hash = Text(required=True)
    global_name = Text(allow_none=True, validate=GLOBAL_NAME_CHECKS)
    totp_secret = TotpSecret(allow_none=True)
    created_at = Moment(allow_none=True)
    id = Snowflake(allow_none=True)
    disabled = SqlFlag()
    tokens_valid_since = Moment(allow_none=True)
    passkeys = Items(Nested(ImportedPasskeySchema), allow_none=True, validate=length(0, MAX_PASSKEYS))
    cleaned = fields.List(fields.String())

    @validates_schema
    def _check_passkeys(self, data: Mapping[str, Any], **_: Any) -> None:
        ids = [passkey.cred_id for passkey in data.get("passkeys") or ()]
        if ids and self.why_no_passkeys:
            raise ValidationError(f"BASE_TYPE_CHOICES: None can be used here. {self.why_no_passkeys}", "passkeys")
        if len(set(ids)) < len(ids):
            raise ValidationError("BASE_TYPE_CHOICES: Must not have one passkey twice.", "passkeys")

    @validates("password_hash")
    def _check_bcrypt_hash(self, hashed: str, **_: Any) -> None:
        match = _BCRYPT.fullmatch(hashed)
        if not match or not MIN_ROUNDS <= int(match[1]) <= MAX_ROUNDS:
            costs = f"of a cost from {MIN_ROUNDS} to {MAX_ROUNDS}"
            raise ValidationError(f"BASE_TYPE_BAD_FORMAT: Must be bcrypt's ($2a$, $2b$, $2y$), {costs}.")
        if int(match[1]) > self.most_rounds:
            raise ValidationError(
                f"BASE_TYPE_MAX: Takes {2 ** (int(match[1]) - self.most_rounds)} times as long as the slowest that is "
                f"taken, of cost {self.most_rounds}. --slow-hashes takes it nevertheless."
            )

    @pre_load
    def _clean(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, dict):  # refused as soon as it is loaded
            return data
        texts = {name: data.get(name) for name in ("email", "username", "global_name")}
        clean: dict[str, str | None] = {
            name: visible(text).strip() for name, text in texts.items() if isinstance(text, str)
        }
        cleaned = [name for name, text in clean.items() if text != texts[name]]
        if clean.get("global_name") == "":
            clean["global_name"] = None
        return data | clean | {"cleaned": cleaned}
