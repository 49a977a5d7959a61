"""Time-based codes."""

import base64

import pyotp
import pytest

from app.brand import read_name
from app.rules import totp
from app.rules.email_addresses import normalise_email
from app.stores.factors import TotpParameters

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


RFC_KEYS = {  # the ASCII digits again and again, as long as the algorithm's digest (RFC 6238, errata 2866)
    name: base64.b32encode((b"1234567890" * 7)[:size]).decode().rstrip("=")
    for name, size in (("SHA1", 20), ("SHA256", 32), ("SHA512", 64))
}


@pytest.mark.parametrize(
    ("algorithm", "now", "code"),
    [
        ("SHA1", 59, "94287082"),
        ("SHA256", 59, "46119246"),
        ("SHA512", 59, "90693936"),
        ("SHA1", 20000000000, "65353130"),
        ("SHA256", 20000000000, "77737706"),
        ("SHA512", 20000000000, "47863826"),
    ],
)
def test_codes_of_other_algorithms_are_those_of_the_rfc(algorithm, now, code):
    parameters = TotpParameters(algorithm, 8, 30)
    assert totp.matching_step(RFC_KEYS[algorithm], code, now, 0, parameters) == now // 30
    assert totp.matching_step(RFC_KEYS[algorithm], code[2:], now, 0, parameters) is None
    assert totp.matching_step(RFC_KEYS[algorithm], code[2:], now, 0) == (now // 30 if algorithm == "SHA1" else None)


@pytest.mark.parametrize("period_s", [1, 60, 120, 121, 3600])
def test_a_period_makes_the_steps(period_s):
    """Whatever may be enrolled or imported: pyotp's own class for TOTP takes no period over two minutes."""
    code = pyotp.HOTP(SECRET).at(1_700_000_010 // period_s - 1)
    parameters = totp.read_parameters(period_s=str(period_s))
    assert totp.matching_step(SECRET, code, 1_700_000_010, 1, parameters) == 1_700_000_010 // period_s - 1
    assert totp.matching_step(SECRET, code, 1_700_000_010, 0, parameters) is None


USUAL = TotpParameters()


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (SECRET, None),
        (f"otpauth://totp/Keyrack:ada@example.com?secret={SECRET}&issuer=Keyrack", USUAL),
        (f"OTPAUTH://TOTP/x?secret={SECRET.lower()}", USUAL),
        (f"otpauth://totp/x?secret={SECRET}&algorithm=SHA1&digits=6&period=30", USUAL),
        (f"otpauth://totp/x?secret={SECRET}&algorithm=sha-256", TotpParameters("SHA256")),
        (f"otpauth://totp/x?algorithm=HmacSHA512&digits=8&period=60&secret={SECRET}", TotpParameters("SHA512", 8, 60)),
        (f"otpauth://totp/A%2FB%3A?secret={'+'.join((SECRET[:4], SECRET[4:]))}&image=https%3A%2F%2Fx&color=1", USUAL),
        (f" otpauth://totp/x?secret={SECRET}&digits=\n", USUAL),
    ],
)
def test_a_client_tells_its_secret_as_base32_or_as_a_uri(text, parameters):
    assert totp.read_enrolment(text, 128) == (SECRET, parameters)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "base32 of 128 bits"),
        ("JBSWY3DPEHPK3PXP", "base32 of 128 bits"),
        ("A" * 136, "128 letters at most"),
        ("otpauth://totp/x", "base32 of 128 bits"),
        ("otpauth://totp/x?secret=1", "base32 of 128 bits"),
        (f"otpauth://hotp/x?secret={SECRET}&counter=1", "of type totp"),
        (f"otpauth-migration://offline?data={SECRET}", "of type totp"),
        (f"https://totp/x?secret={SECRET}", "of type totp"),
        (f"otpauth://totp/x?secret={SECRET}&encoder=steam", "of type totp"),
        (f"otpauth://totp/x?secret={SECRET}&secret={SECRET}", "twice"),
        (f"otpauth://totp/x?secret={SECRET}&algorithm=MD5", "algorithm SHA1, SHA256, SHA512"),
        (f"otpauth://totp/x?secret={SECRET}&digits=7", "6 or 8 digits"),
        (f"otpauth://totp/x?secret={SECRET}&digits=٦", "6 or 8 digits"),
        (f"otpauth://totp/x?secret={SECRET}&period=0", "period from 1"),
        (f"otpauth://totp/x?secret={SECRET}&period=3601", "period from 1"),
        (f"otpauth://totp/x?secret={SECRET}&period=30.0", "period from 1"),
        ("otpauth://[", "base32, or an otpauth URI"),
        (f"otpauth://totp/x?secret={SECRET}" + "&a=1" * 60, "base32, or an otpauth URI"),
    ],
)
def test_a_secret_whose_codes_cannot_be_checked_is_refused(text, said):
    with pytest.raises(totp.BadSecret, match=said):
        totp.read_enrolment(text, 128)


def test_the_longest_names_that_there_may_be_have_a_picture():
    """Each byte of what is not ASCII takes three in a URI, and the name of the service is twice in it."""
    address = "ä" * 32 + "@" + ".".join(["ä" * 30] * 3) + ".com"
    assert normalise_email(address)
    assert "<svg" in totp.qr_code(SECRET, address, read_name("😀" * 64))
