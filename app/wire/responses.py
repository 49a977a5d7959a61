"""The shape of the body of each successful response.
Of sessions: session_responses.py. Of activity: activity.py. Bodies of refusals: web/error_handlers.py.

Views write their bodies by hand, because that is fastest. The tests check every answer with these schemas.
"""

from typing import Any, get_args

from marshmallow import INCLUDE, fields, validate

from app.rules.sign_ins import Acr
from app.stores.session_records import Amr
from app.wire.fields import ID_HASH, START_TICKET, TICKET, USER_ID
from app.wire.response_fields import ResponseSchema, const, flag, integer, nullable, text

_TOKEN = {
    "description": "The secret of a session: three parts of base64url, the first of them the user's id",
    "examples": TICKET["examples"],
}


class TokenSchema(ResponseSchema):
    token = text(metadata=_TOKEN)


class UserSettingsSchema(ResponseSchema):
    locale = text(metadata={"examples": ["en-US"]})
    theme = text(metadata={"examples": ["dark"]})


def _required_actions() -> fields.Field[Any]:
    return fields.List(
        fields.String(validate=const("update_password")),
        metadata={"description": "With a password that an import brought, once, if it could not be a new one here"},
    )


class FinishedLoginSchema(TokenSchema):
    user_settings = fields.Nested(UserSettingsSchema, required=True)
    required_actions = _required_actions()


class SignedInSchema(FinishedLoginSchema):
    user_id = text(metadata=USER_ID)


class OptInSchema(ResponseSchema):
    required = flag(metadata={"description": "Whether nobody gets such mail without asking for it"})
    pre_checked = flag(validate=const(value=False))


class LocationMetadataSchema(ResponseSchema):
    consent_required = flag(validate=const(value=False))
    country_code = nullable("AT")
    promotional_email_opt_in = fields.Nested(OptInSchema, required=True)


class PasskeyEndpointsSchema(ResponseSchema):
    enroll = text(metadata={"examples": ["https://accounts.example.com/settings/security#passkeys"]})
    manage = text(metadata={"examples": ["https://accounts.example.com/settings/security#passkeys"]})


class JwkSchema(ResponseSchema):
    kty = text(validate=const("RSA"))
    use = text(validate=const("sig"))
    alg = text(validate=const("RS256"))
    kid = text(metadata={"description": "The thumbprint of the key (RFC 7638)"})
    n = text()
    e = text(metadata={"examples": ["AQAB"]})


class JwksSchema(ResponseSchema):
    keys = fields.List(fields.Nested(JwkSchema), required=True)


class SsfConfigurationSchema(ResponseSchema):
    spec_version = text(validate=const("1_0"))
    issuer = text(metadata={"examples": ["https://accounts.example.com"]})
    jwks_uri = text(metadata={"examples": ["https://accounts.example.com/.well-known/jwks.json"]})
    delivery_methods_supported = fields.List(fields.String(validate=const("urn:ietf:rfc:8935")), required=True)
    critical_subject_members = fields.List(
        fields.String(validate=const("session")),
        required=True,
        metadata={"description": "Whoever does not know these must pass over an event that has one"},
    )
    default_subjects = text(validate=const("ALL"))


class StrengthSchema(ResponseSchema):
    guesses_log10 = fields.Float(
        required=True,
        metadata={"description": "The decimal logarithm of the guesses that find it", "examples": [12.5]},
    )
    score = integer(validate=validate.Range(0, 4), metadata={"description": "From 0, guessed at once, to 4"})


class ValidatedPasswordSchema(ResponseSchema):
    valid = flag(metadata={"description": "Whether a registration would take it"})
    password_strength = fields.Nested(StrengthSchema, required=True)


class VerifiedSchema(ResponseSchema):
    user_id = text(metadata=USER_ID)
    token = fields.String(
        required=True,
        allow_none=True,
        metadata=_TOKEN | {"description": "That of a new session; null for who is signed in, or has a second factor"},
    )


class RegisteredSchema(ResponseSchema):
    user_id = text(metadata=USER_ID)


class SignedInByCookieSchema(RegisteredSchema):
    user_settings = fields.Nested(UserSettingsSchema, required=True)
    required_actions = _required_actions()


def _passkey_request(**more: Any) -> fields.Field[Any]:
    described = {"description": 'With a passkey: the text of what to ask the browser for, `{"publicKey": …}`'}
    return fields.String(**{"required": True} | more, metadata=described)


class PasskeyAskedSchema(ResponseSchema):
    """The beginning of a sign-in by a passkey alone."""

    ticket = text(metadata=START_TICKET)
    challenge = _passkey_request()


class NewPasskeyAskedSchema(ResponseSchema):
    """The beginning of a passkey."""

    ticket = text(metadata=TICKET)
    challenge = _passkey_request()


class AuthenticatorSchema(ResponseSchema):
    """A passkey of a user, as Discord's clients know authenticators. A list has all fields."""

    id = text(metadata=USER_ID)
    type = integer(validate=const(1), metadata={"description": "A passkey"})
    name = text(metadata={"examples": ["Phone"]})
    last_used = fields.AwareDateTime(allow_none=True, metadata={"examples": ["2025-07-16T23:34:24.697588+00:00"]})
    cred_id = fields.String(metadata={"description": "The credential id in base64url without padding"})


class CodeAskedSchema(ResponseSchema):
    """The answer to a right password, if a second factor is on."""

    user_id = text(metadata=USER_ID)
    mfa = flag(validate=const(value=True))
    ticket = text(metadata=TICKET)
    login_instance_id = text(
        metadata={"description": "Send it back with the code, or leave it out", "examples": ["mJ7vVh0lq2c8bXwT4kQm1A"]}
    )
    totp = flag(metadata={"description": "Whether a TOTP code may be the answer"})
    backup = flag(metadata={"description": "Whether unused backup codes are left"})
    sms = flag(validate=const(value=False))
    webauthn = _passkey_request(allow_none=True)


class MethodSchema(ResponseSchema):
    type = text(validate=validate.OneOf(["webauthn", "totp", "backup", "password"]))
    challenge = _passkey_request(required=False)
    backup_codes_allowed = fields.Boolean(metadata={"description": "With `totp`: whether unused backup codes are left"})


class ChallengeSchema(ResponseSchema):
    ticket = text(metadata=TICKET)
    methods = fields.List(fields.Nested(MethodSchema), required=True)


class MessageSchema(ResponseSchema):
    message = text(metadata={"description": "What was done, for people", "examples": ["Session revoked."]})


class UserSchema(ResponseSchema):
    """A user. The application behind the gateway may have more fields of it."""

    class Meta:
        unknown = INCLUDE

    id = text(metadata=USER_ID)
    username = text(metadata={"examples": ["ada"]})
    global_name = nullable("Ada")
    email = text(metadata={"examples": ["ada@example.com"]})
    mfa_enabled = flag()
    authenticator_types = fields.List(
        fields.Integer(), required=True, metadata={"description": "1 is a passkey, 2 a TOTP app", "examples": [[2]]}
    )
    verified = flag(metadata={"description": "Whether the address was proved to be the user's", "examples": [True]})
    pending_email = nullable("ada@example.net")
    discriminator = text(metadata={"description": "This and the next are the application's, if it has them"})
    avatar = nullable("a_1269e74af4df7417b13759eae50c83dc")
    locale = text(metadata={"examples": ["en-US"]})
    flags = integer(metadata={"examples": [0]})
    premium_type = integer(metadata={"examples": [0]})
    bio = text(metadata={"examples": [""]})
    banner = nullable("06c16474723fe537c283b8efa61a30c8")
    accent_color = fields.Integer(required=True, allow_none=True, metadata={"examples": [None]})


class KnownUserSchema(UserSchema):
    disabled = flag(metadata={"description": "Whether an operator has shut the user out", "examples": [False]})


class ChangedUserSchema(UserSchema):
    token = fields.String(metadata=_TOKEN | {"description": "The new token, after a change of the password"})


class NothingSchema(ResponseSchema):
    """An empty object, which a client waits for."""


class BackupCodeSchema(ResponseSchema):
    user_id = text(metadata=USER_ID)
    code = text(metadata={"examples": ["k3v9x2mp"]})
    consumed = flag()


class BackupCodesSchema(ResponseSchema):
    backup_codes = fields.List(fields.Nested(BackupCodeSchema), required=True)


class TotpOnSchema(BackupCodesSchema):
    token = text(metadata=_TOKEN)


class NewAuthenticatorSchema(BackupCodesSchema):
    """A new passkey. The list of backup codes is empty if the user has another second factor."""

    id = text(metadata=USER_ID)
    type = integer(validate=const(1), metadata={"description": "A passkey"})
    name = text(metadata={"examples": ["Phone"]})


class InactiveTokenSchema(ResponseSchema):
    active = flag(validate=const(value=False))


class ActiveTokenSchema(ResponseSchema):
    active = flag(validate=const(value=True))
    sub = text(metadata=USER_ID)
    sid = text(metadata=ID_HASH)
    iat = integer(metadata={"description": "Beginning of the session, Unix seconds"})
    exp = integer(metadata={"description": "End of the session if it is not used again, Unix seconds"})
    auth_time = integer(metadata={"description": "Last proof of the session, by login or step-up, Unix seconds"})
    amr = fields.List(
        text(validate=validate.OneOf(get_args(Amr))),
        metadata={"description": "By what it was opened (RFC 8176); absent if that is unknown"},
    )
    acr = fields.String(
        validate=validate.OneOf(get_args(Acr)),
        metadata={"description": "How many factors it was opened with (RFC 9470); absent if that is unknown"},
    )


class EndedSessionSchema(ResponseSchema):
    user_id = text(metadata=USER_ID)
    id_hash = text(metadata=ID_HASH)


class EndedSessionsSchema(ResponseSchema):
    ended = fields.List(
        fields.Nested(EndedSessionSchema), required=True, metadata={"description": "The sessions that no longer live"}
    )


class StatusSchema(ResponseSchema):
    status = text(validate=const("ok"))
