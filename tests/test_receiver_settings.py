"""The settings of receivers: what each must be, and what fits together. What is wrong is told at start."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.api_jwk import PyJWK

from app.config import ConfigError, load_settings

NEEDED = {"REDIS_URL": "redis://localhost", "SECRET_KEYS": "s" * 32}
SECRET = bytes(range(32))
HOOKS = {"WEBHOOK_URLS": "https://a.example.com/hooks", "WEBHOOK_SECRETS": base64.b64encode(SECRET).decode()}
URL_SETTINGS = ("WEBHOOK_URLS", "BACKCHANNEL_LOGOUT_URLS", "SSF_PUSH_URLS")
RSA = [rsa.generate_private_key(public_exponent=65537, key_size=bits) for bits in (2048, 2048, 1024)]


def in_pem(key, form=PrivateFormat.PKCS8, encryption=None):
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


@pytest.fixture
def signing(tmp_path):
    path = tmp_path / "signing.pem"
    path.write_bytes(in_pem(RSA[0]))
    return {"SIGNING_KEYS": str(path), "ISSUER": "https://accounts.example.com"}


def problems_of(environment):
    with pytest.raises(ConfigError) as refused:
        load_settings(NEEDED | environment)
    return str(refused.value).splitlines()[1:]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://a.example.com/hooks",
            "http://127.0.0.1:9000",
            "http://10.1.2.3/x?token=a%2Cb&c=d;e",
            "http://[::1]:9/",
        ),
        *("http://hooks.internal/a/(b)/~c@d", "https://a.example.com?x=1", "http://203.0.113.9/public"),
    ],
)
@pytest.mark.parametrize("name", URL_SETTINGS)
def test_a_url_is_taken_to_the_letter(name, url, signing):
    """With its query, on any host and with http: operators know where their systems are."""
    settings = load_settings(NEEDED | signing | HOOKS | {name: f" {url} ,https://b.example.com"})
    assert getattr(settings, name.lower()) == (url, "https://b.example.com")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://ada:sesame@a.example.com/", "URL 2 has a user or password"),
        ("https://sesame@a.example.com/", "URL 2 has a user or password"),
        ("https://a.example.com/#sesame", "URL 2 has a fragment"),
        ("https://a.example.com/#", "URL 2 has a fragment"),
        *(
            (url, "URL 2 is none of http or https")
            for url in (
                *("a.example.com/sesame", "ftp://a/sesame", "file:///sesame", "https:///sesame", "https://a:0/sesame"),
                *(
                    "https://a:99999/sesame",
                    "https://a/b sesame",
                    "https://a/sesamé",
                    "https://[::1",
                    "https://a\\sesame",
                ),
                *("gopher://a/sesame", "https://zürich.example/sesame", "https://a/se\tsame", "https://a/<sesame>"),
            )
        ),
    ],
)
@pytest.mark.parametrize("name", URL_SETTINGS)
def test_a_url_that_is_none(name, url, fault, signing):
    """The message says which and why, but not the URL: it may have a secret."""
    [problem] = problems_of(signing | HOOKS | {name: f"https://b.example.com/,{url}"})
    assert problem.startswith(f"- {name} must be URLs, separated by commas")
    assert fault in problem
    assert "sesame" not in problem


@pytest.mark.parametrize("again", ["https://a.example.com/x", "HTTPS://A.example.com:443/x", "https://a.example.COM/x"])
@pytest.mark.parametrize("name", URL_SETTINGS)
def test_a_receiver_is_named_once(name, again, signing):
    """Twice in a list it would be told everything twice, or half of it, since both would share a queue."""
    if again.startswith("HTTPS"):
        again = again.replace("HTTPS", "https")
    urls = f"https://a.example.com/x,https://b.example.com,{again}"
    [problem] = problems_of(signing | HOOKS | {name: urls})
    assert problem == f"- {name} must name each URL once: URL 3 is URL 1 again"
    load_settings(NEEDED | signing | HOOKS | {name: "https://a.example.com/x,https://a.example.com/X"})


def test_one_url_may_be_of_several_kinds(signing):
    url = "https://a.example.com/"
    load_settings(NEEDED | signing | HOOKS | dict.fromkeys(URL_SETTINGS, url))


def test_receivers_of_a_kind_have_a_bound(signing):
    urls = ",".join(f"https://a{number}.example.com" for number in range(33))
    assert problems_of(signing | HOOKS | {"SSF_PUSH_URLS": urls}) == ["- SSF_PUSH_URLS must name 32 URLs at most"]


@pytest.mark.parametrize("size", [24, 25, 26, 32, 64])
@pytest.mark.parametrize("prefix", ["whsec_", ""])
@pytest.mark.parametrize("padding", ["=", ""])
def test_a_webhook_secret(size, prefix, padding):
    """Standard base64, with and without prefix and padding."""
    secret = bytes(range(255, 255 - size, -1))
    encoded = base64.b64encode(secret).decode().rstrip("=")
    encoded += padding * (-len(encoded) % 4)
    assert load_settings(NEEDED | HOOKS | {"WEBHOOK_SECRETS": prefix + encoded}).webhook_secrets == (secret,)


def test_a_secret_in_hex_is_base64_of_other_bytes():
    """As all libraries of receivers read it."""
    secret = "0123456789abcdef" * 4
    [read] = load_settings(NEEDED | HOOKS | {"WEBHOOK_SECRETS": secret}).webhook_secrets
    assert read == base64.b64decode(secret)
    assert len(read) == 48


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        ("whsec_" + "a-_a" * 11, "the secret is no standard base64"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "the secret has 23 bytes"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "the secret has 65 bytes"),
        ("whsec_" + "A" * 33, "the secret is no standard base64"),
        ("whsec_" + "A" * 42 + "=", "the secret is no standard base64"),
        ("whsec_" + "A" * 43 + "==", "the secret is no standard base64"),
        ("whsec_" + "A" * 44 + "=", "the secret is no standard base64"),
        ("whsec_" + "A" * 20 + " " + "A" * 24, "the secret is no standard base64"),
        ("WHSEC_" + "A" * 44, "the secret is no standard base64"),
        ("whsec_" + "é" * 44, "the secret is no standard base64"),
        ("whsec_=", "the secret is no standard base64"),
        (HOOKS["WEBHOOK_SECRETS"] + ",whsec_sesame", "secret 2 has 4 bytes"),
    ],
)
def test_a_webhook_secret_that_is_none(secret, fault):
    """Of such letters each library makes another key, so that no signature would be found right."""
    [problem] = problems_of(HOOKS | {"WEBHOOK_SECRETS": secret})
    assert problem.startswith("- WEBHOOK_SECRETS must be secrets of 24 to 64 bytes in standard base64")
    assert f": {fault}; make one with: " in problem
    assert "openssl rand -base64 32" in problem
    assert secret not in problem
    assert "sesame" not in problem


def test_the_newest_secret_is_first_and_none_is_there_twice():
    texts = [base64.b64encode(bytes([number]) * 24).decode() for number in (2, 1, 2)]
    secrets = load_settings(NEEDED | HOOKS | {"WEBHOOK_SECRETS": ", ".join(texts)}).webhook_secrets
    assert secrets == (b"\2" * 24, b"\1" * 24)


def test_webhooks_without_a_secret_are_refused():
    [problem] = problems_of({"WEBHOOK_URLS": "https://a.example.com"})
    assert problem.startswith("- WEBHOOK_SECRETS is not set, and WEBHOOK_URLS needs it; make one with: echo")


def test_what_needs_signatures_asks_for_a_key_and_an_issuer():
    environment = {"BACKCHANNEL_LOGOUT_URLS": "https://a.example.com", "SSF_PUSH_URLS": "https://a.example.com"}
    assert problems_of(environment) == [
        "- SIGNING_KEYS is not set, and BACKCHANNEL_LOGOUT_URLS needs it; make a key with: "
        "openssl genrsa -out signing.pem 2048",
        "- SIGNING_KEYS is not set, and SSF_PUSH_URLS needs it; make a key with: openssl genrsa -out signing.pem 2048",
        "- ISSUER and PUBLIC_URL are not set, and BACKCHANNEL_LOGOUT_URLS needs one of them: it names who signs",
    ]


def test_keys_are_not_published_for_an_issuer_without_a_name(signing):
    [problem] = problems_of({"SIGNING_KEYS": signing["SIGNING_KEYS"]})
    assert problem == "- ISSUER and PUBLIC_URL are not set, and SIGNING_KEYS needs one of them: it names who signs"


def test_the_issuer_is_public_url_or_what_is_set_to_the_letter(signing):
    here = {"SIGNING_KEYS": signing["SIGNING_KEYS"], "PUBLIC_URL": "https://a.example.com/"}
    assert load_settings(NEEDED | here).issuer == "https://a.example.com"
    for issuer in ("https://b.example.com/", "https://b.example.com/realms/x", "http://127.0.0.1:8000"):
        assert load_settings(NEEDED | here | {"ISSUER": issuer}).issuer == issuer


@pytest.mark.parametrize(
    "issuer", ["a.example.com", "https://a@b", "https://a?b", "https://a#b", "https://", "https://a b", "https://[::1"]
)
def test_an_issuer_that_is_none(issuer, signing):
    [problem] = problems_of(signing | {"ISSUER": issuer})
    assert problem.startswith("- ISSUER must be a URL without user, query and fragment")


PARALLEL = [
    ("BACKCHANNEL_LOGOUT_CLIENT_IDS", "BACKCHANNEL_LOGOUT_URLS"),
    ("SSF_PUSH_TOKENS", "SSF_PUSH_URLS"),
    ("SSF_PUSH_AUDIENCES", "SSF_PUSH_URLS"),
]


@pytest.mark.parametrize(("name", "urls"), PARALLEL)
@pytest.mark.parametrize(("raw", "count"), [("one", 1), ("one,two,three", 3), ("one,,", 3)])
def test_lists_of_different_lengths_are_refused(name, urls, raw, count, signing):
    """Which entry is whose would be a guess."""
    [problem] = problems_of(signing | {urls: "https://a.example.com,https://b.example.com", name: raw})
    assert problem == (
        f"- {name} has {count}, and {urls} has 2: give one for each URL in its order, with nothing between two commas "
        "for none"
    )
    [problem] = problems_of(signing | {name: "one"})
    assert problem.startswith(f"- {name} has 1, and {urls} has 0")


@pytest.mark.parametrize(("name", "urls"), PARALLEL)
def test_nothing_between_two_commas_is_none(name, urls, signing):
    environment = {urls: "https://a.example.com,https://b.example.com,https://c.example.com", name: "one, ,three="}
    assert getattr(load_settings(NEEDED | signing | environment), name.lower()) == ("one", "", "three=")


@pytest.mark.parametrize("token", ["ses ame", "sesamé", "ses\tame", '"sesame', "==sesame", "ses=ame", "sesame\x7f"])
def test_a_bearer_token_that_is_none(token, signing):
    [problem] = problems_of(signing | {"SSF_PUSH_URLS": "https://a.example.com", "SSF_PUSH_TOKENS": token})
    assert problem.startswith("- SSF_PUSH_TOKENS must be bearer tokens of letters, digits and -._~+/")
    assert token not in problem


@pytest.mark.parametrize("audience", ["ses ame", "sesamé", "s" * 256])
@pytest.mark.parametrize("name", ["BACKCHANNEL_LOGOUT_CLIENT_IDS", "SSF_PUSH_AUDIENCES"])
def test_an_audience_that_is_none(name, audience):
    [problem] = problems_of({name: audience})
    assert problem.startswith(f"- {name} must be texts of ASCII without spaces")


def test_signing_keys_come_from_several_files_newest_first(tmp_path):
    """Both forms of PEM; a key that stands there twice is one."""
    (tmp_path / "new.pem").write_bytes(in_pem(RSA[1], PrivateFormat.TraditionalOpenSSL))
    (tmp_path / "old.pem").write_bytes(b"made by hand\r\n" + in_pem(RSA[0]).replace(b"\n", b"\r\n") + in_pem(RSA[1]))
    environment = {"SIGNING_KEYS": f"{tmp_path}/new.pem, {tmp_path}/old.pem", "ISSUER": "https://a.example.com"}
    keys = load_settings(NEEDED | environment).signing_keys
    assert [key.key.private_numbers() for key in keys] == [RSA[1].private_numbers(), RSA[0].private_numbers()]


def test_a_key_is_published_as_rfc_7517_and_named_as_rfc_7638_have_it(signing):
    [key] = load_settings(NEEDED | signing).signing_keys
    assert PyJWK(key.jwk).key.public_numbers() == RSA[0].public_key().public_numbers()
    assert (key.jwk["use"], key.jwk["alg"], key.jwk["kid"]) == ("sig", "RS256", key.kid)
    assert set(key.jwk) == {"kty", "use", "alg", "kid", "n", "e"}
    shortest = {name: key.jwk[name] for name in ("e", "kty", "n")}
    digest = hashlib.sha256(json.dumps(shortest, sort_keys=True, separators=(",", ":")).encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode() == key.kid + "="


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file has no private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nsesame\n-----END PRIVATE KEY-----\n", "the file has a key that cannot be read"),
        (in_pem(RSA[2]), "the file has a short key (key 1, of 1024 bits)"),
        (in_pem(RSA[0]) + in_pem(RSA[2]), "the file has a short key (key 2, of 1024 bits)"),
        (in_pem(ec.generate_private_key(ec.SECP256R1())), "the file has a key that is no RSA key (key 1)"),
        (
            RSA[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "the file has a public key (key 1) in place of a private key",
        ),
        (
            in_pem(RSA[0], encryption=BestAvailableEncryption(b"sesame")),
            "the file has a key with a password (key 1)",
        ),
        (
            in_pem(RSA[0], PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"sesame")),
            "the file has a key with a password (key 1)",
        ),
        (b"x" * (256 * 1024 + 1), "the file has more than 256 KB"),
    ],
)
def test_signing_keys_that_are_none(content, fault, tmp_path):
    (tmp_path / "sesame.pem").write_bytes(content)
    [problem] = problems_of({"SIGNING_KEYS": f"{tmp_path}/sesame.pem", "ISSUER": "https://a.example.com"})
    assert problem.startswith("- SIGNING_KEYS must name private RSA keys of 2048 bits or more in PEM: ")
    assert fault in problem
    assert problem.endswith("make one with: openssl genrsa -out signing.pem 2048")
    assert "sesame" not in problem


@pytest.mark.parametrize("path", ["/nowhere/sesame.pem", "/tmp", "se\0same"])
def test_a_file_of_signing_keys_that_cannot_be_read(path, signing):
    files = f"{signing['SIGNING_KEYS']},{path}"
    [problem] = problems_of({"SIGNING_KEYS": files, "ISSUER": "https://a.example.com"})
    assert "file 2 cannot be read" in problem


def test_secrets_of_receivers_are_not_shown(signing):
    environment = {"WEBHOOK_URLS": "https://a.example.com/?key=sesame", "SSF_PUSH_URLS": "https://b.example.com"}
    shown = repr(load_settings(NEEDED | HOOKS | signing | environment | {"SSF_PUSH_TOKENS": "sesame"}))
    assert "sesame" not in shown
    assert repr(SECRET) not in shown
    assert "RSAPrivateKey" not in shown
