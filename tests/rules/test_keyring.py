"""What SECRET_KEYS are for."""

import pytest

from app.errors import Unavailable
from app.rules.keyring import Keyring

OLD, NEW = "o" * 32, "n" * 32


def test_the_first_key_writes_and_all_read():
    sealed = Keyring([OLD]).encrypt("secret")
    assert "secret" not in sealed
    assert Keyring([NEW, OLD]).decrypt(sealed) == "secret"
    with pytest.raises(Unavailable):
        Keyring([NEW]).decrypt(sealed)


def test_code_hashes_are_of_the_key_and_the_user():
    """The same code of two users, or under two keys, has nothing in common."""
    old, new = Keyring([OLD]).code_hashes("1", "code"), Keyring([NEW]).code_hashes("1", "code")
    assert Keyring([NEW, OLD]).code_hashes("1", "code") == new + old
    assert len({*old, *new, *Keyring([OLD]).code_hashes("2", "code")}) == 3


def test_a_hash_of_a_mail_is_of_the_first_key_the_use_and_the_notice():
    first = Keyring([OLD, NEW]).hash_of_mail("use", "notice")
    assert Keyring([OLD]).hash_of_mail("use", "notice") == first
    others = [
        Keyring([NEW, OLD]).hash_of_mail("use", "notice"),
        Keyring([OLD]).hash_of_mail("other use", "notice"),
        Keyring([OLD]).hash_of_mail("use", "other notice"),
    ]
    assert len({first, *others}) == 4
    assert {len(derived) for derived in (first, *others)} == {32}
