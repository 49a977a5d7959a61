"""Passkeys over the API: to add, to sign in, to step up, and as the second factor; and all that they must withstand."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyotp
import pytest

from app.stores.keys import unprefixed as keys
from app.stores.users import Change
from app.web.services import EXTENSION
from tests.authenticator import ML_DSA_87, Authenticator
from tests.device import API, PASSWORD, Device, errors
from tests.passkeys import CREDENTIALS, add, begin, finish, prove, request_of, sign_in

UNKNOWN_TICKET, WRONG = (400, 60006), (400, 60008)
FOREIGN = ["https://evil.example", "https://sub.keys.example.com", "http://keys.example.com", "https://example.com"]
LIES = [  # what an answer to any challenge may lie about
    *({"origin": origin} for origin in FOREIGN),
    {"cross_origin": True},
    {"top_origin": "https://keys.example.com"},
    {"rp_id": "example.com"},
    {"type": "webauthn.create"},
    {"challenge": "A" * 43},
    {"challenge": ""},
    {"up": False},
    {"signature": b""},
    {"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"},
    {"cred_id": b"unknown"},
    {"user_handle": b"1"},
    {"be": True, "bs": False},
    {"be": False, "bs": True},
    {"changes": {"type": "password"}},
    {"changes": {"response": {}}},
]


def refusal(answer):
    return answer.status_code, answer.json["code"]


def name_of(lies):
    return " ".join(f"{name}={value!r:.40}" for name, value in lies.items())


@pytest.fixture
def phone():
    """An authenticator that verifies its user."""
    return Authenticator()


@pytest.fixture
def with_passkey(alice, phone):
    """Alice's device, when she has a passkey on her phone."""
    add(alice, phone)
    return alice


@pytest.fixture
def login_ticket(with_passkey, new_device):
    """Gives the answer to a right password."""
    return lambda: new_device().post("/auth/login", {"login": with_passkey.email, "password": PASSWORD}).json


# Adding, listing, renaming, removing


def test_a_passkey_is_added_in_two_requests(alice, phone):
    """With the ten backup codes of a first second factor; then MFA is on, and the list has it."""
    begun = begin(alice)
    asked = json.loads(begun["challenge"])["publicKey"]
    assert asked["rp"] == {"id": "keys.example.com", "name": "Keyrack"}
    answer = finish(alice, begun, phone.make(begun["challenge"]), "  My phone ")
    assert answer.status_code == 200, answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.json["type"], answer.json["name"]) == (1, "My phone")
    assert len({code["code"] for code in answer.json["backup_codes"]}) == 10
    me = alice.get("/users/@me").json
    assert (me["mfa_enabled"], me["authenticator_types"]) == (True, [1])
    made = {"id": answer.json["id"], "type": 1, "name": "My phone", "last_used": None}
    assert alice.get(CREDENTIALS).json == [made | {"cred_id": phone.credentials[0].cred_id}]


def test_a_second_one_asks_for_the_first_and_gives_no_codes(with_passkey, phone, clock):
    """The password is no proof any more; the device is told which passkeys are there."""
    answer = with_passkey.post(CREDENTIALS, {"password": PASSWORD})
    assert refusal(answer) == (401, 60003)
    assert [method["type"] for method in answer.json["mfa"]["methods"]] == ["webauthn", "backup"]
    proof = prove(with_passkey, phone).json["token"]
    clock.advance(1)
    begun = begin(with_passkey, X_Discord_MFA_Authorization=proof)
    excluded = json.loads(begun["challenge"])["publicKey"]["excludeCredentials"]
    assert [one["id"] for one in excluded] == [phone.credentials[0].cred_id]
    answer = finish(with_passkey, begun, Authenticator().make(begun["challenge"]), "Key")
    assert answer.json["backup_codes"] == []
    assert [one["name"] for one in with_passkey.get(CREDENTIALS).json] == ["Phone", "Key"]


def test_who_sends_nothing_is_asked_for_a_proof(alice):
    for body in (None, {}, {"name": "x"}):
        answer = alice.post(CREDENTIALS, body)
        assert refusal(answer) == (401, 60003)
        assert answer.json["mfa"]["methods"] == [{"type": "password"}]
    assert refusal(alice.post(CREDENTIALS, {"password": "wrong password"})) == WRONG


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_what_the_second_request_needs(alice):
    answer = alice.post(CREDENTIALS, {"ticket": begin(alice)["ticket"]})
    assert [errors(answer, field) for field in ("name", "credential")] == [["BASE_TYPE_REQUIRED"]] * 2


@pytest.mark.parametrize("name", ["", " ", "x" * 33, "a\u202eb", "a\0b", 5, None])
@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_odd_names_are_refused_and_use_no_ticket_up(alice, phone, name):
    begun = begin(alice)
    body = {"ticket": begun["ticket"], "name": name, "credential": phone.make(begun["challenge"])}
    assert errors(alice.post(CREDENTIALS, body), "name")
    assert alice.post(CREDENTIALS, body | {"name": "Phone"}).status_code == 200


ATTESTED = [
    lies for lies in LIES if not {"user_handle", "signature", "type"} & set(lies) and lies.get("bs") is not False
]
ATTESTED += [{"type": "webauthn.get"}, {"alg": -36}, {"alg": ML_DSA_87}, {"cose": b""}, {"extra": b"\xff" * 9}]
ATTESTED += [{"cred_id": b"x" * 1024}]


@pytest.mark.parametrize("lies", ATTESTED, ids=name_of)
def test_a_new_passkey_that_does_not_hold_is_refused(alice, phone, lies):
    """Its ticket is used up all the same."""
    if lies.get("cred_id") == b"unknown":
        lies = {"changes": {"id": "AAAA"}}
    begun = begin(alice)
    answer = finish(alice, begun, phone.make(begun["challenge"], **lies))
    assert errors(answer, "credential") == ["INVALID_CREDENTIAL"]
    assert refusal(finish(alice, begun, Authenticator().make(begun["challenge"]))) == UNKNOWN_TICKET
    assert alice.get("/users/@me").json["mfa_enabled"] is False


@pytest.mark.parametrize("text", ["", "x", "{}", "[]", "null", "1", '"', "{" * 5000, "\ufffd", "x" * 20_000])
@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_what_is_no_answer_of_a_browser_is_a_wrong_one(alice, phone, new_device, text):
    """On every route that takes one."""
    if text:
        assert errors(finish(alice, begin(alice), text), "credential") == ["INVALID_CREDENTIAL"]
    add(alice, phone)
    start = alice.post("/auth/conditional/start").json
    answer = alice.post("/auth/conditional/finish", {"ticket": start["ticket"], "credential": text})
    assert refusal(answer) == WRONG
    login = new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD}).json
    assert refusal(new_device().post("/auth/mfa/webauthn", {"ticket": login["ticket"], "code": text})) == WRONG
    body = {"ticket": alice.challenge()["ticket"], "mfa_type": "webauthn", "data": text}
    assert refusal(alice.post("/mfa/finish", body)) == WRONG


def test_a_ticket_for_a_passkey_is_its_sessions_alone(alice, bob, new_device, phone):
    """Another session of the user, another user, a ticket of another purpose, and one that nobody issued."""
    tablet = new_device().log_in(alice)
    begun = begin(alice)
    made = phone.make(begun["challenge"])
    assert refusal(finish(bob, begun, made)) == UNKNOWN_TICKET
    assert refusal(finish(alice, {"ticket": alice.challenge()["ticket"]}, made)) == UNKNOWN_TICKET
    for ticket in ("x", alice.token, "MQ.AAAAAA." + "A" * 43):
        assert refusal(finish(alice, {"ticket": ticket}, made)) == UNKNOWN_TICKET
    body = {"ticket": begun["ticket"], "mfa_type": "password", "data": PASSWORD}
    assert refusal(alice.post("/mfa/finish", body)) == UNKNOWN_TICKET
    assert refusal(finish(tablet, begun, made)) == UNKNOWN_TICKET
    begun = begin(alice)
    assert finish(alice, begun, phone.make(begun["challenge"])).status_code == 200
    assert alice.get("/users/@me").json["mfa_enabled"] is True


def test_a_ticket_that_began_under_former_credentials_adds_nothing(alice, phone, clock):
    begun = begin(alice)
    alice.enable_totp(clock())
    assert refusal(finish(alice, begun, phone.make(begun["challenge"]))) == UNKNOWN_TICKET
    assert alice.get("/users/@me").json["authenticator_types"] == [2]


def test_of_eight_requests_with_one_ticket_one_adds(alice, phone):
    begun = begin(alice)
    made = [Authenticator().make(begun["challenge"]) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: finish(alice, begun, one).status_code, made))
    assert sorted(answers) == [200] + [400] * 7
    assert len(alice.get(CREDENTIALS).json) == 1


def test_an_eleventh_passkey_is_refused_before_anything_is_proved(with_passkey, phone):
    for number in range(9):
        proof = prove(with_passkey, phone).json["token"]
        add(with_passkey, Authenticator(), f"Key {number}", X_Discord_MFA_Authorization=proof)
    assert errors(with_passkey.post(CREDENTIALS), "credential") == ["TOO_MANY_PASSKEYS"]
    assert len(with_passkey.get(CREDENTIALS).json) == 10


def test_rename(with_passkey, bob, phone):
    [passkey] = with_passkey.get(CREDENTIALS).json
    path = f"{CREDENTIALS}/{passkey['id']}"
    assert refusal(with_passkey.patch(path, {"name": "x"})) == (401, 60003)
    proof = prove(with_passkey, phone).json["token"]
    answer = with_passkey.patch(path, {"name": " Büro "}, X_Discord_MFA_Authorization=proof)
    assert answer.json == {"id": passkey["id"], "type": 1, "name": "Büro"}
    assert with_passkey.patch(path, {}, X_Discord_MFA_Authorization=proof).json == answer.json
    assert [one["name"] for one in with_passkey.get(CREDENTIALS).json] == ["Büro"]
    for owner, other in ((bob, path), (with_passkey, f"{CREDENTIALS}/1"), (with_passkey, f"{CREDENTIALS}/x")):
        assert refusal(owner.patch(other, {"name": "x"}, X_Discord_MFA_Authorization=proof)) == (404, 0)
        assert refusal(owner.call("DELETE", other, X_Discord_MFA_Authorization=proof)) == (404, 0)


def test_the_last_factor_that_goes_turns_mfa_off(with_passkey, phone, new_device):
    [passkey] = with_passkey.get(CREDENTIALS).json
    path = f"{CREDENTIALS}/{passkey['id']}"
    assert refusal(with_passkey.call("DELETE", path)) == (401, 60003)
    proof = prove(with_passkey, phone).json["token"]
    assert with_passkey.call("DELETE", path, X_Discord_MFA_Authorization=proof).status_code == 204
    me = with_passkey.get("/users/@me").json
    assert (me["mfa_enabled"], me["authenticator_types"]) == (False, [])
    assert "token" in new_device().post("/auth/login", {"login": with_passkey.email, "password": PASSWORD}).json
    assert refusal(sign_in(new_device(), phone)) == WRONG


def test_adding_and_removing_are_on_record_and_mailed(with_passkey, phone, redis, caplog):
    """Each once; a new name is neither."""
    [passkey] = with_passkey.get(CREDENTIALS).json
    path = f"{CREDENTIALS}/{passkey['id']}"
    proof = {"X_Discord_MFA_Authorization": prove(with_passkey, phone).json["token"]}
    assert with_passkey.patch(path, {"name": "Büro"}, **proof).status_code == 200
    assert with_passkey.call("DELETE", path, **proof).status_code == 204
    told = [json.loads(fields["notice"]) for _, fields in redis.xrange(keys.mail.waiting)]
    assert [one["kind"] for one in told if "passkey" in one["kind"]] == ["passkey_added", "passkey_removed"]
    assert {one["user_id"] for one in told} == {with_passkey.user_id}
    changes = [record for record in caplog.get_records("setup") + caplog.records if hasattr(record, "fields")]
    whats = [record.fields["what"] for record in changes if record.getMessage() == "credentials_changed"]
    assert whats == ["passkey_added", "passkey_removed"]


def test_a_proof_dies_with_the_passkey_that_it_was_earned_with(with_passkey, phone):
    [passkey] = with_passkey.get(CREDENTIALS).json
    proof = prove(with_passkey, phone).json["token"]
    path = f"{CREDENTIALS}/{passkey['id']}"
    assert with_passkey.call("DELETE", path, X_Discord_MFA_Authorization=proof).status_code == 204
    assert with_passkey.end([with_passkey.id_hash], proof).status_code == 401


def test_totp_beside_a_passkey(with_passkey, phone, clock):
    """It needs a proof by the passkey, gives no new codes, and takes none along when it goes."""
    secret = pyotp.random_base32()
    body = {"password": PASSWORD, "secret": secret, "code": pyotp.TOTP(secret).at(int(clock()))}
    path = "/users/@me/mfa/totp"
    assert refusal(with_passkey.post(f"{path}/enable", body)) == (401, 60003)
    assert refusal(with_passkey.post(f"{path}/disable")) == (400, 60002)
    proof = {"X_Discord_MFA_Authorization": prove(with_passkey, phone).json["token"]}
    answer = with_passkey.post(f"{path}/enable", body, **proof)
    assert (answer.status_code, answer.json["backup_codes"]) == (200, [])
    with_passkey.token = answer.json["token"]
    assert with_passkey.get("/users/@me").json["authenticator_types"] == [1, 2]
    assert refusal(with_passkey.post(f"{path}/enable", body)) == (400, 60001)
    proof = {"X_Discord_MFA_Authorization": prove(with_passkey, phone).json["token"]}
    with_passkey.token = with_passkey.post(f"{path}/disable", **proof).json["token"]
    offered = [method["type"] for method in with_passkey.challenge()["methods"]]
    assert offered == ["webauthn", "backup"]


def test_a_code_in_a_body_is_a_backup_code_where_there_is_no_totp(with_passkey, new_device):
    """And the password is no answer."""
    body = {"session_id_hashes": [with_passkey.id_hash]}
    for sent in ({}, {"password": PASSWORD}):
        answer = with_passkey.post("/auth/sessions/logout", body | sent)
        assert refusal(answer) == (401, 60003)
    code = with_passkey.backup_codes.pop()
    assert with_passkey.post("/auth/sessions/logout", body | {"code": code}).status_code == 204


def test_a_browser_gets_a_new_token_and_keeps_being_signed_in(app, alice, phone):
    """The former one is dead; a client with a header keeps its token, since these answers have no field for another."""
    browser = app.test_client()
    browser.post("/login", json={"login": alice.email, "password": PASSWORD})
    former = browser.get_cookie("__Host-session").value
    begun = browser.post(API + CREDENTIALS, json={"password": PASSWORD}).json
    body = {"ticket": begun["ticket"], "name": "Phone", "credential": phone.make(begun["challenge"])}
    assert browser.post(API + CREDENTIALS, json=body).status_code == 200
    assert browser.get_cookie("__Host-session").value != former
    assert alice.get("/users/@me", Authorization=former).status_code == 401
    [passkey] = browser.get(API + CREDENTIALS).json
    asked = browser.delete(f"{API}{CREDENTIALS}/{passkey['id']}").json["mfa"]
    data = phone.get(request_of(asked))
    body = {"ticket": asked["ticket"], "mfa_type": "webauthn", "data": data}
    assert browser.post(API + "/mfa/finish", json=body).status_code == 200
    former = browser.get_cookie("__Host-session").value
    assert browser.delete(f"{API}{CREDENTIALS}/{passkey['id']}").status_code == 204
    assert browser.get_cookie("__Host-session").value != former
    assert browser.get(API + "/users/@me").json["mfa_enabled"] is False
    assert alice.is_signed_in


# As the second factor


def test_a_login_is_finished_by_a_passkey(login_ticket, new_device, phone):
    asked = login_ticket()
    assert (asked["totp"], asked["backup"]) == (False, True)
    wanted = json.loads(asked["webauthn"])["publicKey"]
    assert (wanted["userVerification"], wanted["rpId"]) == ("preferred", "keys.example.com")
    assert [one["id"] for one in wanted["allowCredentials"]] == [phone.credentials[0].cred_id]
    body = {"ticket": asked["ticket"], "code": phone.get(asked["webauthn"])}
    answer = new_device().post("/auth/mfa/webauthn", body)
    assert set(answer.json) == {"token", "user_settings"}
    assert refusal(new_device().post("/auth/mfa/webauthn", body)) == UNKNOWN_TICKET


def test_without_a_passkey_there_is_nothing_to_answer_with(with_totp, new_device):
    asked = new_device().post("/auth/login", {"login": with_totp.email, "password": PASSWORD}).json
    assert asked["webauthn"] is None
    body = {"ticket": asked["ticket"], "code": "{}"}
    assert refusal(new_device().post("/auth/mfa/webauthn", body)) == WRONG


def test_a_passkey_that_does_not_verify_its_user_is_a_second_factor_alone(alice, new_device):
    key = Authenticator(verifies_user=False)
    add(alice, key, "Key")
    assert prove(alice, key).status_code == 200
    asked = new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD}).json
    body = {"ticket": asked["ticket"], "code": key.get(asked["webauthn"])}
    assert new_device().post("/auth/mfa/webauthn", body).status_code == 200
    assert refusal(sign_in(new_device(), key, uv=False)) == WRONG


def test_a_browser_answers_by_its_cookie_api(app, login_ticket, phone):
    browser = app.test_client()
    asked = login_ticket()
    body = {"ticket": asked["ticket"], "code": phone.get(asked["webauthn"]), "method": "webauthn"}
    assert browser.post("/login/mfa", json=body | {"method": "sms"}).status_code == 400
    answer = browser.post("/login/mfa", json=body)
    assert (answer.status_code, "token" in answer.json) == (200, False)
    assert browser.get("/me/sessions").status_code == 200


def test_fermis_form_of_an_answer_is_taken(login_ticket, new_device, alice, phone):
    """rawId in standard base64, no id, no type; and under /api without a version."""
    asked = login_ticket()
    code = phone.get(asked["webauthn"], fermi=True)
    assert "id" not in json.loads(code)
    client = alice._client
    answer = client.post("/api/auth/mfa/webauthn", json={"ticket": asked["ticket"], "code": code})
    assert answer.status_code == 200


@pytest.mark.parametrize("lies", LIES, ids=name_of)
def test_a_lie_is_a_wrong_answer_at_a_login_and_in_a_challenge(with_passkey, login_ticket, new_device, phone, lies):
    asked = login_ticket()
    body = {"ticket": asked["ticket"], "code": phone.get(asked["webauthn"], **lies)}
    assert refusal(new_device().post("/auth/mfa/webauthn", body)) == WRONG
    assert refusal(prove(with_passkey, phone, **lies)) == WRONG
    assert prove(with_passkey, phone).status_code == 200, "the truth is right nevertheless"


def test_a_challenge_is_its_tickets_alone(with_passkey, login_ticket, new_device, phone):
    """An answer to the challenge of another purpose, session or moment answers no other."""
    login, step_up, start = login_ticket(), with_passkey.challenge(), with_passkey.post("/auth/passwordless/start").json
    tablet = new_device()
    tablet.token = (
        new_device()
        .post("/auth/mfa/webauthn", {"ticket": login["ticket"], "code": phone.get(login["webauthn"])})
        .json["token"]
    )
    others = [request_of(tablet.challenge()), start["challenge"], login_ticket()["webauthn"], login["webauthn"]]
    for text in others:
        body = {"ticket": step_up["ticket"], "mfa_type": "webauthn", "data": phone.get(text)}
        assert refusal(with_passkey.post("/mfa/finish", body)) == WRONG
    for text in (request_of(with_passkey.challenge()), login_ticket()["webauthn"]):
        body = {"ticket": start["ticket"], "credential": phone.get(text)}
        assert refusal(new_device().post("/auth/conditional/finish", body)) in (WRONG, UNKNOWN_TICKET)
        start = with_passkey.post("/auth/passwordless/start").json
    body = {"ticket": login_ticket()["ticket"], "code": phone.get(start["challenge"])}
    assert refusal(new_device().post("/auth/mfa/webauthn", body)) == WRONG


def test_of_eight_answers_to_one_challenge_one_is_right(with_passkey, phone):
    """Each is by the passkey itself, with a counter that grows."""
    asked = with_passkey.challenge()
    sent = [phone.get(request_of(asked)) for _ in range(8)]

    def send(data):
        body = {"ticket": asked["ticket"], "mfa_type": "webauthn", "data": data}
        return with_passkey.post("/mfa/finish", body).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, sent))
    assert answers.count(200) == 1


@pytest.mark.parametrize("counter", [0, 1, 2])
def test_a_counter_that_does_not_grow_is_refused_logged_and_mailed(
    with_passkey, phone, new_device, caplog, redis, counter
):
    """In a challenge and alone, where it stands, goes back or is 0 again."""
    prove(with_passkey, phone)
    prove(with_passkey, phone)
    for way, device in ((prove, with_passkey), (sign_in, new_device())):
        caplog.clear()
        assert refusal(way(device, phone, counter=counter)) == WRONG
        lines = [record for record in caplog.records if record.getMessage() == "passkey_counter"]
        assert [line.levelname for line in lines] == ["WARNING"]
    queued = " ".join(str(fields) for _, fields in redis.xrange("mail"))
    assert queued.count("passkey_copied") == 2
    assert prove(with_passkey, phone).status_code == 200


def test_a_counter_that_is_0_for_ever_is_none(alice, new_device):
    synced = Authenticator(counts=False, backup_eligible=True)
    add(alice, synced)
    answers = [prove(alice, synced), sign_in(new_device(), synced), sign_in(new_device(), synced)]
    assert [answer.status_code for answer in answers] == [200] * 3


def test_whether_a_passkey_may_be_copied_never_changes(alice, with_passkey, phone, new_device):
    assert refusal(prove(alice, phone, be=True, bs=True)) == WRONG
    assert refusal(sign_in(new_device(), phone, be=True, bs=True)) == WRONG


# Alone


def test_a_passkey_alone_signs_in_without_a_name(with_passkey, phone, new_device):
    """It is both factors: no code is asked for, and the list tells its last use."""
    device = new_device()
    answer = sign_in(device, phone)
    assert answer.status_code == 200, answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["user_id"] == with_passkey.user_id
    device.token = answer.json["token"]
    assert device.is_signed_in
    assert with_passkey.get(CREDENTIALS).json[0]["last_used"] is not None


@pytest.mark.parametrize(("path", "mediation"), [("passwordless", None), ("conditional", "conditional")])
def test_both_starts_ask_for_any_passkey_that_verifies_its_user(
    with_passkey, phone, new_device, redis, path, mediation
):
    begun = new_device().post(f"/auth/{path}/start").json
    text = json.loads(begun["challenge"])
    assert text.get("mediation") == mediation
    asked = text["publicKey"]
    assert (asked["userVerification"], asked["allowCredentials"]) == ("required", [])
    assert asked["extensions"] == {"uvm": True}
    assert begun["ticket"] not in str(list(redis.scan_iter()))
    body = {"ticket": begun["ticket"], "credential": phone.get(begun["challenge"])}
    assert new_device().post("/auth/conditional/finish", body).status_code == 200
    assert refusal(new_device().post("/auth/conditional/finish", body)) == UNKNOWN_TICKET


@pytest.mark.parametrize("lies", [*LIES, {"uv": False}, {"user_handle": None}, {"user_handle": b""}], ids=name_of)
def test_a_lie_signs_nobody_in_and_uses_the_ticket_up(with_passkey, phone, new_device, lies):
    begun = new_device().post("/auth/passwordless/start").json
    body = {"ticket": begun["ticket"], "credential": phone.get(begun["challenge"], **lies)}
    assert refusal(new_device().post("/auth/conditional/finish", body)) == WRONG
    body = {"ticket": begun["ticket"], "credential": phone.get(begun["challenge"])}
    assert refusal(new_device().post("/auth/conditional/finish", body)) == UNKNOWN_TICKET


def test_a_handle_of_somebody_else_signs_nobody_in(with_passkey, bob, phone, new_device):
    """Not with one's own passkey, and not where that other has passkeys too."""
    add(bob, Authenticator(), "Bob's")
    assert refusal(sign_in(new_device(), phone, user_handle=bob.user_id.encode())) == WRONG
    assert refusal(prove(with_passkey, phone, user_handle=bob.user_id.encode())) == WRONG


def test_unknown_disabled_and_wrong_get_one_answer(app, with_passkey, phone, new_device):
    wrong = sign_in(new_device(), phone, signature=b"x")
    stranger = Authenticator()
    stranger.add("keys.example.com", b"99")
    unknown = sign_in(new_device(), stranger)
    removed = Authenticator()
    removed.add("keys.example.com", with_passkey.user_id.encode())
    foreign = sign_in(new_device(), removed)
    app.extensions[EXTENSION].leaving.disable(with_passkey.user_id)
    disabled = sign_in(new_device(), phone)
    said = [(one.status_code, one.json) for one in (wrong, unknown, foreign, disabled)]
    assert said == [said[0]] * 4
    assert said[0][1]["code"] == 60008


def test_of_ten_sign_ins_by_one_challenge_one_opens_a_session(with_passkey, phone, new_device):
    begun = new_device().post("/auth/passwordless/start").json
    sent = [phone.get(begun["challenge"]) for _ in range(10)]

    def send(credential):
        body = {"ticket": begun["ticket"], "credential": credential}
        return new_device().post("/auth/conditional/finish", body).status_code

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(send, sent))
    assert sorted(answers) == [200] + [400] * 9
    assert len(with_passkey.id_hashes()) == 2


def test_a_passkey_that_is_removed_while_it_signs_in_is_in_or_not(with_passkey, phone, new_device):
    """Never an error; and once it is gone it signs nobody in."""
    [passkey] = with_passkey.get(CREDENTIALS).json
    proof = prove(with_passkey, phone).json["token"]
    starts = [new_device().post("/auth/passwordless/start").json for _ in range(6)]
    bodies = [{"ticket": one["ticket"], "credential": phone.get(one["challenge"])} for one in starts]

    def act(number):
        if number == 3:
            path = f"{CREDENTIALS}/{passkey['id']}"
            return with_passkey.call("DELETE", path, X_Discord_MFA_Authorization=proof).status_code
        return new_device().post("/auth/conditional/finish", bodies[number]).status_code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(act, range(6)))
    assert answers.pop(3) == 204
    assert set(answers) <= {200, 400}
    assert refusal(sign_in(new_device(), phone)) == WRONG


def test_a_browser_signs_in_by_a_passkey(app, with_passkey, phone):
    """By cookie; on a public computer as any other sign-in."""
    browser = app.test_client()
    for public in (False, True):
        begun = browser.post("/login/passkey/start", json={"conditional": True}).json
        assert json.loads(begun["challenge"])["mediation"] == "conditional"
        body = {"ticket": begun["ticket"], "credential": phone.get(begun["challenge"]), "public_computer": public}
        answer = browser.post("/login/passkey", json=body)
        assert (answer.status_code, answer.json["user_id"]) == (200, with_passkey.user_id)
        assert ("Max-Age" in answer.headers["Set-Cookie"]) is not public
        assert browser.post("/login/passkey", json=body).json["error"]
    assert browser.get("/me/sessions").status_code == 200
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert browser.post("/login/passkey", json=body, headers=foreign).status_code == 403
    assert browser.post("/login/passkey/start", headers=foreign).status_code == 403
    assert browser.post("/login/passkey/start").status_code == 200


def test_a_login_by_passkey_is_a_proof_where_a_login_is_one(app, with_passkey, phone, clock):
    clock.advance(1)
    browser = app.test_client()
    begun = browser.post("/login/passkey/start").json
    body = {"ticket": begun["ticket"], "credential": phone.get(begun["challenge"])}
    assert browser.post("/login/passkey", json=body).status_code == 200
    assert browser.post("/me/sessions/revoke-all").status_code == 200
    assert not with_passkey.is_signed_in


def test_ml_dsa_signs_in_with_keys_of_26_hundred_bytes(app, alice, phone, new_device, users):
    """New passkeys are of other algorithms, but imports may bring them."""
    add(alice, phone)
    [passkey] = users.get(alice.user_id).passkeys
    lattice = Authenticator()
    made = lattice.add("keys.example.com", alice.user_id.encode(), ML_DSA_87)
    imported = replace(passkey, cred_id=made.cred_id, id="77", public_key=made.public_key, backup_eligible=None)
    users.change(alice.user_id, Change(add_passkey=imported))
    assert len(made.public_key) > 2600
    assert sign_in(new_device(), lattice).status_code == 200
    assert prove(alice, lattice).status_code == 200


@pytest.mark.parametrize("public_url", ["http://127.0.0.1:8000", "https://192.0.2.1"])
@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_without_a_name_there_are_no_passkeys(make_app, alice, phone, public_url):
    """Those that are there stay, and everything else works."""
    add(alice, phone)
    app = make_app(PUBLIC_URL=public_url)
    device = Device(app.test_client(use_cookies=False))
    for path in ("/auth/passwordless/start", "/auth/conditional/start"):
        assert refusal(device.post(path)) == (404, 0)
    assert app.test_client().post("/login/passkey/start").status_code == 404
    asked = device.post("/auth/login", {"login": alice.email, "password": PASSWORD}).json
    assert (asked["webauthn"], asked["backup"]) == (None, True)
    body = {"ticket": asked["ticket"], "code": alice.backup_codes[0]}
    device.token = device.post("/auth/mfa/backup", body).json["token"]
    assert [method["type"] for method in device.challenge()["methods"]] == ["backup"]
    assert refusal(device.post(CREDENTIALS)) == (404, 0)
    assert len(device.get(CREDENTIALS).json) == 1


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_answers_are_limited_by_address(make_app):
    app = make_app(RATE_LIMIT_LOGIN_ADDRESS="3 per minute")
    device = Device(app.test_client(use_cookies=False))
    body = {"ticket": "x", "credential": "x"}
    assert [device.post("/auth/conditional/finish", body).status_code for _ in range(4)] == [400] * 3 + [429]
    assert app.test_client().post("/login/passkey", json=body).status_code == 429
