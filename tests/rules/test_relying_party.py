"""The relying party: where passkeys may be made and used, by PUBLIC_URL, WEBAUTHN_RP_ID and WEBAUTHN_ORIGINS."""

import pytest

from app.config import ConfigError, load_settings
from app.rules.relying_party import RelyingParty, relying_party
from tests.test_config import NEEDED

KEYS = "https://keys.example.com"
APP = "android:apk-key-hash:" + "A-_z" * 10 + "abc"


def party_of(public_url="", rp_id="", origins=""):
    """Return the relying party of an environment with these settings."""
    named = {"PUBLIC_URL": public_url, "WEBAUTHN_RP_ID": rp_id, "WEBAUTHN_ORIGINS": origins}
    settings = load_settings(NEEDED | named)
    return relying_party(settings.public_url, settings.webauthn_rp_id, settings.webauthn_origins)


@pytest.mark.parametrize(
    ("public_url", "rp_id", "origins"),
    [
        (KEYS, "keys.example.com", [KEYS]),
        ("https://Keys.Example.com:443/", "keys.example.com", [KEYS]),
        ("https://keys.example.com:8443", "keys.example.com", ["https://keys.example.com:8443"]),
        ("http://localhost:8000", "localhost", ["http://localhost:8000"]),
        ("http://LOCALHOST:80/", "localhost", ["http://localhost"]),
        ("http://keys.localhost:8000", "keys.localhost", ["http://keys.localhost:8000"]),
        ("https://xn--zrich-kva.example", "xn--zrich-kva.example", ["https://xn--zrich-kva.example"]),
    ],
)
def test_passkeys_belong_to_the_host_of_the_public_url(public_url, rp_id, origins):
    assert party_of(public_url) == RelyingParty(rp_id, tuple(origins), "Keyrack")


@pytest.mark.parametrize(
    "public_url",
    [
        *("", "http://127.0.0.1:8000", "https://192.0.2.1", "https://[2001:db8::1]", "http://[::1]:8000"),
        *("https://0x7f000001", "https://0x7f.1", "https://1", "http://keys.example.com", "https://my_keys"),
        "https://keys.example.com.",
    ],
)
def test_there_are_no_passkeys_where_browsers_make_none(public_url):
    """An address is no name, and without encryption only the own machine will do."""
    assert party_of(public_url) is None


def test_passkeys_may_belong_to_a_domain_and_be_used_in_all_of_it():
    found = party_of(KEYS, "Example.com", f"https://Chat.example.com:443/, {APP},https://chat.example.com,{KEYS}")
    assert found == RelyingParty("example.com", (KEYS, "https://chat.example.com", APP))


def test_a_public_url_that_is_an_address_leaves_passkeys_to_the_origins_named():
    """So a developer's browser can open the service by its name."""
    found = party_of("http://127.0.0.1:8000", "localhost", "http://localhost:8000")
    assert found == RelyingParty("localhost", ("http://localhost:8000",))


@pytest.mark.parametrize(
    ("rp_id", "origins", "wrong"),
    [
        ("example.org", "", "WEBAUTHN_RP_ID must be the host of PUBLIC_URL"),
        ("ample.com", "", "WEBAUTHN_RP_ID must be the host of PUBLIC_URL"),
        ("com", "", "WEBAUTHN_RP_ID must be the host of PUBLIC_URL"),
        ("more.keys.example.com", "", "WEBAUTHN_RP_ID must be the host of PUBLIC_URL"),
        ("", "https://chat.example.com", "WEBAUTHN_ORIGINS must be in the domain"),
        ("", "https://keys.example.com.evil.example", "WEBAUTHN_ORIGINS must be in the domain"),
        ("example.com", "https://example.com.evil.example", "WEBAUTHN_ORIGINS must be in the domain"),
        ("example.com", "https://evilexample.com", "WEBAUTHN_ORIGINS must be in the domain"),
        *((name, "", "WEBAUTHN_RP_ID must be the name of a host") for name in (
            "192.0.2.1", "[::1]", "127.1", "https://example.com", "example.com:443", "example.com.", "-a.com", "a b",
            "zürich.example", "*.example.com", ".example.com", "a" * 64 + ".com", "a." * 127 + "com",
        )),
        *(("", origin, "WEBAUTHN_ORIGINS must be origins") for origin in (
            "http://keys.example.com", "https://192.0.2.1", "https://keys.example.com/x", "keys.example.com", "*",
            "https://ada@keys.example.com", "https://keys.example.com:0", "https://keys.example.com:99999", "null",
            "https://zürich.example", "android:apk-key-hash:short", "android:apk-key-hash:" + "a" * 44, "https://",
            "https://keys.example.com?", "https://keys.example.com#", "file:///x", "https://[::1", "tauri://localhost",
        )),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_at_start_by_name(rp_id, origins, wrong):
    with pytest.raises(ConfigError, match=wrong) as refused:
        party_of(KEYS, rp_id, origins)
    assert len(str(refused.value).splitlines()) == 2  # a heading, and the one that is wrong


@pytest.mark.parametrize("public_url", ["", "http://127.0.0.1:8000", "http://keys.example.com"])
def test_a_name_and_origins_need_each_other_where_the_public_url_is_of_no_use(public_url):
    with pytest.raises(ConfigError, match="WEBAUTHN_RP_ID needs WEBAUTHN_ORIGINS"):
        party_of(public_url, "example.com")
    with pytest.raises(ConfigError, match="WEBAUTHN_ORIGINS needs WEBAUTHN_RP_ID"):
        party_of(public_url, "", KEYS)
    assert party_of(public_url, "example.com", KEYS) == RelyingParty("example.com", (KEYS,))
