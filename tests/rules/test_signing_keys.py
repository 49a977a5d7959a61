"""Which key signs tokens for receivers: none that they may not know yet."""

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.rules.signing_keys import MAX_AGE_S, SIGNS_AFTER_S, Signing, read_signing_keys
from app.stores.connection.connect import StoreError
from app.stores.keys import unprefixed
from app.stores.signing_keys import SigningKeyStore

PEM = [
    rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for _ in range(2)
]
NEW, OLD = (read_signing_keys(pem)[0] for pem in PEM)


@pytest.fixture
def process(store, clock):
    """Makes what a process has that begins with these keys."""
    return lambda *keys: Signing(keys, SigningKeyStore(store, unprefixed), clock)


def signer(signing):
    return jwt.get_unverified_header(signing.sign({"iss": "x"}, "logout+jwt"))["kid"]


def test_a_new_key_is_published_at_once_and_signs_later(process, clock):
    """Receivers read the keys again at an unknown one, but not before their copy is old."""
    assert SIGNS_AFTER_S > MAX_AGE_S
    process(OLD).note_published()
    clock.advance(1000)
    assert signer(process(OLD)) == OLD.kid
    deliverer, web = process(NEW, OLD), process(NEW, OLD)
    assert [key["kid"] for key in web.jwks["keys"]] == [NEW.kid, OLD.kid]
    assert signer(deliverer) == OLD.kid  # nobody publishes it yet
    clock.advance(1000)
    assert signer(deliverer) == OLD.kid
    web.note_published()
    clock.advance(SIGNS_AFTER_S - 1)
    assert signer(deliverer) == OLD.kid
    clock.advance(2)
    assert signer(deliverer) == NEW.kid
    assert [key["kid"] for key in web.jwks["keys"]] == [NEW.kid, OLD.kid]


def test_the_time_of_the_first_publication_counts(process, clock):
    """Processes that begin later do not put it off."""
    process(OLD).note_published()
    clock.advance(1000)
    process(NEW, OLD).note_published()
    clock.advance(SIGNS_AFTER_S + 1)
    process(NEW, OLD).note_published()
    assert signer(process(NEW, OLD)) == NEW.kid


def test_where_no_key_has_been_published_long_enough_the_first_one_signs(process, clock):
    """A token by a key that receivers have to look up is better than none."""
    assert signer(process(NEW)) == NEW.kid
    assert signer(process(NEW, OLD)) == OLD.kid
    process(NEW).note_published()
    clock.advance(1)
    process(OLD).note_published()
    assert signer(process(NEW, OLD)) == NEW.kid


def test_a_clock_that_was_set_back_holds_up_no_key(process, clock):
    process(OLD).note_published()
    clock.advance(1000)
    deliverer = process(NEW, OLD)
    process(NEW, OLD).note_published()
    assert signer(deliverer) == OLD.kid
    clock.advance(-500)
    assert signer(deliverer) in (OLD.kid, NEW.kid)
    clock.advance(500 + SIGNS_AFTER_S)
    assert signer(deliverer) == NEW.kid


def test_one_key_signs_without_asking_redis(process, monkeypatch):
    """It need not wait for another to be known."""
    monkeypatch.setattr(SigningKeyStore, "published_at", None)
    assert signer(process(NEW)) == NEW.kid


def test_a_new_key_that_signs_goes_on_without_asking_redis(process, clock, monkeypatch):
    deliverer = process(NEW, OLD)
    deliverer.note_published()
    clock.advance(SIGNS_AFTER_S + 1)
    assert signer(deliverer) == NEW.kid
    monkeypatch.setattr(SigningKeyStore, "published_at", None)
    clock.advance(1000)
    assert signer(deliverer) == NEW.kid


def test_without_redis_nobody_guesses_which_key_signs(process, monkeypatch):
    def fails(_):
        raise StoreError

    monkeypatch.setattr(SigningKeyStore, "published_at", fails)
    with pytest.raises(StoreError):
        signer(process(NEW, OLD))


def test_the_note_is_made_as_soon_as_redis_takes_it(process, monkeypatch):
    tried = []

    def note(store, kids, at):
        tried.append(kids)
        if len(tried) < 3:
            raise StoreError

    monkeypatch.setattr(SigningKeyStore, "note_published", note)
    monkeypatch.setattr("app.rules.signing_keys._NOTED_AGAIN_AFTER_S", 0)
    signing = process(NEW, OLD)
    signing.note_soon()
    signing.note_soon()
    assert tried == [[NEW.kid, OLD.kid]] * 3


def test_another_applications_key_stops_nobody(process, redis):
    redis.set(unprefixed.signing_keys, "theirs")
    process(NEW, OLD).note_published()
    assert signer(process(NEW, OLD)) == OLD.kid
    assert redis.get(unprefixed.signing_keys) == "theirs"
