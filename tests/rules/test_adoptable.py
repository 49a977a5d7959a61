"""What a token of the service before claims is read without trust: no text breaks the reader."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.rules.adoptable import LONGEST, Adoptable, NotAdopted, read_adoptable, without_scheme
from tests.former_service import b64url

_SCALARS = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=30)
_VALUES = some.recursive(
    _SCALARS, lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner), max_leaves=5
)
_CLAIMS = some.dictionaries(some.sampled_from(["id", "iat", "exp", "nbf", "scopes", "kid", "sub"]), _VALUES)
_HEADERS = some.dictionaries(some.sampled_from(["alg", "typ", "kid", "crit", "b64"]), _VALUES)
_GOOD = {"id": "123", "iat": 1_600_000_000}


def joined(header: bytes, payload: bytes, signature: bytes = b"x") -> str:
    return b".".join(map(b64url, (header, payload, signature))).decode()


def read(text):
    """What is read, and None for what is refused. Any other error fails the test."""
    try:
        return read_adoptable(text, "id")
    except NotAdopted:
        return None


@given(_HEADERS, _CLAIMS)
def test_claims_of_any_type(header, claims):
    found = read(joined(json.dumps(header).encode(), json.dumps(_GOOD | claims).encode()))
    if found:
        assert found.user_id.isdecimal()
        assert 0 <= found.issued_at < 2**32
        assert found.ends_by is None or 0 <= found.ends_by < 2**32


@given(some.binary(max_size=60), some.binary(max_size=60))
def test_parts_that_are_any_bytes(header, payload):
    assert read(joined(header, payload)) is None


@given(some.text(alphabet="ey.Jhb-_=é \n", max_size=60))
def test_any_text(text):
    assert read(text) is None


@pytest.mark.parametrize(("depth", "is_read"), [(10, True), (1500, False), (1_000_000, False)])
def test_deep_claims(depth, is_read):
    text = joined(b'{"alg":"ES512"}', b'{"id":"1","iat":1,"x":' + b"[" * depth + b"]" * depth + b"}")
    assert (read(text) is not None) == is_read


def test_a_token_of_the_longest_length():
    header = b'{"alg":"ES512"}'
    pad = LONGEST - len(joined(header, json.dumps(_GOOD | {"x": ""}).encode())) - 1
    text = joined(header, json.dumps(_GOOD | {"x": "y" * (pad * 3 // 4)}).encode())
    assert len(text) <= LONGEST
    assert isinstance(read(text), Adoptable)
    assert read(text + "A" * (LONGEST - len(text) + 1)) is None


@pytest.mark.parametrize("text", ["a.b.c", "Bot a.b.c", "BEARER   a.b.c", "bearer a.b.c"])
def test_words_in_front_of_a_token(text):
    assert without_scheme(text) == "a.b.c"
