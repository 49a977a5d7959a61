"""What a request tells of its client, and the place of its address."""

import base64
import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from app.callers.client_info import read_client
from app.callers.location import Locations
from app.rules.device_names import made_up_name
from app.rules.notices import kind_of_device
from app.stores.session_records import Place
from app.text import clean

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)
NOWHERE = Locations(None)


def properties(told):
    return base64.b64encode(json.dumps(told).encode()).decode()


def read(told="", user_agent=""):
    client = read_client(told, user_agent, None, NOWHERE)
    return client.os, client.platform


@pytest.mark.parametrize(
    ("told", "user_agent", "client"),
    [
        (properties({"os": "Windows", "browser": "Discord Client"}), FIREFOX, ("Windows", "Discord Client")),
        (properties({"os": "Android", "browser": "Discord Android"}).rstrip("="), "", ("Android", "Discord Android")),
        (properties({"os": "Windows"}), FIREFOX, ("Windows", "Firefox")),
        (properties({"os": 5, "browser": ""}), FIREFOX, ("Linux", "Firefox")),
        ("", FIREFOX, ("Linux", "Firefox")),
        ("", SAFARI, ("iOS", "Mobile Safari")),
        ("", "curl/8.5.0", (None, "curl")),
        ("", "", (None, None)),
        ("nonsense", "nonsense", (None, None)),
    ],
)
def test_properties_first_then_the_user_agent(told, user_agent, client):
    assert read(told, user_agent) == client


def test_more_than_8_kib_of_properties_is_as_none():
    told = properties({"os": "Windows", "browser": "Discord Client", "padding": "x" * 8000})
    assert read(told, FIREFOX) == ("Linux", "Firefox")


@given(st.text(), st.text())
def test_no_header_is_an_error(told, user_agent):
    read(told, user_agent)


@given(
    st.dictionaries(
        st.sampled_from(["os", "browser", "x"]), st.recursive(st.none() | st.text() | st.integers(), st.lists)
    )
)
def test_no_property_is_an_error(told):
    os, platform = read(properties(told))
    assert os is None or (0 < len(os) <= 64 and os == clean(os))
    assert platform is None or len(platform) <= 64


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Linux", "Linux"),
        ("  a\x00b\x1b[31m\n", "ab[31m"),
        ("\u202eevil\u2066", "evil"),
        ("x" * 65, "x" * 64),
        ("<script>", "<script>"),
        ("\u06af\u0648\u0634\u06cc\u200c\u0645\u0646", "\u06af\u0648\u0634\u06cc\u200c\u0645\u0646"),
        ("a\u200d\u200db\u200c", "a\u200db"),
        ("x" * 63 + "\u200dy", "x" * 63),
        ("\u200b \t", None),
        ("\u3164\u115f \u2800", None),
        ("", None),
        (None, None),
        (["Linux"], None),
    ],
)
def test_values_are_shown_without_what_hides(text, cleaned):
    """Control and bidi characters are dropped; markup is left, whoever shows it escapes it."""
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.7", "Bern, Bern, Switzerland"),
        ("2001:db8::7", "Bern, Bern, Switzerland"),
        ("198.51.100.7", "France"),
        ("198.51.100.200", None),
        ("192.0.2.1", None),
        ("10.1.2.3", None),
        ("192.168.1.1", None),
        ("127.0.0.1", None),
        ("::1", None),
    ],
)
def test_the_place_of_an_address(city_database, address, place):
    """City, state, country; unknown parts left out, private addresses nowhere."""
    client = read_client("", "", ipaddress.ip_address(address), Locations(city_database))
    assert (client.location, client.ip) == (place, address)


LONG = "Federation of Bosnia and Herzegovina"


@pytest.mark.parametrize(
    ("record", "place", "text"),
    [
        ({"country": {"iso_code": "CH"}}, Place("CH"), None),
        ({"country": {"iso_code": "ch", "names": {"en": "Switzerland"}}}, Place(None, "Switzerland"), "Switzerland"),
        (
            {"country": {"iso_code": 41, "names": {"en": "Swi\u202etzerland"}}},
            Place(None, "Switzerland"),
            "Switzerland",
        ),
        ({"city": {"names": {"en": "Bern"}}}, Place(city="Bern"), "Bern"),
        (
            {
                "city": {"names": {"en": "Sarajevo"}},
                "subdivisions": [{"names": {"en": LONG}}],
                "country": {"iso_code": "BA", "names": {"en": "Bosnia and Herzegovina"}},
            },
            Place("BA", "Bosnia and Herzegovina", LONG, "Sarajevo"),
            "Sarajevo, Bosnia and Herzegovina",
        ),
        (
            {"city": {"names": {"en": "x" * 60}}, "country": {"iso_code": "CH", "names": {"en": "Switzerland"}}},
            Place("CH", "Switzerland", None, "x" * 60),
            "Switzerland",
        ),
        ({"city": {"names": {"en": "x" * 90}}}, Place(city="x" * 64), "x" * 64),
    ],
)
def test_a_place_has_parts_and_a_short_text(tmp_path, record, place, text):
    """A long text lacks the state first, then the city, and never the country."""
    writer = MMDBWriter(ip_version=4, database_type="Other-City", int_type="u32")
    writer.insert_network(IPSet(["203.0.113.0/24"]), record)
    writer.to_db_file(str(tmp_path / "other.mmdb"))
    found = Locations(tmp_path / "other.mmdb").locate(ipaddress.ip_address("203.0.113.7"))
    assert (found, found.text) == (place, text)


def test_without_a_database_every_place_is_unknown():
    assert NOWHERE.locate(ipaddress.ip_address("203.0.113.7")) is None


def test_a_damaged_database_stops_no_sign_in(city_database, tmp_path):
    """Records that cannot be read are as unknown; the caller never hears of it."""
    damaged = bytearray(city_database.read_bytes())
    marker = damaged.rindex(b"\xab\xcd\xefMaxMind.com")
    damaged[marker // 2 : marker] = b"\xff" * (marker - marker // 2)
    path = tmp_path / "damaged.mmdb"
    path.write_bytes(damaged)
    assert Locations(path).locate(ipaddress.ip_address("203.0.113.7")) is None


@pytest.mark.parametrize(
    "record",
    [
        {"city": {"names": "Bern"}},
        {"city": {"names": {"en": 3}}},
        {"subdivisions": {"names": {"en": "Bern"}}},
        ["Bern"],
    ],
)
def test_a_database_of_another_make_stops_no_sign_in(tmp_path, record):
    """It has the format, and other things in it than a City database: those are as unknown."""
    writer = MMDBWriter(ip_version=4, database_type="Other-City", int_type="u32")
    writer.insert_network(IPSet(["203.0.113.0/24"]), record)
    path = tmp_path / "other.mmdb"
    writer.to_db_file(str(path))
    assert Locations(path).locate(ipaddress.ip_address("203.0.113.7")) is None


IPAD = "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1"


@pytest.mark.parametrize(
    ("told", "user_agent", "form"),
    [
        ("", IPAD, "tablet"),
        ("", "Mozilla/5.0 (Linux; Android 14; Pixel Tablet) AppleWebKit/537.36 Chrome/131.0 Safari/537.36", "tablet"),
        ("", "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36", None),
        (properties({"os": "iOS", "device": "iPad13,1"}), "Discord/1 CFNetwork", "tablet"),
        (properties({"os": "Android", "device": "Pixel 7"}), "Discord-Android/126021;RNA", None),
        (properties({"device": ["iPad"]}), SAFARI, None),
        ("", FIREFOX, None),
        ("", "", None),
    ],
)
def test_tablets_are_told_from_phones(told, user_agent, form):
    assert read_client(told, user_agent, None, NOWHERE).form == form


ELECTRON = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) discord/1.0.9212 "
    "Chrome/134.0.6998.205 Electron/35.3.0 Safari/537.36"
)
XBOX = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 Chrome/128.0 Safari/537.36 Edg/128.0"
)
PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36"


@pytest.mark.parametrize(
    ("told", "user_agent", "name"),
    [
        *(
            (properties(told), ELECTRON, "Discord on Windows")
            for told in (
                {},
                {"os": "Windows"},
                {"os": "Windows", "browser": "Discord Client"},
                {"os": "Windows", "browser": "Electron"},
                {"os": "Windows", "browser": "Chrome"},
            )
        ),
        (properties({"os": "Android", "browser": "Discord Android", "device": "Pixel 8"}), "", "Discord on a Pixel 8"),
        (properties({"os": "Android", "browser": "Discord Android", "device": "a53x"}), "", "Discord on Android"),
        (properties({"os": "Android", "browser": "Discord Android", "device": "Pixel <b>"}), "", "Discord on Android"),
        (properties({"os": "iOS", "browser": "Discord iOS", "device": "iPad13,1"}), "", "Discord on iPad"),
        (properties({"os": "Windows", "browser": "Chrome"}), PIXEL, "Chrome on Windows"),
        (properties({"os": "Windows", "browser": "Edge"}), XBOX, "Edge on Xbox"),
        (properties({"browser": "My Client"}), PIXEL, "My Client on a Pixel 7"),
    ],
)
def test_devices_are_named_by_both(told, user_agent, name):
    """Properties are believed of the system; the user agent says more of a device that has it."""
    assert made_up_name(read_client(told, user_agent, None, NOWHERE)) == name


def test_clients_of_the_api_see_what_the_program_calls_itself():
    """The better names are for people: the wire and the memory of known devices keep the names of before."""
    client = read_client("", ELECTRON, None, NOWHERE)
    assert (client.os, client.platform, kind_of_device(client)) == ("Windows", "Electron", "Windows|Electron|")
    client = read_client("", XBOX, None, NOWHERE)
    assert (client.os, client.platform, kind_of_device(client)) == ("Windows", "Edge", "Windows|Edge|")
