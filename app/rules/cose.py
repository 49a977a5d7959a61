"""Public keys of passkeys in COSE's form (RFC 9052, RFC 9053), as they are kept."""

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography, encode_cbor, parse_cbor
from webauthn.helpers.exceptions import WebAuthnException

ES256, EDDSA, RS256 = -7, -8, -257
_KTY, _ALG, _CRV, _N, _E, _PUB, _X, _Y = 1, 3, -1, -1, -2, -1, -2, -3
_OKP, _EC2, _RSA, _ML_DSA = 1, 2, 3, 7
_P256, _P521, _ED25519 = 1, 3, 6
# By algorithm: the fields whose values it fixes, and those with bytes of the key. SHA-1 is not among them.
_FORMS: dict[int, tuple[dict[int, int], tuple[int, ...]]] = {
    ES256: ({_KTY: _EC2, _CRV: _P256}, (_X, _Y)),
    EDDSA: ({_KTY: _OKP, _CRV: _ED25519}, (_X,)),
    -36: ({_KTY: _EC2, _CRV: _P521}, (_X, _Y)),  # ES512
    **{alg: ({_KTY: _RSA}, (_N, _E)) for alg in (-37, -38, -39, RS256, -258, -259)},  # PS256 to PS512, RS256 to RS512
    **{alg: ({_KTY: _ML_DSA}, (_PUB,)) for alg in (-48, -49, -50)},  # ML-DSA-44, -65, -87
}
_RSA_BITS = range(2048, 4096 + 1)
_MAX_EXPONENT = 2**32  # a larger one makes each check slow
_MAX_KEY = 4096  # bytes


class BadKey(ValueError):
    """A public key that no passkey of ours may have."""


def plain_key(cose: bytes) -> bytes:
    """Return a COSE key with only the fields that its algorithm needs, in the order of CTAP 2.

    Raises:
        BadKey: It is none, or not one of the algorithms, curves and sizes that are verified here.
    """
    try:
        found: Any = parse_cbor(cose) if len(cose) <= _MAX_KEY else None
        alg = found[_ALG]
        fixed, given = _FORMS[alg]
        is_form = all(found[label] == value for label, value in fixed.items())
        is_form = is_form and all(isinstance(found[label], bytes) for label in given)
        key = {_KTY: fixed[_KTY], _ALG: int(alg), **fixed, **{label: found[label] for label in given}}
        plain: bytes = encode_cbor(key)
        loaded = decoded_public_key_to_cryptography(decode_credential_public_key(plain))
    except (WebAuthnException, UnsupportedAlgorithm, ValueError, TypeError, LookupError) as problem:
        raise BadKey("no COSE key of an algorithm that is verified here") from problem
    if not is_form or (isinstance(loaded, rsa.RSAPublicKey) and not _is_fit(loaded)):
        raise BadKey("no COSE key of a curve or size that is verified here")
    return plain


def _is_fit(key: rsa.RSAPublicKey) -> bool:
    return key.key_size in _RSA_BITS and key.public_numbers().e <= _MAX_EXPONENT


def cose_from_pem(pem: bytes) -> bytes:
    """Return a public key in PEM as a COSE key: of P-256, Ed25519 or RSA, for ES256, EdDSA or RS256.

    Raises:
        BadKey: It is none of these.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise BadKey("no public key in PEM") from problem
    return cose_of(key)


def cose_of(key: Any) -> bytes:
    """Return a public key of the library in COSE's form. It raises as `cose_from_pem` does."""
    return plain_key(encode_cbor(_fields_of(key)))


def _fields_of(key: Any) -> dict[int, Any]:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        point = key.public_numbers()
        return {_KTY: _EC2, _ALG: ES256, _CRV: _P256, _X: point.x.to_bytes(32, "big"), _Y: point.y.to_bytes(32, "big")}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {_KTY: _OKP, _ALG: EDDSA, _CRV: _ED25519, _X: key.public_bytes_raw()}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        size = (key.key_size + 7) // 8
        e = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
        return {_KTY: _RSA, _ALG: RS256, _N: numbers.n.to_bytes(size, "big"), _E: e}
    raise BadKey("a key of another kind than P-256, Ed25519 and RSA")
