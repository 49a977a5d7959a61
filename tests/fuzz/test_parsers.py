"""What must hold of every parser, whatever it is given."""

import base64
import hashlib
import hmac
import ipaddress
import json
import re
import unicodedata
from contextlib import suppress
from dataclasses import astuple
from datetime import UTC, datetime
from typing import get_args
from urllib.parse import urljoin, urlsplit

import click
import pyotp
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app import times, tokens
from app.callers.addresses import caller_address, limit_key
from app.callers.client_info import read_client
from app.callers.identity import SAFE_METHODS, Callers, require_same_origin
from app.callers.location import Locations, is_private
from app.cli.canary import Connection, ProbeError
from app.cli.sessions import sessions as session_commands
from app.errors import Forbidden, Unauthorized
from app.languages import times as times_in_words
from app.languages import words
from app.routes.forms import HOME, next_path
from app.rules import device_names, totp
from app.rules.checks import Caller
from app.rules.email_addresses import normalise_email
from app.rules.keyring import Keyring
from app.rules.second_factor import SecondFactor
from app.stores.session_records import Client, Ended, Session
from app.stores.user_records import User
from app.text import clean, plain_code
from app.watch.events import Reason

NOWHERE = Locations(None)
LATIN = st.text(st.characters(max_codepoint=255))  # how WSGI hands headers over
MOMENTS = st.floats(0, 2**32)  # Unix seconds, as far as a token tells them
SECRETS = st.builds(tokens.issue, st.integers(0, 2**64 - 1).map(str), st.integers(0, 2**32 - 1))


def nearly(texts):
    """Texts of a kind with a piece cut out, put in or taken twice."""
    pieces = st.text(max_size=2) | st.sampled_from(list("AZaz09+/=-_. \n"))
    return st.builds(
        lambda text, at, length, piece: text[: at % (len(text) + 1)] + piece + text[at % (len(text) + 1) + length :],
        texts,
        st.integers(0, 200),
        st.integers(0, 3),
        pieces,
    )


# Tokens


@given(st.text() | nearly(SECRETS))
def test_what_reads_as_a_token_has_its_form(text):
    claim = tokens.read(text)
    if claim is None:
        return
    who, when, chance = text.split(".")
    decoded = [base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True) for part in (who, when)]
    assert (claim.user_id.encode(), claim.at.to_bytes(4, "big")) == tuple(decoded)
    assert re.fullmatch(r"[0-9]{1,20}", claim.user_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", chance)
    assert claim.id_hash == base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@given(SECRETS, nearly(SECRETS))
def test_no_other_text_has_a_tokens_hash(secret, other):
    claim, others = tokens.read(secret), tokens.read(other)
    assert claim is not None
    assert others is None or others.id_hash != claim.id_hash


@given(st.text() | nearly(st.binary(min_size=32, max_size=32).map(lambda raw: base64.b64encode(raw).decode())))
def test_what_reads_as_an_id_is_one_and_stays_it(text):
    id_hash = tokens.id_from_url(text)
    if id_hash is not None:
        assert len(base64.b64decode(id_hash, validate=True)) == 32
        assert tokens.id_from_url(id_hash) == id_hash
        assert tokens.id_from_url(tokens.id_in_url(id_hash)) == id_hash


# Client info

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
TOLD = st.dictionaries(st.sampled_from(["os", "browser", "device", "x"]), JSON)


def header(told):
    return base64.b64encode(json.dumps(told).encode()).decode()


def is_shown(value):
    """As values are kept: something of 64 characters at most, and none of them hidden."""
    return value is None or (0 < len(value) <= 64 and value == clean(value) == value.strip())


@given(st.text(st.characters()))
def test_cleaning_only_leaves_out_and_is_done_once(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    if cleaned is not None:
        rest = iter(text)
        assert all(char in rest for char in cleaned)
        assert not {unicodedata.category(char) for char in cleaned} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert 0 < len(cleaned) <= 64


@given(LATIN | TOLD.map(header) | JSON.map(header) | nearly(TOLD.map(header)), LATIN)
def test_a_client_is_described_by_what_can_be_shown(properties, user_agent):
    client = read_client(properties, user_agent, None, NOWHERE)
    assert is_shown(client.os)
    assert is_shown(client.platform)
    assert (client.location, client.ip) == (None, None)
    assert client.form in (None, *get_args(device_names.DeviceKind))
    assert is_shown(client.program)
    assert is_shown(client.device)


@given(TOLD, LATIN, st.integers(0, 2))
def test_what_properties_tell_comes_before_the_user_agent(told, user_agent, padding):
    properties = header(told)
    client = read_client(properties[: len(properties) - min(padding, properties.count("="))], user_agent, None, NOWHERE)
    by_agent = read_client("", user_agent, None, NOWHERE)
    assert client.os == (clean(told.get("os")) or by_agent.os)
    assert client.platform == (clean(told.get("browser")) or by_agent.platform)


@given(LATIN)
def test_properties_over_8_kib_are_as_none(user_agent):
    properties = header({"os": "Windows", "device": "iPad", "padding": "x" * 8192})
    assert read_client(properties, user_agent, None, NOWHERE) == read_client("", user_agent, None, NOWHERE)


# Addresses

TRUSTED = tuple(ipaddress.ip_network(network) for network in ("10.0.0.0/8", "fd00::/8"))
GARBAGE = st.text(st.sampled_from("ghxyz %_;[]:\"'é"), max_size=12).filter(lambda text: not re.search("[0-9a-f]", text))
PORTS = st.integers(0, 65535)


def is_trusted(address):
    return any(address in network for network in TRUSTED)


def spellings(address):
    """The forms in which a proxy writes an address."""
    if address.version == 4:
        forms = ["{}", "{}:{}", '"{}"', " {} ", "::ffff:{}", "[::ffff:{}]:{}"]
    else:
        forms = ["{}", "[{}]", "[{}]:{}", '"[{}]:{}"', "{}%eth0", "\t[{}] "]
    return st.builds(str.format, st.sampled_from(forms), st.just(str(address)), PORTS)


NAT64 = ipaddress.ip_network("64:ff9b::/96")
ADDRESSES = st.one_of(
    st.ip_addresses(), st.ip_addresses(network="10.0.0.0/8"), st.ip_addresses(network="fd00::/8")
).filter(lambda address: getattr(address, "ipv4_mapped", None) is None and address not in NAT64)
HOPS = st.lists(
    ADDRESSES.flatmap(lambda address: spellings(address).map(lambda text: (text, address)))
    | GARBAGE.map(lambda text: (text, None)),
    max_size=8,
)


@given(ADDRESSES, HOPS)
def test_the_address_is_the_rightmost_that_no_trusted_proxy_has(peer, hops):
    forwarded_for = ",".join(text for text, _ in hops)
    assert caller_address(str(peer), forwarded_for, TRUSTED) == (walk(peer, hops) if is_trusted(peer) else peer)


def walk(peer, hops):
    """From the right: the first address that no proxy has; where a word is none, the proxy that said it."""
    nearest = peer
    for text, address in reversed(hops):
        if address is not None and not is_trusted(address):
            return address
        if address is None and any(piece.strip() for piece in text.split(",")):
            return nearest
        nearest = nearest if address is None else address
    return peer


@given(LATIN, LATIN)
def test_no_peer_and_no_header_is_an_error(peer, forwarded_for):
    address = caller_address(peer, forwarded_for, TRUSTED)
    assert address is None or caller_address(str(address), "", ()) == address
    through_proxy = caller_address("10.0.0.1", forwarded_for, TRUSTED)
    assert str(through_proxy) == "10.0.0.1" or not is_trusted(through_proxy)


PLACES = st.dictionaries(
    st.sampled_from(["city", "subdivisions", "country"]),
    JSON
    | st.dictionaries(st.just("names"), st.dictionaries(st.sampled_from(["en", "de"]), st.text() | JSON))
    | st.lists(JSON),
)


@given(JSON | PLACES, st.ip_addresses().filter(lambda address: not is_private(address)))
@example({"city": {"names": "Bern"}}, ipaddress.ip_address("192.0.2.1"))
@example({"subdivisions": {"names": {"en": "Bern"}}}, ipaddress.ip_address("192.0.2.1"))
@example({"country": {"names": {"en": 41}}}, ipaddress.ip_address("192.0.2.1"))
def test_a_place_is_words_or_unknown_whatever_the_database_holds(record, address):
    locations = Locations(None)
    locations._reader = {address: record}
    place = locations.locate(address)
    texts = [text for text in astuple(place) if text is not None] if place else []
    assert place is None or (texts and all(isinstance(text, str) and 0 < len(text) <= 64 for text in texts))
    assert place is None or place.text is None or clean(place.text) == place.text


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_of_a_64_counts_as_one(address, rest):
    neighbour = ipaddress.IPv6Address(int(address) >> 64 << 64 | rest)
    assert limit_key(address) == limit_key(neighbour)
    assert address in ipaddress.ip_network(limit_key(address))


# Callers: authorization, cookies and origins


class _Recorder:
    """Stands for the devices: notes which token and which proof were read."""

    adoption = None

    def __init__(self):
        self.read = None

    def identify_and_look_up(self, token, proof, beside):
        self.read = (token, proof)
        return Caller("1", "x", 0, 0, proved=False), beside("1").parse([])

    def is_touch_due(self, caller):
        return False


def read_by_callers(environ, method="GET"):
    recorder = _Recorder()
    try:
        Callers(recorder, NOWHERE, ()).identify(environ, method)
    except Unauthorized:
        return None
    return recorder.read


COOKIE_NAMES = st.sampled_from(["session", "__Host-sessio", "__host-session", "a", "__Secure-recent"])
COOKIES = st.lists(
    st.builds("{}={}".format, COOKIE_NAMES, st.text(st.sampled_from('abc.-_=% "'), max_size=9)), max_size=4
)


@given(SECRETS, SECRETS, COOKIES, st.sampled_from(["; ", ";", " ; "]))
def test_the_cookies_are_found_among_others(token, proof, others, separator):
    cookies = [*others, f"__Host-session={token}", f"__Secure-recent_mfa={proof}"]
    assert read_by_callers({"HTTP_COOKIE": separator.join(cookies)}) == (token, proof)


@given(SECRETS, LATIN, st.sampled_from(["", "Bearer ", "bearer ", "BEARER "]))
def test_a_header_counts_before_any_cookie(token, cookies, scheme):
    read = read_by_callers({"HTTP_AUTHORIZATION": scheme + token, "HTTP_COOKIE": cookies})
    assert read is not None
    assert read[0] == token


@given(LATIN, st.none() | LATIN)
def test_no_cookie_and_no_header_is_an_error(cookies, authorization):
    environ = {"HTTP_COOKIE": cookies} | ({} if authorization is None else {"HTTP_AUTHORIZATION": authorization})
    read = read_by_callers(environ)
    assert read is None or all(isinstance(part, str) for part in read)


ORIGINS = LATIN | st.sampled_from(
    ["null", "https://us.example", "https://us.example:443", "http://[::1", "//us.example", "https://us.example@evil"]
)


@given(st.none() | LATIN | st.sampled_from(["same-origin", "none", "same-site", "cross-site"]), st.none() | ORIGINS)
def test_what_names_another_origin_is_refused(site, origin):
    named = {"HTTP_SEC_FETCH_SITE": site, "HTTP_ORIGIN": origin}
    environ = {"HTTP_HOST": "us.example"} | {name: value for name, value in named.items() if value is not None}
    try:
        require_same_origin(environ)
        passed = True
    except Forbidden:
        passed = False
    if site is not None:
        assert passed == (site in ("same-origin", "none"))
    elif origin is None:
        assert passed
    else:
        is_ours = re.sub(r"[\t\r\n]", "", origin).rpartition("//")[2].split("/")[0].split("?")[0].split("#")[0]
        assert not passed or re.fullmatch(r"us\.example(:0*(443|80))?", is_ours, re.IGNORECASE)


@given(LATIN)
def test_an_unsafe_request_by_cookie_asks_for_its_origin(method):
    assume(method not in SAFE_METHODS)
    environ = {"HTTP_COOKIE": "__Host-session=x", "HTTP_SEC_FETCH_SITE": "cross-site"}
    with pytest.raises(Forbidden):
        read_by_callers(environ, method)


# E-mail addresses

EMAILS = st.emails() | st.builds(
    "{}@{}".format,
    st.text(min_size=1, max_size=12),
    st.sampled_from(["example.com", "ÄÖ.example", "xn--4ca0b.example"]),
)


@given(st.text() | EMAILS | nearly(EMAILS))
def test_an_address_is_normalised_once(email):
    normalised = normalise_email(email)
    assert normalise_email(normalised) == normalised


@given(st.emails())
def test_small_and_capital_letters_are_one_address(email):
    assert normalise_email(email.upper()) == normalise_email(email.lower()) == normalise_email(email)


# TOTP


@given(st.binary(min_size=20, max_size=60), st.data())
def test_a_secret_reads_back_however_it_is_grouped(raw, data):
    secret = base64.b32encode(raw).decode().rstrip("=")
    shown = "".join(
        data.draw(st.sampled_from([char, char.lower()])) + data.draw(st.sampled_from(["", "", " ", "-", "\t"]))
        for char in secret
    )
    typed = shown + data.draw(st.sampled_from(["", "=", "======"]))
    assert totp.read_secret(typed, totp.SECRET_BITS) == secret


BASE32 = st.text(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), min_size=20, max_size=140)


@given(st.text() | nearly(BASE32) | BASE32.map(str.lower) | st.text(st.sampled_from("sSſßı"), min_size=32, max_size=40))
@example("ſ" * 32)  # in capitals it is S
def test_what_is_taken_for_a_secret_is_base32_of_160_bits(text):
    secret = totp.read_secret(text, totp.SECRET_BITS)
    if secret is not None:
        assert re.fullmatch(r"[A-Za-z2-7\s=-]+", text)
        assert re.fullmatch(r"[A-Z2-7]{32,128}", secret)
        assert totp.read_secret(secret, totp.SECRET_BITS) == secret
        assert len(pyotp.TOTP(secret).byte_secret()) >= 20


@given(st.text() | nearly(BASE32) | st.binary(min_size=5, max_size=90).map(lambda raw: base64.b32encode(raw).decode()))
def test_a_foreign_secret_is_lengthened_and_its_codes_stay(text):
    secret = totp.read_secret(text, totp.LEAST_SECRET_BITS)
    if secret is not None:
        assert re.fullmatch(r"[A-Z2-7]{32,128}", secret)
        assert totp.read_secret(secret, totp.SECRET_BITS) == secret
        foreign = re.sub(r"[\s=-]", "", text).upper()
        assert len(foreign) >= 16
        keys = [base64.b32decode(one + "=" * (-len(one) % 8)) for one in (secret, foreign)]
        assert hmac.digest(keys[0], b"a step", "sha1") == hmac.digest(keys[1], b"a step", "sha1")


@given(st.binary(min_size=20, max_size=40), MOMENTS, st.integers(0, 10), st.integers(-12, 12), st.text(max_size=3))
def test_a_code_matches_within_its_window_alone(raw, now, window, offset, odd):
    secret = base64.b32encode(raw).decode().rstrip("=")
    current = int(now) // 30
    assume(current + offset >= 0)
    code = pyotp.TOTP(secret).generate_otp(current + offset)
    step = totp.matching_step(secret, code, now, window)
    assert step is not None or abs(offset) > window
    if step is not None:
        assert abs(step - current) <= window
        assert pyotp.TOTP(secret).generate_otp(step) == code
    assume(plain_code(odd))
    assert totp.matching_step(secret, code + odd, now, window) is None


@given(st.text(), MOMENTS, st.integers(0, 10))
def test_no_code_is_an_error(code, now, window):
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    step = totp.matching_step(secret, code, now, window)
    assert step is None or abs(step - int(now) // 30) <= window


KEYRING = Keyring(["k" * 32, "l" * 32])
TYPED = st.from_regex(r"\A[ -]?[a-zA-Z0-9]{4}[ -]?[a-zA-Z0-9]{4}\Z") | st.from_regex(r"\A[0-9]{3} ?[0-9]{3}\Z")


@example("0000\b0000", False, "totp", 0.0)
@given(st.text(st.characters()) | TYPED | nearly(TYPED), st.booleans(), st.sampled_from(["totp", "backup"]), MOMENTS)
def test_what_is_typed_is_a_code_or_wrong(typed, has_totp, mfa_type, now):
    """Nothing that is typed is an error, nor a password; a backup code is eight letters and digits, however spaced."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    user = User("1", "", "", None, "", 0, "1", KEYRING.encrypt(secret) if has_totp else None, 0, False, 10)
    answer = SecondFactor(None, KEYRING, None, 1, 128, None, lambda: now).read_answer(user, mfa_type, typed, "")
    assert answer.factor != "password"
    evidence = answer.evidence or {}
    bare = plain_code(typed)
    if "step" in evidence:
        assert mfa_type == "totp"
        assert has_totp
        assert pyotp.TOTP(secret).generate_otp(evidence["step"]) == bare
    if "code_hashes" in evidence:
        assert len(bare) == 8
        assert evidence["code_hashes"] == KEYRING.code_hashes("1", bare)
    elif bare.isascii() and "step" not in evidence:
        assert not re.fullmatch("[A-Za-z0-9]{8}", bare)


# Names and times

SHOWN = st.none() | st.text().map(clean)
FORMS = st.sampled_from([None, "toaster", *get_args(device_names.DeviceKind)])
CLIENTS = st.builds(Client, os=SHOWN, platform=SHOWN, program=SHOWN, device=SHOWN, form=FORMS)
SESSIONS = st.builds(Session, st.just("1"), st.sampled_from("ab"), st.just(0), st.just(0.0), CLIENTS, name=SHOWN)
REASONS = st.sampled_from(get_args(Reason))


@given(CLIENTS)
def test_every_device_has_a_name_and_a_kind(client):
    name = device_names.made_up_name(client)
    assert name
    assert "None" not in name or "None" in "".join(
        filter(None, (client.os, client.platform, client.program, client.device))
    )
    assert device_names.kind_of(client) in get_args(device_names.DeviceKind)
    assert words.made_up_name(client) == name, "pages in English say what the API says"


@given(SESSIONS, REASONS, st.none() | SESSIONS)
def test_every_end_has_its_words(session, reason, by):
    ended = Ended(session, 0, reason, by)
    for text in (words.why_ended(ended), words.why_ended_here(ended, 100) or "None: they logged out"):
        assert text[0].isupper()
        assert text.strip() == text
    if session.name:
        assert device_names.name_of(session) == session.name


@given(MOMENTS)
def test_times_read_back(at):
    told = times.iso(at)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", told)
    assert abs(datetime.fromisoformat(told).timestamp() - at) < 1e-5
    by_minute = datetime.strptime(times_in_words.date_and_time(at), "%d %B %Y, %H:%M UTC").replace(tzinfo=UTC)
    assert 0 <= at - by_minute.timestamp() < 60.001


@given(MOMENTS, st.sampled_from([None, "+00:00", "Z"]))
def test_what_was_told_in_iso_is_read_again(at, zone):
    told = times.iso(at)[:-6] + (zone or "")
    assert abs(times.iso_seconds(f" {told}") - at) < 1e-5
    assert times.before(told, 0) == times.iso_seconds(told)


@given(st.text(st.characters()) | st.from_regex(r"\A[0-9]{1,8}[smhdw]?\Z") | st.datetimes().map(str), MOMENTS)
def test_before_is_a_time_or_a_span_and_all_else_no_error_but_one(text, now):
    try:
        at = times.before(text, now)
    except ValueError:
        assert not re.fullmatch("[0-9]{1,6}[smhd]", text.strip())
        return
    assert isinstance(at, float)


@given(MOMENTS, MOMENTS, MOMENTS)
def test_how_long_ago_grows_with_time(at, earlier, now):
    seconds = {"hour": 3600, "day": 86400, "week": 604800}
    passed = []
    for moment in (max(at, earlier), min(at, earlier)):
        words = re.fullmatch(r"(?:less than an (hour)|(\d+) (hour|day|week)(s?)) ago", times_in_words.ago(moment, now))
        assert words
        count = int(words[2] or 0)
        assert words[1] or (words[4] == "") == (count == 1)
        passed.append(count * seconds[words[3]] if words[3] else 0)
        assert passed[-1] <= max(0, now - moment) < max(passed[-1] + seconds[words[3] or "hour"], 3600)
    assert passed[0] <= passed[1]


@given(MOMENTS, MOMENTS)
def test_a_day_has_its_year_where_it_is_another(at, now):
    then, today = (datetime.fromtimestamp(moment, UTC) for moment in (at, now))
    assert times_in_words.day(at, now).endswith(str(then.year)) == (then.year != today.year)


# Where a login leads

PATHS = st.text(st.characters()) | st.builds(
    "".join,
    st.lists(st.sampled_from(["/", "\\", ".", "..", "//", "evil.example", "@", ":", "%2f", "?", "#", "\t", "a"])),
)


@pytest.fixture(scope="module")
def plain_app():
    """No store: what is asked of it needs none."""
    from fakeredis import FakeRedis  # noqa: PLC0415

    from app import create_app  # noqa: PLC0415
    from app.config import load_settings  # noqa: PLC0415
    from tests.conftest import ENVIRONMENT  # noqa: PLC0415

    return create_app(load_settings(ENVIRONMENT), FakeRedis())


@given(wanted=PATHS, method=st.sampled_from(["GET", "POST"]))
def test_a_login_leads_to_a_path_of_our_own(plain_app, wanted, method):
    given_as = {"query_string": {"next": wanted}} if method == "GET" else {"data": {"next": wanted}}
    with plain_app.test_request_context("/login", method=method, **given_as):
        path = next_path()
    assert path in (HOME, wanted)
    assert urlsplit(path)[:2] == ("", "")
    as_browsers_read_it = re.sub(r"[\t\r\n]", "", path).replace("\\", "/")
    assert urlsplit(urljoin("https://us.example/login", as_browsers_read_it)).netloc == "us.example"
    with plain_app.test_request_context("/login", query_string={"next": path}):
        assert next_path() == path


# The command line


URLS = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https", "ftp", "HTTP", ""]),
    st.sampled_from(["", "[", "]", "[::1]", "[v1.x]", "a", "a@b", "127.0.0.1"]) | st.text(st.characters(), max_size=5),
    st.sampled_from(["", ":", ":0", ":80", ":x", ":99999"]),
    st.sampled_from(["", "/", "/é", "?", "#"]) | st.text(st.characters(), max_size=5),
)


@given(st.text(st.characters()) | URLS)
def test_a_url_leads_somewhere_or_is_told_of(url):
    try:
        connection = Connection(url)
    except ProbeError:
        return
    assert url.lower().lstrip().startswith(("http://", "https://"))
    assert connection._connection.host
    assert 0 < connection._connection.port < 65536


VALUES = {
    "cidr": "192.0.2.0/24",
    "unused_since": "30d",
    "begun_before": "2026-01-02T03:04:05+06:00",
    "client": "Firefox",
    "country": "Switzerland",
}


@pytest.mark.parametrize("name", VALUES)
@given(data=st.data())
def test_an_option_is_read_or_refused_in_words(name, data):
    [option] = [param for param in session_commands.get_command(None, "list").params if param.name == name]
    text = data.draw(st.text(st.characters()) | st.ip_addresses().map(str) | nearly(st.just(VALUES[name])))
    with suppress(click.BadParameter):
        assert option.type.convert(text, option, None) is not None
