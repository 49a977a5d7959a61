"""TOTP codes (RFC 6238). Ours have six digits, steps of 30 seconds and SHA-1, which every authenticator app supports.
Those of a client or of another service may differ.

This module only computes codes. Redis makes sure that a step is used only once: stores/lua/factors.lua. TOTP as a
factor: factors.py.
"""

import base64
import binascii
import hashlib
import hmac
import re
from typing import cast, get_args
from urllib.parse import parse_qs, urlsplit

import pyotp
import segno

from app.stores.factors import USUAL_TOTP, TotpAlgorithm, TotpParameters
from app.text import plain_code

SECRET_BITS = 160  # as RFC 4226 recommends
LEAST_SECRET_BITS = 80  # what other services have given out
_MAX_SECRET_LENGTH = 128
_MAX_PERIOD_S = 3600
_MOST_WITH_M = 2331  # bytes in the largest QR code whose correction is M (ISO 18004); long names in UTF-8 take more
_DIGESTS = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}


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


class BadSecret(ValueError):
    """A secret that cannot be used. The message is a sentence without the secret."""


def read_enrolment(text: str, least_bits: int) -> tuple[str, TotpParameters | None]:
    """Return the secret of an authenticator app, as `read_secret` does, and how it makes its codes.

    Args:
        text: The secret in base32, or an otpauth URI of type totp: "Key Uri Format" of Google Authenticator's wiki.

    Returns:
        The parameters are None if the text tells none, as a bare secret.

    Raises:
        BadSecret: It is neither, or its codes cannot be checked here.
    """
    parameters = None
    if ":" in text:
        text, parameters = _read_uri(text)
    secret = read_secret(text, least_bits)
    if secret is None:
        raise BadSecret(f"Must be base32 of {least_bits} bits or more, {_MAX_SECRET_LENGTH} letters at most.")
    return secret, parameters


def read_parameters(algorithm: str = "SHA1", digits: str = "6", period_s: str = "30") -> TotpParameters:
    """Return how an app makes codes, from what other services write of it.

    Args:
        algorithm: As in "SHA256", "sha-256" or "HmacSHA256".

    Raises:
        BadSecret: Its codes cannot be checked here.
    """
    name = re.sub("[^A-Z0-9]", "", algorithm.upper()).removeprefix("HMAC")
    if name not in get_args(TotpAlgorithm):
        raise BadSecret(f"Must have the algorithm {', '.join(get_args(TotpAlgorithm))}.")
    if digits not in ("6", "8"):
        raise BadSecret("Must have 6 or 8 digits.")
    if not re.fullmatch("[0-9]{1,4}", period_s) or not 0 < int(period_s) <= _MAX_PERIOD_S:
        raise BadSecret(f"Must have a period from 1 to {_MAX_PERIOD_S} seconds.")
    return TotpParameters(cast(TotpAlgorithm, name), int(digits), int(period_s))


def _read_uri(text: str) -> tuple[str, TotpParameters]:
    try:
        uri = urlsplit(text.strip())
        told = parse_qs(uri.query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise BadSecret("Must be base32, or an otpauth URI.") from None
    if uri.scheme != "otpauth" or uri.netloc.lower() != "totp" or "encoder" in told:
        raise BadSecret("Must be base32, or an otpauth URI of type totp.")
    if any(len(told.get(name, ())) > 1 for name in ("secret", "algorithm", "digits", "period")):
        raise BadSecret("Must not tell a parameter twice.")
    known = {"algorithm": "algorithm", "digits": "digits", "period": "period_s"}
    given = {argument: told[name][0] for name, argument in known.items() if told.get(name, [""])[0]}
    return told.get("secret", [""])[0], read_parameters(**given)


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
    error = "m" if len(uri) <= _MOST_WITH_M else "l"
    picture: str = segno.make(uri, error=error, micro=False).svg_inline(
        omitsize=True, border=2, svgclass="qr", lineclass=None
    )
    return picture


def matching_step(
    secret: str, code: str, now: float, window: int, parameters: TotpParameters = USUAL_TOTP
) -> int | None:
    """Return the newest step with this code, at most `window` steps from now; None if there is no such step.

    Args:
        code: The digits, of any script. Spaces and dashes between them are ignored.
        now: Unix seconds.
    """
    digits = plain_code(code)
    if not re.fullmatch("[0-9]+", digits) or len(digits) != parameters.digits:
        return None
    # TOTP is HOTP of the step (RFC 6238, 4.2). pyotp.TOTP takes no period over two minutes (2.12.0).
    codes = pyotp.HOTP(secret, digits=parameters.digits, digest=_DIGESTS[parameters.algorithm])
    current = int(now) // parameters.period_s
    matches = [
        step
        for step in range(max(0, current - window), current + window + 1)
        if hmac.compare_digest(codes.at(step), digits)
    ]
    return max(matches, default=None)
