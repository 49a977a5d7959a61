"""Adoption: tokens of the service before go on working as sessions, and what ended once stays ended."""

import hashlib
import hmac
import json
import threading

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from redis import RedisCluster

from app import tokens
from app.rules import refused_tokens
from app.stores.keys import unprefixed as keys
from app.times import iso, iso_seconds
from tests.device import PASSWORD, Device
from tests.former_service import FormerService, b64url, with_another_signature, with_der_signature
from tests.web.test_secrets import dump

UNAUTHORIZED = {"code": 0, "message": "401: Unauthorized"}
SECRET = "what-the-gateway-shows-to-be-let-in"
DAY = 24 * 3600
P521_ORDER = 2**521 - 16**66 + 0xFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409


@pytest.fixture(scope="module")
def former():
    """The service before, as Spacebar is."""
    return FormerService()


@pytest.fixture(scope="module")
def key_file(former, tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "jwt.key.pub"
    path.write_text(former.pem, encoding="utf-8")
    return str(path)


@pytest.fixture
def adopting(make_app, key_file):
    """Makes the service with adoption on: two of them are two processes."""
    return lambda **settings: make_app(ADOPT_JWT_KEY=key_file, GATEWAY_SECRET=SECRET, **settings)


@pytest.fixture
def app(adopting):
    return adopting()


@pytest.fixture
def old_device(app, former, alice, clock):
    """Makes devices that alice signed in with the service before."""

    def make(issued_at=None, *, token="", at=None, **claims):
        device = Device((at or app).test_client(use_cookies=False))
        at = clock() - DAY if issued_at is None else issued_at
        device.token = token or former.token(alice.user_id, int(at), **claims)
        device.user_id, device.email = alice.user_id, alice.email
        return device

    return make


@pytest.fixture
def signatures(monkeypatch):
    """Counts the checks of signatures."""
    checked = []
    check = jwt.PyJWS.decode_complete
    monkeypatch.setattr(
        jwt.PyJWS, "decode_complete", lambda *given, **named: checked.append(given[1]) or check(*given, **named)
    )
    return checked


def iso_second(at):
    return iso(int(at))


def assert_refused(device):
    """As every dead token is, and for verify, too."""
    answer = device.get("/users/@me")
    assert (answer.status_code, answer.json) == (401, UNAUTHORIZED)
    assert device.get("/gateway/verify").status_code == 401


def introspect(device, token):
    headers = {"Authorization": f"Bearer {SECRET}"}
    return device._client.post("/gateway/introspect", data={"token": token}, headers=headers).json


# What goes on working


@pytest.mark.parametrize("scheme", ["", "Bearer ", "Bot ", "bearer  ", "BOT "])
def test_a_token_becomes_a_session_at_its_first_use(old_device, alice, clock, signatures, scheme):
    """It began when it was issued, is listed, and its signature is checked once."""
    old = old_device()
    sent = {
        "Authorization": scheme + old.token,
        "User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0",
    }
    assert old.get("/users/@me", **sent).json["id"] == alice.user_id
    assert old.get("/users/@me", **sent).status_code == 200
    assert len(signatures) == 1
    [listed] = [one for one in alice.get("/auth/sessions?extended=true").json["user_sessions"] if not one["is_current"]]
    assert listed["id_hash"] == tokens.id_hash(old.token)
    assert listed["client_info"]["platform"] == "Firefox"
    assert listed["created_at"].startswith(iso_second(clock() - DAY))


def test_without_the_setting_no_token_is_adopted(make_app, former, alice, clock):
    device = Device(make_app().test_client(use_cookies=False))
    device.token = former.token(alice.user_id, int(clock()))
    assert_refused(device)


def test_verify_may_be_the_first_to_see_a_token(old_device, alice):
    answer = old_device().get("/gateway/verify")
    assert answer.status_code == 200
    assert answer.headers["X-Auth-User-Id"] == alice.user_id


def test_introspect_may_be_the_first_to_see_a_token(old_device, alice, clock):
    """A client may open its socket before it asks anything else."""
    old = old_device()
    found = introspect(alice, old.token)
    assert (found["active"], found["sub"], found["sid"]) == (True, alice.user_id, tokens.id_hash(old.token))
    assert found["iat"] == found["auth_time"] == int(clock() - DAY)
    assert old.is_signed_in
    assert introspect(alice, old.token + "A") == {"active": False}


def test_reconcile_knows_it(old_device, alice):
    old = old_device()
    assert old.is_signed_in
    named = [{"user_id": alice.user_id, "id_hash": tokens.id_hash(old.token)}]
    asked = {"Authorization": f"Bearer {SECRET}"}
    assert alice.post("/gateway/reconcile", {"sessions": named}, **asked).json == {"ended": []}
    assert old.post("/auth/logout").status_code == 204
    assert alice.post("/gateway/reconcile", {"sessions": named}, **asked).json == {"ended": named}


def test_two_first_uses_at_once_are_one_session(old_device, adopting, alice, redis):
    """In two processes, and one event of its beginning."""
    heard = None if isinstance(redis, RedisCluster) else redis.pubsub()  # which hears one node of a Cluster alone
    if heard:
        heard.subscribe("auth-events")
        heard.get_message(timeout=5)
    apps = [adopting(), adopting()]
    devices = [old_device(at=app) for app in apps * 4]
    for device in devices[1:]:
        device.token = devices[0].token
    begin = threading.Barrier(len(devices))
    statuses = []

    def use(device):
        begin.wait()
        statuses.append(device.get("/users/@me").status_code)

    threads = [threading.Thread(target=use, args=[device]) for device in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * len(devices)
    assert len(alice.id_hashes()) == 2
    if heard:
        told = []
        while message := heard.get_message(timeout=0.2):
            told.append(json.loads(message["data"])["type"])
        assert told == ["AUTH_SESSION_CREATE"]


def test_an_old_token_lives_as_long_as_a_new_session(old_device, clock):
    """Three years old: nobody is signed out by the move. SESSION_MAX_AGE counts from the first use."""
    old = old_device(clock() - 3 * 365 * DAY)
    assert old.is_signed_in
    for _ in range(14):
        clock.advance(25 * DAY)
        assert old.is_signed_in
    [own] = [one for one in old.get("/auth/sessions?extended=true").json["user_sessions"] if one["is_current"]]
    clock.advance(14 * DAY)
    assert old.is_signed_in
    clock.advance(2 * DAY)
    assert own["created_at"] < own["expires_at"] < iso_second(clock())
    assert_refused(old)


def test_a_session_that_is_not_used_expires_and_stays_expired(old_device, clock):
    old = old_device()
    assert old.is_signed_in
    clock.advance(29 * DAY)
    assert old.is_signed_in
    clock.advance(30 * DAY)
    assert_refused(old)
    assert_refused(old)


def test_a_session_ends_when_its_token_says(old_device, alice, clock):
    old = old_device(exp=int(clock()) + 3600)
    assert old.is_signed_in
    [own] = [one for one in old.get("/auth/sessions?extended=true").json["user_sessions"] if one["is_current"]]
    assert own["expires_at"] == iso_second(int(clock()) + 3600)
    clock.advance(3601)
    assert_refused(old)
    assert len(alice.id_hashes()) == 1


def test_the_cap_ends_another_session_and_never_the_new_one(old_device, app, adopting, clock):
    capped = adopting(MAX_SESSIONS_PER_USER="2")
    olds = [old_device(clock() - at, at=capped) for at in (300, 200, 100)]
    for old in olds:
        clock.advance(61)
        assert old.is_signed_in
    assert [old.is_signed_in for old in olds] == [False, True, True]
    assert_refused(olds[0])  # an evicted one would evict another by its next use


def test_an_adopted_session_goes_on_over_uses(old_device, clock, alice):
    """It slides, and a use is noted with its client."""
    old = old_device()
    assert old.is_signed_in
    clock.advance(3600)
    assert old.get("/users/@me", User_Agent="Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/604.1").json
    [listed] = [one for one in alice.get("/auth/sessions?extended=true").json["user_sessions"] if not one["is_current"]]
    assert listed["last_seen"] == iso(clock())
    assert listed["client_info"]["os"] == "iOS"


def test_the_header_counts_and_not_the_cookie(old_device, alice, bob):
    """As with a token of our own; a JWT of a proxy's own hides no cookie."""
    cookie = f"__Host-session={bob.token}"
    assert old_device().get("/users/@me", Cookie=cookie).json["id"] == alice.user_id
    foreign = FormerService("ES256")
    of_a_proxy = foreign.sign({"sub": "somebody", "iat": 1, "aud": "proxy"})
    answer = bob.get("/users/@me", Authorization=f"Bearer {of_a_proxy}", Cookie=cookie)
    assert answer.json["id"] == bob.user_id


def test_a_caller_with_an_old_token_gets_no_cookie(old_device):
    answer = old_device().patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"})
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


# What is ended stays ended


def log_out(old, alice):
    assert old.post("/auth/logout").status_code == 204


def end_by_name(old, alice):
    assert alice.end([tokens.id_hash(old.token)]).status_code == 204


def change_password(old, alice):
    answer = alice.patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"})
    assert answer.status_code == 200
    alice.token = answer.json["token"]


def change_own_password(old, alice):
    answer = old.patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"})
    assert answer.status_code == 200
    alice.token = answer.json["token"]


def turn_totp_on(old, alice):
    """By the session itself, which goes on under a token of our own."""
    token = old.token
    old.enable_totp(old.now)
    old.token = token


def swap(old, alice):
    assert old.post("/auth/swap").status_code == 200


ENDINGS = [log_out, end_by_name, change_password, change_own_password, turn_totp_on, swap]


@pytest.mark.parametrize("end", ENDINGS)
def test_what_was_ended_is_over_although_its_signature_holds(old_device, adopting, alice, clock, redis, end):
    """In each process, also after the list of ended sessions has forgotten it."""
    old = old_device()
    old.now = clock()
    assert old.is_signed_in
    end(old, alice)
    for at in (None, adopting()):
        again = old_device(token=old.token, at=at)
        assert_refused(again)
    redis.delete(keys.ended(alice.user_id))
    clock.advance(400 * DAY)
    assert_refused(old_device(token=old.token, at=adopting()))
    assert introspect(alice, old.token) == {"active": False}


@pytest.mark.parametrize("end", [change_password, change_own_password])
def test_what_ends_all_ends_tokens_that_were_never_used_here(old_device, adopting, alice, clock, end):
    """Also one whose clock was ahead by as much as is allowed."""
    used, unused, ahead = old_device(), old_device(clock() - 2 * DAY), old_device(clock() + 55)
    assert used.is_signed_in
    end(used, alice)
    for old in (unused, ahead):
        assert_refused(old)
    clock.advance(3600)
    for old in (unused, ahead):
        assert_refused(old_device(token=old.token, at=adopting()))


@pytest.mark.parametrize("command", ["disable", "set-password", "end-all"])
def test_what_an_operator_ends(old_device, app, adopting, alice, command):
    used, unused = old_device(), old_device(1_700_000_000)
    assert used.is_signed_in
    run = app.test_cli_runner().invoke
    if command == "end-all":
        assert run(args=["sessions", "end-all", "--user", alice.user_id, "--yes"]).exit_code == 0
    else:
        assert run(args=["users", command, alice.user_id, "--yes"], input="another long one\n").exit_code == 0
    if command == "disable":
        assert run(args=["users", "enable", alice.user_id]).exit_code == 0
    for old in (used, unused):
        assert_refused(old_device(token=old.token, at=adopting()))


def test_end_all_of_a_user_without_a_session(old_device, app, adopting, alice):
    """A token that leaked may never have been used here."""
    unused = old_device()
    assert alice.post("/auth/logout").status_code == 204
    ran = app.test_cli_runner().invoke(args=["sessions", "end-all", "--user", alice.user_id, "--yes"])
    assert (ran.exit_code, ran.stdout) == (0, "0 sessions ended.\n")
    assert_refused(unused)


def test_what_an_incident_tool_ends(old_device, adopting, alice):
    """Also a token of the service before that was never used here."""
    used, unused = old_device(), old_device(1_700_000_000)
    assert used.is_signed_in
    body = {"sub_id": {"format": "opaque", "id": alice.user_id}}
    asked = adopting().test_client()
    answer = asked.post("/gateway/revoke", json=body, headers={"Authorization": f"Bearer {SECRET}"})
    assert answer.status_code == 204
    for old in (used, unused):
        assert_refused(old_device(token=old.token, at=adopting()))


def test_ending_all_others_over_its_limit(old_device, adopting, alice, clock):
    """Then it stops no login under way, and it is an ending all the same."""
    app = adopting(RATE_LIMIT_END_OTHERS_USER="1 per hour")
    asks = old_device(at=app)
    assert asks.is_signed_in
    for _ in range(2):
        clock.advance(200)
        unused = old_device(clock(), at=app)
        sent = {"Authorization": asks.token, "X-Discord-MFA-Authorization": asks.prove()}
        assert asks._client.post("/me/sessions/revoke-all", headers=sent).status_code == 200
        assert_refused(unused)


def test_ending_all_others_keeps_the_one_that_asks(old_device, app, alice, clock):
    """Of the others also those that were never used here."""
    asks, unused = old_device(), old_device(clock() - 2 * DAY)
    assert asks.is_signed_in
    proof = asks.prove()
    answer = asks._client.post(
        "/me/sessions/revoke-all", headers={"Authorization": asks.token, "X-Discord-MFA-Authorization": proof}
    )
    assert answer.status_code == 200, answer.json
    assert asks.is_signed_in
    assert not alice.is_signed_in
    assert_refused(unused)


def test_a_session_ended_by_its_device_again(old_device, alice):
    """The second log-out is a clean 401, and waits for replicas as the first."""
    old = old_device()
    assert old.post("/auth/logout").status_code == 204
    assert old.post("/auth/logout").status_code == 401


def test_an_ended_token_with_another_signature(old_device, app, adopting, clock):
    """Of ECDSA's two signatures anybody makes the second of the first. It is another token, and the same sign-in."""
    other = old_device(clock() - 5)
    assert old_device(token=with_another_signature(other.token, P521_ORDER)).is_signed_in  # so it holds
    assert_refused(other)
    old = old_device()
    twin = with_another_signature(old.token, P521_ORDER)
    assert old.is_signed_in
    assert_refused(old_device(token=twin))
    log_out(old, None)
    assert_refused(old_device(token=twin, at=adopting()))


def test_a_signature_with_bits_to_spare(make_app, tmp_path, alice, clock):
    """Its last letter has four spellings or more, which must not be as many tokens."""
    former = FormerService("RS256")
    path = tmp_path / "rsa.pem"
    path.write_text(former.pem, encoding="utf-8")
    old = Device(make_app(ADOPT_JWT_KEY=str(path)).test_client(use_cookies=False))
    old.token = former.token(alice.user_id, int(clock()))
    assert old.is_signed_in
    log_out(old, alice)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for letter in letters:
        old.token = old.token[:-1] + letter
        assert not old.is_signed_in


# What is not adopted


def _bad_tokens():
    """By name: claims and header beside the usual, or what becomes of a good token."""
    return {
        "no iat": {"iat": None},
        "iat as text": {"iat": "1796013633"},
        "iat true": {"iat": True},
        "iat before all time": {"iat": -1},
        "iat beyond all time": {"iat": 2**32},
        "no id": {"id": None},
        "id a number": {"id": 1234567890123456789},
        "id a name": {"id": "alice"},
        "id beyond": {"id": "1" * 21},
        "id with a line": {"id": "1\n"},
        "scopes": {"scopes": ["identify"]},
        "no scopes in scopes": {"scopes": []},
        "exp null": {"exp": "null"},
        "exp as text": {"exp": "2000000000"},
        "exp true": {"exp": True},
        "nbf as text": {"nbf": "1"},
    }


@pytest.mark.parametrize("name", _bad_tokens())
def test_a_claim_that_is_wrong(old_device, former, alice, clock, name):
    more = _bad_tokens()[name]
    claims = {"id": alice.user_id, "iat": int(clock())} | more
    claims = {key: None if value == "null" else value for key, value in claims.items() if value is not None}
    assert_refused(old_device(token=former.sign(claims)))


@pytest.mark.parametrize("payload", [b'"hello"', b"5", b'["a"]', b"null", b"", b"{", b"\xff", b"[" * 3000])
def test_a_payload_that_is_no_object(old_device, former, payload):
    assert_refused(old_device(token=former.sign_parts(b'{"alg":"ES512"}', payload)))


@pytest.mark.parametrize("iat", [b"1e400", b"NaN", b"Infinity", b"1" * 400, b"-0.5", b"{}"])
def test_an_iat_that_is_no_time(old_device, former, alice, iat):
    payload = b'{"id":"%s","iat":%s}' % (alice.user_id.encode(), iat)
    assert_refused(old_device(token=former.sign_parts(b'{"alg":"ES512","typ":"JWT"}', payload)))


@pytest.mark.parametrize("typ", ["logout+jwt", "secevent+jwt", "at+jwt", "JWT2", 5, ["JWT"]])
def test_a_token_of_another_type(old_device, former, alice, clock, typ):
    assert_refused(old_device(token=former.sign({"id": alice.user_id, "iat": int(clock())}, typ=typ)))


@pytest.mark.parametrize(
    "header", [{"crit": ["x"], "x": 1}, {"crit": ["b64"], "b64": False}, {"alg": "none"}, {"alg": 5}]
)
def test_a_header_that_is_wrong(old_device, former, alice, clock, header):
    claims = {"id": alice.user_id, "iat": int(clock())}
    assert_refused(old_device(token=former.sign(claims, **header)))


@pytest.mark.parametrize("name", ["alg", "typ"])
@pytest.mark.parametrize("value", [[], {}, 5, True, None, "deep"])
def test_a_header_of_another_shape(old_device, name, value):
    """Nested as deeply as JSON is read here, or no text at all."""
    nested = json.loads("[" * 900 + "]" * 900) if value == "deep" else value
    header = json.dumps({"alg": "ES512", "typ": "JWT"} | {name: nested}).encode()
    token = b".".join((b64url(header), b64url(b'{"id": "1", "iat": 1}'), b64url(b"signature"))).decode()
    assert_refused(old_device(token=token))


def test_a_ticket_of_the_service_before(old_device, former, clock):
    """Spacebar's for passkeys: the same key, and nobody's id."""
    assert_refused(old_device(token=former.sign({"challenge": "abc", "iat": int(clock()), "exp": int(clock()) + 300})))


def test_no_signature_at_all(old_device, former, alice, clock):
    header, payload, _ = former.token(alice.user_id, int(clock())).split(".")
    none = b64url(b'{"alg":"none","typ":"JWT"}').decode()
    for token in (f"{none}.{payload}.", f"{none}.{payload}.AAAA", f"{header}.{payload}.", f"{header}.{payload}"):
        assert_refused(old_device(token=token))


def test_the_public_key_as_a_secret(old_device, former, alice, clock):
    """HS256 by the text of the file that is public: the algorithm is the key's, never the token's."""
    for secret in (former.pem, former.pem.strip()):
        claims = json.dumps({"id": alice.user_id, "iat": int(clock())}).encode()
        signed = b".".join((b64url(b'{"alg":"HS256","typ":"JWT"}'), b64url(claims)))
        signature = b64url(hmac.new(secret.encode(), signed, hashlib.sha256).digest())
        assert_refused(old_device(token=b".".join((signed, signature)).decode()))


def test_somebody_elses_key(old_device, former, alice, clock):
    """A kid, in header or payload, names another key, or a file, or an address: nobody looks."""
    other = FormerService()
    claims = {"id": alice.user_id, "iat": int(clock()), "kid": "0" * 64}
    for header in ({}, {"kid": "../../jwt.key.pub"}, {"jku": "https://a.example"}, {"jwk": other.jwk()}, {"kid": 5}):
        assert_refused(old_device(token=other.sign(claims, **header)))


def test_a_signature_in_another_form(old_device):
    assert_refused(old_device(token=with_der_signature(old_device().token)))


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS256", "EdDSA"])
def test_a_key_of_another_kind_is_not_tried(old_device, alice, clock, algorithm, signatures):
    assert_refused(old_device(token=FormerService(algorithm).token(alice.user_id, int(clock()))))
    assert signatures == []


def test_a_long_token_is_not_looked_at(old_device, former, alice, clock, signatures):
    assert_refused(old_device(token=former.token(alice.user_id, int(clock()), did="x" * 100_000)))
    assert_refused(old_device(token="a." * 2 + "a" * 4096))
    assert signatures == []


def test_a_claim_twice_is_read_as_everywhere(old_device, former, alice, bob, clock):
    """The last one counts, for PyJWT, jose and jsonwebtoken, too."""
    payload = b'{"id":"%s","iat":%d,"id":"%s"}' % (bob.user_id.encode(), int(clock()), alice.user_id.encode())
    old = old_device(token=former.sign_parts(b'{"alg":"ES512"}', payload))
    assert old.get("/users/@me").json["id"] == alice.user_id


@pytest.mark.parametrize(
    "more",
    [{"aud": "somebody"}, {"sub": 5}, {"jti": 7}, {"iss": 3}, {"kid": None}, {"ver": None, "did": None}],
)
def test_other_claims_count_nothing(old_device, more):
    assert old_device(**more).is_signed_in


@pytest.mark.parametrize("typ", [None, "JWT", "jwt"])
def test_types_of_a_session(old_device, former, alice, clock, typ):
    assert old_device(token=former.sign({"id": alice.user_id, "iat": int(clock())}, typ=typ)).is_signed_in


# Times


def test_an_iat_with_a_fraction(old_device, clock):
    old = old_device(token=None, issued_at=0)
    old.token = old_device(did="B", iat=int(clock()) - 10 + 0.5).token
    assert old.is_signed_in
    [own] = [one for one in old.get("/auth/sessions?extended=true").json["user_sessions"] if one["is_current"]]
    assert own["created_at"] == iso_second(int(clock()) - 10)


def test_a_clock_that_is_ahead(old_device, clock, adopting):
    """By a minute. A token of an hour ahead may be right later, and is not remembered as wrong."""
    assert old_device(clock() + 30).is_signed_in
    later = old_device(clock() + 3600)
    assert_refused(later)
    clock.advance(3600)
    assert later.is_signed_in


def test_a_token_that_is_not_good_yet(old_device, clock):
    old = old_device(nbf=int(clock()) + 600)
    assert_refused(old)
    clock.advance(600)
    assert old.is_signed_in


def test_a_token_that_has_expired(old_device, clock):
    assert_refused(old_device(exp=int(clock()) - 1))


def test_the_span_in_which_tokens_are_adopted(adopting, old_device, clock):
    spans = adopting(ADOPT_JWT_SINCE=iso_second(clock() - DAY), ADOPT_JWT_UNTIL=iso_second(clock() + DAY))
    assert_refused(old_device(int(clock()) - DAY - 1, at=spans))
    first = old_device(int(clock() - DAY), at=spans)
    assert first.is_signed_in
    unused = old_device(clock(), at=spans)
    clock.advance(DAY + 1)
    assert first.is_signed_in  # what is a session goes on
    assert_refused(unused)
    log_out(first, None)
    assert_refused(first)


# The user


def import_user(app, **fields):
    line = {
        "email": "ada@example.com",
        "username": "ada",
        "password_hash": "$2b$04$" + "." * 53,
        "id": "123456",
    } | fields
    done = app.test_cli_runner().invoke(args=["users", "import", "-"], input=json.dumps(line))
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("issued_at", "is_adopted"),
    [("12:00:30", True), ("12:00:31", True), ("12:00:29", False), ("12:00:05", False)],
)
def test_tokens_count_since_whole_seconds(app, former, clock, issued_at, is_adopted):
    """The time is noted in milliseconds, and the token that is made right after it has the second alone."""
    import_user(app, tokens_valid_since="2026-07-16T12:00:30.700Z")
    clock.now = max(clock.now, iso_seconds("2026-07-17T00:00:00Z"))
    ada = Device(app.test_client(use_cookies=False))
    ada.token = former.token("123456", int(iso_seconds(f"2026-07-16T{issued_at}Z")))
    assert ada.is_signed_in == is_adopted


def test_a_user_whose_tokens_all_count(app, former, clock):
    import_user(app)
    ada = Device(app.test_client(use_cookies=False))
    ada.token = former.token("123456", 1_500_000_000)
    assert ada.is_signed_in


def test_a_user_who_was_disabled_before_the_move(app, adopting, former, clock):
    """Once enabled they sign in anew, as everybody who was disabled here."""
    import_user(app, disabled=True)
    ada = Device(app.test_client(use_cookies=False))
    ada.token = former.token("123456", int(clock()))
    assert_refused(ada)
    assert app.test_cli_runner().invoke(args=["users", "enable", "123456"]).exit_code == 0
    ada._client = adopting().test_client(use_cookies=False)
    assert_refused(ada)


def test_an_id_that_two_have(app, former, alice, clock):
    """A user is imported under another id, because this one is taken: a token that names it may be of either."""
    line = {"email": "ada@example.com", "username": "ada", "password_hash": "$2b$04$" + "." * 53, "id": alice.user_id}
    ran = app.test_cli_runner().invoke(args=["users", "import", "-"], input=json.dumps(line))
    assert "id: is somebody else's" in ran.stderr
    old = Device(app.test_client(use_cookies=False))
    old.token = former.token(alice.user_id, int(clock()))
    assert_refused(old)
    assert alice.is_signed_in


def test_an_unknown_user(old_device, former, clock):
    assert_refused(old_device(token=former.token("999", int(clock()))))


def test_a_deleted_user(old_device, app, adopting, alice):
    used, unused = old_device(), old_device(1_700_000_000)
    assert used.is_signed_in
    assert app.test_cli_runner().invoke(args=["users", "delete", alice.user_id, "--yes"]).exit_code == 0
    for old in (used, unused):
        assert_refused(old_device(token=old.token, at=adopting()))


def test_a_lost_record_of_a_user_lets_nobody_in(old_device, adopting, alice, redis):
    """The marks of ended tokens are lost with the record alone."""
    old = old_device()
    assert old.is_signed_in
    log_out(old, alice)
    redis.delete(keys.user(alice.user_id))
    assert_refused(old_device(token=old.token, at=adopting()))


def test_a_lost_record_of_a_session_leaves_the_token_s_own_ends(old_device, alice, redis, clock):
    old = old_device(exp=int(clock()) + 3600)
    assert old.is_signed_in
    redis.delete(keys.sessions(alice.user_id))
    assert old.is_signed_in
    clock.advance(3601)
    assert_refused(old)


# Made-up tokens


def test_the_same_made_up_token_is_judged_once_a_minute(old_device, signatures, clock):
    bad = old_device(token=FormerService().token("1", int(clock())))
    for _ in range(50):
        assert bad.get("/users/@me").status_code == 401
    assert len(signatures) == 1
    clock.advance(refused_tokens.KEPT_FOR_S + 1)
    assert bad.get("/users/@me").status_code == 401
    assert len(signatures) == 2


def test_refused_tokens_leave_nothing_in_redis(old_device, former, alice, clock, redis):
    before = {key: redis.ttl(key) == -1 for key in redis.keys("*")}
    for at in range(20):
        signed, _, signature = former.token(alice.user_id, int(clock()) - at).rpartition(".")
        assert not old_device(token=f"{signed}.{'A' * 8}{signature[8:]}").is_signed_in
        assert not old_device(token=former.token(str(at + 1), int(clock()))).is_signed_in
    assert {key: redis.ttl(key) == -1 for key in redis.keys("*")} == before


def test_a_user_has_two_hundred_adopted_tokens_at_most(make_app, tmp_path, alice, clock, redis):
    """Each leaves a mark in the user's record for as long as there is one."""
    former = FormerService("EdDSA")
    path = tmp_path / "key.pem"
    path.write_text(former.pem, encoding="utf-8")
    old = Device(make_app(ADOPT_JWT_KEY=str(path)).test_client(use_cookies=False))
    redis.hset(keys.user(alice.user_id), "adopted_tokens", 199)
    old.token = former.token(alice.user_id, int(clock()))
    assert old.is_signed_in
    old.token = former.token(alice.user_id, int(clock()) - 1)
    assert_refused(old)


def test_neither_redis_nor_a_log_has_a_token(old_device, alice, redis, caplog):
    """Not of one that is adopted, and not of one that is refused."""
    old = old_device()
    assert old.is_signed_in
    signed, _, signature = old_device(1_700_000_000).token.rpartition(".")
    bad = f"{signed}.{'A' * 8}{signature[8:]}"
    assert not old_device(token=bad).is_signed_in
    kept = json.dumps(dump(redis)) + caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert tokens.id_hash(old.token) in kept
    for token in (old.token, bad):
        assert [part for part in token.split(".")[1:] if part in kept] == []


# Step-up and swap


def test_adoption_is_no_proof(old_device, clock):
    """Although the token was issued a moment ago, and after a swap, too."""
    old = old_device(clock() - 5)
    ends = {"method": "POST", "path": "/me/sessions/revoke-all"}
    for _ in range(2):
        answer = old._client.open(**ends, headers={"Authorization": old.token})
        assert (answer.status_code, answer.json["code"]) == (401, 60003)
        old.token = old.post("/auth/swap").json.get("token", old.token)


@pytest.mark.parametrize("behind_s", [1, 59])
@pytest.mark.parametrize("is_swapped", [False, True])
def test_adoption_is_no_proof_by_another_clock_either(old_device, adopting, clock, behind_s, is_swapped):
    """Nor in a process where a proof is good for longer."""
    old = old_device()
    assert old.is_signed_in
    if is_swapped:
        old.token = old.post("/auth/swap").json["token"]
    clock.advance(-behind_s)
    for settings in ({}, {"MFA_PROOF_TTL": "1h"}):
        other = adopting(**settings).test_client(use_cookies=False)
        answer = other.post("/me/sessions/revoke-all", headers={"Authorization": old.token})
        assert (answer.status_code, answer.json["code"]) == (401, 60003)


@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_session_without_its_record_has_not_logged_in_lately(old_device, alice, redis, clock, is_swapped):
    """Nobody knows how it began. Its token may be from a moment ahead."""
    old = old_device(clock() + 59)
    assert old.is_signed_in
    if is_swapped:
        old.token = old.post("/auth/swap").json["token"]
    clock.advance(2)
    redis.hdel(keys.sessions(alice.user_id), old.id_hash)
    answer = old._client.post("/me/sessions/revoke-all", headers={"Authorization": old.token})
    assert (answer.status_code, answer.json["code"]) == (401, 60003)


def test_step_up_works(old_device, alice):
    old = old_device()
    assert old.end([alice.id_hash]).status_code == 204
    assert not alice.is_signed_in
    assert old.is_signed_in


def test_a_swap_gives_the_same_session_a_token_of_our_own(old_device, alice, clock, signatures):
    old = old_device(clock() - 1000 * DAY)
    former_token, hashes = old.token, set(alice.id_hashes())
    assert old.is_signed_in
    clock.advance(3600)
    answer = old.post("/auth/swap")
    assert (answer.status_code, list(answer.json)) == (200, ["token"])
    assert "no-store" in answer.headers["Cache-Control"]
    assert_refused(old)
    old.token = answer.json["token"]
    assert tokens.is_well_formed(old.token)
    assert old.id_hash == tokens.id_hash(old.token)
    assert set(alice.id_hashes()) == hashes | {old.id_hash}
    [own] = [one for one in old.get("/auth/sessions?extended=true").json["user_sessions"] if one["is_current"]]
    assert own["created_at"] == iso_second(int(clock()) - 3600 - 1000 * DAY)
    assert introspect(old, old.token)["iat"] == int(clock()) - 3600 - 1000 * DAY
    assert_refused(old_device(token=former_token))


@pytest.mark.parametrize("redis", ["fake", "real"], indirect=True)
def test_a_swap_is_told_as_a_change(old_device, alice, redis):
    old = old_device()
    assert old.is_signed_in
    heard = redis.pubsub()
    heard.subscribe("auth-events")
    heard.get_message(timeout=5)
    token = old.post("/auth/swap").json["token"]
    told = json.loads(heard.get_message(timeout=5)["data"])
    assert told["type"] == "AUTH_SESSION_CHANGE"
    assert told["auth_session_id_hash"] == tokens.id_hash(token)
    assert told["old_auth_session_id_hash"] == tokens.id_hash(old.token)


def test_a_swapped_session_keeps_its_ends(old_device, clock):
    """That of its token, and that of its age."""
    ends, ages = old_device(exp=int(clock()) + 7200), old_device(clock() - 5000 * DAY)
    for old in (ends, ages):
        old.token = old.post("/auth/swap").json["token"]
        assert old.is_signed_in
    clock.advance(7201)
    assert not ends.is_signed_in
    for _ in range(14):
        clock.advance(25 * DAY)
        assert ages.is_signed_in
    clock.advance(16 * DAY)
    assert not ages.is_signed_in


def test_a_token_that_ends_soon_is_good_until_then(old_device, clock):
    old = old_device(exp=int(clock()) + 100)
    old.token = old.post("/auth/swap").json["token"]
    assert old.is_signed_in
    clock.advance(99)
    assert old.is_signed_in
    clock.advance(2)
    assert not old.is_signed_in


def test_a_token_of_our_own_needs_no_swap(alice, app):
    """It would be shown once more, or replaced by whoever has it."""
    answer = alice.post("/auth/swap")
    assert (answer.status_code, answer.json["message"]) == (400, "This token needs no swap.")
    answer = Device(app.test_client(use_cookies=False)).post("/auth/swap", Cookie=f"__Host-session={alice.token}")
    assert answer.status_code == 400
    assert alice.is_signed_in


def test_two_swaps_at_once_give_one_token(old_device, adopting):
    old = old_device()
    assert old.is_signed_in
    devices = [old_device(token=old.token, at=app) for app in (adopting(), adopting())]
    begin = threading.Barrier(2)
    statuses = []

    def ask(device):
        begin.wait()
        statuses.append(device.post("/auth/swap").status_code)

    threads = [threading.Thread(target=ask, args=[device]) for device in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 401]


# Keys


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "RS256", "RS512", "EdDSA"])
def test_each_kind_of_key(make_app, tmp_path, alice, clock, algorithm):
    former = FormerService(algorithm)
    path = tmp_path / "key.pem"
    path.write_text(former.pem, encoding="utf-8")
    old = Device(make_app(ADOPT_JWT_KEY=str(path)).test_client(use_cookies=False))
    old.token = former.token(alice.user_id, int(clock()))
    assert old.is_signed_in


def test_every_key_that_fits_is_tried(make_app, tmp_path, alice, clock, former):
    """No key has a name, and the token's is by the third."""
    others = [FormerService("RS256"), FormerService("ES512"), FormerService("EdDSA")]
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [*(one.jwk() for one in others), former.jwk()]}), encoding="utf-8")
    old = Device(make_app(ADOPT_JWT_KEY=str(path)).test_client(use_cookies=False))
    old.token = former.token(alice.user_id, int(clock()))
    assert old.is_signed_in


def test_the_claim_of_the_user_has_another_name(make_app, key_file, alice, clock, former):
    old = Device(make_app(ADOPT_JWT_KEY=key_file, ADOPT_JWT_USER="sub").test_client(use_cookies=False))
    old.token = former.sign({"sub": alice.user_id, "iat": int(clock())})
    assert old.is_signed_in
    old.token = former.sign({"id": alice.user_id, "iat": int(clock())})
    assert_refused(old)


def test_the_order_of_the_curve_is_right():
    """What the attack with another signature computes with."""
    assert ec.derive_private_key(P521_ORDER - 1, ec.SECP521R1())
