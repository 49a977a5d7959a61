"""See every device, sign devices out."""

import base64
import json
from datetime import datetime

import pytest

from app import tokens
from app.stores.connection.node import Node
from tests.device import Device, errors

DAY = 24 * 3600


def properties(**told):
    return base64.b64encode(json.dumps(told).encode()).decode()


DISCORD = {"X_Super_Properties": properties(os="Windows", browser="Discord Client", release_channel="stable")}


def listed(device, query=""):
    answer = device.get("/auth/sessions" + query)
    assert answer.status_code == 200
    return answer.json["user_sessions"]


def test_list_has_every_device_and_no_more(alice, bob, new_device, clock):
    """Most recently used first, with exactly the contract's fields; nobody else's devices."""
    clock.advance(61)
    phone = new_device(**DISCORD).log_in(alice)
    sessions = listed(phone)
    assert len(sessions) == 2
    assert sessions[0] == {
        "id_hash": phone.id_hash,
        "approx_last_used_time": sessions[0]["approx_last_used_time"],
        "client_info": {"os": "Windows", "platform": "Discord Client", "location": None},
    }
    assert datetime.fromisoformat(sessions[0]["approx_last_used_time"]).timestamp() == pytest.approx(clock(), abs=1e-5)
    assert sessions[0]["approx_last_used_time"].endswith("+00:00")
    assert sessions[1]["id_hash"] == alice.id_hash
    assert phone.token not in json.dumps(sessions)


def test_extended_adds_what_a_page_needs(alice, new_device, clock):
    phone = new_device(**DISCORD).log_in(alice)
    [session] = [session for session in listed(phone, "?extended=true") if session["is_current"]]
    raw = base64.b64decode(session["id_hash"])
    assert len(raw) == 32
    assert base64.urlsafe_b64decode(session["id"] + "=") == raw
    assert datetime.fromisoformat(session["created_at"]).timestamp() == int(clock())
    assert datetime.fromisoformat(session["expires_at"]).timestamp() == pytest.approx(clock() + 30 * DAY, abs=1e-3)
    assert session["last_seen"] == session["approx_last_used_time"]
    assert (session["last_seen_ip"], session["last_seen_location"]) == ("127.0.0.1", None)
    assert len([session for session in listed(phone, "?extended=true") if session["is_current"]]) == 1
    assert "is_current" not in listed(phone, "?extended=false")[0]


def test_use_moves_the_time_once_a_minute_with_the_client(alice, new_device, clock):
    """Time, address and client move together, and not within the minute."""
    phone = new_device(**DISCORD).log_in(alice)
    began = listed(phone)[0]["approx_last_used_time"]
    clock.advance(59)
    phone.get("/users/@me", X_Super_Properties=properties(os="Linux", browser="Firefox"))
    assert listed(phone)[0]["approx_last_used_time"] == began
    clock.advance(1)
    phone.get("/users/@me", X_Super_Properties=properties(os="Linux", browser="Firefox"))
    session = listed(phone)[0]
    assert session["approx_last_used_time"] > began
    assert session["client_info"] == {"os": "Linux", "platform": "Firefox", "location": None}


def test_the_list_shows_the_use_that_it_is_itself(alice, new_device, clock):
    """What was read before the use was noted is not shown."""
    new_device(**DISCORD).log_in(alice)
    clock.advance(61)
    first = listed(alice)[0]
    assert first["id_hash"] == alice.id_hash
    assert datetime.fromisoformat(first["approx_last_used_time"]).timestamp() == pytest.approx(clock(), abs=1e-5)


@pytest.mark.parametrize("path", ["/api/v9/auth/sessions", "/me/sessions", "/api/v9/users/@me"])
def test_what_is_shown_is_read_in_the_trip_of_the_check(app, alice, monkeypatch, path):
    """Redis is waited for once."""
    browser = app.test_client()
    browser.set_cookie("__Host-session", alice.token)
    assert browser.get(path).status_code == 200
    trips = []
    exchange = Node.exchange
    monkeypatch.setattr(Node, "exchange", lambda *args, **how: trips.append(args) or exchange(*args, **how))
    assert browser.get(path).status_code == 200
    assert len(trips) == 1


def test_a_session_slides_and_ends_after_its_last_use(alice, clock):
    """29 days unused is no end, 30 are; at the edge it is over."""
    clock.advance(29 * DAY)
    assert alice.is_signed_in
    clock.advance(30 * DAY - 0.001)
    assert alice.is_signed_in
    clock.advance(30 * DAY)
    assert not alice.is_signed_in


def test_a_session_ends_after_a_year_whatever_its_use(alice, clock, new_device):
    for _ in range(18):
        clock.advance(20 * DAY)
        assert alice.is_signed_in
    clock.advance(5 * DAY + 1)
    assert not alice.is_signed_in
    assert len(listed(new_device().log_in(alice))) == 1


def test_the_age_counts_on_under_a_new_token(alice, clock):
    """A session that goes on under a new token is as old as before."""
    clock.advance(20 * DAY)
    alice.enable_totp(clock())
    for _ in range(17):
        clock.advance(20 * DAY)
        assert alice.is_signed_in
    clock.advance(5 * DAY + 1)
    assert not alice.is_signed_in


def test_expired_sessions_are_not_listed(alice, new_device, clock):
    phone = new_device().log_in(alice)
    clock.advance(29 * DAY)
    assert phone.is_signed_in
    clock.advance(2 * DAY)
    assert [session["id_hash"] for session in listed(phone)] == [phone.id_hash]


def test_51_logins_are_50_sessions(alice, new_device, clock):
    """The least recently used one is gone, the new one never."""
    devices = [alice]
    for _ in range(49):
        clock.advance(1)
        devices.append(new_device().log_in(alice))
    clock.advance(61)
    assert alice.is_signed_in
    last = new_device().log_in(alice)
    hashes = last.id_hashes()
    assert len(hashes) == 50
    assert last.id_hash in hashes
    assert alice.is_signed_in
    assert devices[1].get("/users/@me").status_code == 401
    assert devices[2].is_signed_in


def test_ending_needs_a_proof_and_looking_does_not(alice, new_device):
    """The 401 is the contract's, with RFC 9470's header; nothing ended."""
    phone = new_device().log_in(alice)
    answer = alice.post("/auth/sessions/logout", {"session_id_hashes": [phone.id_hash]})
    assert answer.status_code == 401
    assert answer.json == {
        "message": "Two factor is required for this operation",
        "code": 60003,
        "mfa": {"ticket": answer.json["mfa"]["ticket"], "methods": [{"type": "password"}]},
    }
    header = 'Bearer error="insufficient_user_authentication", max_age="300"'
    assert answer.headers["WWW-Authenticate"] == header
    assert answer.headers["Cache-Control"] == "no-store"
    assert phone.is_signed_in


def test_sign_out_another_device(alice, new_device):
    """After the 204 its token is dead and it is listed no more; the others live."""
    phone, tablet = new_device().log_in(alice), new_device().log_in(alice)
    ended = phone.id_hash
    answer = alice.end([ended])
    assert (answer.status_code, answer.data) == (204, b"")
    assert phone.get("/auth/sessions").status_code == 401
    assert phone.post("/auth/sessions/logout", {"session_id_hashes": [ended]}).status_code == 401
    assert ended not in alice.id_hashes()
    assert tablet.is_signed_in


def test_sign_out_several_and_oneself(alice, new_device):
    """The caller's own may be among them; what is not a session of the caller is passed over."""
    others = [new_device().log_in(alice) for _ in range(3)]
    hashes = [device.id_hash for device in (*others[:2], alice)]
    assert alice.end([*hashes, "B" * 43 + "="]).status_code == 204
    assert [device.is_signed_in for device in (alice, *others)] == [False, False, False, True]


def test_nobody_ends_anothers_session(alice, bob):
    """A foreign hash and an unknown one have the same answer, and nothing ends."""
    proof = alice.prove()
    foreign, unknown = alice.end([bob.id_hash], proof), alice.end(["B" * 43 + "="], proof)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json == unknown.json == {"code": 10020, "message": "Unknown Session"}
    assert bob.is_signed_in


def test_what_ended_is_unknown(alice, new_device):
    phone = new_device().log_in(alice)
    ended = phone.id_hash
    proof = alice.prove()
    assert alice.end([ended], proof).status_code == 204
    assert alice.end([ended], proof).json["code"] == 10020


@pytest.mark.parametrize(
    ("hashes", "path", "code"),
    [
        ([], (), "BASE_TYPE_BAD_LENGTH"),
        (["A" * 43 + "="] * 65, (), "BASE_TYPE_BAD_LENGTH"),
        ("A" * 43 + "=", (), "LIST_TYPE_CONVERT"),
        (None, (), "BASE_TYPE_REQUIRED"),
        (["A" * 43 + "=", "short"], ("1",), "BASE_TYPE_BAD_FORMAT"),
        (["A" * 43 + "=\n"], ("0",), "BASE_TYPE_BAD_FORMAT"),
        ([5], ("0",), "STRING_TYPE_CONVERT"),
        ([["A" * 43 + "="]], ("0",), "STRING_TYPE_CONVERT"),
    ],
)
def test_the_body_is_validated_before_the_challenge(alice, hashes, path, code):
    """Nobody proves themselves for a request that would be refused anyway; list items are named by index."""
    answer = alice.post("/auth/sessions/logout", {"session_id_hashes": hashes})
    assert errors(answer, "session_id_hashes", *path) == [code]


def test_64_at_once_is_the_most(alice, new_device):
    phone = new_device().log_in(alice)
    unknown = [f"{number:043d}=" for number in range(63)]
    assert alice.end([*unknown, phone.id_hash]).status_code == 204
    assert not phone.is_signed_in


def test_the_cookie_is_a_token_too(alice, app):
    """A browser's requests carry the cookie; where a header is there as well, the header counts."""
    browser = Device(app.test_client(use_cookies=False))
    cookie = f"__Host-session={alice.token}"
    assert browser.get("/auth/sessions", Cookie=cookie).status_code == 200
    assert browser.get("/auth/sessions", Cookie=cookie, Authorization=tokens.issue("1", 0)).status_code == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 204),
        ({"Sec_Fetch_Site": "same-origin"}, 204),
        ({"Origin": "http://localhost"}, 204),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Host": ""}, 403),
        ({"Origin": "http://["}, 403),
    ],
)
def test_a_cookie_acts_from_its_own_origin_only(alice, app, sent, status):
    """Another site's page cannot sign anybody out; header callers send any Origin they like."""
    browser = Device(app.test_client(use_cookies=False))
    answer = browser.post("/auth/logout", Cookie=f"__Host-session={alice.token}", **sent)
    assert answer.status_code == status
    assert answer.json == ({"code": 0, "message": "403: Forbidden"} if status == 403 else None)


@pytest.mark.parametrize("origin", ["https://discord.com", "http://[", "//["])
def test_without_a_cookie_the_origin_is_not_asked(app, origin):
    """Who has no credential hears that, whatever the origin."""
    assert Device(app.test_client(use_cookies=False)).post("/auth/logout", Origin=origin).status_code == 401


def test_a_header_caller_sends_any_origin(alice):
    assert alice.post("/auth/logout", Origin="https://discord.com", Sec_Fetch_Site="cross-site").status_code == 204


def test_the_address_comes_through_trusted_proxies_only(alice, make_app):
    """The rightmost address that no trusted proxy has; believed from a trusted peer alone."""
    behind = Device(make_app(TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8").test_client(use_cookies=False))
    direct = Device(make_app().test_client(use_cookies=False))
    forwarded = {"X_Forwarded_For": "6.6.6.6, [2001:db8::5]:4711, 10.1.2.3"}

    def seen(device):
        body = {"login": alice.email, "password": alice.password}
        device.token = device.post("/auth/login", body, **forwarded).json["token"]
        [current] = [session for session in listed(device, "?extended=true") if session["is_current"]]
        return current["last_seen_ip"]

    assert seen(behind) == "2001:db8::5"
    assert seen(direct) == "127.0.0.1"


NOWHERE = dict.fromkeys(["country_code", "country_name", "region", "city"])
BERN = {"country_code": "CH", "country_name": "Switzerland", "region": "Bern", "city": "Bern"}


def test_the_place_of_a_session_is_told_in_parts_too(make_app, city_database, clock):
    """It is that of the last use, and unknown parts are null."""
    app = make_app(GEOIP_DATABASE=str(city_database), TRUSTED_PROXIES="127.0.0.1")
    device = Device(app.test_client(use_cookies=False), {"X_Forwarded_For": "203.0.113.7"}).register(
        "carol@example.com"
    )

    def place():
        [session] = device.get("/auth/sessions?extended=true").json["user_sessions"]
        return session["last_seen_location"], session["last_seen_location_info"]

    assert place() == ("Bern, Bern, Switzerland", BERN)
    for address, text, parts in (
        ("198.51.100.7", "France", NOWHERE | {"country_code": "FR", "country_name": "France"}),
        ("192.0.2.1", None, NOWHERE),
        ("192.0.2.200", None, NOWHERE | {"country_code": "AT"}),
        ("203.0.113.8", "Bern, Bern, Switzerland", BERN),
    ):
        clock.advance(61)
        device.get("/users/@me", X_Forwarded_For=address)
        assert place() == (text, parts)
    plain = device.get("/auth/sessions").json["user_sessions"][0]
    assert "last_seen_location_info" not in plain


def test_a_country_without_a_name_stops_no_sign_in(make_app, city_database):
    """Some databases have its code alone."""
    app = make_app(GEOIP_DATABASE=str(city_database), TRUSTED_PROXIES="127.0.0.1")
    device = Device(app.test_client(use_cookies=False), {"X_Forwarded_For": "192.0.2.200"})
    device.register("carol@example.com")
    [session] = listed(device, "?extended=true")
    assert session["last_seen_location"] is None
    assert session["last_seen_location_info"] == NOWHERE | {"country_code": "AT"}


def test_a_place_that_a_release_before_has_noted_stays(alice, redis):
    """Without parts; also over parts that this release noted earlier."""
    key, field = f"user:{{{alice.user_id}}}:sessions", alice.id_hash
    for more in ({}, {"place": {"country_code": "CH", "city": "Bern"}}, {"place": "no place"}):
        record = json.loads(redis.hget(key, field)) | {"location": "Paris, France"} | more
        redis.hset(key, field, json.dumps(record))
        [session] = alice.get("/auth/sessions?extended=true").json["user_sessions"]
        assert session["client_info"]["location"] == session["last_seen_location"] == "Paris, France"
        assert session["last_seen_location_info"] == NOWHERE
