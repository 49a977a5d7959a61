"""Reads what a token of the service before claims, before its signature is looked at. The signature: adoption.py.

The token is a JWT. All that it claims is checked here. The library that checks signatures (PyJWT) goes by a clock of
its own for times, takes texts and infinity for `iat`, and does not look at `typ`.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from app import tokens
from app.snowflakes import is_user_id
from app.stores.foreign import is_time
from app.watch.audit import TokenBefore

_SCHEME = re.compile("(?:bearer|bot) +", re.IGNORECASE)  # clients of the service before send both words
LONGEST = 4096  # characters of a token; a longer one is not looked at

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


def without_scheme(text: str) -> str:
    """Return a token without the word in front of it."""
    found = _SCHEME.match(text)
    return text[found.end() :].strip() if found else text


class NotAdopted(Exception):
    """A token that is not adopted.

    Args:
        why: The outcome for metrics; None if the token cannot be one of the service before, whatever its signature.
        sentence: The reason for operators, to follow "The token is not adopted: ".
    """

    def __init__(self, why: TokenBefore | None, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Adoptable:
    """What a token claims that may be one of the service before. Nothing of it is proved.

    Attributes:
        algorithm: The one that the token names.
        issued_at: Unix seconds, the fraction dropped.
        ends_by: Unix seconds of its own end; None if it has none.
        begins_at: Unix seconds before which it is not good; None if it names no such time.
        id_hash: SHA-256 of the whole token in base64, by which its session is known.
        signed_hash: SHA-256 of what is signed, in base64.
    """

    token: str = field(repr=False)
    algorithm: str
    user_id: str
    issued_at: int
    ends_by: int | None
    begins_at: float | None
    id_hash: str
    signed_hash: str


def read_adoptable(text: str, user_claim: str) -> Adoptable:
    """Return what a token claims.

    Raises:
        NotAdopted: It cannot be a token of the service before.
    """
    if len(text) > LONGEST:
        raise NotAdopted(None, f"it is longer than {LONGEST} characters")
    parts = _FORM.fullmatch(text)
    if not parts:
        raise NotAdopted(None, "it is no JWT")
    try:
        header, claims = (orjson.loads(_decode(part)) for part in parts.groups()[:2])
        _decode(parts[3])
    except ValueError:
        raise NotAdopted(None, "it is no JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise NotAdopted(None, "it is no JWT with claims")
    algorithm, kind = header.get("alg"), header.get("typ", "JWT")
    if not isinstance(algorithm, str):
        raise NotAdopted(None, "it names no algorithm")
    if not isinstance(kind, str) or kind.lower() != "jwt":
        raise NotAdopted(None, "it is of another type (typ) than JWT, so no session's")
    if "scopes" in claims:
        raise NotAdopted(None, "it has scopes, so it was given to a program and not to a person")
    user_id, issued_at = claims.get(user_claim), _time(claims.get("iat"))
    if not isinstance(user_id, str) or not is_user_id(user_id):
        raise NotAdopted(None, f"its claim {user_claim} is no user id, which is a text of digits")
    if issued_at is None:
        raise NotAdopted(None, "its claim iat is no time")
    if any(name in claims and not _is_number(claims[name]) for name in ("exp", "nbf")):
        raise NotAdopted(None, "its claim exp or nbf is no time")
    return Adoptable(
        token=text,
        algorithm=algorithm,
        user_id=user_id,
        issued_at=issued_at,
        ends_by=max(0, min(int(claims["exp"]), 2**32 - 1)) if "exp" in claims else None,
        begins_at=claims.get("nbf"),
        id_hash=tokens.id_hash(text),
        signed_hash=tokens.id_hash(text.rpartition(".")[0]),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


def _time(value: Any) -> int | None:
    return int(value) if _is_number(value) and is_time(value) else None


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
