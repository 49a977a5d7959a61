"""The list of characters that are never shown or accepted in other people's text.

Limits on length: wire/ for names, callers/client_info.py for clients.
"""

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (bidi among them), surrogate, line and paragraph marks
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"  # Hangul fillers and the Braille blank are invisible, too


def visible(text: str) -> str:
    """Return a text without its hidden characters.

    The rest cannot move the cursor, reverse the writing direction or end the line.
    """
    return "".join(char for char in text if not _is_hidden(char))


def has_hidden(text: str) -> bool:
    """Tell whether a text has a character that nobody can see."""
    return any(map(_is_hidden, text))


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN or char in _BLANK_LETTERS
