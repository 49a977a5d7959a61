"""What people call a device, its kind, and why its session ended."""

import pytest

from app.languages import words
from app.languages.words import why_ended, why_ended_here
from app.rules.device_names import kind_of, made_up_name, name_of
from app.stores.session_records import Client, Ended, Session


def session(id_hash="a", os="Linux", platform="Firefox", name=None):
    return Session("1", id_hash, 0, 0, Client(os=os, platform=platform), name=name)


@pytest.mark.parametrize(
    ("platform", "os", "called"),
    [
        ("Firefox", "Linux", "Firefox on Linux"),
        ("Discord Android", "Android", "Discord on Android"),
        ("Discord Client", "Windows", "Discord on Windows"),
        ("Discord iOS", "iOS", "Discord on iPhone"),
        ("Discord iOS", "iPadOS", "Discord on iPad"),
        ("Discord Embedded", "Windows", "Discord on Windows"),
        ("Discord VR", "Android", "Discord on Android"),
        ("Android Chrome", "Android", "Chrome on Android"),
        ("Android Mobile", "Android", "Android"),
        ("Chrome iOS", "iOS", "Chrome on iPhone"),
        ("Facebook Mobile", "iOS", "Facebook on iPhone"),
        ("Playstation", "Playstation", "Discord on PlayStation"),
        ("Playstation", None, "Discord on PlayStation"),
        ("Xbox", "Xbox", "Discord on Xbox"),
        ("Chrome", "Windows 11", "Chrome on Windows 11"),
        ("Mobile Safari", "iOS 17.5", "Safari on iPhone"),
        ("Firefox", "Unknown", "Firefox"),
        ("Android", "Android", "Android"),
        ("Mobile Safari", "iOS", "Safari on iPhone"),
        ("Chrome", "Mac OS X", "Chrome on macOS"),
        ("Firefox", None, "Firefox"),
        (None, "Windows", "Windows"),
        (None, None, "Unknown device"),
    ],
)
def test_made_up_names(platform, os, called):
    client = Client(os=os, platform=platform)
    assert made_up_name(client) == words.made_up_name(client) == called


def test_a_name_of_ones_own_takes_its_place():
    assert name_of(session(name="Kitchen tablet")) == "Kitchen tablet"
    assert name_of(session()) == "Firefox on Linux"


@pytest.mark.parametrize(
    ("client", "kind"),
    [
        (Client(os="Windows", platform="Chrome"), "desktop"),
        (Client(os="Linux"), "desktop"),
        (Client(os="Mac OS X", platform="Discord Client"), "desktop"),
        (Client(os="Android", platform="Discord Android"), "phone"),
        (Client(os="iOS", platform="Mobile Safari"), "phone"),
        (Client(os="iOS", platform="Mobile Safari", form="tablet"), "tablet"),
        (Client(os="iPadOS"), "tablet"),
        (Client(platform="Firefox"), "browser"),
        (Client(os="Tizen", platform="Samsung Internet"), "tv"),
        (Client(os="tvOS"), "tv"),
        (Client(os="Playstation", platform="Playstation"), "console"),
        (Client(platform="Playstation"), "console"),
        (Client(os="Android", platform="Discord VR"), "headset"),
        (Client(os="Windows", platform="Discord Embedded"), "desktop"),
        (Client(platform="curl"), "program"),
        (Client(platform="Python Requests", os="Linux"), "program"),
        (Client(os="Windows", platform="Edge", device="Xbox", form="console"), "console"),
        (Client(os="Windows", platform="Edge", form="toaster"), "desktop"),
        (Client(os="TempleOS", platform="Firefox"), "unknown"),
        (Client(), "unknown"),
    ],
)
def test_kinds(client, kind):
    assert kind_of(client) == kind


@pytest.mark.parametrize(
    ("reason", "text", "there"),
    [
        ("logout", "You logged out", ""),
        ("revoked", "You signed it out", "This device was logged out, 2 minutes ago."),
        (
            "evicted",
            "Signed out to make room",
            "This device was logged out to make room for a newer one, 2 minutes ago.",
        ),
        ("expired", "Expired", "Your session on this device expired 2 minutes ago. Please log in again."),
        (
            "password_change",
            "Password changed",
            "Your password was changed on another device 2 minutes ago, which logged this one out.",
        ),
        (
            "mfa_change",
            "Two-factor authentication changed",
            "Two-factor authentication was changed 2 minutes ago, which logged this device out.",
        ),
        ("admin", "By an operator", "This device was logged out by an operator, 2 minutes ago."),
    ],
)
def test_reasons(reason, text, there):
    ended = Ended(session(), 0, reason, None)
    assert (why_ended(ended), why_ended_here(ended, 120)) == (text, there)


def test_the_device_that_did_it_is_named():
    ended = Ended(session(), 0, "revoked", session("b", name="My laptop"))
    assert why_ended(ended) == "You signed it out from My laptop"
    assert why_ended_here(ended, 120) == "This device was logged out from My laptop, 2 minutes ago."


def test_an_unknown_device_fits_into_the_sentence():
    ended = Ended(session(), 0, "revoked", session("b", os=None, platform=None))
    assert why_ended(ended) == "You signed it out from an unknown device"


def test_one_that_ended_itself_logged_out():
    ended = Ended(session(), 0, "revoked", session())
    assert (why_ended(ended), why_ended_here(ended, 120)) == ("You logged out", "")
