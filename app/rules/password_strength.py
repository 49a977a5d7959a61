"""How many guesses a password would take: an estimate for those who choose one. Whether it may be used: passwords.py.

It divides a password as zxcvbn does (Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016),
and takes letters for words as NIST does (SP 800-63-1, appendix A). The library zxcvbn computes for seconds on 72
characters such as "4@8({[<3", and keeps what users are called in a table of the whole process. This work is bounded.
"""

from math import log10

from app.rules.passwords import COMMON, MAX_BYTES, compose, words_of

_BY_CHARACTER = 1.0  # ten guesses for a character that nothing explains
_IN_A_RUN = log10(26)  # for the beginning of a run such as "aaaa", "4567" or "zyx"
_LEAST_PART = 3  # shorter ones are no pattern
_SCORES = (3, 6, 8, 10)  # decades of guesses from which zxcvbn's score is 1, 2, 3 and 4


def guesses_log10(typed: str, *names: str | None) -> float:
    """Return the decimal logarithm of the guesses that find a password. Its first 72 characters are looked at.

    A part of it is a well-known password, a name of the user, a run, letters, what stands before it, or one character.
    The division into parts that takes the fewest guesses counts.

    Args:
        names: What the user is called; None is passed over.
    """
    text = compose(typed)[:MAX_BYTES].casefold()[:MAX_BYTES]
    names_of_user = words_of(*names)
    best = [0.0]  # for each length, the guesses for the beginning of that length
    run = letters = 0  # how many characters of one run, and how many letters, end here
    step: int | None = None
    for end, char in enumerate(text, 1):
        last_step, step = step, ord(char) - ord(text[end - 2]) if end > 1 else None
        run = run + 1 if step == last_step and step in (-1, 0, 1) else 2 if step in (-1, 0, 1) else 1
        letters = letters + 1 if char.isalpha() else 0
        least = best[-1] + _BY_CHARACTER
        for size in range(_LEAST_PART, end + 1):
            start = end - size
            part = text[start:end]
            guesses = [
                log10(COMMON[part] + 1) if part in COMMON else None,
                log10(2) if part in names_of_user else None,
                _IN_A_RUN + log10(size) if size <= run else None,
                _of_word(size) if size <= letters else None,
                log10(size) if text.endswith(part, 0, start) else None,
            ]
            least = min([least, *(best[start] + one for one in guesses if one is not None)])
        best.append(least)
    return best[-1]


def score_of(guesses: float) -> int:
    """Return zxcvbn's score of the decimal logarithm of guesses, from 0 (guessed at once) to 4."""
    return sum(guesses >= decades for decades in _SCORES)


def _of_word(size: int) -> float:
    """Return the guesses for so many letters: 4 bits for the first, 2 each up to the eighth, then 1.5, then 1."""
    return log10(2) * (4 + 2 * (min(size, 8) - 1) + 1.5 * min(max(size - 8, 0), 12) + max(size - 20, 0))
