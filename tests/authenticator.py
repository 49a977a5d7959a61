"""An authenticator and its browser, in Python. Texts of challenges in, texts of answers out; it can lie in every field.

device = Authenticator("https://keys.example.com")
attestation = device.make(creation_text)
assertion = device.get(request_text, counter=1)
"""

import hashlib
import json
import secrets
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from webauthn.helpers import encode_cbor

ES256, EDDSA, RS256, ML_DSA_44, ML_DSA_65, ML_DSA_87 = -7, -8, -257, -48, -49, -50
_UP, _UV, _BE, _BS, _AT, _ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
_HONEST = object()
_PRIVATE_KEYS = {
    ES256: lambda: ec.generate_private_key(ec.SECP256R1()),
    EDDSA: ed25519.Ed25519PrivateKey.generate,
    RS256: lambda: rsa.generate_private_key(65537, 2048),
    ML_DSA_44: mldsa.MLDSA44PrivateKey.generate,
    ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
    ML_DSA_87: mldsa.MLDSA87PrivateKey.generate,
}


class NoPasskey(LookupError):
    """The device has no passkey that was asked for. A browser would say NotAllowedError."""


@dataclass
class Credential:
    """What a device keeps of a passkey."""

    id: bytes
    alg: int
    key: Any = field(repr=False)
    rp_id: str
    user_handle: bytes | None
    backup_eligible: bool
    counter: int = 0

    @property
    def cred_id(self) -> str:
        return b64url(self.id)

    @property
    def public_key(self) -> bytes:
        """Return the public key in COSE's form."""
        return encode_cbor(_cose_fields(self.alg, self.key.public_key()))

    def sign(self, data: bytes) -> bytes:
        if self.alg == ES256:
            return self.key.sign(data, ec.ECDSA(hashes.SHA256()))
        if self.alg == RS256:
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(data)


@dataclass(frozen=True)
class Lies:
    """What an answer says instead of the truth. Each field that is left alone is honest.

    Attributes:
        type, challenge, origin, cross_origin, top_origin: Fields of the client data. None leaves one out.
        rp_id: The name whose hash is in the authenticator data.
        up, uv, be, bs: Flags of the authenticator data.
        counter: The number in the answer. The device goes on with its own.
        user_handle: Bytes; None sends none.
        cred_id: Bytes of another credential's id.
        signature: Bytes instead of the signature.
        aaguid: 16 bytes.
        alg: The algorithm that the key says it is of.
        cose: Bytes instead of the public key.
        statement: fmt and attStmt of an attestation.
        extensions: Bytes of CBOR behind the authenticator data, with their flag.
        extra: Bytes behind it that no flag tells of.
        fermi: True writes the form of some clients: standard base64, no id and no type.
        changes: Fields of the outer JSON text, which replace the honest ones.
    """

    type: Any = _HONEST
    challenge: Any = _HONEST
    origin: Any = _HONEST
    cross_origin: Any = False
    top_origin: Any = None
    rp_id: Any = _HONEST
    up: bool = True
    uv: Any = _HONEST
    be: Any = _HONEST
    bs: Any = _HONEST
    counter: Any = _HONEST
    user_handle: Any = _HONEST
    cred_id: Any = _HONEST
    signature: Any = _HONEST
    aaguid: bytes = bytes(16)
    alg: Any = _HONEST
    cose: Any = _HONEST
    statement: Any = ("none", {})
    extensions: bytes = b""
    extra: bytes = b""
    fermi: bool = False
    changes: dict[str, Any] | None = None


class Authenticator:
    def __init__(
        self,
        origin: str = "https://keys.example.com",
        *,
        algorithms: tuple[int, ...] = (ES256, EDDSA, RS256),
        verifies_user: bool = True,
        backup_eligible: bool = False,
        counts: bool = True,
        transports: tuple[str, ...] = ("internal",),
    ) -> None:
        """
        Args:
            origin: Of the page that the browser shows.
            algorithms: Those that the device can do.
            verifies_user: The device has a PIN or the like.
            counts: False leaves the counter at 0 for ever, as devices do that copy their passkeys.
        """
        self.origin = origin
        self.credentials: list[Credential] = []
        self._algorithms = algorithms
        self._verifies_user = verifies_user
        self._backup_eligible = backup_eligible
        self._counts = counts
        self._transports = transports

    def make(self, creation_text: str, **lies: Any) -> str:
        """Make a passkey as a challenge asks for, and return the attestation's text."""
        asked, told = json.loads(creation_text)["publicKey"], Lies(**lies)
        offered = [param["alg"] for param in asked["pubKeyCredParams"]]
        alg = next((alg for alg in offered if alg in self._algorithms), self._algorithms[0])
        if told.alg is not _HONEST and told.alg in _PRIVATE_KEYS:
            alg = told.alg
        excluded = {one["id"] for one in asked["excludeCredentials"]}
        if excluded & {one.cred_id for one in self.credentials}:
            raise NoPasskey("a browser would say InvalidStateError")
        made = self.add(asked["rp"]["id"], un_b64url(asked["user"]["id"]), alg)
        client_data = self._client_data("webauthn.create", asked["challenge"], told)
        public_key = made.public_key if told.cose is _HONEST else told.cose
        if told.alg is not _HONEST and told.alg not in _PRIVATE_KEYS:
            public_key = encode_cbor(_cose_fields(alg, made.key.public_key()) | {3: told.alg})
        cred_id = made.id if told.cred_id is _HONEST else told.cred_id
        attested = told.aaguid + len(cred_id).to_bytes(2, "big") + cred_id + public_key
        wants_uv = asked.get("authenticatorSelection", {}).get("userVerification", "preferred") != "discouraged"
        data = self._authenticator_data(made, told, wants_uv, _AT, attested)
        form, statement = told.statement
        if statement == "self":  # signed by the passkey's own key
            sig = (
                made.sign(data + hashlib.sha256(client_data).digest()) if told.signature is _HONEST else told.signature
            )
            statement = {"alg": alg, "sig": sig}
        attestation = encode_cbor({"fmt": form, "attStmt": statement, "authData": data})
        response = {"clientDataJSON": client_data, "attestationObject": attestation}
        return _text(cred_id, response, told, {"transports": list(self._transports)})

    def get(self, request_text: str, **lies: Any) -> str:
        """Answer a challenge with the newest passkey that it asks for, and return the assertion's text."""
        asked, told = json.loads(request_text)["publicKey"], Lies(**lies)
        allowed = [one["id"] for one in asked.get("allowCredentials", [])]
        fit = [
            one
            for one in self.credentials
            if one.rp_id == asked["rpId"] and (one.cred_id in allowed or (not allowed and one.user_handle is not None))
        ]
        wish = asked.get("userVerification", "preferred")
        if not fit or (wish == "required" and not self._verifies_user and told.uv is _HONEST):
            raise NoPasskey("a browser would say NotAllowedError")
        return self.answer(fit[-1], asked["challenge"], wants_uv=wish != "discouraged", **lies)

    def answer(self, credential: Credential, challenge: str, /, *, wants_uv: bool = True, **lies: Any) -> str:
        """Answer a challenge with one passkey, whatever was asked for."""
        told = Lies(**lies)
        credential.counter += 1 if self._counts else 0
        client_data = self._client_data("webauthn.get", challenge, told)
        data = self._authenticator_data(credential, told, wants_uv)
        signature = credential.sign(data + hashlib.sha256(client_data).digest())
        response = {
            "clientDataJSON": client_data,
            "authenticatorData": data,
            "signature": signature if told.signature is _HONEST else told.signature,
        }
        handle = credential.user_handle if told.user_handle is _HONEST else told.user_handle
        if handle is not None:
            response["userHandle"] = handle
        return _text(credential.id if told.cred_id is _HONEST else told.cred_id, response, told, {})

    def add(self, rp_id: str, user_handle: bytes | None, alg: int = ES256) -> Credential:
        """Give the device a passkey without asking anybody."""
        made = Credential(secrets.token_bytes(32), alg, _PRIVATE_KEYS[alg](), rp_id, user_handle, self._backup_eligible)
        self.credentials.append(made)
        return made

    def forget(self, cred_id: str) -> None:
        """Delete a passkey on the device, as its user may do."""
        self.credentials = [one for one in self.credentials if one.cred_id != cred_id]

    def _client_data(self, type_: str, challenge: str, told: Lies) -> bytes:
        said = {
            "type": type_ if told.type is _HONEST else told.type,
            "challenge": challenge if told.challenge is _HONEST else told.challenge,
            "origin": self.origin if told.origin is _HONEST else told.origin,
            "crossOrigin": told.cross_origin,
            "topOrigin": told.top_origin,
        }
        kept = {name: value for name, value in said.items() if value is not None}
        return json.dumps(kept, separators=(",", ":")).encode()

    def _authenticator_data(
        self, credential: Credential, told: Lies, wants_uv: bool, flags: int = 0, attested: bytes = b""
    ) -> bytes:
        verifies = self._verifies_user and wants_uv if told.uv is _HONEST else told.uv
        eligible = credential.backup_eligible if told.be is _HONEST else told.be
        backed_up = eligible if told.bs is _HONEST else told.bs
        flags |= _UP * told.up | _UV * verifies | _BE * eligible | _BS * backed_up | _ED * bool(told.extensions)
        rp_id = credential.rp_id if told.rp_id is _HONEST else told.rp_id
        counter = credential.counter if told.counter is _HONEST else told.counter
        head = hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + counter.to_bytes(4, "big")
        return head + attested + told.extensions + told.extra


def b64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def un_b64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(cred_id: bytes, response: dict[str, bytes], told: Lies, further: dict[str, Any]) -> str:
    if told.fermi:
        sent = {name: b64encode(value).decode() for name, value in response.items()}
        return json.dumps({"rawId": b64encode(cred_id).decode(), "response": sent} | (told.changes or {}))
    sent = {name: b64url(value) for name, value in response.items()}
    whole = {
        "id": b64url(cred_id),
        "rawId": b64url(cred_id),
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": sent | further,
    }
    return json.dumps(whole | (told.changes or {}))


def _cose_fields(alg: int, key: Any) -> dict[int, Any]:
    if alg == ES256:
        point = key.public_numbers()
        return {1: 2, 3: alg, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
    if alg == EDDSA:
        return {1: 1, 3: alg, -1: 6, -2: key.public_bytes_raw()}
    if alg == RS256:
        return {1: 3, 3: alg, -1: key.public_numbers().n.to_bytes(256, "big"), -2: b"\1\0\1"}
    return {1: 7, 3: alg, -1: key.public_bytes_raw()}
