"""Reads settings from the environment, and says what is wrong with them: each one, and those that do not fit together.

The settings: config.py. The parser of each: setting_parsers.py, mail_settings.py, receiver_settings.py and brand.py, or
beside its rule.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field
from typing import Any

from app.mail_settings import ehlo_name_of
from app.receiver_settings import receiver_clashes
from app.rules.relying_party import relying_party


def variable(name: str) -> str:
    """Return the environment variable of a field of Settings."""
    return name.removesuffix("_s").upper()


def read_values(settings: Iterable[Field[Any]], env: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the values of settings by their fields, and a sentence for each problem. A bad one has no value.

    A variable that is empty counts as not set.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for setting in settings:
        name = variable(setting.name)
        raw = env.get(name, "").strip() or setting.metadata["default"]
        if raw is None:
            problems.append(f"{name} is not set: {setting.metadata['meaning']}")
            continue
        try:
            _require_unspoilt(raw)
            values[setting.name] = setting.metadata["parse"](raw)
        except ValueError as problem:
            problems.append(f"{name} {problem}")
    if values.get("smtp_url") and values.get("public_url") and values.get("smtp_ehlo_name", "bad") is None:
        try:
            values["smtp_ehlo_name"] = ehlo_name_of(values["public_url"])
        except ValueError as problem:
            problems.append(f"SMTP_EHLO_NAME is not set, and the host of PUBLIC_URL does not do: it {problem}")
    if values.get("public_url") and values.get("issuer", "bad") is None:
        values["issuer"] = values["public_url"]
    return values, [*problems, *_clashes(values), *receiver_clashes(values)]


def _require_unspoilt(raw: str) -> None:
    """Refuse a value that cannot be what was meant, because something on its way to the environment changed it."""
    # Python turns invalid UTF-8 in the environment into lone surrogates. Text with surrogates cannot be encoded again.
    if any("\ud800" <= char <= "\udfff" for char in raw):
        raise ValueError("must be text in UTF-8")
    if len(raw) > 1 and raw[0] == raw[-1] and raw[0] in "\"'":
        raise ValueError("is in quotes, which would be part of the value; docker's --env-file keeps them")


def _clashes(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of settings that do not fit together. Those that are bad by themselves are not in `values`."""
    if values.get("smtp_url", "bad"):
        needed = [name for name in ("mail_from", "public_url") if values.get(name, "bad") is None]
        yield from (f"{variable(name)} is not set, and SMTP_URL needs it" for name in needed)
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
