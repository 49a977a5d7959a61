"""The estimate of how many guesses a password would take."""

import pytest

from app.rules.password_strength import guesses_log10, score_of


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        ("password", "passwore"),
        ("password", "password7"),
        ("passwordpassword", "passwordelephant"),
        ("aaaaaaaaaaaa", "aaaabbbbcccc"),
        ("abcdefghijkl", "abdcfehgjilk"),
        ("87654321", "82641735"),
        ("pamphlet", "xk3!q9_z"),
        ("correct horse", "correct horse battery"),
        ("", "a"),
    ],
)
def test_what_is_harder_to_guess_takes_more_guesses(weaker, stronger):
    assert guesses_log10(weaker) < guesses_log10(stronger)


@pytest.mark.parametrize(
    ("password", "score"),
    [
        *[(password, 0) for password in ("password", "PASSWORD", "12345678", "aaaaaaaa", "", "x" * 8)],
        *[("pamphlets7", 2), ("xk3!q9_z", 3), ("correct horse battery", 4), ("tQ9!mV2#xL7$", 4)],
    ],
)
def test_the_score_is_that_of_zxcvbn(password, score):
    """Which has it from the guesses: fewer than a thousand are 0, ten thousand millions are 4."""
    assert score_of(guesses_log10(password)) == score


def test_what_the_user_is_called_is_guessed_first():
    names = ("Alice.Smith@example.com", "Wonderland")
    for known in ("alice.smith", "wonderland", "alice.smith@example.com"):
        assert guesses_log10(known + "7", *names) < 3 < guesses_log10(known + "7")
    assert guesses_log10("wonderland7", None, None) == guesses_log10("wonderland7")


@pytest.mark.parametrize("typed", ["4@8({[<369&#!1/|0$5+7%2" * 4, "ab" * 30_000, "password" * 8_000, "\u1e2d" * 72])
def test_the_work_is_bounded(typed):
    """However long a password is, the rest of it is not looked at: nothing else limits the work."""
    assert guesses_log10(typed + "xk3!q9_z") == guesses_log10(typed[:72])
