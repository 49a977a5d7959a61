"""The texts of WebAuthn (version 3 of W3C) for passkeys: what a browser is asked, and whether its answer is right.

Redis keeps the passkeys and judges the counter: stores/lua/factors.lua. The host and the origins: relying_party.py. The
form of public keys: cose.py.
"""

import re
import secrets
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import encode_cbor, parse_cbor
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
    AuthenticatorAttestationResponse,
    CredentialDeviceType,
    RegistrationCredential,
)

from app.rules.cose import EDDSA, ES256, RS256, cose_of, plain_key
from app.rules.relying_party import RelyingParty
from app.snowflakes import is_user_id
from app.stores.passkeys import Passkey
from app.stores.user_records import User

MAX_TEXT = 16_384  # characters of an answer; one by ML-DSA-87 has 6.7 thousand
_ALGORITHMS = (ES256, EDDSA, RS256)  # what a new passkey may have; an imported one may have others
_TIMEOUT_MS = 60_000
MAX_CRED_ID = 1023  # bytes, by WebAuthn
_MAX_ASSERTED = 1024  # bytes of an assertion's authenticator data: 37, and some more if the device has extensions
_MAX_TRANSPORTS = 8
_TRANSPORT = re.compile("[a-z][a-z-]{0,31}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_STANDARD = str.maketrans("-_", "+/")
_ASSERTED = ("clientDataJSON", "authenticatorData", "signature")  # an answer's fields
_ATTESTED = 0x40  # the flag of authenticator data that a public key follows
# An answer by an unknown passkey is verified with this key, so that it takes the same work. Nobody has the private one.
_NOBODYS_KEY = cose_of(ec.generate_private_key(ec.SECP256R1()).public_key())


class BadAnswer(ValueError):
    """An answer of a browser that is malformed or wrong. The message is one word that says why."""


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """What a device said of a passkey that it made. The fields mean what they do in Passkey."""

    cred_id: str
    public_key: bytes = field(repr=False)
    sign_count: int
    transports: tuple[str, ...]
    backup_eligible: bool


@dataclass(frozen=True, slots=True)
class Assertion:
    """A right answer by a passkey of the user. It counts once its counter was judged."""

    cred_id: str
    sign_count: int


@dataclass(frozen=True, slots=True)
class _Answer:
    cred_id: str
    raw_id: bytes
    response: dict[str, bytes]
    transports: tuple[str, ...]


def new_challenge() -> str:
    """Return 32 random bytes in base64url."""
    return secrets.token_urlsafe(32)


def creation_text(party: RelyingParty, user: User, challenge: str) -> str:
    """Return the text by which a browser makes a passkey for a user."""
    options = {
        "rp": {"id": party.id, "name": party.name},
        "user": {
            "id": b64url(user.id.encode()),
            "name": user.email or user.username,
            "displayName": user.global_name or user.username or user.email,
        },
        "challenge": challenge,
        "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in _ALGORITHMS],
        "timeout": _TIMEOUT_MS,
        "excludeCredentials": _descriptors(user.passkeys),
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": False,
            "userVerification": "preferred",
        },
        "attestation": "none",
        "extensions": {"credProps": True},
    }
    return orjson.dumps({"publicKey": options}).decode()


def request_text(
    party: RelyingParty,
    challenge: str,
    passkeys: Sequence[Passkey],
    *,
    user_verification: Literal["preferred", "required"],
    mediation: Literal["conditional"] | None = None,
) -> str:
    """Return the text by which a browser asks for a passkey.

    Args:
        passkeys: Those that will do. None at all asks for any that the browser knows for this service.
        mediation: "conditional" offers passkeys in a form's field as the browser's autofill.
    """
    options: dict[str, Any] = {
        "challenge": challenge,
        "timeout": _TIMEOUT_MS,
        "rpId": party.id,
        "allowCredentials": _descriptors(passkeys),
        "userVerification": user_verification,
    }
    if not passkeys:
        options["extensions"] = {"uvm": True}
    request: dict[str, Any] = {"publicKey": options}
    if mediation:
        request["mediation"] = mediation
    return orjson.dumps(request).decode()


def _descriptors(passkeys: Sequence[Passkey]) -> list[dict[str, Any]]:
    return [
        {"type": "public-key", "id": passkey.cred_id}
        | ({"transports": passkey.transports} if passkey.transports else {})
        for passkey in passkeys
    ]


def read_attestation(party: RelyingParty, text: str, challenge: str) -> NewPasskey:
    """Return the passkey that a device made.

    Raises:
        BadAnswer: The text is not a right answer to this challenge.
    """
    answer = _read_answer(text, ("clientDataJSON", "attestationObject"))
    _check_client_data(answer, challenge)
    with _refusing("attestation"):
        attestation = _without_statement(answer.response["attestationObject"])
        response = AuthenticatorAttestationResponse(answer.response["clientDataJSON"], attestation)
        made = verify_registration_response(
            credential=RegistrationCredential(answer.cred_id, answer.raw_id, response),
            expected_challenge=read_base64(challenge),
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            supported_pub_key_algs=[COSEAlgorithmIdentifier(alg) for alg in _ALGORITHMS],
        )
    if b64url(made.credential_id) != answer.cred_id:
        raise BadAnswer("credential_id")
    with _refusing("key"):
        public_key = plain_key(made.credential_public_key)
    return NewPasskey(
        cred_id=answer.cred_id,
        public_key=public_key,
        sign_count=made.sign_count,
        transports=answer.transports,
        backup_eligible=made.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
    )


def user_of(text: str) -> str | None:
    """Return the id of the user that an answer to a sign-in without a name is about; None if it names none of ours."""
    try:
        handle = _read_answer(text, _ASSERTED).response.get("userHandle", b"")
        user_id = handle.decode("ascii")
    except ValueError:
        return None
    return user_id if is_user_id(user_id) else None


def verify_assertion(
    party: RelyingParty, text: str, challenge: str, user_id: str, passkeys: Sequence[Passkey], *, needs_uv: bool
) -> Assertion:
    """Check the answer of a passkey.

    Args:
        passkeys: All of the user.
        needs_uv: The device must have verified its user, by a PIN, a finger or a face, because the passkey is the only
            factor.

    Raises:
        BadAnswer: The text is not a right answer to this challenge, or not of one of these passkeys. Both take the same
            work.
    """
    answer = _read_answer(text, _ASSERTED)
    _check_client_data(answer, challenge)
    if answer.response.get("userHandle", b"") not in (b"", *_handles(user_id)):
        raise BadAnswer("user_handle")
    _check_asserted(answer.response["authenticatorData"])
    passkey = next((one for one in passkeys if one.cred_id == answer.cred_id), None)
    response = AuthenticatorAssertionResponse(*(answer.response[name] for name in _ASSERTED))
    with _refusing("assertion" if passkey else "unknown_credential"):
        seen = verify_authentication_response(
            credential=AuthenticationCredential(answer.cred_id, answer.raw_id, response),
            expected_challenge=read_base64(challenge),
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=passkey.public_key if passkey else _NOBODYS_KEY,
            credential_current_sign_count=0,  # Redis judges the counter
        )
    if passkey is None:
        raise BadAnswer("unknown_credential")
    is_eligible = seen.credential_device_type == CredentialDeviceType.MULTI_DEVICE
    if passkey.backup_eligible not in (None, is_eligible):
        raise BadAnswer("backup_eligible")
    if needs_uv and not seen.user_verified:
        raise BadAnswer("user_verification")
    return Assertion(answer.cred_id, seen.new_sign_count)


def _read_answer(text: str, names: Sequence[str]) -> _Answer:
    """Read the text of a browser: PublicKeyCredential.toJSON(), or as some clients send it.

    Those leave out `id` and `type`, and write standard base64.

    Args:
        names: The fields of the response that must be there.
    """
    if len(text) > MAX_TEXT:
        raise BadAnswer("too_long")
    with _refusing("malformed"):
        sent = orjson.loads(text)
        response = sent["response"]
        raw_id = read_base64(sent["rawId"])
        read = {name: read_base64(response[name]) for name in names}
        if response.get("userHandle") is not None:
            read["userHandle"] = read_base64(response["userHandle"])
        is_same = "id" not in sent or read_base64(sent["id"]) == raw_id
        is_public_key = sent.get("type", "public-key") == "public-key"
        transports = response.get("transports")
    if not is_same or not is_public_key or not 0 < len(raw_id) <= MAX_CRED_ID:
        raise BadAnswer("credential_id")
    return _Answer(b64url(raw_id), raw_id, read, read_transports(transports))


def read_transports(sent: Any) -> tuple[str, ...]:
    """Return the names of transports. Unknown ones are kept, since browsers know what they mean."""
    found = sent if isinstance(sent, list) else []
    names = dict.fromkeys(name for name in found if isinstance(name, str) and _TRANSPORT.fullmatch(name))
    return tuple(names)[:_MAX_TRANSPORTS]


def _check_client_data(answer: _Answer, challenge: str) -> None:
    """Check what the library does not: the challenge to the letter, and that the page was in no frame of another."""
    with _refusing("malformed"):
        data = orjson.loads(answer.response["clientDataJSON"])
        is_in_frame = data.get("crossOrigin", False) is not False or "topOrigin" in data
        is_challenge = data["challenge"] == challenge
    if is_in_frame:
        raise BadAnswer("cross_origin")
    if not is_challenge:
        raise BadAnswer("challenge")


def _check_asserted(authenticator_data: bytes) -> None:
    """Refuse what no assertion has: a public key, or long extensions. Nobody may make the service read them."""
    flags = authenticator_data[32] if len(authenticator_data) > 32 else _ATTESTED
    if len(authenticator_data) > _MAX_ASSERTED or flags & _ATTESTED:
        raise BadAnswer("malformed")


def _without_statement(attestation: bytes) -> bytes:
    """Take the statement off an attestation as browsers do if none is asked for (WebAuthn 3, 5.1.4.1).

    Some clients send it all the same. Only a signature by the passkey's own key stays, which is then verified.
    """
    sent = parse_cbor(attestation)
    if sent["fmt"] == "packed" and "x5c" not in sent["attStmt"]:
        return attestation
    without: bytes = encode_cbor({"fmt": "none", "attStmt": {}, "authData": sent["authData"]})
    return without


def _handles(user_id: str) -> Iterator[bytes]:
    """Yield the handles of a user: ours, and that of the service before, where browsers read the id as base64url."""
    yield user_id.encode()
    if len(user_id) % 4 != 1:
        yield b64decode(user_id + "=" * (-len(user_id) % 4))


@contextmanager
def _refusing(reason: str) -> Iterator[None]:
    """Turn what bad input raises, in the library too, into a refusal."""
    try:
        yield
    except (WebAuthnException, UnsupportedAlgorithm, ValueError, TypeError, LookupError, AttributeError) as problem:
        raise BadAnswer(reason) from problem


def b64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_base64(text: Any) -> bytes:
    """Return the bytes of a text in base64 or base64url, padded or not. Python alone would pass over other signs."""
    standard = text.translate(_STANDARD)
    if not _BASE64.fullmatch(standard):
        raise ValueError
    bare = standard.rstrip("=")
    return b64decode(bare + "=" * (-len(bare) % 4))
