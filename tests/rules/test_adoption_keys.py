"""The keys of ADOPT_JWT_KEY: what is read, and what is refused at start, by name and with a sentence."""

import json
from contextlib import suppress

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as some

from app.config import ConfigError, load_settings
from app.rules.adoption_keys import LONGEST_FILE, MOST_KEYS, BadKeys, read_keys
from tests.former_service import FormerService, b64url

NEEDED = {"REDIS_URL": "redis://localhost", "SECRET_KEYS": "s" * 32}


@pytest.fixture(scope="module")
def former():
    return FormerService()


@pytest.fixture(scope="module")
def other():
    return FormerService("RS256")


def names(text):
    return [key.name for key in read_keys(text.encode() if isinstance(text, str) else text).keys]


def jwks(*found):
    return json.dumps({"keys": found})


def in_pem(key):
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_two_keys_in_one_file(former, other):
    """The old key and the new one; the library reads the first alone."""
    assert names(former.pem + other.pem) == ["key 1 (EC P-521)", "key 2 (RSA of 2048 bits)"]


@pytest.mark.parametrize(
    "change",
    [
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: pem.replace("\n", "\r"),
        lambda pem: "\ufeff" + pem,
        lambda pem: pem.rstrip(),
        lambda pem: f"The key of 2026\n\n{pem}\nkept by ops\n",
        lambda pem: "".join(f"   {line}\n" for line in pem.splitlines()),
        lambda pem: pem.replace("\n", " \t\n\n"),
        lambda pem: "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIw==\n-----END EC PARAMETERS-----\n" + pem,
    ],
    ids=["CRLF", "CR", "BOM", "no newline", "text around", "spaces in front", "spaces behind", "parameters"],
)
def test_pem_as_files_have_it(former, change):
    [key] = read_keys(change(former.pem).encode()).keys
    assert key.key.public_numbers() == former.key.public_key().public_numbers()


def test_the_same_key_twice_is_one(former):
    assert names(former.pem * 3) == ["key 3 (EC P-521)"]


def test_a_key_that_is_listed_for_each_of_its_algorithms_has_them_all(other):
    """RFC 7517 gives a JWK one alg, so a JWKS lists a key once for each."""
    found = read_keys(jwks(*(other.jwk(alg=alg) for alg in ("RS256", "PS256", "RS512"))).encode()).keys
    assert sorted(name for key in found for name in key.algorithms) == ["PS256", "RS256", "RS512"]


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "RS256", "EdDSA"])
def test_the_algorithms_are_the_keys(algorithm):
    former = FormerService(algorithm)
    expected = ("RS256", "RS384", "RS512") if algorithm == "RS256" else (algorithm,)
    for text in (former.pem, jwks(former.jwk()), json.dumps(former.jwk()), json.dumps([former.jwk()])):
        [key] = read_keys(text.encode()).keys
        assert key.algorithms == expected


def test_a_jwk_that_names_its_algorithm_has_that_alone(other):
    [key] = read_keys(jwks(other.jwk(alg="PS256", kid="2026")).encode()).keys
    assert (key.name, key.algorithms) == ('key 1 "2026" (RSA of 2048 bits)', ("PS256",))
    [key] = read_keys(jwks(FormerService("EdDSA").jwk(alg="Ed25519")).encode()).keys
    assert key.algorithms == ("EdDSA",)


@pytest.mark.parametrize("cut", [True, False])
def test_coordinates_that_begin_with_zeros(cut):
    """Some libraries leave the zeros out, and the coordinate has 65 bytes. Half of all P-521 keys have one."""
    former = next(one for one in iter(FormerService, None) if one.key.public_key().public_numbers().x < 2**520)
    numbers = former.key.public_key().public_numbers()
    short = {
        name: b64url(value.to_bytes(65 if cut and value < 2**520 else 66, "big")).decode()
        for name, value in (("x", numbers.x), ("y", numbers.y))
    }
    if cut:
        with pytest.raises(jwt.InvalidKeyError):  # so it has to be filled up
            jwt.PyJWK(former.jwk() | short)
    [key] = read_keys(jwks(former.jwk() | short).encode()).keys
    token = former.token("1", 1)
    assert jwt.PyJWS().decode(token, key.key, list(key.algorithms))


def test_a_kind_that_nobody_knows_beside_a_good_one(former, make_app, tmp_path, caplog):
    """The good one counts; the log names the other."""
    strange = [{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "new"}, former.jwk() | {"crv": "P-999"}]
    path = tmp_path / "jwks.json"
    path.write_text(jwks(*strange, former.jwk()), encoding="utf-8")
    make_app(ADOPT_JWT_KEY=str(path))
    told = [record.getMessage() for record in caplog.records if "ADOPT_JWT_KEY" in record.getMessage()]
    assert told == [
        'ADOPT_JWT_KEY: key 1 "new" is passed over: it is of the kind AKP',
        "ADOPT_JWT_KEY: key 2 is passed over: it is of the curve that it names",
    ]


def bad(former, other):
    public = former.jwk()
    return {
        "private": (former.private_pem, r"a private key \(key 1\): name the file of the public one"),
        "private PKCS 8": (FormerService("EdDSA").private_pem, "a private key"),
        "private beside": (former.pem + former.private_pem, r"a private key \(key 2\)"),
        "private JWK": (jwks(public, public | {"d": "AAAA"}), r"a private key \(key 2\): name the public ones"),
        "symmetric": (jwks({"kty": "oct", "k": "c2VjcmV0"}), r"a symmetric key \(key 1\), which is the secret itself"),
        "symmetric beside": (jwks(public, {"kty": "oct", "kid": "s", "k": "AA"}), r'a symmetric key \(key 2 "s"\)'),
        "for encryption": (jwks(public | {"use": "enc"}), r"a key that is not for signatures \(key 1\)"),
        "for derivation": (jwks(public | {"key_ops": ["deriveBits"]}), "not for signatures"),
        "for encryption by alg": (jwks(other.jwk(alg="RSA-OAEP")), "for another algorithm than its kind has"),
        "short": (FormerService("RS256", bits=1024).pem, r"a short key \(key 1, RSA of 1024 bits\): it must have 2048"),
        "short JWK": (jwks(FormerService("RS256", bits=1024).jwk()), "a short key"),
        "a certificate": ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "a certificate"),
        "broken PEM": (former.pem.replace("MIG", "MIH"), r"a key that cannot be read \(key 1\)"),
        "broken beside": (other.pem + former.pem.replace("MIG", "MIH"), r"a key that cannot be read \(key 2\)"),
        "broken JWK": (jwks(public | {"x": public["y"]}), r"a key that cannot be read \(key 1\)"),
        "no coordinate": (jwks({"kty": "EC", "crv": "P-521"}), "a key that cannot be read"),
        "a number": (jwks(public | {"x": 5}), "a key that cannot be read"),
        "long coordinate": (jwks(public | {"x": "A" * 80 + "_" * 20}), "a key that cannot be read"),
        "of no object": (jwks("key"), "a key that is no JSON object"),
        "keys of no list": ('{"keys": {}}', "a JWKS without a list of keys"),
        "no JSON": ('{"keys": [', "a JWKS that is not JSON"),
        "all passed over": (jwks({"kty": "AKP", "kid": "a"}), 'key 1 "a" is passed over: it is of the kind AKP'),
        "unknown PEM": (in_pem(ec.generate_private_key(ec.SECP256K1()).public_key()), "key 1 is passed over"),
        "of agreement": (in_pem(x25519.X25519PrivateKey.generate().public_key()), "key 1 is passed over"),
        "Ed448": (in_pem(ed448.Ed448PrivateKey.generate().public_key()), "key 1 is passed over"),
        "DSA": (in_pem(dsa.generate_private_key(2048).public_key()), "key 1 is passed over"),
        "empty": ("", "no public key"),
        "no keys": (jwks(), "no public key"),
        "something else": ("ssh-ed25519 AAAA ada", "no public key"),
        "many": (jwks(*[{"kty": "AKP"}] * (MOST_KEYS + 1)), f"more than {MOST_KEYS} keys"),
        "long": ("x" * (LONGEST_FILE + 1), "more than 256 KB"),
    }


def test_bad_keys_are_refused_at_start(former, other, tmp_path):
    """Each with the setting's name, which key it is, and why. No key is in the message."""
    path = tmp_path / "some-file.pem"
    for name, (text, sentence) in bad(former, other).items():
        path.write_text(text, encoding="utf-8")
        with pytest.raises(
            ConfigError, match=f"ADOPT_JWT_KEY must name public keys.*: the file has .*{sentence}"
        ) as at:
            load_settings(NEEDED | {"ADOPT_JWT_KEY": str(path)})
        assert "some-file" not in str(at.value), name
        assert "\n" not in str(at.value).split("- ", 1)[1], name


def test_several_files(former, other, tmp_path):
    paths = [tmp_path / "a.pem", tmp_path / "b.json"]
    paths[0].write_text(former.pem, encoding="utf-8")
    paths[1].write_text(jwks(other.jwk()), encoding="utf-8")
    both = NEEDED | {"ADOPT_JWT_KEY": ", ".join(map(str, paths))}
    names = [key.name.partition(" (")[0] for key in load_settings(both).adopt_jwt_key.keys]
    assert names == ["file 1, key 1", "file 2, key 1"]
    with pytest.raises(ConfigError, match="must name 16 public keys at most"):
        load_settings(NEEDED | {"ADOPT_JWT_KEY": ",".join([str(paths[0])] * 17)})
    paths[1].write_text(other.private_pem, encoding="utf-8")
    with pytest.raises(ConfigError, match="file 2 has a private key"):
        load_settings(both)
    paths[1].unlink()
    with pytest.raises(ConfigError, match="file 2 cannot be read"):
        load_settings(both)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("ADOPT_JWT_KEY", "/nowhere/at/all"),
        ("ADOPT_JWT_KEY", ","),
        ("ADOPT_JWT_KEY", "/"),
        ("ADOPT_JWT_USER", "the id"),
        ("ADOPT_JWT_SINCE", "yesterday"),
        ("ADOPT_JWT_UNTIL", "0001-01-01"),
    ],
)
def test_a_setting_that_is_none(name, raw):
    with pytest.raises(ConfigError, match=f"{name} must "):
        load_settings(NEEDED | {name: raw})


def test_until_is_after_since():
    span = {"ADOPT_JWT_SINCE": "2026-12-01", "ADOPT_JWT_UNTIL": "2026-12-01T00:00:00Z"}
    with pytest.raises(ConfigError, match="ADOPT_JWT_UNTIL must be later than ADOPT_JWT_SINCE"):
        load_settings(NEEDED | span)


_KEYS = some.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "k", "use", "alg", "key_ops", "kid"])
_VALUES = some.sampled_from(["EC", "RSA", "OKP", "oct", "P-521", "P-256", "Ed25519", "sig", "AQAB", "AAAA", "é"])
_JWKS = some.lists(some.dictionaries(_KEYS, _VALUES | some.integers() | some.none() | some.lists(_VALUES)), max_size=3)


@given(_JWKS)
def test_no_file_breaks_the_reader(found):
    with suppress(BadKeys):
        assert read_keys(jwks(*found).encode()).keys


@given(some.binary(max_size=200))
def test_no_bytes_break_it_either(raw):
    for text in (raw, b"{" + raw, b"-----BEGIN PUBLIC KEY-----" + raw + b"-----END PUBLIC KEY-----"):
        with pytest.raises(BadKeys):
            read_keys(text)
