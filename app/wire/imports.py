"""The shape of a line in the file of `flask users import`. Its fields: import_fields.py.

How lines are imported: rules/imports.py.
"""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from marshmallow import ValidationError, fields, pre_load, validates_schema

from app.rules.import_lines import ImportedPasskey, ImportedUser
from app.rules.password_hashes import MAX_COST
from app.stores.passkeys import MAX_PASSKEYS
from app.text import visible
from app.wire.fields import GLOBAL_NAME_CHECKS, REQUIRED, USERNAME_CHECKS, Items, Nested, Text, WireSchema, length
from app.wire.import_fields import (
    TOTP_PARAMETERS,
    Counter,
    CredentialId,
    ForeignEmailAddress,
    ForeignHash,
    Moment,
    PublicKey,
    Snowflake,
    SqlFlag,
    Totp,
    Transports,
)

_MAX_NAME = 32  # characters of a passkey's name
_FIELD_NAME = re.compile("[A-Za-z0-9_.-]{1,40}")
# How services write that nobody has a password: Django a mark and letters, others a mark alone.
_NO_PASSWORD = re.compile(r"![A-Za-z0-9]{0,64}|\*|x")


def _drop_empty(line: Any) -> Any:
    """Return an object without the fields that are null or empty, which are as if they were absent."""
    if not isinstance(line, dict):  # refused as soon as it is loaded
        return line
    return {name: value for name, value in line.items() if value is not None and value != ""}


def _unknown_fields(line: Any, known: Collection[str]) -> Mapping[str, str]:
    """Return a sentence for each field that no line has. Its name is told, if it has the form of one."""
    unknown = [name for name in line if name not in known] if isinstance(line, dict) else []
    if not unknown:  # as in nearly every line
        return {}
    plain = {re.sub("[^a-z0-9]", "", name.lower()): name for name in known}
    problems = {}
    for name in unknown:
        shown = name if _FIELD_NAME.fullmatch(name) else "a field"
        meant = get_close_matches(re.sub("[^a-z0-9]", "", name.lower()), plain, 1, 0.8)
        problems[shown] = f"Unknown field, {plain[meant[0]]} is known" if meant else "Unknown field"
    return problems


class ImportedPasskeySchema(WireSchema):
    """A passkey of a line. Its name is cut to what a name may have, because other services have longer ones."""

    into = ImportedPasskey

    cred_id = CredentialId(required=True, data_key="id", error_messages={"required": REQUIRED})
    public_key = PublicKey(required=True, error_messages={"required": REQUIRED})
    sign_count = Counter()
    transports = Transports()
    name = Text(validate=GLOBAL_NAME_CHECKS)
    backup_eligible = SqlFlag()
    created_at = Moment()
    last_used_at = Moment()

    @pre_load
    def _clean(self, data: Any, **_: Any) -> Any:
        told = _drop_empty(data)
        name = told.get("name") if isinstance(told, dict) else None
        if not isinstance(name, str):
            return told
        return _drop_empty(told | {"name": visible(visible(name).strip()[:_MAX_NAME]).strip()})

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _refuse_unknown(self, _: Any, sent: Any, **__: Any) -> None:
        known = {field.data_key or name for name, field in self.fields.items()}
        for name, problem in _unknown_fields(sent, known).items():
            raise ValidationError(f"BASE_TYPE_UNKNOWN: {name}: {problem}.")


class ImportedUserSchema(WireSchema):
    """A line. Names follow the rules of registration, once outer spaces and hidden characters are taken from them.

    Attributes:
        most_cost: The highest cost that a password hash may have, in that of bcrypt.
        why_no_passkeys: Why passkeys cannot be used here, as a sentence; "" if they can. They are a second factor, so
            whoever has one that cannot be used would be locked out.
        drops_unusable: Take a user whose hash cannot be used here without it.
        takes_any_id: Take an id that is no snowflake, and give a new one.
    """

    into = ImportedUser
    most_cost = float(MAX_COST)
    why_no_passkeys = ""
    drops_unusable = False
    takes_any_id = False

    email = ForeignEmailAddress(required=True)
    username = Text(required=True, validate=USERNAME_CHECKS)
    password_hash = ForeignHash()
    global_name = Text(validate=GLOBAL_NAME_CHECKS)
    totp = Totp(data_key="totp_secret")
    created_at = Moment()
    id = Snowflake()
    old_id = fields.String()
    disabled = SqlFlag()
    verified = SqlFlag()
    tokens_valid_since = Moment()
    passkeys = Items(Nested(ImportedPasskeySchema), validate=length(0, MAX_PASSKEYS))
    notes = fields.List(fields.String())

    @pre_load
    def _clean(self, data: Any, **_: Any) -> Any:
        told = _drop_empty(data)
        if not isinstance(told, dict):
            return told
        told.pop("old_id", None)  # our own field, which no line has
        texts = {name: told[name] for name in ("email", "username", "global_name") if isinstance(told.get(name), str)}
        clean = {name: visible(text).strip() for name, text in texts.items()}
        told |= clean | {
            "notes": [
                f"{name}: imported without its outer spaces and hidden characters"
                for name, text in clean.items()
                if text != texts[name]
            ]
        }
        if not told.get("global_name"):
            told.pop("global_name", None)
        self._drop_hash(told)
        self._read_id(told)
        return told

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _refuse_unknown(self, _: Any, sent: Any, **__: Any) -> None:
        known = {field.data_key or name for name, field in self.fields.items()} - {"old_id", "notes"}
        problems = _unknown_fields(sent, known | TOTP_PARAMETERS.keys())
        if problems:
            raise ValidationError({name: [f"BASE_TYPE_UNKNOWN: {problem}."] for name, problem in problems.items()})

    @validates_schema
    def _check_passkeys(self, data: Mapping[str, Any], **_: Any) -> None:
        ids = [passkey.cred_id for passkey in data.get("passkeys") or ()]
        if ids and self.why_no_passkeys:
            raise ValidationError(f"BASE_TYPE_CHOICES: None can be used here. {self.why_no_passkeys}", "passkeys")
        if len(set(ids)) < len(ids):
            raise ValidationError("BASE_TYPE_CHOICES: Must not have one passkey twice.", "passkeys")

    def _drop_hash(self, line: dict[str, Any]) -> None:
        """Take the hash of a line away if it says that there is no password, or may be dropped and cannot be used."""
        given = line.get("password_hash")
        if isinstance(given, str) and _NO_PASSWORD.fullmatch(given):
            del line["password_hash"]
        elif given is not None and self.drops_unusable:
            try:
                self.fields["password_hash"].deserialize(given)
            except ValidationError:
                del line["password_hash"]
                line["notes"].append("password_hash: cannot be used here; imported without a password")

    def _read_id(self, line: dict[str, Any]) -> None:
        """Note the id that a line has, and take it away if it is no snowflake and need not be one."""
        given = line.get("id")
        if isinstance(given, bool) or not isinstance(given, str | int):
            return
        line["old_id"] = str(given)
        try:
            self.fields["id"].deserialize(given)
        except ValidationError:
            if self.takes_any_id:
                del line["id"]
