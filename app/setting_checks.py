"""What is wrong with settings beside the single value: its encoding, and settings that do not fit together.

The settings: config.py. The parser of each: setting_parsers.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.rules.relying_party import relying_party


def problem_with_encoding(raw: str) -> str | None:
    """Return why a value of the environment cannot be what was meant; None if it can."""
    # Python turns invalid UTF-8 in the environment into lone surrogates. Text with surrogates cannot be encoded again.
    if any("\ud800" <= char <= "\udfff" for char in raw):
        return "must be text in UTF-8"
    if len(raw) > 1 and raw[0] == raw[-1] and raw[0] in "\"'":
        return "is in quotes, which would be part of the value; docker's --env-file keeps them"
    return None


def clashes(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of settings that do not fit together. Those that are bad by themselves are not in `values`."""
    if values.get("verify_email") == "required" and not values.get("smtp_url"):
        yield "VERIFY_EMAIL=required needs SMTP_URL: nobody could verify an address"
    since, until = values.get("adopt_jwt_since"), values.get("adopt_jwt_until")
    if since is not None and until is not None and since >= until:
        yield "ADOPT_JWT_UNTIL must be later than ADOPT_JWT_SINCE"
    if {"public_url", "webauthn_rp_id", "webauthn_origins"} <= values.keys():
        try:
            relying_party(values["public_url"], values["webauthn_rp_id"], values["webauthn_origins"])
        except ValueError as problem:
            yield str(problem)
    if {"web_threads", "bcrypt_concurrency", "bcrypt_queue"} <= values.keys():
        busy = values["bcrypt_concurrency"] + values["bcrypt_queue"]
        if values["web_threads"] <= busy:
            yield "WEB_THREADS must be more than BCRYPT_CONCURRENCY and BCRYPT_QUEUE together"
