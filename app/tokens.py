"""The common form of tokens, tickets and proofs: the user, the time and 32 random bytes.

    b64url(user id as text) . b64url(Unix seconds as 4 bytes) . b64url(32 random bytes)

Clients read the first part as the user's id. The second part of a token is the time when its session began. A new token
of the session keeps this time, so that the session's age is known without a look-up of its record.
"""

import base64
import hashlib
import re
import secrets
from binascii import a2b_base64, b2a_base64
from typing import NamedTuple

_FORM = re.compile(r"([A-Za-z0-9_-]{2,27})\.([A-Za-z0-9_-]{6})\.[A-Za-z0-9_-]{43}")
_ID_IN_URL = re.compile(r"[A-Za-z0-9+/]{43}=?")
_STANDARD = bytes.maketrans(b"-_", b"+/")


class Claim(NamedTuple):
    """The content of a well-formed secret. It proves nothing until Redis has a record under its hash.

    Attributes:
        user_id: A snowflake as text.
        at: Unix seconds.
        id_hash: SHA-256 of the whole secret in standard base64. It is safe to show, to store and to log.
    """

    user_id: str
    at: int
    id_hash: str


def issue(user_id: str, at: float) -> str:
    """Make a secret that nobody can guess. It has 256 bits of the system's CSPRNG.

    Args:
        at: Unix seconds; the fraction is dropped.
    """
    return compose(user_id, at, secrets.token_bytes(32))


def compose(user_id: str, at: float, core: bytes) -> str:
    """Return the secret with these parts.

    Args:
        at: Unix seconds; the fraction is dropped.
        core: 32 bytes that nobody can guess.
    """
    return ".".join(_b64url(part) for part in (user_id.encode(), int(at).to_bytes(4, "big"), core))


def is_well_formed(secret: str) -> bool:
    """Tell whether a text has the form of a token, whoever may have made it."""
    return _FORM.fullmatch(secret) is not None


def read(secret: str) -> Claim | None:
    """Return the content of a secret; None if its form is wrong. The text may have any length."""
    match = _FORM.fullmatch(secret)
    if not match:
        return None
    first, second = match.groups()
    user_id = _from_b64url(first) if len(first) % 4 != 1 else b""
    if not user_id.isdigit():
        return None
    return Claim(user_id.decode(), int.from_bytes(_from_b64url(second), "big"), id_hash(secret))


def id_hash(secret: str) -> str:
    """Return the SHA-256 of a secret in standard base64, 44 characters. A secret is stored in this form only."""
    return b2a_base64(hashlib.sha256(secret.encode()).digest(), newline=False).decode()


def id_in_url(id_hash: str) -> str:
    """Return an id_hash in the form for URLs: base64url without padding."""
    return id_hash.rstrip("=").replace("+", "-").replace("/", "_")


def id_from_url(text: str) -> str | None:
    """Return an id_hash from a text in base64 or base64url; None if the text is neither."""
    standard = text.replace("-", "+").replace("_", "/")
    return standard.rstrip("=") + "=" if _ID_IN_URL.fullmatch(standard) else None


def _b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _from_b64url(text: str) -> bytes:
    """Decode base64url without padding. Two more signs at the end are passed over if they are not needed."""
    return a2b_base64(text.encode().translate(_STANDARD) + b"==")
