"""The form of tokens, tickets and proofs."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import tokens


@given(st.integers(0, 2**64 - 1).map(str), st.integers(0, 2**32 - 1))
def test_what_is_issued_reads_back(user_id, at):
    secret = tokens.issue(user_id, at)
    digest = hashlib.sha256(secret.encode()).digest()
    assert tokens.read(secret) == tokens.Claim(user_id, at, base64.b64encode(digest).decode())


@given(st.text())
def test_any_text_reads_as_nothing(text):
    assert tokens.read(text) is None


def test_no_two_are_alike():
    assert len({tokens.issue("1", 0) for _ in range(100)}) == 100


@pytest.mark.parametrize("user_id", ["", "abc", "1:2", "1}", "١٢", "1" * 21])
def test_a_user_id_that_is_no_snowflake_reads_as_nothing(user_id):
    """What becomes part of a key's name is digits."""
    assert tokens.read(tokens.issue(user_id, 0)) is None


@given(st.binary(min_size=32, max_size=32))
def test_both_spellings_of_an_id_read_back(raw):
    id_hash = base64.b64encode(raw).decode()
    in_url = tokens.id_in_url(id_hash)
    assert not set("+/=") & set(in_url)
    assert tokens.id_from_url(in_url) == tokens.id_from_url(id_hash) == tokens.id_from_url(in_url + "=") == id_hash


@pytest.mark.parametrize("text", ["", "A" * 42, "A" * 44, "A" * 43 + "==", "A" * 42 + "é", "A" * 43 + "\n"])
def test_what_is_no_id_reads_as_none(text):
    assert tokens.id_from_url(text) is None
