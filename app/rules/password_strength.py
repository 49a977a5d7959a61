"""How many guesses a password would take: an estimate for those who choose one. Whether it may be used: passwords.py.

It divides a password as zxcvbn does (Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016),
and takes letters for words as NIST does (SP 800-63-1, appendix A). The library zxcvbn computes for seconds on 72
characters such as "4@8({[<3", and keeps what users are called in a table of the whole process. This takes a
millisecond.
"""

from math import log10
from operator import add

from app.rules.password_hashes import MAX_BYTES
from app.rules.passwords import COMMON, MIN_LENGTH, compose, words_of

_BY_CHARACTER = 1.0  # ten guesses for a character that nothing explains
_IN_A_RUN = log10(26)  # for the beginning of a run such as "aaaa", "4567" or "zyx"
_LEAST_PART = 3  # shorter ones are no pattern
_SCORES = (3, 6, 8, 10)  # decades of guesses from which zxcvbn's score is 1, 2, 3 and 4


def _of_word(size: int) -> float:
    """Return the guesses for so many letters: 4 bits for the first, 2 each up to the eighth, then 1.5, then 1."""
    return log10(2) * (4 + 2 * (min(size, 8) - 1) + 1.5 * min(max(size - 8, 0), 12) + max(size - 20, 0))


def _common_by_end() -> dict[str, list[tuple[str, float]]]:
    """Return the well-known passwords with their guesses, by their last characters: few of them end alike."""
    found: dict[str, list[tuple[str, float]]] = {}
    for word, rank in COMMON.items():
        found.setdefault(word[-MIN_LENGTH:], []).append((word, log10(rank + 1)))
    return found


_COMMON_BY_END = _common_by_end()
_SIZES = range(_LEAST_PART, MAX_BYTES + 1)
_OF_RUN = [_IN_A_RUN + log10(size) for size in _SIZES]
_OF_WORD = [_of_word(size) for size in _SIZES]


def guesses_log10(typed: str, *names: str | None) -> float:
    """Return the decimal logarithm of the guesses that find a password. Its first 72 characters are looked at.

    A part of it is a well-known password, a name of the user, a run, letters, what stands before it, or one character.
    The division into parts that takes the fewest guesses counts.

    Args:
        names: What the user is called; None is passed over.
    """
    text = compose(typed)[:MAX_BYTES].casefold()[:MAX_BYTES]
    names_of_user = [(word, log10(2)) for word in words_of(*names)]
    best = [0.0]  # for each length, the guesses for the beginning of that length
    run = letters = 0  # how many characters of one run, and how many letters, end here
    step: int | None = None
    for end, char in enumerate(text, 1):
        last_step, step = step, ord(char) - ord(text[end - 2]) if end > 1 else None
        run = run + 1 if step == last_step and step in (-1, 0, 1) else 2 if step in (-1, 0, 1) else 1
        letters = letters + 1 if char.isalpha() else 0
        guesses = [best[-1] + _BY_CHARACTER]
        known = [*_COMMON_BY_END.get(text[max(0, end - MIN_LENGTH) : end], []), *names_of_user]
        guesses += [best[end - len(word)] + one for word, one in known if text.endswith(word, 0, end)]
        guesses += map(add, _before(best, run), _OF_RUN)
        guesses += map(add, _before(best, letters), _OF_WORD)
        for size in range(_LEAST_PART, end // 2 + 1):
            start = end - size
            if text[start - 1] == char and text[start - size : start] == text[start:end]:
                guesses.append(best[start] + log10(size))
        best.append(min(guesses))
    return best[-1]


def _before(best: list[float], size: int) -> list[float]:
    """Return the guesses for what stands before each part that ends here, from the least part up to one of a size."""
    end = len(best)
    return best[end - size : end - _LEAST_PART + 1][::-1]


def score_of(guesses: float) -> int:
    """Return zxcvbn's score of the decimal logarithm of guesses, from 0 (guessed at once) to 4."""
    return sum(guesses >= decades for decades in _SCORES)
