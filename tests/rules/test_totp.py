"""Time-based codes."""

import pyotp
import pytest

from app.rules import totp

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # the key of RFC 6238's test vectors, in base32


@pytest.mark.parametrize(("now", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_codes_are_those_of_the_rfc(now, code):
    """RFC 6238, appendix B, the last six of its eight digits."""
    assert totp.matching_step(SECRET, code, now, window=0) == now // 30


@pytest.mark.parametrize(("offset", "window", "matches"), [(0, 0, True), (-1, 0, False), (-1, 1, True), (2, 1, False)])
def test_the_window_is_steps_either_way(offset, window, matches):
    now = 1_700_000_010
    code = pyotp.TOTP(SECRET).generate_otp(now // 30 + offset)
    assert (totp.matching_step(SECRET, code, now, window) == now // 30 + offset) is matches


@pytest.mark.parametrize("code", ["", "12345", "1234567", "٠١٢٣٤٥", "abcdef", "000000\n0", " "])
def test_what_is_no_code_matches_nothing(code):
    assert totp.matching_step(SECRET, code, 59, window=1) is None


def test_spaces_in_a_code_are_passed_over():
    assert totp.matching_step(SECRET, " 287 082", 59, window=0) == 1


def test_the_clock_before_the_first_step():
    assert totp.matching_step(SECRET, "755224", 0, window=1) == 0


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (SECRET, SECRET),
        (SECRET.lower(), SECRET),
        ("GEZD GNBV-GY3T QOJQ GEZD GNBV GY3T QOJQ", SECRET),
        (SECRET[:-1], None),
    ],
)
def test_secrets_are_brought_to_one_form(text, secret):
    assert totp.read_secret(text, totp.SECRET_BITS) == secret
