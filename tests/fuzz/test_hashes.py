"""Hashes and authenticator apps of other services: whatever text comes, it is read or refused, and never an error."""

from contextlib import suppress

from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.rules import totp
from app.rules.password_hashes import MAX_COST, UnusableHash, read_hash, to_keep
from app.wire import keycloak
from tests.fuzz.test_parsers import JSON, nearly

CHEAP = [
    "$2a$04$" + "." * 53,
    "bcrypt$$2b$04$" + "." * 53,
    "bcrypt_sha256$$2b$04$" + "." * 53,
    "$argon2id$v=19$m=64,t=1,p=2$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
    "argon2$argon2i$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
    "pbkdf2_sha256$10$salt$" + "A" * 43 + "=",
    "$pbkdf2-sha512$i=10,l=32$c2FsdHNhbHRzYWx0$" + "A" * 43,
    "scrypt$16$salt$1$1$" + "A" * 43,
    "$scrypt$ln=4,r=1,p=1$c2FsdHNhbHRzYWx0$" + "A" * 43,
    "0" * 32 + ":" + "f" * 128,
    "$firescrypt$ln=4,r=1,p=1$c2FsdA==$" + "A" * 86 + "==$Bw==$" + "A" * 86 + "==",
    "$fbscrypt$v=1,n=4,r=1,p=1,ss=Bw==,sk=" + "A" * 86 + "==$c2FsdA==$" + "A" * 86 + "==",
]
NUMBERS = st.integers(0, 2**70).map(str) | st.sampled_from(["0", "1", "2", "3", "16", "31", "32", "64", "262144"])


def judge(text):
    """Read a hash, and use it if that is cheap."""
    try:
        read = read_hash(text)
    except UnusableHash:
        return
    assert read.cost <= MAX_COST
    assert not read_hash(to_keep(text)).is_ours
    if read.cost < 6:
        for password in (b"", b"x" * 100, "ä".encode()):
            assert read.matches(password) in (True, False)


@given(nearly(st.sampled_from(CHEAP)) | st.text())
@example("$2b$04$" + "." * 53)
def test_a_hash_is_read_or_refused(text):
    judge(text)


@given(st.data())
def test_so_it_is_whatever_its_numbers_are(data):
    text = data.draw(st.sampled_from(CHEAP))
    numbers = [part for part in text.replace(",", "$").split("$") if "=" in part or part.isdecimal()]
    assume(numbers)
    part = data.draw(st.sampled_from(numbers))
    name, sign, _ = part.partition("=") if "=" in part and not part.endswith("=") else ("", "", "")
    judge(text.replace(part, f"{name}{sign}{data.draw(NUMBERS)}", 1))


PARTS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "value": JSON | st.just("Quohp7t2mrLMUwft3g90"),
        "salt": JSON | st.just("IQU7tTvDbMtynBAFmSOrpA=="),
        "algorithm": st.sampled_from(["argon2", "pbkdf2-sha256", "HmacSHA1", 7]),
        "hashIterations": JSON | st.integers(),
        "additionalParameters": JSON,
        "subType": st.sampled_from(["totp", "hotp"]),
        "digits": JSON,
        "period": JSON,
        "secretEncoding": JSON,
    },
)


@given(st.fixed_dictionaries({}, optional={"secretData": PARTS, "credentialData": PARTS, "secret_data": PARTS}))
def test_an_object_is_a_credential_of_keycloaks_or_refused(credential):
    with suppress(UnusableHash):
        judge(keycloak.read_hash(credential))
    with suppress(totp.BadSecret):
        _, parameters = keycloak.read_totp(credential)
        assert parameters.digits in (6, 8)


URI = "otpauth://totp/a:b?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&algorithm=SHA256&digits=8&period=60&issuer=a"


@given(nearly(st.just(URI)) | st.text().map("otpauth://totp/x?".__add__) | st.text())
@example("otpauth://totp/x?secret=%FF%FE")
@example("otpauth://[x")
@example("otpauth://totp/x?secret=" + "A" * 32 + "&period=" + "9" * 5000)
def test_a_secret_is_read_or_refused(text):
    try:
        secret, parameters = totp.read_enrolment(text, 80)
    except totp.BadSecret:
        return
    if parameters:
        totp.matching_step(secret, "12345678", 1_700_000_000, 1, parameters)
