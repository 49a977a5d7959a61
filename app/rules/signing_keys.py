"""The private keys that sign what receivers are told (SIGNING_KEYS): how they are read, named and published."""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

LONGEST_FILE = 256 * 1024
MOST_KEYS = 16
LEAST_RSA_BITS = 2048
ALGORITHM = "RS256"  # receivers refuse others, unless they are told to expect them

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key.

    Attributes:
        kid: Its name in tokens and in the published set: the thumbprint of its public part (RFC 7638).
        jwk: Its public part, as it is published.
    """

    kid: str
    key: RSAPrivateKey = field(repr=False, compare=False)
    jwk: dict[str, str] = field(compare=False)


class BadSigningKeys(ValueError):
    """Keys that are refused. The text says which and why, to follow "has "."""


def read_signing_keys(raw: bytes) -> Sequence[SigningKey]:
    """Read the keys of a file: one or more in PEM, with any text around them.

    Raises:
        BadSigningKeys: A key is bad, or there is none.
    """
    if len(raw) > LONGEST_FILE:
        raise BadSigningKeys("more than 256 KB")
    keys = list(_from_pem(raw.decode("utf-8-sig", "replace").replace("\r\n", "\n")))
    if not keys:
        raise BadSigningKeys("no private key in PEM (BEGIN PRIVATE KEY)")
    return keys


def _from_pem(text: str) -> Iterator[SigningKey]:
    for number, block in enumerate(_PEM.finditer(text), 1):
        place, label = f"key {number}", block[1]
        if "ENCRYPTED" in block[0]:
            raise BadSigningKeys(f"a key with a password ({place}): store it without one, readable by Keyrack alone")
        if "PRIVATE KEY" not in label:
            raise BadSigningKeys(f"a {label.lower()} ({place}) in place of a private key")
        try:
            key = load_pem_private_key(block[0].encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise BadSigningKeys(f"a key that cannot be read ({place})") from None
        if not isinstance(key, RSAPrivateKey):
            raise BadSigningKeys(f"a key that is no RSA key ({place})")
        if key.key_size < LEAST_RSA_BITS:
            raise BadSigningKeys(f"a short key ({place}, of {key.key_size} bits)")
        yield _named(key)


def _named(key: RSAPrivateKey) -> SigningKey:
    public = key.public_key().public_numbers()
    n, e = _base64url(public.n), _base64url(public.e)
    members = f'{{"e":"{e}","kty":"RSA","n":"{n}"}}'  # RFC 7638: these members, in this order, without spaces
    digest = hashlib.sha256(members.encode()).digest()
    kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return SigningKey(kid, key, {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": kid, "n": n, "e": e})


def _base64url(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
