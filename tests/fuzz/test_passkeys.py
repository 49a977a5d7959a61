"""What must hold of the answers of browsers about passkeys, whatever they say: they are right, or they are refused."""

import functools
import hashlib
import json
import re
from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st
from webauthn.helpers import encode_cbor, parse_cbor

from app.rules import cose
from app.rules.webauthn import BadAnswer, creation_text, new_challenge, read_attestation, user_of, verify_assertion
from app.stores.passkeys import Passkey
from tests.authenticator import EDDSA, ES256, Authenticator, b64url, un_b64url
from tests.rules.test_webauthn import ALICE, GOOD_KEY, PARTY, USER_ID

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=40).map(b64url),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
LABELS = st.integers(-4, 4) | st.sampled_from(["fmt", "attStmt", "authData", "alg", "sig", "x5c", "ver", "response"])
ANY_CBOR = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(LABELS, inner, max_size=5),
    max_leaves=8,
)
TAGGED = st.builds(lambda tag, value: bytes([0xD8, tag]) + encode_cbor(value), st.integers(0, 255), ANY_CBOR)
CBOR_BYTES = ANY_CBOR.map(encode_cbor) | TAGGED | st.binary(max_size=200)
PATHS = [
    *[(name,) for name in ("id", "rawId", "type", "response", "authenticatorAttachment", "clientExtensionResults")],
    *[("response", name) for name in ("clientDataJSON", "attestationObject", "authenticatorData", "signature")],
    *[("response", name) for name in ("userHandle", "transports")],
]
CHALLENGE = new_challenge()


@functools.cache
def device():
    made = Authenticator(PARTY.origins[0])
    made.make(creation_text(PARTY, ALICE, CHALLENGE))
    return made


def attestation(**lies):
    """Return a true answer but for these lies. Making a passkey is quick, so that each is of its own."""
    return Authenticator(PARTY.origins[0]).make(creation_text(PARTY, ALICE, CHALLENGE), **lies)


def assertion(**lies):
    return device().answer(device().credentials[0], CHALLENGE, **lies)


def passkey():
    known = device().credentials[0]
    return Passkey(known.cred_id, "1", "Laptop", known.public_key, 0, (), False, 0)


def made(text):
    """Return what is read of an attestation, and None of one that is refused. Any other error fails the test."""
    try:
        new = read_attestation(PARTY, text, CHALLENGE)
    except BadAnswer:
        return None
    assert re.fullmatch("[A-Za-z0-9_-]{1,1364}", new.cred_id)
    assert cose.plain_key(new.public_key) == new.public_key
    assert 0 <= new.sign_count < 2**32
    return new


def seen(text):
    """Return what is read of an assertion, and None of one that is refused. Any other error fails the test."""
    named = user_of(text)
    assert named is None or re.fullmatch("[0-9]{1,20}", named)
    try:
        found = verify_assertion(PARTY, text, CHALLENGE, USER_ID, [passkey()], needs_uv=True)
    except BadAnswer:
        return None
    assert found.cred_id == passkey().cred_id
    return found


def test_a_true_answer_is_right():
    assert made(attestation())
    assert seen(assertion())


@given(st.text(max_size=300) | ANY_JSON.map(json.dumps))
@example("[" * 16_000)
@example('{"response":' * 1300)
@example('{"rawId":"AA","response":{"clientDataJSON":"' + "W1tb" * 3000 + '"}}')
@example("\ud800")
@example('{"rawId":"\\ud800"}')
@example("NaN")
def test_any_text_is_refused(text):
    assert made(text) is None
    assert seen(text) is None


@given(path=st.sampled_from(PATHS), value=ANY_JSON)
def test_any_value_in_any_field_of_the_text(path, value):
    for text, read in ((attestation(), made), (assertion(), seen)):
        sent = json.loads(text)
        place = sent
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        read(json.dumps(sent))


@given(path=st.sampled_from(PATHS[6:]), raw=st.binary(max_size=200))
def test_any_bytes_in_any_field_of_the_response(path, raw):
    for text, read in ((attestation(), made), (assertion(), seen)):
        sent = json.loads(text)
        sent["response"][path[1]] = b64url(raw)
        read(json.dumps(sent))


@given(raw=st.binary(max_size=100) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 11_000)
@example('{"challenge":1}'.encode("utf-16"))
def test_client_data_of_any_form_is_refused_though_the_device_signed_it(raw):
    sent = json.loads(assertion())
    data = un_b64url(sent["response"]["authenticatorData"])
    signature = device().credentials[0].sign(data + hashlib.sha256(raw).digest())
    sent["response"] |= {"clientDataJSON": b64url(raw), "signature": b64url(signature)}
    assert seen(json.dumps(sent)) is None


@given(
    lies=st.fixed_dictionaries(
        {},
        optional={
            "type": ANY_JSON,
            "origin": ANY_JSON,
            "cross_origin": ANY_JSON,
            "top_origin": ANY_JSON,
            "up": st.booleans(),
            "uv": st.booleans(),
            "be": st.booleans(),
            "bs": st.booleans(),
            "counter": st.integers(0, 2**32 - 1),
            "user_handle": st.binary(max_size=70),
            "extensions": CBOR_BYTES,
            "extra": st.binary(max_size=40),
            "fermi": st.booleans(),
        },
    )
)
def test_any_mixture_of_lies_that_the_device_signed(lies):
    """A right answer has none of them that counts."""
    found = seen(assertion(**lies))
    if found:
        assert lies.get("type", "webauthn.get") == "webauthn.get"
        assert lies.get("origin", PARTY.origins[0]) in PARTY.origins
        assert lies.get("cross_origin", False) in (False, None)
        assert lies.get("top_origin") is None
        assert lies.get("up", True) is True
        assert lies.get("uv", True) is True
        assert lies.get("be", False) is False
        assert lies.get("user_handle", b"") in (b"", USER_ID.encode())
        assert found.sign_count == lies.get("counter", found.sign_count)
    made(attestation(**{name: value for name, value in lies.items() if name not in ("user_handle", "type")}))


@given(key=CBOR_BYTES | st.dictionaries(st.integers(-4, 4), ANY_CBOR).map(lambda lies: encode_cbor(GOOD_KEY | lies)))
def test_any_bytes_as_a_key(key):
    try:
        plain = cose.plain_key(key)
    except cose.BadKey:
        plain = None
    new = made(attestation(cose=key))
    if new:
        assert new.public_key == plain
        assert parse_cbor(new.public_key)[3] in (ES256, EDDSA, -257)


@given(raw=CBOR_BYTES, data=st.binary(max_size=120))
def test_any_bytes_as_an_attestation(raw, data):
    sent = json.loads(attestation())
    whole = parse_cbor(un_b64url(sent["response"]["attestationObject"]))
    for changed in (
        raw,
        encode_cbor({"fmt": "none", "attStmt": {}, "authData": data}),
        encode_cbor({"fmt": "none", "attStmt": {}, "authData": whole["authData"][:32] + data}),
        encode_cbor({"fmt": "none", "attStmt": {}, "authData": whole["authData"][: len(data)]}),
        encode_cbor({"fmt": "none", "attStmt": {}, "authData": whole["authData"][:55] + data}),
    ):
        sent["response"]["attestationObject"] = b64url(changed)
        made(json.dumps(sent))


@given(form=st.sampled_from(["packed", "none", "tpm", "compound"]) | ANY_CBOR, statement=ANY_CBOR)
def test_any_statement_of_a_device(form, statement):
    made(attestation(statement=(form, statement)))


@given(st.binary(max_size=300))
def test_any_bytes_as_pem(raw):
    for pem in (raw, b"-----BEGIN PUBLIC KEY-----\n" + raw + b"\n-----END PUBLIC KEY-----\n"):
        with suppress(cose.BadKey):
            cose.cose_from_pem(pem)
