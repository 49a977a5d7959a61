"""Credentials as Keycloak keeps and exports them: passwords and authenticator apps, as objects.

Source: PasswordCredentialModel, Pbkdf2PasswordHashProvider, Argon2PasswordHashProvider and OTPCredentialModel of
Keycloak. The two parts are JSON within JSON in a realm's export; the columns of its table have another spelling.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from app.rules.password_hashes import UnusableHash
from app.rules.totp import BadSecret, read_parameters
from app.stores.factors import TotpParameters

_NO_HASH = "Must be a text, or a credential of Keycloak's with secretData and credentialData."
_NO_TOTP = "Must be a text, or a credential of Keycloak's for TOTP, with secretData and credentialData."
_VERSIONS = {"1.3": 19, "1.0": 16}  # of argon2


def read_hash(credential: Mapping[str, Any]) -> str:
    """Return the hash of a password in the form of PHC.

    Raises:
        UnusableHash: It is none of Keycloak's own.
    """
    secret, about = _parts(credential)
    more = about.get("additionalParameters")
    more = more if isinstance(more, dict) else {}
    try:
        salt, digest = (_b64(secret[name]) for name in ("salt", "value"))
        algorithm, iterations = str(about["algorithm"]), int(about["hashIterations"])
        if algorithm == "argon2":
            version, kind = _VERSIONS[_first(more, "version")], _first(more, "type")
            memory, lanes = (int(_first(more, name)) for name in ("memory", "parallelism"))
            return f"$argon2{kind}$v={version}$m={memory},t={iterations},p={lanes}${salt}${digest}"
    except (KeyError, TypeError, ValueError):
        raise UnusableHash(_NO_HASH) from None
    if algorithm not in ("pbkdf2", "pbkdf2-sha256", "pbkdf2-sha512"):
        raise UnusableHash("Must be a hash of Keycloak's own: pbkdf2, pbkdf2-sha256, pbkdf2-sha512 or argon2.")
    return f"${algorithm}${iterations}${salt}${digest}"


def read_totp(credential: Mapping[str, Any]) -> tuple[str, TotpParameters]:
    """Return the secret of an authenticator app in base32, and how it makes codes.

    Keycloak keeps the secret as it made it, 20 letters and digits whose bytes are the key. Its page and its QR code
    show the base32 of these.

    Raises:
        BadSecret: It is not for TOTP, or its codes cannot be checked here.
    """
    secret, about = _parts(credential)
    value = secret.get("value")
    if not isinstance(value, str) or about.get("subType") != "totp":
        raise BadSecret(_NO_TOTP)
    if about.get("secretEncoding") not in (None, "BASE32"):
        raise BadSecret("Must have its secret as text or in BASE32.")
    told = {"algorithm": about.get("algorithm"), "digits": about.get("digits"), "period_s": about.get("period")}
    parameters = read_parameters(**{name: str(one) for name, one in told.items() if one is not None})
    text = value if about.get("secretEncoding") else base64.b32encode(value.encode()).decode()
    return text, parameters


def _parts(credential: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the two parts of a credential, each empty if it is no object."""
    secret = credential.get("secretData", credential.get("secret_data"))
    about = credential.get("credentialData", credential.get("credential_data"))
    return _object(secret), _object(about)


def _object(part: Any) -> Mapping[str, Any]:
    try:
        read = orjson.loads(part) if isinstance(part, str) else part
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _first(more: Mapping[str, Any], name: str) -> str:
    value = more[name]
    return str(value[0] if isinstance(value, list) and value else value)


def _b64(text: Any) -> str:
    """Return base64 without its padding, and without line ends, which Keycloak's older releases wrote."""
    try:
        return base64.b64encode(base64.b64decode(text)).decode().rstrip("=")
    except binascii.Error:
        raise ValueError from None
