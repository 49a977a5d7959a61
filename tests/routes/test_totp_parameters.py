"""Authenticator apps of other algorithms, of 8 digits or other periods: at enrolment, login and step-up."""

import hashlib

import pyotp
import pytest

from app.stores.factors import TotpParameters
from tests.device import PASSWORD

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
DIGESTS = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}


class AuthenticatorApp:
    """pyotp.TOTP takes no period over two minutes."""

    def __init__(self, algorithm="SHA1", digits=6, period=30):
        self._codes = pyotp.HOTP(SECRET, digits=digits, digest=DIGESTS[algorithm])
        self._period = period

    def at(self, now):
        return self._codes.at(now // self._period)


@pytest.mark.parametrize(
    ("algorithm", "digits", "period"),
    [("SHA512", 8, 60), ("SHA256", 6, 30), ("SHA1", 8, 15), ("SHA1", 6, 3600)],
)
def test_a_client_enrols_with_a_uri_and_each_code_counts_once(
    alice, new_device, users, clock, algorithm, digits, period
):
    shown = AuthenticatorApp(algorithm, digits, period)
    uri = f"otpauth://totp/a?secret={SECRET}&algorithm={algorithm}&digits={digits}&period={period}"
    body = {"password": PASSWORD, "secret": uri, "code": shown.at(int(clock()))}
    wrong = body | {"code": AuthenticatorApp().at(int(clock()))}
    assert alice.post("/users/@me/mfa/totp/enable", wrong).json["code"] == 60008
    alice.token = alice.post("/users/@me/mfa/totp/enable", body).json["token"]
    assert users.get(alice.user_id).totp_parameters == TotpParameters(algorithm, digits, period)
    used = shown.at(int(clock()))
    clock.advance(period)
    login = {"login": alice.email, "password": PASSWORD}
    for code, status in ((used, 400), (shown.at(int(clock())), 200), (shown.at(int(clock())), 400)):
        ticket = new_device().post("/auth/login", login).json["ticket"]
        assert new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": code}).status_code == status
    clock.advance(period)
    answer = alice.post("/users/@me/mfa/totp/disable", {"code": shown.at(int(clock()))})
    assert answer.status_code == 200
    alice.token = answer.json["token"]
    alice.enable_totp(clock())  # with SHA-1, six digits and 30 seconds: nothing of the former app is left
    assert users.get(alice.user_id).totp_parameters == TotpParameters()


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (f"otpauth://totp/a?secret={SECRET}&digits=7", "6 or 8 digits"),
        (f"otpauth://totp/a?secret={SECRET}&algorithm=MD5", "algorithm SHA1"),
        ("otpauth://hotp/a?secret=" + SECRET, "otpauth URI of type totp"),
        ("JBSWY3DPEHPK3PXP", "base32 of 128 bits"),
    ],
)
def test_what_cannot_be_checked_is_refused_at_its_field(alice, secret, said):
    answer = alice.post("/users/@me/mfa/totp/enable", {"password": PASSWORD, "secret": secret, "code": "123456"})
    assert (answer.status_code, answer.json["code"]) == (400, 60005)
    for field in ("secret", "code"):
        [problem] = answer.json["errors"][field]["_errors"]
        assert problem["code"] == "INVALID_SECRET"
        assert said in problem["message"]
