"""Time-based one-time codes (RFC 6238): six digits, steps of 30 seconds, SHA-1, as every authenticator app has them."""

import base64
import binascii
import hmac
import re

import pyotp
import segno

STEP_S = 30
_ISSUER = "Keyrack"
_MIN_SECRET_BYTES = 20  # 160 bits, as RFC 4226 recommends
_MIN_FOREIGN_BYTES = 10
_MAX_SECRET_LENGTH = 128


def normalise_secret(text: str) -> str | None:
    """A base32 secret as apps show it, in groups or small letters, brought to one form. None if it is not one."""
    secret = _parse_secret(text)
    return secret if secret and len(_decode(secret)) >= _MIN_SECRET_BYTES else None


def lengthen_secret(text: str) -> str | None:
    """The same of a secret that another service made, of 80 bits or more, at the length of ours. None if it is not one.

    Its codes stay the same: HMAC itself fills a short key with zeros (RFC 2104).
    """
    secret = _parse_secret(text)
    raw = _decode(secret) if secret else b""
    if len(raw) < _MIN_FOREIGN_BYTES:
        return None
    return base64.b32encode(raw.ljust(_MIN_SECRET_BYTES, b"\0")).decode().rstrip("=")


def _parse_secret(text: str) -> str | None:
    typed = re.sub(r"[\s-]", "", text).rstrip("=")
    if len(typed) > _MAX_SECRET_LENGTH or not typed.isascii():  # before it is in capitals: those of ß and ſ are ASCII
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
    """160 random bits, as RFC 4226 recommends."""
    return pyotp.random_base32()


def qr_code(secret: str, account: str) -> str:
    """The picture, SVG, that an authenticator app reads a secret from. It has no text and no style of its own."""
    uri = pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=_ISSUER)
    picture: str = segno.make(uri, error="m", micro=False).svg_inline(
        omitsize=True, border=2, svgclass="qr", lineclass=None
    )
    return picture


def matching_step(secret: str, code: str, now: float, window: int) -> int | None:
    """The step, at most `window` away from now, whose code this is. The newest, where more than one match.

    code: six digits; spaces and dashes between them are passed over
    """
    digits = re.sub(r"[\s-]", "", code)
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
