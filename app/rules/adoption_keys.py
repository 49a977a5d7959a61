"""The public keys by which tokens of the service before are believed (ADOPT_JWT_KEY): how they are read and judged.

How a token is believed by them: adoption.py.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

PublicKey = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey

LONGEST_FILE = 256 * 1024
MOST_KEYS = 16  # a made-up token may cost a check by each of them
LEAST_RSA_BITS = 2048

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_EC_ALGORITHMS = {"secp256r1": ("P-256", "ES256"), "secp384r1": ("P-384", "ES384"), "secp521r1": ("P-521", "ES512")}
_EC_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66}
_RSA_ALGORITHMS = ("RS256", "RS384", "RS512")
_PSS_ALGORITHMS = ("PS256", "PS384", "PS512")


@dataclass(frozen=True, slots=True)
class AdoptionKey:
    """A key that verifies tokens.

    Attributes:
        name: Where it stands and what it is: "key 2 (EC P-521)".
        algorithms: Those that a token may name for this key.
    """

    name: str
    key: PublicKey
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdoptionKeys:
    """
    Attributes:
        passed_over: A sentence for each key of a kind that is not known, which stands beside those that are.
    """

    keys: Sequence[AdoptionKey]
    passed_over: Sequence[str] = ()


class BadKeys(ValueError):
    """Keys that are refused. The text says which and why, to follow "has "."""


class _UnknownKind(Exception):
    """A public key of a kind that Keyrack does not know."""


def read_keys(raw: bytes) -> AdoptionKeys:
    """Read the keys of a file: one or more in PEM, with any text around them, or a JWKS, or one JWK.

    Raises:
        BadKeys: A key is bad, or none is left.
    """
    if len(raw) > LONGEST_FILE:
        raise BadKeys("a file of more than 256 KB")
    text = raw.decode("utf-8-sig", "replace").replace("\r", "\n")
    found = list(_from_json(text) if text.lstrip().startswith(("{", "[")) else _from_pem(text))
    if not found:
        raise BadKeys("no public key: name a file in PEM (BEGIN PUBLIC KEY) or a JWKS")
    if len(found) > MOST_KEYS:
        raise BadKeys(f"more than {MOST_KEYS} keys")
    # A key may stand there once for each of its algorithms.
    keys = {(_in_der(one.key), one.algorithms): one for one in found if isinstance(one, AdoptionKey)}
    passed_over = [one for one in found if isinstance(one, str)]
    if not keys:
        raise BadKeys("; ".join(passed_over))
    return AdoptionKeys(tuple(keys.values()), tuple(passed_over))


def _from_pem(text: str) -> Iterator[AdoptionKey | str]:
    blocks = [block for block in _PEM.finditer(text) if block[1] != "EC PARAMETERS"]
    for number, block in enumerate(blocks, 1):
        place, label = f"key {number}", block[1]
        if "PRIVATE KEY" in label:
            raise BadKeys(f"a private key ({place}): name the file of the public one")
        if label not in ("PUBLIC KEY", "RSA PUBLIC KEY"):
            raise BadKeys(f"a {label.lower()} ({place}) in place of a public key")
        body = "\n".join(block[2].split())
        try:
            key = load_pem_public_key(f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode())
            yield _judge(place, key)
        except _UnknownKind as unknown:
            yield f"{place} is passed over: it is {unknown}"
        except UnsupportedAlgorithm:
            yield f"{place} is passed over: it is of a kind that is not known"
        except (ValueError, TypeError) as problem:
            raise BadKeys(_reason(place, problem)) from None


def _from_json(text: str) -> Iterator[AdoptionKey | str]:
    try:
        data = orjson.loads(text)
    except ValueError:
        raise BadKeys("a JWKS that is not JSON") from None
    keys = data.get("keys", [data]) if isinstance(data, dict) else data
    if not isinstance(keys, list):
        raise BadKeys("a JWKS without a list of keys")
    for number, jwk in enumerate(keys, 1):
        if not isinstance(jwk, dict):
            raise BadKeys(f"a key that is no JSON object (key {number})")
        kid = jwk.get("kid")
        place = f'key {number} "{kid[:64]}"' if isinstance(kid, str) and kid.isascii() and kid.isprintable() else ""
        place = place or f"key {number}"
        try:
            yield _judge(place, _public_key(jwk, place), jwk)
        except _UnknownKind as unknown:
            yield f"{place} is passed over: it is {unknown}"
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm) as problem:
            raise BadKeys(_reason(place, problem)) from None


def _reason(place: str, problem: Exception) -> str:
    """Return the words of a refusal. Those of libraries are not shown, because they may quote the key."""
    return str(problem) if isinstance(problem, BadKeys) else f"a key that cannot be read ({place})"


def _public_key(jwk: Mapping[str, Any], place: str) -> Any:
    """Return the key of a JWK.

    Raises:
        _UnknownKind: It is of a kind that is not known.
        BadKeys: It is not one to verify tokens with.
        Exception: Anything that PyJWT raises: it cannot be read.
    """
    kind, curve = jwk.get("kty"), str(jwk.get("crv"))
    if kind == "oct":
        raise BadKeys(f"a symmetric key ({place}), which is the secret itself: tokens of HS256 cannot be adopted")
    if "d" in jwk or "k" in jwk:
        raise BadKeys(f"a private key ({place}): name the public ones")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise BadKeys(f"a key that is not for signatures ({place})")
    if kind not in ("EC", "RSA", "OKP"):
        raise _UnknownKind(f"of the kind {_name_if_plain(kind)}")
    if curve not in {"EC": _EC_BYTES, "OKP": ["Ed25519"], "RSA": [curve]}[kind]:
        raise _UnknownKind(f"of the curve {_name_if_plain(curve)}")
    plain = {name: value for name, value in jwk.items() if name not in ("alg", "use", "key_ops")}
    if kind == "EC":
        # Some libraries leave zeros in front out, which half of all P-521 keys have. PyJWT takes whole coordinates.
        plain |= {name: _pad_coordinate(jwk[name], _EC_BYTES[curve]) for name in ("x", "y")}
    return jwt.PyJWK(plain).key


def _name_if_plain(value: Any) -> str:
    """Return the name of a kind or curve as it stands in a JWK; "that it names" if it is not safe to show."""
    return value[:32] if isinstance(value, str) and value.isascii() and value.isalnum() else "that it names"


def _pad_coordinate(coordinate: str, size: int) -> str:
    """Return a coordinate of a JWK (base64url) as one of `size` bytes.

    Raises:
        ValueError: It is no base64, or too long.
    """
    number = int.from_bytes(base64.urlsafe_b64decode(coordinate + "=" * (-len(coordinate) % 4)), "big")
    try:
        return base64.urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode()
    except OverflowError:
        raise binascii.Error from None


def _judge(place: str, key: Any, jwk: Mapping[str, Any] | None = None) -> AdoptionKey:
    """Return a key with the algorithms that fit it, or the one of these that its JWK names.

    Raises:
        _UnknownKind: It is of a kind that is not known.
        BadKeys: It is too short, or its JWK names another algorithm.
    """
    algorithms: Sequence[str]
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in _EC_ALGORITHMS:
        curve, algorithm = _EC_ALGORITHMS[key.curve.name]
        kind, algorithms = f"EC {curve}", [algorithm]
    elif isinstance(key, RSAPublicKey):
        kind, algorithms = f"RSA of {key.key_size} bits", _RSA_ALGORITHMS
        if key.key_size < LEAST_RSA_BITS:
            raise BadKeys(f"a short key ({place}, {kind}): it must have {LEAST_RSA_BITS} or more")
    elif isinstance(key, Ed25519PublicKey):
        kind, algorithms = "Ed25519", ["EdDSA"]
    else:
        raise _UnknownKind("of a kind that is not known")
    named = (jwk or {}).get("alg")
    if named is not None and not (named == "Ed25519" and kind == "Ed25519"):
        possible = (*algorithms, *(_PSS_ALGORITHMS if isinstance(key, RSAPublicKey) else ()))
        if named not in possible:
            raise BadKeys(f"a key for another algorithm than its kind has ({place}, {kind})")
        algorithms = [named]
    return AdoptionKey(f"{place} ({kind})", key, tuple(algorithms))


def _in_der(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
