"""The shape of the body of each successful response.
The bodies of refusals: errors.py, form_errors.py and web/error_handlers.py.

Views write their bodies by hand, because that is fastest. The tests check every answer with these schemas.
"""

from functools import partial
from typing import Any, get_args

from marshmallow import EXCLUDE, INCLUDE, Schema, fields, validate

from app.rules.sign_ins import Acr
from app.stores.session_records import Amr
from app.watch.events import Reason
from app.wire.fields import ID_HASH, START_TICKET, TICKET, USER_ID

_TOKEN = {
    "description": "The secret of a session: three parts of base64url, the first of them the user's id",
    "examples": TICKET["examples"],
}
_ID_IN_URL = {"examples": ["q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k"]}

_text = partial(fields.String, required=True)
_flag = partial(fields.Boolean, required=True)
_integer = partial(fields.Integer, required=True)


def _const(value: Any) -> validate.OneOf:
    return validate.OneOf([value])


def _time(**more: Any) -> fields.Field[Any]:
    return fields.AwareDateTime(
        **{"required": True} | more, metadata={"examples": ["2025-07-16T23:34:24.697588+00:00"]}
    )


def _nullable(example: str, **more: Any) -> fields.Field[Any]:
    return fields.String(**{"required": True} | more, allow_none=True, metadata={"examples": [example]})


class ResponseSchema(Schema):
    """A body of a response. Later versions may add fields."""

    class Meta:
        unknown = EXCLUDE


class TokenSchema(ResponseSchema):
    token = _text(metadata=_TOKEN)


class UserSettingsSchema(ResponseSchema):
    locale = _text(metadata={"examples": ["en-US"]})
    theme = _text(metadata={"examples": ["dark"]})


def _required_actions() -> fields.Field[Any]:
    return fields.List(
        fields.String(validate=_const("update_password")),
        metadata={"description": "With a password that an import brought, once, if it could not be a new one here"},
    )


class FinishedLoginSchema(TokenSchema):
    user_settings = fields.Nested(UserSettingsSchema, required=True)
    required_actions = _required_actions()


class SignedInSchema(FinishedLoginSchema):
    user_id = _text(metadata=USER_ID)


class OptInSchema(ResponseSchema):
    required = _flag(metadata={"description": "Whether nobody gets such mail without asking for it"})
    pre_checked = _flag(validate=_const(value=False))


class LocationMetadataSchema(ResponseSchema):
    consent_required = _flag(validate=_const(value=False))
    country_code = _nullable("AT")
    promotional_email_opt_in = fields.Nested(OptInSchema, required=True)


class PasskeyEndpointsSchema(ResponseSchema):
    enroll = _text(metadata={"examples": ["https://accounts.example.com/settings/security#passkeys"]})
    manage = _text(metadata={"examples": ["https://accounts.example.com/settings/security#passkeys"]})


class StrengthSchema(ResponseSchema):
    guesses_log10 = fields.Float(
        required=True,
        metadata={"description": "The decimal logarithm of the guesses that find it", "examples": [12.5]},
    )
    score = _integer(validate=validate.Range(0, 4), metadata={"description": "From 0, guessed at once, to 4"})


class ValidatedPasswordSchema(ResponseSchema):
    valid = _flag(metadata={"description": "Whether a registration would take it"})
    password_strength = fields.Nested(StrengthSchema, required=True)


class VerifiedSchema(ResponseSchema):
    user_id = _text(metadata=USER_ID)
    token = fields.String(
        required=True,
        allow_none=True,
        metadata=_TOKEN | {"description": "That of a new session; null for who is signed in, or has a second factor"},
    )


class RegisteredSchema(ResponseSchema):
    user_id = _text(metadata=USER_ID)


class SignedInByCookieSchema(RegisteredSchema):
    user_settings = fields.Nested(UserSettingsSchema, required=True)
    required_actions = _required_actions()


def _passkey_request(**more: Any) -> fields.Field[Any]:
    described = {"description": 'With a passkey: the text of what to ask the browser for, `{"publicKey": …}`'}
    return fields.String(**{"required": True} | more, metadata=described)


class PasskeyAskedSchema(ResponseSchema):
    """The beginning of a sign-in by a passkey alone."""

    ticket = _text(metadata=START_TICKET)
    challenge = _passkey_request()


class NewPasskeyAskedSchema(ResponseSchema):
    """The beginning of a passkey."""

    ticket = _text(metadata=TICKET)
    challenge = _passkey_request()


class AuthenticatorSchema(ResponseSchema):
    """A passkey of a user, as Discord's clients know authenticators. A list has all fields."""

    id = _text(metadata=USER_ID)
    type = _integer(validate=_const(1), metadata={"description": "A passkey"})
    name = _text(metadata={"examples": ["Phone"]})
    last_used = fields.AwareDateTime(allow_none=True, metadata={"examples": ["2025-07-16T23:34:24.697588+00:00"]})
    cred_id = fields.String(metadata={"description": "The credential id in base64url without padding"})


class CodeAskedSchema(ResponseSchema):
    """The answer to a right password, if a second factor is on."""

    user_id = _text(metadata=USER_ID)
    mfa = _flag(validate=_const(value=True))
    ticket = _text(metadata=TICKET)
    login_instance_id = _text(
        metadata={"description": "Send it back with the code, or leave it out", "examples": ["mJ7vVh0lq2c8bXwT4kQm1A"]}
    )
    totp = _flag(metadata={"description": "Whether a TOTP code may be the answer"})
    backup = _flag(metadata={"description": "Whether unused backup codes are left"})
    sms = _flag(validate=_const(value=False))
    webauthn = _passkey_request(allow_none=True)


class MethodSchema(ResponseSchema):
    type = _text(validate=validate.OneOf(["webauthn", "totp", "backup", "password"]))
    challenge = _passkey_request(required=False)
    backup_codes_allowed = fields.Boolean(metadata={"description": "With `totp`: whether unused backup codes are left"})


class ChallengeSchema(ResponseSchema):
    ticket = _text(metadata=TICKET)
    methods = fields.List(fields.Nested(MethodSchema), required=True)


class ClientInfoSchema(ResponseSchema):
    os = _nullable("Android")
    platform = _nullable("Discord Android")
    location = _nullable("Vienna, Vienna, Austria")


class PlaceSchema(ResponseSchema):
    country_code = _nullable("AT")
    country_name = _nullable("Austria")
    region = _nullable("Vienna")
    city = _nullable("Vienna")


class SessionSchema(ResponseSchema):
    id_hash = _text(metadata=ID_HASH)
    approx_last_used_time = _time()
    client_info = fields.Nested(ClientInfoSchema, required=True)
    id = fields.String(
        metadata={
            "description": "The `id_hash` in the form for URLs. This field and the next ones come with `extended=true`"
        }
        | _ID_IN_URL
    )
    created_at = _time(required=False)
    expires_at = _time(required=False)
    last_seen = _time(required=False)
    last_seen_ip = _nullable("203.0.113.7", required=False)
    last_seen_location = _nullable("Vienna, Vienna, Austria", required=False)
    last_seen_location_info = fields.Nested(PlaceSchema)
    amr = fields.List(
        _text(validate=validate.OneOf(get_args(Amr))),
        allow_none=True,
        metadata={"description": "By what it was opened; null if a release before has opened it"},
    )
    public_computer = fields.Boolean(metadata={"description": "Whether it ends soon, whatever its use"})
    is_current = fields.Boolean(metadata={"description": "Whether it is the caller's own", "examples": [True]})


class UserSessionsSchema(ResponseSchema):
    user_sessions = fields.List(fields.Nested(SessionSchema), required=True)


class OwnSessionSchema(ResponseSchema):
    id = _text(metadata={"description": "The id of the session in paths of this API"} | _ID_IN_URL)
    deviceName = _text(metadata={"examples": ["Firefox on Linux"]})  # noqa: N815 - as the cookie API spells it
    ip = _nullable("203.0.113.7")
    location = _nullable("Vienna, Vienna, Austria")
    lastActiveAt = _time()  # noqa: N815
    createdAt = _time()  # noqa: N815
    endsAt = _time()  # noqa: N815 - if it is not used again
    publicComputer = _flag(metadata={"description": "Whether it ends soon, whatever its use"})  # noqa: N815
    isCurrent = _flag(metadata={"description": "Whether it is the caller's own"})  # noqa: N815


class OwnEndedSessionSchema(ResponseSchema):
    id = _text(metadata=_ID_IN_URL)
    deviceName = _text(metadata={"examples": ["Firefox on Linux"]})  # noqa: N815
    ip = _nullable("203.0.113.7")
    location = _nullable("Vienna, Vienna, Austria")
    createdAt = _time()  # noqa: N815
    endedAt = _time()  # noqa: N815
    reason = _text(validate=validate.OneOf(get_args(Reason)))
    explanation = _text(
        metadata={
            "description": "The reason in words, for people",
            "examples": ["You signed it out from Firefox on Linux"],
        }
    )


class RememberedDeviceSchema(ResponseSchema):
    id = _text(metadata=USER_ID)
    deviceName = _text(metadata={"examples": ["Firefox on Linux"]})  # noqa: N815
    ip = _nullable("203.0.113.7")
    location = _nullable("Vienna, Vienna, Austria")
    createdAt = _time()  # noqa: N815
    lastUsedAt = _time()  # noqa: N815
    endsAt = _time()  # noqa: N815
    isCurrent = _flag(metadata={"description": "Whether it is the browser that asks"})  # noqa: N815


class MessageSchema(ResponseSchema):
    message = _text(metadata={"description": "What was done, for people", "examples": ["Session revoked."]})


class UserSchema(ResponseSchema):
    """A user. The application behind the gateway may have more fields of it."""

    class Meta:
        unknown = INCLUDE

    id = _text(metadata=USER_ID)
    username = _text(metadata={"examples": ["ada"]})
    global_name = _nullable("Ada")
    email = _text(metadata={"examples": ["ada@example.com"]})
    mfa_enabled = _flag()
    authenticator_types = fields.List(
        fields.Integer(), required=True, metadata={"description": "1 is a passkey, 2 a TOTP app", "examples": [[2]]}
    )
    verified = _flag(metadata={"description": "Whether the address was proved to be the user's", "examples": [True]})
    pending_email = _nullable("ada@example.net")
    discriminator = _text(metadata={"description": "This and the next are the application's, if it has them"})
    avatar = _nullable("a_1269e74af4df7417b13759eae50c83dc")
    locale = _text(metadata={"examples": ["en-US"]})
    flags = _integer(metadata={"examples": [0]})
    premium_type = _integer(metadata={"examples": [0]})
    bio = _text(metadata={"examples": [""]})
    banner = _nullable("06c16474723fe537c283b8efa61a30c8")
    accent_color = fields.Integer(required=True, allow_none=True, metadata={"examples": [None]})


class KnownUserSchema(UserSchema):
    disabled = _flag(metadata={"description": "Whether an operator has shut the user out", "examples": [False]})


class ChangedUserSchema(UserSchema):
    token = fields.String(metadata=_TOKEN | {"description": "The new token, after a change of the password"})


class NothingSchema(ResponseSchema):
    """An empty object, which a client waits for."""


class BackupCodeSchema(ResponseSchema):
    user_id = _text(metadata=USER_ID)
    code = _text(metadata={"examples": ["k3v9x2mp"]})
    consumed = _flag()


class BackupCodesSchema(ResponseSchema):
    backup_codes = fields.List(fields.Nested(BackupCodeSchema), required=True)


class TotpOnSchema(BackupCodesSchema):
    token = _text(metadata=_TOKEN)


class NewAuthenticatorSchema(BackupCodesSchema):
    """A new passkey. The list of backup codes is empty if the user has another second factor."""

    id = _text(metadata=USER_ID)
    type = _integer(validate=_const(1), metadata={"description": "A passkey"})
    name = _text(metadata={"examples": ["Phone"]})


class InactiveTokenSchema(ResponseSchema):
    active = _flag(validate=_const(value=False))


class ActiveTokenSchema(ResponseSchema):
    active = _flag(validate=_const(value=True))
    sub = _text(metadata=USER_ID)
    sid = _text(metadata=ID_HASH)
    iat = _integer(metadata={"description": "Beginning of the session, Unix seconds"})
    exp = _integer(metadata={"description": "End of the session if it is not used again, Unix seconds"})
    auth_time = _integer(metadata={"description": "Last proof of the session, by login or step-up, Unix seconds"})
    amr = fields.List(
        _text(validate=validate.OneOf(get_args(Amr))),
        metadata={"description": "By what it was opened (RFC 8176); absent if that is unknown"},
    )
    acr = fields.String(
        validate=validate.OneOf(get_args(Acr)),
        metadata={"description": "How many factors it was opened with (RFC 9470); absent if that is unknown"},
    )


class EndedSessionSchema(ResponseSchema):
    user_id = _text(metadata=USER_ID)
    id_hash = _text(metadata=ID_HASH)


class EndedSessionsSchema(ResponseSchema):
    ended = fields.List(
        fields.Nested(EndedSessionSchema), required=True, metadata={"description": "The sessions that no longer live"}
    )


class StatusSchema(ResponseSchema):
    status = _text(validate=_const("ok"))
