"""The texts of passkeys: a right answer passes, and each lie is refused and raises nothing else."""

import itertools
import json
import re
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from webauthn.helpers import encode_cbor

from app.rules import cose
from app.rules.relying_party import RelyingParty
from app.rules.webauthn import (
    MAX_TEXT,
    BadAnswer,
    creation_text,
    new_challenge,
    read_attestation,
    request_text,
    user_of,
    verify_assertion,
)
from app.stores.passkeys import Passkey
from app.stores.user_records import User
from tests import authenticator
from tests.authenticator import EDDSA, ES256, ML_DSA_44, ML_DSA_65, ML_DSA_87, RS256, Authenticator, b64url

ORIGIN = "https://keys.example.com"
PARTY = RelyingParty("keys.example.com", (ORIGIN, "https://chat.example.com"))
USER_ID = "1234567890123456789"
ALICE = User(
    id=USER_ID,
    email="alice@example.com",
    username="alice",
    global_name="Alice A.",
    password_hash="",
    created_at=0,
    credentials_version="1",
    totp_secret=None,
    disabled=False,
    backup_codes_left=0,
)


def kept(new):
    """Return a passkey as it is kept of what a device made."""
    return Passkey(
        cred_id=new.cred_id,
        id="1",
        name="Laptop",
        public_key=new.public_key,
        sign_count=new.sign_count,
        transports=new.transports,
        backup_eligible=new.backup_eligible,
        created_at=0,
    )


def made_by(device, **lies):
    """Return what the service reads of a passkey that the device made for Alice."""
    challenge = new_challenge()
    return read_attestation(PARTY, device.make(creation_text(PARTY, ALICE, challenge), **lies), challenge)


@pytest.fixture
def device():
    return Authenticator(ORIGIN)


@pytest.fixture
def passkey(device):
    return kept(made_by(device))


@pytest.fixture
def challenge():
    return new_challenge()


def signed(device, passkeys, challenge, /, *, needs_uv=False, **lies):
    """Return what comes of an assertion of the device for Alice."""
    wish = "required" if needs_uv else "preferred"
    text = device.get(request_text(PARTY, challenge, [], user_verification=wish), **lies)
    return verify_assertion(PARTY, text, challenge, USER_ID, passkeys, needs_uv=needs_uv)


def refusal(function, *args, **named):
    """Return the word of a refusal."""
    with pytest.raises(BadAnswer) as refused:
        function(*args, **named)
    return str(refused.value)


def test_a_challenge_is_random():
    """It has 256 bits, and no two are the same."""
    assert re.fullmatch("[A-Za-z0-9_-]{43}", new_challenge())
    assert len({new_challenge() for _ in range(100)}) == 100


def test_a_browser_is_asked_to_make_a_passkey(passkey, challenge):
    user = replace(ALICE, passkeys=(passkey,))
    assert json.loads(creation_text(PARTY, user, challenge)) == {
        "publicKey": {
            "rp": {"id": "keys.example.com", "name": "Keyrack"},
            "user": {"id": b64url(USER_ID.encode()), "name": "alice@example.com", "displayName": "Alice A."},
            "challenge": challenge,
            "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in (-7, -8, -257)],
            "timeout": 60000,
            "excludeCredentials": [{"type": "public-key", "id": passkey.cred_id, "transports": ["internal"]}],
            "authenticatorSelection": {
                "residentKey": "preferred",
                "requireResidentKey": False,
                "userVerification": "preferred",
            },
            "attestation": "none",
            "extensions": {"credProps": True},
        }
    }


def test_a_user_without_further_names_is_shown_by_those_there_are(challenge):
    asked = json.loads(creation_text(PARTY, replace(ALICE, global_name=None), challenge))["publicKey"]["user"]
    assert (asked["name"], asked["displayName"]) == ("alice@example.com", "alice")


def test_a_browser_is_asked_for_a_passkey_of_a_user(passkey, challenge):
    assert json.loads(request_text(PARTY, challenge, [passkey], user_verification="preferred")) == {
        "publicKey": {
            "challenge": challenge,
            "timeout": 60000,
            "rpId": "keys.example.com",
            "allowCredentials": [{"type": "public-key", "id": passkey.cred_id, "transports": ["internal"]}],
            "userVerification": "preferred",
        }
    }


def test_a_browser_is_asked_for_any_passkey(challenge):
    """At a sign-in without a name. The form of a page is offered them by autofill."""
    text = request_text(PARTY, challenge, [], user_verification="required", mediation="conditional")
    assert json.loads(text) == {
        "publicKey": {
            "challenge": challenge,
            "timeout": 60000,
            "rpId": "keys.example.com",
            "allowCredentials": [],
            "userVerification": "required",
            "extensions": {"uvm": True},
        },
        "mediation": "conditional",
    }
    assert "mediation" not in json.loads(request_text(PARTY, challenge, [], user_verification="required"))


@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
@pytest.mark.parametrize("fermi", [False, True])
def test_a_passkey_is_made_and_used(alg, fermi, challenge):
    """Each algorithm that is offered works, also from a client that writes standard base64 without id and type."""
    device = Authenticator(ORIGIN, algorithms=(alg,))
    new = made_by(device, fermi=fermi)
    assert (new.cred_id, new.public_key) == (device.credentials[0].cred_id, device.credentials[0].public_key)
    assert (new.sign_count, new.backup_eligible) == (0, False)
    assert new.transports == (() if fermi else ("internal",))
    text = device.answer(device.credentials[0], challenge, fermi=fermi)
    seen = verify_assertion(PARTY, text, challenge, USER_ID, [kept(new)], needs_uv=True)
    assert (seen.cred_id, seen.sign_count) == (new.cred_id, 1)
    assert user_of(text) == USER_ID


@pytest.mark.parametrize("alg", [ML_DSA_44, ML_DSA_65, ML_DSA_87])
def test_an_imported_key_of_another_algorithm_verifies(alg, challenge):
    """A key of ML-DSA-87 has 2.6 kB, and its answer 6.7 kB, which is no more than is read."""
    device = Authenticator(ORIGIN)
    made = device.add("keys.example.com", USER_ID.encode(), alg)
    key = cose.plain_key(made.public_key)
    passkey = Passkey(made.cred_id, "1", "Key", key, 0, (), None, 0)
    text = device.answer(made, challenge)
    assert len(text) < MAX_TEXT
    assert verify_assertion(PARTY, text, challenge, USER_ID, [passkey], needs_uv=True).sign_count == 1
    lie = device.answer(made, challenge, signature=bytes(4627))
    assert refusal(verify_assertion, PARTY, lie, challenge, USER_ID, [passkey], needs_uv=True) == "assertion"


@pytest.mark.parametrize("alg", [ML_DSA_44, -36, -37, -65535, 0, -999, 2**63])
def test_an_algorithm_that_was_not_offered_is_refused(device, alg):
    assert refusal(made_by, device, alg=alg) == "attestation"


def test_every_origin_of_the_settings_may_use_passkeys(passkey, device, challenge):
    assert signed(device, [passkey], challenge, origin="https://chat.example.com")


WRONG_CLIENT_DATA = [
    ({"type": "webauthn.other"}, None),
    ({"type": None}, None),
    ({"type": 1}, None),
    ({"challenge": new_challenge()}, "challenge"),
    ({"challenge": ""}, "challenge"),
    ({"challenge": 5}, "challenge"),
    ({"challenge": None}, "malformed"),
    ({"origin": "https://evil.example"}, None),
    ({"origin": "https://sub.keys.example.com"}, None),
    ({"origin": "https://example.com"}, None),
    ({"origin": "http://keys.example.com"}, None),
    ({"origin": "https://keys.example.com:8443"}, None),
    ({"origin": "https://keys.example.com/"}, None),
    ({"origin": "https://KEYS.example.com"}, None),
    ({"origin": [ORIGIN]}, None),
    ({"origin": None}, None),
    ({"cross_origin": True}, "cross_origin"),
    ({"cross_origin": "false"}, "cross_origin"),
    ({"cross_origin": 0}, "cross_origin"),
    ({"top_origin": ORIGIN}, "cross_origin"),
    ({"top_origin": "https://evil.example", "cross_origin": True}, "cross_origin"),
    ({"rp_id": "example.com"}, None),
    ({"rp_id": "evil.example"}, None),
    ({"up": False}, None),
    ({"be": False, "bs": True}, None),
    ({"extra": b"\0"}, None),
    ({"extensions": b"\xff"}, None),
    ({"extensions": b"\xa0\xa0"}, None),
    ({"changes": {"type": "password"}}, "credential_id"),
    ({"changes": {"id": b64url(b"another")}}, "credential_id"),
    ({"changes": {"rawId": b64url(b"another")}}, "credential_id"),
    ({"changes": {"id": None}}, "malformed"),
    ({"changes": {"rawId": None}}, "malformed"),
    ({"changes": {"rawId": "", "id": ""}}, "credential_id"),
    ({"changes": {"response": []}}, "malformed"),
    ({"changes": {"response": {}}}, "malformed"),
]


@pytest.mark.parametrize(("lies", "reason"), WRONG_CLIENT_DATA)
def test_a_lie_at_the_making_of_a_passkey_is_refused(device, lies, reason):
    assert refusal(made_by, device, **lies) == (reason or "attestation")


@pytest.mark.parametrize(("lies", "reason"), WRONG_CLIENT_DATA)
def test_a_lie_at_the_use_of_a_passkey_is_refused(device, passkey, challenge, lies, reason):
    assert refusal(signed, device, [passkey], challenge, **lies) == (reason or "assertion")


def test_an_answer_that_is_of_the_other_kind_is_refused(device, passkey, challenge):
    assert refusal(signed, device, [passkey], challenge, type="webauthn.create") == "assertion"
    made = device.make(creation_text(PARTY, ALICE, challenge), type="webauthn.get")
    assert refusal(read_attestation, PARTY, made, challenge) == "attestation"
    assert refusal(verify_assertion, PARTY, made, challenge, USER_ID, [passkey], needs_uv=False) == "malformed"


@pytest.mark.parametrize("signature", [b"", b"\0", bytes(64), bytes(72), b"\x30\x06\x02\x01\x01\x02\x01\x01"])
@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
def test_a_wrong_signature_is_refused(signature, alg, challenge):
    device = Authenticator(ORIGIN, algorithms=(alg,))
    passkey = kept(made_by(device))
    assert refusal(signed, device, [passkey], challenge, signature=signature) == "assertion"


def test_a_signature_by_another_passkey_of_the_user_is_refused(device, passkey, challenge):
    text = Authenticator(ORIGIN).answer(
        Authenticator(ORIGIN).add("keys.example.com", USER_ID.encode()), challenge, cred_id=device.credentials[0].id
    )
    assert refusal(verify_assertion, PARTY, text, challenge, USER_ID, [passkey], needs_uv=False) == "assertion"


def test_a_passkey_that_does_not_verify_its_user_is_no_factor_alone(challenge):
    """Beside a password it will do."""
    device = Authenticator(ORIGIN, verifies_user=False)
    passkey = kept(made_by(device))
    assert signed(device, [passkey], challenge).cred_id == passkey.cred_id
    assert refusal(signed, device, [passkey], challenge, needs_uv=True, uv=False) == "user_verification"


@pytest.mark.parametrize("handle", [b"1234567890123456788", b"0", b"\xff\xfe", b"x" * 64, b"1234567890123456789 "])
def test_a_passkey_of_somebody_else_is_refused(device, passkey, challenge, handle):
    assert refusal(signed, device, [passkey], challenge, user_handle=handle) == "user_handle"


def test_a_security_key_that_keeps_no_user_is_a_second_factor(device, passkey, challenge):
    assert signed(device, [passkey], challenge, user_handle=None)
    assert signed(device, [passkey], challenge, user_handle=b"")


@pytest.mark.parametrize("user_id", ["123456789012345678", "1234567890123456789", "12345678901234567890"])
def test_a_passkey_of_the_service_before_is_of_its_user(challenge, user_id):
    """That service gave the id's digits where browsers expect base64url, so a handle is the bytes of these."""
    device = Authenticator(ORIGIN)
    made = device.add("keys.example.com", authenticator.un_b64url(user_id))
    passkey = Passkey(made.cred_id, "1", "Key", made.public_key, 0, (), None, 0)
    text = device.answer(made, challenge)
    assert verify_assertion(PARTY, text, challenge, user_id, [passkey], needs_uv=True)
    assert refusal(verify_assertion, PARTY, text, challenge, "1" + user_id[1:-3] + "000", [passkey], needs_uv=True)
    assert user_of(text) is None


@pytest.mark.parametrize("handle", [None, b"", b"abc", b"\xff", b"1" * 21, "١٢٣".encode(), b" 1", b"-1", b"1\n"])
def test_a_handle_that_is_no_id_of_ours_names_nobody(device, passkey, challenge, handle):
    assert user_of(device.answer(device.credentials[0], challenge, user_handle=handle)) is None


@pytest.mark.parametrize("eligible", [False, True])
def test_whether_a_passkey_may_be_copied_never_changes(eligible, challenge):
    """Whether it is copied may change. Of an imported one nobody knows either."""
    device = Authenticator(ORIGIN, backup_eligible=eligible)
    passkey = kept(made_by(device))
    assert passkey.backup_eligible is eligible
    lie = {"be": not eligible, "bs": False}
    assert refusal(signed, device, [passkey], challenge, **lie) == "backup_eligible"
    assert signed(device, [passkey], challenge, bs=False)
    assert signed(device, [replace(passkey, backup_eligible=None)], challenge, **lie)


@pytest.mark.parametrize("counter", [0, 1, 5, 2**32 - 1])
def test_the_counter_is_told_and_not_judged(device, passkey, challenge, counter):
    """Redis judges it, where two answers meet."""
    assert signed(device, [replace(passkey, sign_count=7)], challenge, counter=counter).sign_count == counter


def test_an_unknown_passkey_is_refused_as_such(device, passkey, challenge):
    """A client can then tell the device to forget it. An answer by nobody's key is not let through either."""
    text = device.answer(device.credentials[0], challenge)
    assert refusal(verify_assertion, PARTY, text, challenge, USER_ID, [], needs_uv=True) == "unknown_credential"
    lie = device.answer(device.credentials[0], challenge, origin="https://evil.example")
    assert refusal(verify_assertion, PARTY, lie, challenge, USER_ID, [], needs_uv=True) == "unknown_credential"


def test_the_right_one_of_ten_passkeys_is_found(device, challenge):
    passkeys = [kept(made_by(Authenticator(ORIGIN))) for _ in range(9)]
    mine = kept(made_by(device))
    assert signed(device, [*passkeys, mine], challenge).cred_id == mine.cred_id


def test_a_passkey_signed_by_its_own_key_is_verified(device):
    """Browsers let such a statement through though none is asked for."""
    assert made_by(device, statement=("packed", "self"))
    assert refusal(made_by, device, statement=("packed", "self"), signature=bytes(64)) == "attestation"
    assert refusal(made_by, device, statement=("packed", {})) == "attestation"


@pytest.mark.parametrize(
    "statement",
    [
        ("packed", {"alg": -7, "sig": b"1", "x5c": [b"no certificate"]}),
        ("fido-u2f", {"sig": b"1", "x5c": [b"no certificate"]}),
        ("tpm", {"ver": "2.0", "certInfo": b"1"}),
        ("android-key", {}),
        ("android-safetynet", {"ver": "1", "response": b"a.b.c"}),
        ("apple", {"x5c": [b"1"]}),
        ("compound", [{"fmt": "packed"}]),
        ("unheard-of", {}),
        ("none", {"sig": b"1"}),
    ],
)
def test_a_statement_that_nobody_asked_for_is_passed_over(device, statement):
    """Some clients send one. It is not believed, so it is not read."""
    assert made_by(device, statement=statement).cred_id == device.credentials[0].cred_id


@pytest.mark.parametrize("statement", [("packed", None), ("packed", 5), ("packed", [])])
def test_a_statement_of_no_form_is_refused(device, statement):
    assert refusal(made_by, device, statement=statement) == "attestation"


GOOD_KEY = {  # P-256's own point
    1: 2,
    3: -7,
    -1: 1,
    -2: bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
    -3: bytes.fromhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
}


@pytest.mark.parametrize(
    "key",
    [
        b"", b"\x04" + bytes(64), b"\xff", b"\xa0", encode_cbor([1]), encode_cbor("text"), encode_cbor(None),
        *(encode_cbor({**GOOD_KEY, label: value}) for label in (1, 3, -1, -2, -3)
          for value in (None, 0, 99, "x", b"", bytes(32), bytes(31), bytes(33), [], {}, 1.5)),
        *(encode_cbor({name: value for name, value in GOOD_KEY.items() if name != label}) for label in GOOD_KEY),
        encode_cbor({1: 2, 3: -7, -1: 2, -2: bytes(48), -3: bytes(48)}),  # another curve
        encode_cbor({1: 1, 3: -8, -1: 6, -2: bytes(31)}),
        encode_cbor({1: 1, 3: -8, -1: 4, -2: bytes(32)}),
        encode_cbor({1: 3, 3: -257, -1: b"\xff" * 128, -2: b"\1\0\1"}),  # 1,024 bits
        encode_cbor({1: 3, 3: -257, -1: b"\xff" * 1024, -2: b"\1\0\1"}),
        encode_cbor({1: 3, 3: -257, -1: b"\xff" * 256, -2: b"\xff" * 256}),  # a slow exponent
        encode_cbor({1: 3, 3: -257, -1: b"\xff" * 256, -2: b"\1"}),
        encode_cbor({1: 3, 3: -65535, -1: b"\xff" * 256, -2: b"\1\0\1"}),  # SHA-1
        encode_cbor({1: 7, 3: -48, -1: bytes(10)}),
        encode_cbor(GOOD_KEY | {5: bytes(5000)}),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_a_bad_key_is_no_key(device, key):
    """Neither at the making of a passkey nor in an import."""
    assert refusal(made_by, device, cose=key) in ("attestation", "key")
    with pytest.raises(cose.BadKey):
        cose.plain_key(key)


def test_a_key_is_kept_without_what_nobody_needs(device):
    new = made_by(device, cose=encode_cbor(GOOD_KEY | {2: b"a name", 5: bytes(1000), "x": 1}))
    assert new.public_key == encode_cbor(GOOD_KEY)
    assert len(new.public_key) == 77


@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
def test_a_key_in_pem_is_the_same_key(alg):
    """The service before kept keys so."""
    made = Authenticator().add("keys.example.com", None, alg)
    pem = made.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert cose.cose_from_pem(pem) == made.public_key


@pytest.mark.parametrize("pem", [b"", b"x", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_pem_is_refused(pem):
    with pytest.raises(cose.BadKey):
        cose.cose_from_pem(pem)


def test_transports_are_kept_as_browsers_name_them(device):
    def told(transports):
        changes = json.loads(device.make(creation_text(PARTY, ALICE, challenge := new_challenge())))
        changes["response"]["transports"] = transports
        return read_attestation(PARTY, json.dumps(changes), challenge).transports

    assert told(["hybrid", "internal", "hybrid", "brand-new"]) == ("hybrid", "internal", "brand-new")
    assert told(["usb", 5, None, "", "With Spaces", "<b>", "x" * 33, {}]) == ("usb",)
    assert told([f"t{letter}" for letter in "abcdefghijkl"]) == tuple(f"t{letter}" for letter in "abcdefgh")
    assert told("usb") == told(None) == told({"usb": 1}) == ()


def test_a_long_credential_id_is_kept_and_a_longer_one_is_refused(device):
    assert made_by(device, cred_id=b"x" * 1023).cred_id == b64url(b"x" * 1023)
    assert refusal(made_by, device, cred_id=b"x" * 1024) == "credential_id"


def test_the_id_in_the_text_is_the_one_that_the_device_told(device):
    other = b64url(b"another")
    assert refusal(made_by, device, changes={"id": other, "rawId": other}) == "credential_id"


def test_an_assertion_brings_no_key_and_no_long_extensions(device, passkey, challenge):
    """Nobody who is not signed in makes the service read more than a few bytes of CBOR."""
    assert signed(device, [passkey], challenge, extensions=encode_cbor({"credProtect": 2}))
    long = encode_cbor({"x": bytes(1024)})
    assert refusal(signed, device, [passkey], challenge, extensions=long) == "malformed"
    text = device.answer(device.credentials[0], challenge)
    sent = json.loads(text)
    data = bytearray(authenticator.un_b64url(sent["response"]["authenticatorData"]))
    data[32] |= 0x40
    sent["response"]["authenticatorData"] = b64url(bytes(data))
    assert (
        refusal(verify_assertion, PARTY, json.dumps(sent), challenge, USER_ID, [passkey], needs_uv=False) == "malformed"
    )


def test_a_text_that_is_too_long_is_not_read(challenge):
    for text in ("{" * (MAX_TEXT + 1), "é" * (MAX_TEXT + 1)):
        assert refusal(read_attestation, PARTY, text, challenge) == "too_long"
        assert refusal(verify_assertion, PARTY, text, challenge, USER_ID, [], needs_uv=True) == "too_long"
        assert user_of(text) is None
