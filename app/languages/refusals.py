"""What pages say of the refusals of the API: the same sentences, in the language of the page.

The API's own messages stay English, and so does on pages what is not listed here, such as what the application behind
the gateway says. A number in a sentence may be any: {1} stands for the first one.
"""

import re
from collections.abc import Mapping

from app.languages.texts import gettext, marked

_NUMBER = re.compile(r"[0-9](?:[0-9,]*[0-9])?")
_PLACE = re.compile(r"\{([1-9])\}")

SENTENCES = frozenset(
    {
        marked("Login or password is invalid."),
        marked("Email is already registered."),
        marked("Not a well formed email address."),
        marked("This field is required"),
        marked("Must be between {1} and {2} in length."),
        marked("Must be {1} bytes or fewer in UTF-{2}."),
        marked("Must not contain hidden characters or outer spaces."),
        marked("Password may not contain a NUL character."),
        marked("Password is too weak or common to use."),
        marked("Password may not be your name or e-mail address."),
        marked("Password may not contain your name or e-mail address, or a part of them."),
        marked("Password has been in a data leak, so others may try it. Choose another one."),
        marked("Password does not match."),
        marked("The address of an account cannot be changed here."),
        marked("Must be base{1} of {2} bits or more, {3} letters at most."),
        marked("Invalid two-factor secret"),
        marked("Invalid two-factor code"),
        marked("Invalid two-factor auth ticket"),
        marked("This account is already enrolled in two-factor authentication"),
        marked("This account is not enrolled in two-factor authentication"),
        marked("This link has expired or was used already."),
        marked("This passkey could not be added."),
        marked("An account can have {1} passkeys. Remove one first."),
        marked("You could not log in any more: you have no password. Set one, or add another passkey first."),
        marked("Session not found"),
        marked("Please verify your email address first: we have sent you a link. Then log in again."),
        marked("Device not found"),
        marked("You are being rate limited."),
        marked("Request entity too large"),
        marked("{1}: Bad Request"),
        marked("{1}: Unauthorized"),
        marked("{1}: Forbidden"),
        marked("{1}: Not Found"),
        marked("{1}: Method Not Allowed"),
        marked("{1}: Internal Server Error"),
        marked("{1}: Service Unavailable"),
        marked(
            "{1}: Service Unavailable. This may or may not have happened: too few replicas have confirmed it. "
            "It is safe to send it again."
        ),
    }
)


def in_words(sentence: str) -> str:
    """Return a sentence of the API in the language of this page."""
    numbers: list[str] = []

    def note(number: re.Match[str]) -> str:
        numbers.append(number[0])
        return f"{{{len(numbers)}}}"

    known = _NUMBER.sub(note, sentence)
    if known not in SENTENCES:
        return sentence
    return _PLACE.sub(lambda place: numbers[int(place[1]) - 1], gettext(known))


def sentences_in_words() -> Mapping[str, str]:
    """Return what a script of this page says for each sentence of the API (static/texts.js)."""
    return {sentence: gettext(sentence) for sentence in SENTENCES}
