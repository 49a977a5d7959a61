"""The lines of an import, as they were read, and their results. How a line is read: wire/imports.py.

How they are imported: imports.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.stores.factors import USUAL_TOTP, TotpParameters

# "double": an earlier line has the e-mail address. "there": a user had it before.
LineVerdict = Literal["imported", "there", "double", "bad"]


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address, as given (but trimmed), and in its normalised form."""

    given: str
    normalised: str


@dataclass(frozen=True, slots=True)
class ImportedPasskey:
    """A passkey that a line describes. The fields mean what they do in Passkey.

    Attributes:
        created_at: None means now.
    """

    cred_id: str
    public_key: bytes = field(repr=False)
    sign_count: int = 0
    transports: tuple[str, ...] = ()
    name: str = "Passkey"
    backup_eligible: bool | None = None
    created_at: int | None = None
    last_used_at: int | None = None


@dataclass(frozen=True, slots=True)
class ImportedTotp:
    """An authenticator app that a line describes.

    Attributes:
        secret: Base32.
    """

    secret: str = field(repr=False)
    parameters: TotpParameters = USUAL_TOTP


@dataclass(frozen=True, slots=True)
class ImportedUser:
    """The user that a line describes.

    Attributes:
        password_hash: In the form that is kept (password_hashes.py); "" for a user without a password.
        created_at: Unix seconds; None means now.
        id: A snowflake. If it is taken, or None, the user gets a new id.
        old_id: The id as the line has it, which need not be a snowflake; None if it has none.
        tokens_valid_since: Unix seconds, the fraction dropped. Tokens of the service before that were issued earlier
            are not adopted. None means that all are.
        notes: What was changed or dropped, as sentences for the operator.
        verified: Whether the address was proved to be the user's; None counts as yes.
    """

    email: Email
    username: str
    password_hash: str = field(default="", repr=False)
    global_name: str | None = None
    totp: ImportedTotp | None = None
    created_at: int | None = None
    id: str | None = None
    old_id: str | None = None
    disabled: bool = False
    verified: bool | None = None
    tokens_valid_since: int | None = None
    passkeys: Sequence[ImportedPasskey] | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file.

    Attributes:
        number: Counted from 1.
        user: The user that the line describes, or a sentence that says what is wrong with the line.
        raw: The line as it stands in the file.
    """

    number: int
    user: ImportedUser | str
    raw: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a line.

    Attributes:
        note: A sentence for the operator; "" if there is nothing to say.
        line: None only in tests of commands.
        user_id: The id of the user who has the address now; None if that was not asked for, or there is none.
    """

    number: int
    verdict: LineVerdict
    note: str = ""
    line: Line | None = field(default=None, repr=False)
    user_id: str | None = None
