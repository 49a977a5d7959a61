"""The service before: it has keys and makes tokens as Spacebar's does. The keys are of the tests alone."""

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


class FormerService:
    """Signs tokens by a key of its own.

    algorithm   ES256, ES384, ES512, RS256 … or EdDSA
    """

    def __init__(self, algorithm: str = "ES512", bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.key: Any
        if algorithm in _CURVES:
            self.key = ec.generate_private_key(_CURVES[algorithm]())
        elif algorithm == "EdDSA":
            self.key = ed25519.Ed25519PrivateKey.generate()
        else:
            self.key = rsa.generate_private_key(65537, bits)

    @property
    def pem(self) -> str:
        """The public key, as Spacebar's jwt.key.pub."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def private_pem(self) -> str:
        form = PrivateFormat.PKCS8 if self.algorithm == "EdDSA" else PrivateFormat.TraditionalOpenSSL
        return self.key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()

    def jwk(self, **more: Any) -> dict[str, Any]:
        made = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.key.public_key(), as_dict=True)
        return {name: value for name, value in made.items() if name not in ("key_ops", "use", "alg")} | more

    def sign(self, claims: Any, **header: Any) -> str:
        """A token with these claims and no others. A header that is None is left out."""
        head = {"alg": self.algorithm, "typ": "JWT"} | header
        return self.sign_parts(*(json.dumps(part).encode() for part in (_without_none(head), claims)))

    def sign_parts(self, header: bytes, payload: bytes) -> str:
        """A token of two texts, which need not be JSON."""
        signed = b".".join((b64url(header), b64url(payload)))
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        return b".".join((signed, b64url(algorithm.sign(signed, self.key)))).decode()

    def token(self, user_id: str, issued_at: float, **more: Any) -> str:
        """What Spacebar gives at a sign-in. A claim that is None is left out."""
        claims = {"id": user_id, "iat": issued_at, "kid": "0" * 64, "ver": 3, "did": "ABCDEFGHIJ"}
        return self.sign(_without_none(claims | more))


def b64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def from_b64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def with_another_signature(token: str, order: int) -> str:
    """A token with the other signature that holds: of ECDSA's (r, s) anybody can make (r, n - s)."""
    signed, _, signature = token.rpartition(".")
    raw = from_b64url(signature)
    half = len(raw) // 2
    s = order - int.from_bytes(raw[half:], "big")
    return f"{signed}.{b64url(raw[:half] + s.to_bytes(half, 'big')).decode()}"


def with_der_signature(token: str) -> str:
    """A token with its signature in OpenSSL's form."""
    signed, _, signature = token.rpartition(".")
    raw = from_b64url(signature)
    half = len(raw) // 2
    der = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    assert decode_dss_signature(der)
    return f"{signed}.{b64url(der).decode()}"


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
