"""TOTP codes (RFC 6238): six digits, steps of 30 seconds and SHA-1, which every authenticator app supports.

This module only computes codes. Redis makes sure that a step is used only once: stores/lua/factors.lua. TOTP as a
factor: factors.py.
"""

import base64
import binascii
import hmac
import re

import pyotp
import segno

from app.text import plain_code

STEP_S = 30
SECRET_BITS = 160  # as RFC 4226 recommends
LEAST_SECRET_BITS = 80  # what other services have given out
_MAX_SECRET_LENGTH = 128


def read_secret(text: str, least_bits: int) -> str | None:
    """Return a secret in base32, lengthened to 160 bits; None if it is not a secret of `least_bits` or more.

    Its codes do not change, because HMAC itself fills a short key with zeros (RFC 2104).

    Args:
        text: The secret as apps show it, perhaps in groups or in lower case.
    """
    secret = _parse_secret(text)
    raw = _decode(secret) if secret else b""
    if len(raw) * 8 < least_bits:
        return None
    return base64.b32encode(raw.ljust(SECRET_BITS // 8, b"\0")).decode().rstrip("=")


def _parse_secret(text: str) -> str | None:
    typed = re.sub(r"[\s-]", "", text).rstrip("=")
    if (
        len(typed) > _MAX_SECRET_LENGTH or not typed.isascii()
    ):  # checked before upper(), because upper() turns ß and ſ into ASCII
        return None
    secret = typed.upper()
    try:
        _decode(secret)
    except binascii.Error:
        return None
    return secret


def _decode(secret: str) -> bytes:
    return base64.b32decode(secret + "=" * (-len(secret) % 8))


def new_secret() -> str:
    """Return 160 random bits, as RFC 4226 recommends, in base32."""
    return pyotp.random_base32()


def qr_code(secret: str, account: str, issuer: str) -> str:
    """Return the picture (SVG) from which an authenticator app reads a secret. It has neither text nor style.

    Args:
        issuer: What the app calls the service.
    """
    uri = pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)
    picture: str = segno.make(uri, error="m", micro=False).svg_inline(
        omitsize=True, border=2, svgclass="qr", lineclass=None
    )
    return picture


def matching_step(secret: str, code: str, now: float, window: int) -> int | None:
    """Return the newest step with this code, at most `window` steps from now; None if there is no such step.

    Args:
        code: Six digits, of any script. Spaces and dashes between them are ignored.
        now: Unix seconds.
    """
    digits = plain_code(code)
    if not re.fullmatch(r"[0-9]{6}", digits):
        return None
    totp = pyotp.TOTP(secret, interval=STEP_S)
    current = int(now) // STEP_S
    matches = [
        step
        for step in range(max(0, current - window), current + window + 1)
        if hmac.compare_digest(totp.generate_otp(step), digits)
    ]
    return max(matches, default=None)
