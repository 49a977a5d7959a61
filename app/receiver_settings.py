"""What the settings of receivers must be: their URLs, how requests to them are signed, and what fits together.

A receiver is a system that is told of events: receivers/receiver.py. The keys that sign: rules/signing_keys.py.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.rules.signing_keys import LEAST_RSA_BITS, MOST_KEYS, BadSigningKeys, SigningKey, read_signing_keys
from app.setting_parsers import HOST

MOST_RECEIVERS = 32  # of a kind: each has threads and connections of its own
_URL = re.compile(rf"https?://({HOST})(:[0-9]{{1,5}})?([/?][A-Za-z0-9._~:/?\[\]@!$&'()*+;=%-]*)?")  # RFC 3986
_LEAST_SECRET_BYTES, _MOST_SECRET_BYTES = 24, 64  # Standard Webhooks
_PARALLEL = {  # lists with one entry for each URL, in the same order
    "backchannel_logout_client_ids": "backchannel_logout_urls",
    "ssf_push_tokens": "ssf_push_urls",
    "ssf_push_audiences": "ssf_push_urls",
}


def read_receiver_urls(raw: str) -> tuple[str, ...]:
    urls = [part.strip() for part in raw.split(",") if part.strip()]
    if len(urls) > MOST_RECEIVERS:
        raise ValueError(f"must name {MOST_RECEIVERS} URLs at most")
    seen: dict[str, int] = {}
    for number, url in enumerate(urls, 1):
        which = f"URL {number}" if len(urls) > 1 else "the URL"
        if fault := _fault_of_url(url):
            raise ValueError(
                "must be URLs, separated by commas, as in https://chat.example.com/hooks (a comma in a URL is written "
                f"%2C): {which} {fault}"
            )
        first = seen.setdefault(_canonical(url), number)
        if first != number:
            raise ValueError(f"must name each URL once: URL {number} is URL {first} again")
    return tuple(urls)


def _fault_of_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            return "has a user or password, which would be in logs; a secret in its query is not shown"
        if "#" in url:
            return "has a fragment (#), which is not sent"
        return None if _URL.fullmatch(url) and parts.hostname and parts.port != 0 else "is none of http or https"
    except ValueError:
        return "is none of http or https"


def _canonical(url: str) -> str:
    """Return a URL in the one form that all spellings of it have."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{parts.hostname}:{port}{parts.path or '/'}?{parts.query}"


def read_webhook_secrets(raw: str) -> tuple[bytes, ...]:
    """Return the secrets as bytes. Only standard base64 is taken: libraries make other keys of other letters."""
    texts = [part.strip() for part in raw.split(",") if part.strip()]
    secrets = [_webhook_secret(text, number, len(texts)) for number, text in enumerate(texts, 1)]
    return tuple(dict.fromkeys(secrets))


def _webhook_secret(text: str, number: int, count: int) -> bytes:
    encoded = text.removeprefix("whsec_")
    bare = encoded.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    is_base64 = re.fullmatch(r"[A-Za-z0-9+/]+", bare) and len(bare) % 4 != 1 and encoded in (bare, padded)
    secret = base64.b64decode(padded) if is_base64 else b""
    if not _LEAST_SECRET_BYTES <= len(secret) <= _MOST_SECRET_BYTES:
        which = f"secret {number}" if count > 1 else "the secret"
        fault = f"has {len(secret)} bytes" if is_base64 else "is no standard base64"
        raise ValueError(
            f"must be secrets of {_LEAST_SECRET_BYTES} to {_MOST_SECRET_BYTES} bytes in standard base64 (A-Z, a-z, "
            f"0-9, + and /) behind whsec_, newest first, separated by commas: {which} {fault}; make one with: "
            'echo "whsec_$(openssl rand -base64 32)"'
        )
    return secret


def read_audiences(raw: str) -> tuple[str, ...]:
    """Return one audience for each URL; "" where none is given."""
    audiences = tuple(part.strip() for part in raw.split(",")) if raw else ()
    if not all(re.fullmatch(r"[!-~]{0,255}", audience) for audience in audiences):
        raise ValueError("must be texts of ASCII without spaces, separated by commas, one for each URL in its order")
    return audiences


def read_bearer_tokens(raw: str) -> tuple[str, ...]:
    """Return one token for each URL; "" where none is given."""
    tokens = tuple(part.strip() for part in raw.split(",")) if raw else ()
    if not all(re.fullmatch(r"([A-Za-z0-9._~+/-]+=*)?", token) for token in tokens):  # RFC 6750
        raise ValueError(
            "must be bearer tokens of letters, digits and -._~+/ with = at the end, separated by commas, one for each "
            "URL in its order"
        )
    return tokens


def read_issuer(raw: str) -> str:
    """Return the issuer to the letter: receivers compare it so, a slash at the end included."""
    try:
        parts = urlsplit(raw)
        is_one = _URL.fullmatch(raw) and parts.hostname and parts.port != 0 and "@" not in raw and "?" not in raw
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError("must be a URL without user, query and fragment, as in https://accounts.example.com")
    return raw


def signing_keys(raw: str) -> tuple[SigningKey, ...]:
    """Return the keys of one or more files, whose paths are separated by commas."""
    paths = [Path(part.strip()) for part in raw.split(",") if part.strip()]
    keys: dict[str, SigningKey] = {}
    for number, path in enumerate(paths, 1):
        which = f"file {number}" if len(paths) > 1 else "the file"
        try:
            found = read_signing_keys(path.read_bytes())
        except (OSError, ValueError) as problem:
            reason = f"has {problem}" if isinstance(problem, BadSigningKeys) else "cannot be read"
            raise ValueError(
                f"must name private RSA keys of {LEAST_RSA_BITS} bits or more in PEM: {which} {reason}; make one with: "
                f"openssl genrsa -out signing.pem {LEAST_RSA_BITS}"
            ) from None
        keys |= {key.kid: key for key in found if key.kid not in keys}
    if len(keys) > MOST_KEYS:
        raise ValueError(f"must name {MOST_KEYS} keys at most")
    return tuple(keys.values())


def receiver_clashes(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of these settings that do not fit together. Those that are bad alone are not in `values`."""
    if values.get("webhook_urls") and values.get("webhook_secrets", "bad") == ():
        yield (
            "WEBHOOK_SECRETS is not set, and WEBHOOK_URLS needs it; make one with: "
            'echo "whsec_$(openssl rand -base64 32)"'
        )
    signed = [name.upper() for name in ("backchannel_logout_urls", "ssf_push_urls") if values.get(name)]
    for name in signed if values.get("signing_keys", "bad") == () else ():
        yield f"SIGNING_KEYS is not set, and {name} needs it; make a key with: openssl genrsa -out signing.pem 2048"
    if values.get("signing_keys"):
        signed.append("SIGNING_KEYS")
    for name in signed[:1] if values.get("issuer", "bad") is None and "public_url" in values else ():
        yield f"ISSUER and PUBLIC_URL are not set, and {name} needs one of them: it names who signs"
    for name, urls in _PARALLEL.items():
        count, wanted = len(values.get(name, ())), len(values.get(urls, ()))
        if name in values and urls in values and count not in (0, wanted):
            yield (
                f"{name.upper()} has {count}, and {urls.upper()} has {wanted}: give one for each URL in its order, "
                "with nothing between two commas for none"
            )
