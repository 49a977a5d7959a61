"""The private keys that sign what receivers are told (SIGNING_KEYS): how they are read, named and published.

Since when each is published: stores/signing_keys.py.
"""

import base64
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.stores.connection.connect import StoreError
from app.stores.signing_keys import SigningKeyStore

LONGEST_FILE = 256 * 1024
MOST_KEYS = 16
LEAST_RSA_BITS = 2048
ALGORITHM = "RS256"  # receivers refuse others, unless they are told to expect them

MAX_AGE_S = 60  # for which receivers may keep the published keys
SIGNS_AFTER_S = 90  # after its first publication; many receivers look again after 30 s at the earliest
_LOOKED_EVERY_S = 1.0
_NOTED_AGAIN_AFTER_S = 1.0

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


class Signing:
    """What signs tokens for receivers. A key is published before it signs, so that receivers know it by then."""

    def __init__(self, keys: Sequence[SigningKey], store: SigningKeyStore, clock: Callable[[], float]) -> None:
        """
        Args:
            keys: Newest first; one at least.
        """
        self._keys = keys
        self._store = store
        self._clock = clock
        self._is_noted = False
        self._chosen = keys[-1]
        self._looked_at = float("-inf")

    @property
    def jwks(self) -> Mapping[str, Any]:
        """All keys, as they are published. A former one is among them as long as it is in the settings."""
        return {"keys": [key.jwk for key in self._keys]}

    def is_newest_published(self) -> bool:
        """Tell whether any process has published the newest key. Until then an older one signs.

        Raises:
            StoreError: Redis failed.
        """
        return self._keys[0].kid in self._store.published_at()

    def note_published(self) -> None:
        """Note that this process publishes the keys. Every process that does calls this; Redis is asked once.

        Raises:
            StoreError: Redis failed. Call it again.
        """
        if not self._is_noted:
            self._store.note_published([key.kid for key in self._keys], self._clock())
            self._is_noted = True

    def note_soon(self) -> None:
        """Note that this process publishes the keys, as soon as Redis takes it."""
        while not self._is_noted:
            try:
                self.note_published()
            except StoreError:
                time.sleep(_NOTED_AGAIN_AFTER_S)

    def sign(self, claims: Mapping[str, Any], typ: str) -> bytes:
        """Return a signed token (JWT).

        Args:
            typ: The kind of token, for its header.

        Raises:
            StoreError: Redis failed, and cannot tell which key signs.
        """
        key = self._current()
        return jwt.encode(dict(claims), key.key, ALGORITHM, headers={"typ": typ, "kid": key.kid}).encode()

    def _current(self) -> SigningKey:
        """Return the newest key that was published long enough ago; if there is none, the one published first."""
        now = self._clock()
        if self._chosen is self._keys[0]:
            return self._chosen
        if not 0 <= now - self._looked_at < _LOOKED_EVERY_S:  # less than 0 if the clock was set back
            published_at = self._store.published_at()
            known = [key for key in self._keys if published_at.get(key.kid, now) + SIGNS_AFTER_S <= now]
            first = min(reversed(self._keys), key=lambda key: published_at.get(key.kid, now))
            self._chosen = known[0] if known else first
            self._looked_at = now
        return self._chosen
