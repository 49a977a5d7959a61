"""The list of characters that are never shown or accepted in other people's text, and codes as people type them.

Limits on length: wire/ for names; `clean` for what clients and databases tell.
"""

import re
import unicodedata
from typing import Any

MAX_SHOWN = 64  # characters of a value that a client or a database tells

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (bidi among them), surrogate, line and paragraph marks
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"  # Hangul fillers and the Braille blank are invisible, too
# Words of Persian and Sinhala, and many emoji, have a joiner (U+200C, U+200D) between two characters that are seen.
_JOINERS = re.compile("[\u200c\u200d]+")
# A flag of a region, such as Scotland's: tags follow the black flag (Unicode, UTS 51, annex C).
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")


def visible(text: str) -> str:
    """Return a text without its hidden characters.

    The rest cannot move the cursor, reverse the writing direction or end the line. A joiner between two characters that
    are seen stays, and so does the flag of a region.
    """
    if text.isascii() and text.isprintable():
        return text
    in_flags = {at for flag in _FLAG.finditer(text) for at in range(*flag.span())}
    kept = "".join(char for at, char in enumerate(text) if at in in_flags or not _is_hidden(char))
    return _JOINERS.sub(_keep_one_within_a_word, kept)


def clean(value: Any) -> str | None:
    """Return a text without hidden characters, cut to 64 characters; None if nothing is left, or if it is no text."""
    if not isinstance(value, str):
        return None
    shown = visible(value[: 4 * MAX_SHOWN]).strip()
    return visible(shown[:MAX_SHOWN]).rstrip() or None  # the cut may leave a joiner at the end


def has_hidden(text: str) -> bool:
    """Tell whether a text has a character that nobody can see."""
    return visible(text) != text


def plain_code(typed: str) -> str:
    """Return a code as it is meant, whatever the keyboard: lower case, with ASCII digits, without spaces and dashes."""
    # Keyboards and apps of many scripts have digits of their own; a copied code may bring marks of direction along.
    shown = (char for char in typed if not (char.isspace() or char == "-" or _is_hidden(char)))
    return "".join(str(unicodedata.decimal(char, char)) for char in shown).lower()


def _keep_one_within_a_word(joiners: re.Match[str]) -> str:
    before, after = joiners.string[: joiners.start()][-1:], joiners.string[joiners.end() :][:1]
    return joiners[0][0] if before.strip() and after.strip() else ""


def _is_hidden(char: str) -> bool:
    return (unicodedata.category(char) in _HIDDEN and char not in "\u200c\u200d") or char in _BLANK_LETTERS
