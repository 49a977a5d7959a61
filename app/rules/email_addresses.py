"""E-mail addresses: which may register, by which form an account is found, and where its mail goes."""

import re
import unicodedata

import email_validator
from email_validator import EmailNotValidError, validate_email

from app.text import has_hidden, visible

email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()  # in an intranet, addresses may end in .local or .test

NO_EMAIL = "EMAIL_TYPE_INVALID_EMAIL: Not a well formed email address."
MAX_EMAIL_LENGTH = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets
_MAX_LOCAL_LENGTH = 64  # RFC 5321, 4.5.3.1.1
_NEEDLESS_QUOTES = re.compile(r'^"([\w!#$%&\'*+/=?^`{|}~-]+(?:\.[\w!#$%&\'*+/=?^`{|}~-]+)*)"$')  # RFC 5321, 4.1.2


def trim_email(typed: str) -> str:
    """Return an address as it was typed, without outer spaces and hidden characters."""
    return visible(typed).strip()


def normalise_email(email: str) -> str:
    """Return the normalised form of an e-mail address: lower case, with the domain in Unicode.

    The text may be no address at all. Then no account has it.
    """
    return normal_forms(email)[0]


def normal_forms(email: str) -> list[str]:
    """Return the forms under which the account of an address may be kept: its normalised form first.

    An earlier release did not compose the small letters again, which for J with a caron or H with a line below differs.
    """
    if len(email) > MAX_EMAIL_LENGTH:  # no account has it, and NFC takes quadratic time for many combining marks
        return [email]
    local, at, domain = trim_email(email).rpartition("@")
    local = _NEEDLESS_QUOTES.sub(r"\1", local)
    end = at + _domain(domain)[0]
    small = _compose(_compose(local).lower())
    former = {_compose(local).lower(), small.upper().lower()} - {small}
    return [small + end, *sorted(form + end for form in former if _compose(form) == small)]


def may_register(email: str) -> bool:
    """Tell whether an address is well formed. Dots may follow each other or end the local part, as Japan has them."""
    local, at, domain = email.rpartition("@")
    if len(local) > _MAX_LOCAL_LENGTH:
        return False
    try:
        validate_email(re.sub(r"\.+", ".", local).rstrip(".") + at + domain, check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


def may_be_imported(email: str) -> bool:
    """Tell whether another service may have had an address: one @, and neither spaces nor hidden characters."""
    local, _, domain = email.partition("@")
    is_clean = not has_hidden(email) and not any(map(str.isspace, email))
    return bool(local and domain) and "@" not in domain and is_clean and len(email) <= MAX_EMAIL_LENGTH


def mailbox(email: str) -> tuple[str, str]:
    """Return the local part, without quotes, and the domain in ASCII, to which the mail of an address is sent."""
    local, _, domain = email.rpartition("@")
    if re.fullmatch(r'".*"', local):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    return _compose(local), _domain(domain)[1]


def understood_as(typed: str) -> str | None:
    """Return where the mail of a typed address goes, if its domain is another text than the typed one; else None."""
    local, at, domain = typed.strip().rpartition("@")
    if not local or len(typed) > MAX_EMAIL_LENGTH or _domain(domain)[1] == domain.lower():
        return None
    return local + at + _domain(domain)[1]


def _domain(typed: str) -> tuple[str, str]:
    """Return a domain in Unicode and in ASCII (IDNA 2008, as mail servers and not all browsers have it)."""
    typed = typed.removesuffix(".")  # of the root, which changes nothing
    if typed.isascii() and "xn--" not in typed.lower():
        return typed.lower(), typed.lower()
    try:
        checked = validate_email(f"x@{typed}", check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return _compose(typed).lower(), _compose(typed).lower()
    return checked.domain, checked.ascii_domain


def _compose(text: str) -> str:
    return unicodedata.normalize("NFC", text)
