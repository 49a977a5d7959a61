"""Proving oneself again, and the second factor turned on and off."""

import base64
import hmac

import pyotp
import pytest

from app import tokens
from tests.device import PASSWORD, Device, errors


def finish(device, ticket, mfa_type, data):
    return device.post("/mfa/finish", {"ticket": ticket, "mfa_type": mfa_type, "data": data})


def refusal(answer):
    return answer.status_code, answer.json["code"]


UNKNOWN_TICKET, WRONG_CODE = (400, 60006), (400, 60008)


def test_a_right_password_earns_a_proof(alice, new_device):
    """As token and as cookie, good for five minutes, for this session."""
    answer = finish(alice, alice.challenge()["ticket"], "password", PASSWORD)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    cookie = answer.headers["Set-Cookie"].split("; ")
    assert cookie[0] == f"__Secure-recent_mfa={answer.json['token']}"
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=300"} <= set(cookie)
    assert not any(part.startswith("Domain") for part in cookie)


@pytest.mark.parametrize("carrier", ["X_Discord_MFA_Authorization", "Cookie"])
def test_a_proof_comes_as_header_or_as_cookie(alice, new_device, carrier):
    phone = new_device().log_in(alice)
    proof = alice.prove()
    value = f"__Secure-recent_mfa={proof}" if carrier == "Cookie" else proof
    body = {"session_id_hashes": [phone.id_hash]}
    assert alice.post("/auth/sessions/logout", body, **{carrier: value}).status_code == 204
    assert not phone.is_signed_in


def test_a_proof_lasts_five_minutes(alice, redis):
    """Its key ends by itself; what is used in between ends it not."""
    alice.prove()
    [key] = redis.scan_iter("user:*:proof:*")
    assert 298 <= redis.ttl(key) <= 300


def test_a_proof_is_its_sessions_alone(alice, bob, new_device):
    """Whatever else is sent in a proof's place gets a fresh challenge, as if nothing was sent."""
    phone = new_device().log_in(alice)
    ticket = alice.challenge()["ticket"]
    target = {"session_id_hashes": [alice.id_hash]}
    for proof in (phone.prove(), bob.prove(), tokens.issue(alice.user_id, 0), ticket, alice.token, "x", "x" * 5000):
        answer = alice.post("/auth/sessions/logout", target, X_Discord_MFA_Authorization=proof)
        assert refusal(answer) == (401, 60003)
        assert answer.json["mfa"]["ticket"] != ticket
    assert alice.is_signed_in


def test_a_proof_ends_with_its_session(alice, new_device):
    phone = new_device().log_in(alice)
    proof = phone.prove()
    assert alice.end([phone.id_hash]).status_code == 204
    assert phone.end([alice.id_hash], proof).status_code == 401
    assert alice.is_signed_in


def test_a_wrong_password_says_so(alice):
    answer = finish(alice, alice.challenge()["ticket"], "password", "wrong password")
    assert answer.status_code == 400
    problem = {"code": "PASSWORD_DOES_NOT_MATCH", "message": "Password does not match."}
    assert answer.json == {
        "code": 60008,
        "message": "Password does not match.",
        "errors": {"password": {"_errors": [problem]}},
    }


def test_a_wrong_code_says_so(with_totp):
    answer = finish(with_totp, with_totp.challenge()["ticket"], "totp", "000000")
    assert answer.status_code == 400
    problem = {"code": "INVALID_CODE", "message": "Invalid two-factor code"}
    assert answer.json == {
        "code": 60008,
        "message": "Invalid two-factor code",
        "errors": {"code": {"_errors": [problem]}},
    }


def test_a_ticket_is_answered_by_the_session_it_was_given_to(alice, bob, new_device):
    """Another user's session, another session of the same user, none at all; and the ticket is unharmed."""
    phone = new_device().log_in(alice)
    ticket = alice.challenge()["ticket"]
    assert refusal(finish(bob, ticket, "password", PASSWORD)) == UNKNOWN_TICKET
    assert refusal(finish(phone, ticket, "password", PASSWORD)) == UNKNOWN_TICKET
    assert refusal(finish(new_device(), ticket, "password", PASSWORD)) == (401, 0)
    assert finish(alice, ticket, "password", PASSWORD).status_code == 200


def test_a_ticket_counts_once(alice):
    ticket = alice.challenge()["ticket"]
    assert finish(alice, ticket, "password", PASSWORD).status_code == 200
    assert refusal(finish(alice, ticket, "password", PASSWORD)) == UNKNOWN_TICKET


def test_a_ticket_dies_after_five_wrong_answers(alice):
    ticket = alice.challenge()["ticket"]
    assert [refusal(finish(alice, ticket, "password", "wrong")) for _ in range(5)] == [WRONG_CODE] * 5
    assert refusal(finish(alice, ticket, "password", PASSWORD)) == UNKNOWN_TICKET


def test_a_ticket_runs_out(alice, redis):
    """Its key has five minutes to live, and without it the ticket is unknown."""
    ticket = alice.challenge()["ticket"]
    [key] = redis.scan_iter("user:*:ticket:*")
    assert 298 <= redis.ttl(key) <= 300
    redis.delete(key)
    assert refusal(finish(alice, ticket, "password", PASSWORD)) == UNKNOWN_TICKET


def test_a_login_ticket_is_no_step_up_ticket(with_totp, new_device):
    login = new_device().post("/auth/login", {"login": with_totp.email, "password": PASSWORD}).json["ticket"]
    assert refusal(finish(with_totp, login, "backup", with_totp.backup_codes[0])) == UNKNOWN_TICKET


@pytest.mark.parametrize("ticket", ["", "x", "a.b.c", "MQ.AAAAAA." + "A" * 43, "é" * 40, "x" * 5000])
def test_odd_tickets_are_unknown(alice, ticket):
    assert refusal(finish(alice, ticket, "password", PASSWORD)) == UNKNOWN_TICKET


@pytest.mark.parametrize("mfa_type", ["totp", "backup", "webauthn", "sms", ""])
def test_a_method_that_was_not_offered_is_refused(alice, mfa_type):
    ticket = alice.challenge()["ticket"]
    assert errors(finish(alice, ticket, mfa_type, PASSWORD), "mfa_type") == ["BASE_TYPE_CHOICES"]
    assert finish(alice, ticket, "password", PASSWORD).status_code == 200


def test_who_has_mfa_on_never_passes_with_the_password(with_totp):
    challenge = with_totp.challenge()
    assert challenge["methods"] == [{"type": "totp", "backup_codes_allowed": True}, {"type": "backup"}]
    assert errors(finish(with_totp, challenge["ticket"], "password", PASSWORD), "mfa_type") == ["BASE_TYPE_CHOICES"]


def test_a_proof_by_password_ends_when_mfa_is_turned_on_elsewhere(alice, new_device, clock):
    """What the password proved a minute ago is proof no more once a code could be asked for."""
    phone = new_device().log_in(alice)
    proof = phone.prove()
    alice.enable_totp(clock())
    answer = phone.end([alice.id_hash], proof)
    assert refusal(answer) == (401, 60003)
    assert answer.json["mfa"]["methods"][0]["type"] == "totp"


def test_step_up_by_totp_and_by_backup_code(with_totp, new_device, clock):
    """A backup code passes as `totp` too, and ten are then fewer."""
    clock.advance(30)
    for mfa_type, data in (
        ("totp", with_totp.code(clock())),
        ("totp", with_totp.backup_codes.pop()),
        ("backup", with_totp.backup_codes.pop()),
    ):
        assert finish(with_totp, with_totp.challenge()["ticket"], mfa_type, data).status_code == 200
    used = finish(with_totp, with_totp.challenge()["ticket"], "totp", with_totp.code(clock()))
    assert refusal(used) == WRONG_CODE


def test_the_password_alone_is_the_clients_cue_to_show_a_secret(alice):
    answer = alice.post("/users/@me/mfa/totp/enable", {"password": PASSWORD})
    assert answer.status_code == 400
    assert answer.json == {"code": 60005, "message": "Invalid two-factor secret"}


def test_enable_totp(alice, new_device, clock):
    """Ten codes of eight characters, a new token; the old token is dead, the other devices stay."""
    phone = new_device().log_in(alice)
    old_token = alice.token
    answer = alice.enable_totp(clock())
    assert answer.headers["Cache-Control"] == "no-store"
    codes = answer.json["backup_codes"]
    assert len({code["code"] for code in codes}) == 10
    assert all(len(code["code"]) == 8 and code["code"].isalnum() for code in codes)
    assert {(code["user_id"], code["consumed"]) for code in codes} == {(alice.user_id, False)}
    assert alice.get("/users/@me", Authorization=old_token).status_code == 401
    assert phone.is_signed_in
    me = alice.get("/users/@me").json
    assert (me["mfa_enabled"], me["authenticator_types"]) == (True, [2])


@pytest.mark.parametrize("shape", ["{0}", "{1}"])
def test_secrets_come_as_apps_show_them(alice, clock, shape):
    """In one piece, or in small letters and groups of four."""
    secret = pyotp.random_base32()
    grouped = " ".join(secret[i : i + 4].lower() for i in range(0, 32, 4))
    body = {"password": PASSWORD, "secret": shape.format(secret, grouped), "code": pyotp.TOTP(secret).at(int(clock()))}
    assert alice.post("/users/@me/mfa/totp/enable", body).status_code == 200


@pytest.mark.parametrize("secret", ["JBSWY3DPEHPK3PXP", "not base32 at all!", "é" * 32, "A" * 1000, "A" * 33])
def test_secrets_of_less_than_128_bits_are_refused(alice, secret):
    """The problem is told at both fields, because clients show it there."""
    answer = alice.post("/users/@me/mfa/totp/enable", {"password": PASSWORD, "secret": secret, "code": "000000"})
    assert refusal(answer) == (400, 60005)
    problem = {
        "_errors": [{"code": "INVALID_SECRET", "message": "Must be base32 of 128 bits or more, 128 letters at most."}]
    }
    assert answer.json["errors"] == {"secret": problem, "code": problem}


@pytest.mark.parametrize("letters", [26, 32, 52])
def test_a_client_may_make_secrets_of_128_bits_and_more(alice, new_device, clock, letters):
    assert enable_with(alice, clock, letters).status_code == 200


@pytest.mark.parametrize("letters", [16, 18, 24])
def test_clients_with_short_secrets_are_served_if_an_operator_allows_it(make_app, clock, letters):
    """TOTP_CLIENT_SECRET_BITS=80 takes the 16 and 18 letters that some clients make; their codes sign in."""
    app = make_app(TOTP_CLIENT_SECRET_BITS="80")
    device = Device(app.test_client(use_cookies=False)).register("carol@example.com")
    secret = pyotp.random_base32(32)[:letters]
    assert enable_with(device, clock, letters, secret).status_code == 200
    clock.advance(60)
    login = device.post("/auth/login", {"login": device.email, "password": PASSWORD})
    answer = {"ticket": login.json["ticket"], "code": code_of(secret, clock)}
    assert device.post("/auth/mfa/totp", answer).status_code == 200


def code_of(secret, clock):
    """The code that an app shows: pyotp itself refuses secrets as short as these."""
    raw = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(raw, (int(clock()) // 30).to_bytes(8), "sha1")
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4]) & 0x7FFFFFFF) % 1_000_000:06}"


def enable_with(device, clock, letters, secret=None):
    secret = secret or pyotp.random_base32(64)[:letters]
    body = {"password": PASSWORD, "secret": secret, "code": code_of(secret, clock)}
    return device.post("/users/@me/mfa/totp/enable", body)


def test_enable_refuses_what_does_not_hold(alice, clock):
    secret = pyotp.random_base32()
    body = {"password": PASSWORD, "secret": secret, "code": pyotp.TOTP(secret).at(int(clock()) + 600)}
    assert refusal(alice.post("/users/@me/mfa/totp/enable", body)) == WRONG_CODE
    assert refusal(alice.post("/users/@me/mfa/totp/enable", {**body, "code": None})) == WRONG_CODE
    wrong = alice.post("/users/@me/mfa/totp/enable", {**body, "password": "wrong"})
    assert errors(wrong, "password") == ["PASSWORD_DOES_NOT_MATCH"]
    alice.enable_totp(clock())
    assert refusal(alice.post("/users/@me/mfa/totp/enable", {**body, "password": "wrong"})) == (400, 60001)


def test_disable_totp(with_totp, new_device):
    """It takes the second factor itself; then the password alone signs in, and the backup codes are dead."""
    assert refusal(with_totp.post("/users/@me/mfa/totp/disable")) == (401, 60003)
    old_token = with_totp.token
    proof = with_totp.prove()
    answer = with_totp.post("/users/@me/mfa/totp/disable", X_Discord_MFA_Authorization=proof)
    with_totp.token = answer.json["token"]
    assert with_totp.get("/users/@me").json["mfa_enabled"] is False
    assert with_totp.get("/users/@me", Authorization=old_token).status_code == 401
    assert "token" in new_device().post("/auth/login", {"login": with_totp.email, "password": PASSWORD}).json
    assert refusal(with_totp.post("/users/@me/mfa/totp/disable")) == (400, 60002)


def test_new_backup_codes_kill_the_old(with_totp, new_device):
    old = list(with_totp.backup_codes)
    body = {"password": PASSWORD, "regenerate": True}
    assert refusal(with_totp.post("/users/@me/mfa/codes", body)) == (401, 60003)
    proof = with_totp.prove()
    answer = with_totp.post("/users/@me/mfa/codes", body, X_Discord_MFA_Authorization=proof)
    assert answer.headers["Cache-Control"] == "no-store"
    new = [code["code"] for code in answer.json["backup_codes"]]
    assert len(new) == 10
    assert not set(new) & set(old)
    ticket = new_device().post("/auth/login", {"login": with_totp.email, "password": PASSWORD}).json["ticket"]
    assert refusal(new_device().post("/auth/mfa/backup", {"ticket": ticket, "code": old[0]})) == WRONG_CODE
    assert new_device().post("/auth/mfa/backup", {"ticket": ticket, "code": new[0]}).status_code == 200


def test_backup_codes_need_the_password_and_the_factor(alice, with_totp, bob):
    assert refusal(bob.post("/users/@me/mfa/codes", {"password": PASSWORD, "regenerate": True})) == (400, 60002)
    proof = with_totp.prove()
    wrong = with_totp.post(
        "/users/@me/mfa/codes", {"password": "wrong", "regenerate": True}, X_Discord_MFA_Authorization=proof
    )
    assert errors(wrong, "password") == ["PASSWORD_DOES_NOT_MATCH"]
    kept = with_totp.post("/users/@me/mfa/codes", {"password": PASSWORD, "regenerate": False})
    assert errors(kept, "regenerate") == ["BASE_TYPE_CHOICES"]


def refused_everywhere(device, proof):
    named = {"session_id_hashes": ["A" * 43 + "="]}
    guarded = [
        device.get("/gateway/verify?require=mfa", X_Discord_MFA_Authorization=proof),
        device.post("/auth/sessions/logout", named, X_Discord_MFA_Authorization=proof),
    ]
    return [answer.status_code for answer in guarded] == [401, 401]


def test_a_proof_dies_with_the_codes_that_it_was_earned_with(with_totp, new_device):
    """The codes had leaked: who has used them keeps nothing when they are renewed."""
    thief = new_device().log_in(with_totp)
    proof = thief_proof(thief, with_totp)
    assert thief.get("/gateway/verify?require=mfa", X_Discord_MFA_Authorization=proof).status_code == 200
    body = {"password": PASSWORD, "regenerate": True}
    assert (
        with_totp.post("/users/@me/mfa/codes", body, X_Discord_MFA_Authorization=with_totp.prove()).status_code == 200
    )
    assert refused_everywhere(thief, proof)


def test_a_proof_dies_with_the_factor_that_it_was_earned_with(with_totp, new_device, clock):
    thief = new_device().log_in(with_totp)
    proof = thief_proof(thief, with_totp)
    off = with_totp.post("/users/@me/mfa/totp/disable", X_Discord_MFA_Authorization=with_totp.prove())
    with_totp.token = off.json["token"]
    clock.advance(60)
    with_totp.enable_totp(clock())
    assert refused_everywhere(thief, proof)
    assert thief.post("/users/@me/mfa/totp/disable", X_Discord_MFA_Authorization=proof).status_code == 401
    assert with_totp.get("/users/@me").json["mfa_enabled"]


def test_a_proof_by_password_dies_when_the_password_changes(alice):
    proof = alice.prove()
    body = {"password": PASSWORD, "new_password": "another horse battery"}
    alice.token = alice.patch("/users/@me", body).json["token"]
    assert refused_everywhere(alice, proof)


def thief_proof(thief, owner):
    """A proof that a thief's session earns with a backup code of the owner."""
    body = {"ticket": thief.challenge()["ticket"], "mfa_type": "backup", "data": owner.backup_codes.pop()}
    return thief.post("/mfa/finish", body).json["token"]
