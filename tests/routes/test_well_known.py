"""Where browsers and password managers find the pages of an account."""

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)


def test_browsers_find_where_a_password_is_changed(app):
    """Also without a session: the page leads to the login, and back."""
    answer = app.test_client().get("/.well-known/change-password")
    assert (answer.status_code, answer.location) == (302, "/settings/security")


def test_what_is_not_there_is_said_not_to_be(app):
    """Browsers believe the address above only where a made-up one beside it is no success."""
    path = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200"
    assert app.test_client().get(path).status_code == 404


def test_password_managers_find_where_passkeys_are_added(app):
    answer = app.test_client().get("/.well-known/passkey-endpoints")
    page = "https://keys.example.com/settings/security#passkeys"
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.json == {"enroll": page, "manage": page}


def test_where_there_are_no_passkeys_no_page_of_them_is_named(make_app):
    app = make_app(PUBLIC_URL="http://192.0.2.1:8000")
    assert app.test_client().get("/.well-known/passkey-endpoints").status_code == 404


@pytest.fixture
def signing(tmp_path):
    """The settings of a service that signs tokens."""
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (tmp_path / "signing.pem").write_bytes(pem)
    return {"SIGNING_KEYS": str(tmp_path / "signing.pem")}


def test_receivers_find_the_keys_of_tokens(make_app, signing):
    """The public parts alone, and for a minute, so that a new key is known before it signs."""
    answer = make_app(**signing).test_client().get("/.well-known/jwks.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    [key] = answer.json["keys"]
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
    assert isinstance(jwt.PyJWK(key).key, rsa.RSAPublicKey)


@pytest.mark.parametrize("issuer", ["https://keys.example.com", "https://keys.example.com/realms/a/"])
def test_receivers_find_who_signs_security_events(make_app, signing, issuer):
    answer = make_app(**signing, ISSUER=issuer).test_client().get("/.well-known/ssf-configuration")
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert answer.json == {
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": "https://keys.example.com/.well-known/jwks.json",
        "delivery_methods_supported": ["urn:ietf:rfc:8935"],
        "critical_subject_members": ["session"],
        "default_subjects": "ALL",
    }


@pytest.mark.parametrize("path", ["jwks.json", "ssf-configuration"])
def test_where_nothing_is_signed_there_are_no_keys(app, path):
    assert app.test_client().get(f"/.well-known/{path}").status_code == 404
