"""The fields of a line in the file of `flask users import`. The line itself: imports.py."""

import re
from typing import Any

from marshmallow import ValidationError, fields

from app.rules import totp, webauthn
from app.rules.cose import BadKey, cose_from_pem, plain_key
from app.rules.email_addresses import NO_EMAIL, may_be_imported, normalise_email
from app.rules.import_lines import Email, ImportedTotp
from app.rules.password_hashes import MAX_COST, UnusableHash, read_hash, to_keep
from app.rules.totp import LEAST_SECRET_BITS, BadSecret
from app.stores.factors import USUAL_TOTP
from app.times import iso_seconds
from app.wire import keycloak
from app.wire.fields import Flag, Text

TOTP_PARAMETERS = {"totp_algorithm": "algorithm", "totp_digits": "digits", "totp_period": "period_s"}


class Snowflake(fields.Field[str]):
    """The id of a user, as a text or a number."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch("[1-9][0-9]{0,19}", text) or int(text) >= 2**64:
            raise ValidationError(
                "NUMBER_TYPE_COERCE: Must be a snowflake. --ids FILE takes any id, and tells the new one."
            )
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


class ForeignHash(fields.Field[str]):
    """The hash of a password, as a text or as a credential of Keycloak's; loaded in the form that is kept.

    Its schema says how high its cost may be.
    """

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        try:
            return self._read(value)
        except UnusableHash as problem:
            raise ValidationError(f"BASE_TYPE_BAD_FORMAT: {problem}") from None

    def _read(self, value: Any) -> str:
        if not isinstance(value, str | dict):
            raise UnusableHash("Must be a text.")
        text = keycloak.read_hash(value) if isinstance(value, dict) else value
        most_cost: float = getattr(self.parent, "most_cost", MAX_COST)
        extra = read_hash(text).cost - most_cost
        if extra > 0:
            raise UnusableHash(
                f"Takes {2**extra:.1f} times as long as the slowest that is taken, of bcrypt's cost "
                f"{most_cost:.0f}. --slow-hashes takes it nevertheless."
            )
        return to_keep(text)


class Totp(fields.Field[ImportedTotp]):
    """The secret of an authenticator app, and how it makes codes.

    The secret is base32, an otpauth URI, or a credential of Keycloak's as an object. A URI and a credential tell the
    parameters; beside base32 they are fields of the line.
    """

    def _deserialize(self, value: Any, *where: Any, **_: Any) -> ImportedTotp:
        _, line = where
        try:
            return _read_totp(value, line)
        except BadSecret as problem:
            raise ValidationError(f"BASE_TYPE_BAD_FORMAT: {problem}") from None


def _read_totp(value: Any, line: Any) -> ImportedTotp:
    given = {name: line[field] for field, name in TOTP_PARAMETERS.items() if line.get(field) is not None}
    if any(isinstance(one, bool) or not isinstance(one, str | int) for one in given.values()):
        raise BadSecret("Must have totp_algorithm, totp_digits and totp_period as texts or whole numbers.")
    told = totp.read_parameters(**{name: str(one) for name, one in given.items()}) if given else None
    if isinstance(value, dict):
        text, parameters = keycloak.read_totp(value)
    elif isinstance(value, str):
        text, parameters = value, None
    else:
        raise BadSecret("Must be a text.")
    secret, by_uri = totp.read_enrolment(text, LEAST_SECRET_BITS)
    parameters = parameters or by_uri
    if parameters and told and parameters != told:
        raise BadSecret("Tells other parameters than totp_algorithm, totp_digits and totp_period.")
    return ImportedTotp(secret, parameters or told or USUAL_TOTP)


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
