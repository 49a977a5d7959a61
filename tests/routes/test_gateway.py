"""The gateway surface: verify, introspect, reconcile, users."""

import base64
import json

import pytest
from redis import ResponseError

from app import tokens
from tests.device import PASSWORD, Device

SECRET = "what-the-gateway-shows-to-be-let-in"
ISSUER = "https://keys.example.com/"
DAY = 24 * 3600
UNAUTHORIZED = {"code": 0, "message": "401: Unauthorized"}


@pytest.fixture
def gateway(make_app):
    """The gateway, which has the secret."""
    device = Device(make_app(GATEWAY_SECRET=SECRET, ISSUER=ISSUER).test_client(use_cookies=False))
    device.token = f"Bearer {SECRET}"
    return device


def introspect(gateway, token, authorization=f"Bearer {SECRET}"):
    client = gateway._client
    return client.post("/gateway/introspect", data={"token": token}, headers={"Authorization": authorization})


def identity(answer):
    return answer.headers.get("X-Auth-User-Id"), answer.headers.get("X-Auth-Session-Id-Hash")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_verify_says_whose_a_token_is_for_any_method(alice, method):
    answer = alice.call(method, "/gateway/verify")
    assert (answer.status_code, answer.data) == (200, b"")
    assert identity(answer) == (alice.user_id, alice.id_hash)
    assert answer.headers["Cache-Control"] == "no-store"


def test_verify_takes_the_cookie_too(alice, new_device):
    cookie = f"a=b; __Host-session={alice.token}; c=d"
    assert identity(new_device().get("/gateway/verify", Cookie=cookie))[0] == alice.user_id


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, 200),
        ({"Sec_Fetch_Site": "cross-site", "X_Forwarded_Method": "POST"}, 403),
        ({"Sec_Fetch_Site": "same-origin", "X_Forwarded_Method": "POST"}, 200),
        ({"Origin": "https://evil.example", "X_Forwarded_Method": "DELETE"}, 403),
        ({"X_Forwarded_Method": "POST"}, 200),
    ],
)
def test_a_cookie_of_another_sites_page_is_no_way_in(alice, new_device, asked, status):
    """A gateway that asks with GET names the method of the request it asks about."""
    answer = new_device().get("/gateway/verify", Cookie=f"__Host-session={alice.token}", **asked)
    assert answer.status_code == status
    assert identity(answer) == ((None, None) if status == 403 else (alice.user_id, alice.id_hash))


def test_an_unsafe_question_stays_one(alice, new_device):
    """A method named beside it makes a POST no GET."""
    cookie = f"__Host-session={alice.token}"
    asked = {"Sec_Fetch_Site": "cross-site", "X_Forwarded_Method": "GET"}
    assert new_device().call("POST", "/gateway/verify", Cookie=cookie, **asked).status_code == 403


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 5000, "é", "MQ.AAAAAA." + "A" * 43])
def test_verify_refuses_as_every_route_does(new_device, token):
    answer = new_device().get("/gateway/verify", Authorization=token)
    assert (answer.status_code, answer.json) == (401, UNAUTHORIZED)
    assert answer.headers["Content-Type"] == "application/json"
    assert identity(answer) == (None, None)


def test_a_clients_own_identity_headers_count_nothing(alice, bob):
    forged = {"X_Auth_User_Id": bob.user_id, "X_Auth_Session_Id_Hash": bob.id_hash}
    assert identity(alice.get("/gateway/verify", **forged)) == (alice.user_id, alice.id_hash)


def test_verify_says_no_to_what_has_ended(alice, new_device, clock):
    """Signed out, ended by another device, expired: absence means no."""
    phone, tablet = new_device().log_in(alice), new_device().log_in(alice)
    phone.post("/auth/logout")
    assert alice.end([tablet.id_hash]).status_code == 204
    assert [device.get("/gateway/verify").status_code for device in (phone, tablet, alice)] == [401, 401, 200]
    clock.advance(30 * DAY)
    assert alice.get("/gateway/verify").status_code == 401


@pytest.mark.parametrize("lost", ["last_used", "sessions"])
def test_a_lost_key_signs_nobody_in(alice, redis, lost):
    """Redis lost one of a user's keys: who is not in the truth of who is signed in is out."""
    redis.delete(f"user:{{{alice.user_id}}}:{lost}")
    assert alice.get("/gateway/verify").status_code == (401 if lost == "last_used" else 200)


def test_verify_notes_the_use_once_a_minute(alice, clock):
    """A device that never asks Keyrack itself is seen to be in use through the gateway."""
    began = clock()
    told = base64.b64encode(json.dumps({"os": "Android", "browser": "Discord Android"}).encode()).decode()
    clock.advance(30)
    alice.get("/gateway/verify", X_Super_Properties=told)
    clock.advance(31)
    alice.get("/gateway/verify", X_Super_Properties=told)
    [session] = alice.get("/auth/sessions?extended=true").json["user_sessions"]
    assert session["last_seen"] > session["created_at"]
    assert session["client_info"]["platform"] == "Discord Android"
    assert clock() - began == 61


def test_require_mfa_challenges_and_takes_the_proof(alice, new_device):
    """The challenge is ready to be passed on: the client answers it and comes again."""
    challenged = alice.get("/gateway/verify?require=mfa")
    assert (challenged.status_code, challenged.json["code"]) == (401, 60003)
    assert "insufficient_user_authentication" in challenged.headers["WWW-Authenticate"]
    body = {"ticket": challenged.json["mfa"]["ticket"], "mfa_type": "password", "data": PASSWORD}
    proof = alice.post("/mfa/finish", body).json["token"]
    assert alice.get("/gateway/verify?require=mfa", X_Discord_MFA_Authorization=proof).status_code == 200
    assert alice.get("/gateway/verify?require=mfa", Cookie=f"__Secure-recent_mfa={proof}").status_code == 200
    other = new_device().log_in(alice)
    assert other.get("/gateway/verify?require=mfa", X_Discord_MFA_Authorization=proof).status_code == 401


@pytest.mark.parametrize("cookie", ["none", "right", "wrong"])
@pytest.mark.parametrize("header", ["none", "right", "wrong"])
def test_of_two_proofs_the_header_counts(alice, new_device, header, cookie):
    """Where it is sent; else the cookie. A wrong one is another session's, and gets a challenge."""
    proofs = {"right": alice.prove(), "wrong": new_device().log_in(alice).prove()}
    sent = {"X_Discord_MFA_Authorization": proofs[header]} if header != "none" else {}
    sent |= {"Cookie": f"__Secure-recent_mfa={proofs[cookie]}"} if cookie != "none" else {}
    answer = alice.get("/gateway/verify?require=mfa", **sent)
    counts = cookie if header == "none" else header
    assert answer.status_code == (200 if counts == "right" else 401)
    assert counts == "right" or answer.json["code"] == 60003


def test_a_refused_head_has_the_body_in_a_header(app, alice):
    """nginx asks so. It throws a body away, and hands the header's text to the client, who answers the challenge."""
    client, sent = app.test_client(use_cookies=False), {"Authorization": alice.token}
    answer = client.head("/gateway/verify?require=mfa", headers=sent)
    assert (answer.status_code, answer.data) == (401, b"")
    ticket = json.loads(answer.headers["X-Keyrack-Refusal"])["mfa"]["ticket"]
    assert alice.post("/mfa/finish", {"ticket": ticket, "mfa_type": "password", "data": PASSWORD}).status_code == 200
    unknown = client.head("/gateway/verify")
    assert json.loads(unknown.headers["X-Keyrack-Refusal"]) == {"code": 0, "message": "401: Unauthorized"}
    assert "X-Keyrack-Refusal" not in client.get("/gateway/verify").headers


def test_a_challenge_is_answered_whatever_the_page_asks_meanwhile(alice, clock):
    """It asks in the background all the time."""
    ticket = alice.get("/gateway/verify?require=mfa").json["mfa"]["ticket"]
    for _ in range(300):
        clock.advance(0.9)
        assert alice.get("/gateway/verify?require=mfa").status_code == 401
    body = {"ticket": ticket, "mfa_type": "password", "data": PASSWORD}
    assert alice.post("/mfa/finish", body).status_code == 200


@pytest.mark.parametrize(
    "query", ["x=1&require=mfa", "require=MFA", "require=", "require", "require=mfa;x", "%72equire=mfa"]
)
def test_whatever_is_required_asks_for_the_proof(alice, query):
    assert alice.get(f"/gateway/verify?{query}").json["code"] == 60003


def test_a_key_of_another_application_is_no_session(alice, redis):
    key = f"user:{{{alice.user_id}}}:last_used"
    redis.delete(key)
    redis.set(key, "no sorted set")
    assert alice.get("/gateway/verify").status_code == 401


def test_an_error_that_nobody_expected_is_a_no(app, alice, store, monkeypatch):
    """Whatever Redis refuses, verify answers 503 and never a yes."""

    def refuse(*_, **__):
        raise ResponseError("ERR of a server to come")

    monkeypatch.setattr(store, "_send_reads", refuse)
    answer = alice.get("/gateway/verify")
    monkeypatch.undo()
    assert (answer.status_code, answer.json) == (503, {"code": 0, "message": "503: Service Unavailable"})
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_without_a_secret_there_is_nothing_but_verify(app, method):
    for path in ("/gateway/introspect", "/gateway/reconcile", "/gateway/revoke", "/gateway/users/1"):
        answer = app.test_client().open(path, method=method, headers={"Authorization": "Bearer "})
        assert (answer.status_code, answer.json) == (404, {"code": 0, "message": "404: Not Found"})


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer wrong", f"Basic {SECRET}", SECRET, "Bearer é"])
def test_every_question_but_verify_asks_for_the_secret(gateway, alice, authorization):
    refused = introspect(gateway, alice.token, authorization)
    assert (refused.status_code, refused.json) == (401, UNAUTHORIZED)
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    bodies = {"reconcile": {"sessions": []}, "revoke": {"sub_id": {"format": "opaque", "id": alice.user_id}}}
    for path, body in bodies.items():
        answer = gateway.call("POST", f"/gateway/{path}", body, token=authorization)
        assert (answer.status_code, answer.json) == (401, UNAUTHORIZED)
    assert alice.is_signed_in
    for user_id in (alice.user_id, "1"):
        answer = gateway.call("GET", f"/gateway/users/{user_id}", token=authorization)
        assert (answer.status_code, answer.json) == (401, UNAUTHORIZED)


def test_the_scheme_counts_in_whatever_case(gateway, alice):
    assert introspect(gateway, alice.token, f"bearer {SECRET}").json["active"]


def test_introspect_describes_a_token(gateway, alice, clock):
    """RFC 7662; auth_time moves with a step-up, exp with the last use."""
    began = int(clock())
    described = introspect(gateway, alice.token)
    assert described.status_code == 200
    assert described.json == {
        **{"active": True, "sub": alice.user_id, "sid": alice.id_hash, "iat": began, "auth_time": began},
        **{"amr": ["pwd"], "acr": "urn:keyrack:1fa"},
        "exp": pytest.approx(clock() + 30 * DAY, abs=1),
    }
    assert described.headers["Cache-Control"] == "no-store"
    clock.advance(100)
    alice.prove()
    assert introspect(gateway, alice.token).json["auth_time"] == int(clock())


def test_introspect_tells_of_an_inactive_token_nothing_else(gateway, alice, clock):
    ended = tokens.issue(alice.user_id, clock())
    for token in (ended, "nonsense", "", alice.token + "x", alice.challenge()["ticket"], alice.prove()):
        answer = introspect(gateway, token)
        assert (answer.status_code, answer.json) == (200, {"active": False})
    clock.advance(31 * DAY)
    assert introspect(gateway, alice.token).json == {"active": False}


@pytest.mark.parametrize("form", [b"", b"token_type_hint=x", b"token=a&token=b", b"\xff", b'{"token": "x"}'])
def test_introspect_asks_for_one_token(gateway, form):
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/x-www-form-urlencoded"}
    answer = gateway._client.post("/gateway/introspect?token=x", data=form, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (400, 50035)


def test_introspect_knows_a_tokens_age_without_its_record(gateway, alice, clock, redis):
    """Where the record was lost, a session in use is no younger than verify takes it for."""
    for _ in range(18):
        clock.advance(20 * DAY)
        assert alice.get("/gateway/verify").status_code == 200
    redis.delete(f"user:{{{alice.user_id}}}:sessions")
    assert introspect(gateway, alice.token).json["exp"] == tokens.read(alice.token).at + 365 * DAY
    clock.advance(5 * DAY + 1)
    assert alice.get("/gateway/verify").status_code == 401
    assert introspect(gateway, alice.token).json == {"active": False}


def test_reconcile_names_those_that_no_longer_live(gateway, alice, bob, new_device):
    """Ended, unknown, and another user's hash under one's own id; the living are not named."""
    phone = new_device().log_in(alice)
    ended_hash = phone.id_hash
    assert alice.end([ended_hash]).status_code == 204
    named = [
        {"user_id": alice.user_id, "id_hash": alice.id_hash},
        {"user_id": alice.user_id, "id_hash": ended_hash},
        {"user_id": alice.user_id, "id_hash": bob.id_hash},
        {"user_id": bob.user_id, "id_hash": bob.id_hash},
        {"user_id": "404", "id_hash": bob.id_hash},
    ]
    answer = gateway.post("/gateway/reconcile", {"sessions": named})
    assert answer.status_code == 200
    assert answer.json == {"ended": [named[1], named[2], named[4]]}


def test_reconcile_takes_a_thousand(gateway, alice):
    named = [{"user_id": "9" * 20, "id_hash": f"{number:043d}="} for number in range(1001)]
    assert len(gateway.post("/gateway/reconcile", {"sessions": named[:1000]}).json["ended"]) == 1000
    refused = gateway.post("/gateway/reconcile", {"sessions": named})
    assert (refused.status_code, refused.json["code"]) == (400, 50035)
    assert gateway.post("/gateway/reconcile", {"sessions": []}).json == {"ended": []}


@pytest.mark.parametrize("named", [{"user_id": "x", "id_hash": "A" * 43 + "="}, {"user_id": "1"}, None, "text", 5])
def test_reconcile_refuses_what_is_no_session(gateway, named):
    answer = gateway.post("/gateway/reconcile", {"sessions": [named]})
    assert (answer.status_code, answer.json["code"]) == (400, 50035)


class TestRevoke:
    """An incident tool ends all of a user."""

    @pytest.mark.parametrize("by", ["opaque", "email", "iss_sub"])
    def test_it_ends_every_session_of_the_user_and_of_nobody_else(self, gateway, alice, bob, new_device, by):
        phone = new_device().log_in(alice)
        named = {
            "opaque": {"id": alice.user_id},
            "email": {"email": alice.email.upper()},
            "iss_sub": {"iss": ISSUER, "sub": alice.user_id},
        }[by]
        for _ in range(2):
            answer = gateway.post("/gateway/revoke", {"sub_id": {"format": by, **named}})
            assert (answer.status_code, answer.data) == (204, b"")
        assert [device.is_signed_in for device in (alice, phone, bob)] == [False, False, True]
        assert new_device().log_in(alice).is_signed_in

    def test_it_is_told_and_recorded_as_any_ending(self, gateway, alice, redis, caplog):
        caplog.set_level("INFO", "keyrack.audit")
        subscription = redis.pubsub(ignore_subscribe_messages=True)
        subscription.subscribe("auth-events")
        subscription.get_message(timeout=5)
        gateway.post("/gateway/revoke", {"sub_id": {"format": "opaque", "id": alice.user_id}})
        event = json.loads(subscription.get_message(timeout=5)["data"])
        assert (event["type"], event["user_id"], event["reason"]) == ("AUTH_SESSION_REMOVE", alice.user_id, "admin")
        lines = {record.fields["event"]: record.fields for record in caplog.records if hasattr(record, "fields")}
        assert lines["sessions_ended"]["actor"] == {"service": "gateway"}
        assert (lines["operator_acted"]["act"], lines["operator_acted"]["user_id"]) == ("revoke", alice.user_id)

    @pytest.mark.parametrize("authorization", ["", SECRET, "Bearer", "Bearer wrong", f"Basic {SECRET}"])
    def test_nobody_without_the_secret_ends_anything(self, gateway, alice, authorization):
        body = {"sub_id": {"format": "opaque", "id": alice.user_id}}
        answer = gateway._client.post("/gateway/revoke", json=body, headers={"Authorization": authorization})
        assert (answer.status_code, answer.json) == (401, UNAUTHORIZED)
        assert alice.is_signed_in

    def test_a_login_under_way_does_not_finish(self, gateway, alice, new_device, clock):
        alice.enable_totp(clock())
        form = {"login": alice.email, "password": PASSWORD}
        begun = new_device().post("/auth/login", form).json
        gateway.post("/gateway/revoke", {"sub_id": {"format": "opaque", "id": alice.user_id}})
        clock.advance(30)
        answer = new_device().post("/auth/mfa/totp", {"ticket": begun["ticket"], "code": alice.code(clock())})
        assert answer.status_code == 400

    @pytest.mark.parametrize(
        "subject",
        [
            {"format": "opaque", "id": "404"},
            {"format": "opaque", "id": "alice"},
            {"format": "opaque", "id": ""},
            {"format": "opaque", "id": "9" * 400},
            {"format": "email", "email": "nobody@example.com"},
            {"format": "email", "email": "no address"},
            {"format": "iss_sub", "iss": ISSUER, "sub": "404"},
        ],
    )
    def test_nobody_is_unknown(self, gateway, subject):
        answer = gateway.post("/gateway/revoke", {"sub_id": subject})
        assert (answer.status_code, answer.json) == (404, {"code": 10013, "message": "Unknown User"})

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"sub_id": None},
            {"sub_id": "1"},
            {"sub_id": []},
            {"sub_id": {}},
            {"sub_id": {"format": "account", "uri": "acct:ada@example.com"}},
            {"sub_id": {"format": "opaque"}},
            {"sub_id": {"format": "opaque", "email": "alice@example.com"}},
            {"sub_id": {"format": "opaque", "id": 1}},
            {"sub_id": {"format": "opaque", "id": None}},
            {"sub_id": {"format": "iss_sub", "sub": "1"}},
            {"sub_id": {"format": ["opaque"], "id": "1"}},
        ],
    )
    def test_what_names_nobody_is_refused(self, gateway, body):
        answer = gateway.post("/gateway/revoke", body)
        assert (answer.status_code, answer.json["code"]) == (400, 50035)
        assert "sub_id" in answer.json["errors"]

    @pytest.mark.parametrize(
        "subject",
        [
            {"format": "email", "email": "nobody@example.com"},
            {"format": "opaque", "id": ""},
            {"format": "iss_sub", "iss": ISSUER, "sub": "404"},
        ],
    )
    def test_only_the_members_of_the_format_name_somebody(self, gateway, alice, subject):
        """Whatever else is in the subject, nobody but whom its format names is signed out."""
        more = {"id": alice.user_id, "email": alice.email, "sub": alice.user_id}
        answer = gateway.post("/gateway/revoke", {"sub_id": more | subject})
        assert (answer.status_code, answer.json["code"]) == (404, 10013)
        assert alice.is_signed_in

    def test_sessions_whose_users_record_was_lost_end_too(self, gateway, alice, redis):
        redis.delete(f"user:{{{alice.user_id}}}")
        assert alice.get("/gateway/verify").status_code == 200
        subject = {"sub_id": {"format": "opaque", "id": alice.user_id}}
        assert gateway.post("/gateway/revoke", subject).status_code == 204
        assert alice.get("/gateway/verify").status_code == 401
        assert gateway.post("/gateway/revoke", subject).status_code == 404

    @pytest.mark.parametrize("issuer", ["https://keys.example.com", "https://other.example.com/", ""])
    def test_a_subject_of_another_issuer_is_refused(self, gateway, alice, issuer):
        answer = gateway.post("/gateway/revoke", {"sub_id": {"format": "iss_sub", "iss": issuer, "sub": alice.user_id}})
        assert answer.status_code == 400
        assert list(answer.json["errors"]["sub_id"]) == ["iss"]
        assert alice.is_signed_in


def test_users_tells_the_application_who_a_user_is(gateway, alice, app):
    """The same that the user is told, and nothing secret; a disabled user is still one, a deleted one is not."""
    own = alice.get("/users/@me").json
    answer = gateway.get(f"/gateway/users/{alice.user_id}")
    assert (answer.status_code, answer.json) == (200, own | {"disabled": False})
    assert answer.headers["Cache-Control"] == "no-store"
    leaving = app.extensions["keyrack"].leaving
    assert leaving.disable(alice.user_id)
    assert gateway.get(f"/gateway/users/{alice.user_id}").json == own | {"disabled": True}
    assert leaving.delete(alice.user_id)
    answer = gateway.get(f"/gateway/users/{alice.user_id}")
    assert (answer.status_code, answer.json) == (404, {"code": 10013, "message": "Unknown User"})


@pytest.mark.parametrize(
    "user_id", ["1", "0", "9" * 20, "9" * 21, "x", "-1", "1.0", "%EF%BC%91", "*", "%00", "1%0A", "%20{}", "@me", "{{}}"]
)
def test_an_id_that_nobody_has_is_an_unknown_user(gateway, alice, user_id):
    """Also what is no id, or an id with something beside it."""
    for asked in {user_id, user_id.replace("{}", alice.user_id)}:
        answer = gateway.get(f"/gateway/users/{asked}")
        assert (answer.status_code, answer.json) == (404, {"code": 10013, "message": "Unknown User"})


def test_a_record_of_another_application_is_no_user(gateway, redis):
    redis.hset("user:{77}", mapping={"name": "of another application"})
    assert gateway.get("/gateway/users/77").status_code == 404
