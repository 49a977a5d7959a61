"""Answers to challenges in the body of the request itself, from clients that know no challenges."""

import itertools

import pytest

from tests.device import PASSWORD, Device

NEW = "another long one"


def requests_of(device, target):
    """Every guarded request of the API: method, path, body, and the status of a success."""
    return {
        "log out": ("POST", "/auth/sessions/logout", {"session_id_hashes": [target]}, 204),
        "change the password": ("PATCH", "/users/@me", {"password": PASSWORD, "new_password": NEW}, 200),
        "renew the codes": ("POST", "/users/@me/mfa/codes", {"password": PASSWORD, "regenerate": True}, 200),
        "turn TOTP off": ("POST", "/users/@me/mfa/totp/disable", {}, 200),
    }


def problems(answer, field):
    return [problem["code"] for problem in answer.json["errors"][field]["_errors"]]


GUARDED = ["log out", "change the password", "renew the codes", "turn TOTP off"]


@pytest.fixture
def phone(new_device, with_totp):
    return new_device().log_in(with_totp)


@pytest.mark.parametrize("what", GUARDED)
@pytest.mark.parametrize("kind", ["totp", "backup"])
def test_a_right_code_is_the_proof(with_totp, phone, clock, what, kind):
    method, path, body, success = requests_of(with_totp, phone.id_hash)[what]
    clock.advance(30)
    code = with_totp.code(clock()) if kind == "totp" else with_totp.backup_codes.pop()
    assert with_totp.call(method, path, body | {"code": code}).status_code == success


@pytest.mark.parametrize("what", GUARDED)
def test_a_wrong_code_is_told_at_its_field_and_changes_nothing(with_totp, phone, what):
    method, path, body, _ = requests_of(with_totp, phone.id_hash)[what]
    answer = with_totp.call(method, path, body | {"code": "000000"})
    assert (answer.status_code, answer.json["code"]) == (400, 60008)
    assert problems(answer, "code") == ["INVALID_CODE"]
    assert (with_totp.is_signed_in, phone.is_signed_in) == (True, True)
    assert with_totp.get("/users/@me").json["mfa_enabled"]


@pytest.mark.parametrize("what", GUARDED)
@pytest.mark.parametrize("sent", [{}, {"password": PASSWORD}, {"code": None}, {"code": ""}])
def test_what_is_no_answer_to_what_is_asked_gets_the_challenge(with_totp, phone, what, sent):
    """The password proves nothing where MFA is on."""
    method, path, body, _ = requests_of(with_totp, phone.id_hash)[what]
    answer = with_totp.call(method, path, body | sent)
    assert (answer.status_code, answer.json["code"]) == (401, 60003)
    assert answer.json["mfa"]["methods"][0]["type"] == "totp"
    assert phone.is_signed_in


def test_without_mfa_the_password_is_the_proof(alice, new_device):
    phone = new_device().log_in(alice)
    body = {"session_id_hashes": [phone.id_hash]}
    wrong = alice.post("/auth/sessions/logout", body | {"password": "wrong password"})
    assert (wrong.status_code, wrong.json["code"]) == (400, 60008)
    assert problems(wrong, "password") == ["PASSWORD_DOES_NOT_MATCH"]
    assert alice.post("/auth/sessions/logout", body | {"code": "123456"}).json["code"] == 60003
    assert phone.is_signed_in
    assert alice.post("/auth/sessions/logout", body | {"password": PASSWORD}).status_code == 204
    assert not phone.is_signed_in


def test_a_code_in_a_body_counts_once(with_totp, phone, clock):
    """As at login and in a challenge."""
    clock.advance(30)
    code = with_totp.code(clock())
    ending = {"session_id_hashes": [phone.id_hash], "code": code}
    assert with_totp.post("/auth/sessions/logout", ending).status_code == 204
    again = with_totp.post("/auth/sessions/logout", ending)
    assert (again.status_code, again.json["code"]) == (400, 60008)


def test_a_good_proof_beside_it_counts_and_spends_no_code(with_totp, phone, clock):
    clock.advance(30)
    proof, code = with_totp.prove(), with_totp.code(clock())
    ending = {"session_id_hashes": [phone.id_hash], "code": "000000"}
    assert with_totp.post("/auth/sessions/logout", ending, X_Discord_MFA_Authorization=proof).status_code == 204
    other = with_totp.post("/users/@me/mfa/totp/disable", {"code": code}, X_Discord_MFA_Authorization="x")
    assert other.status_code == 200


@pytest.mark.parametrize(("header", "cookie", "answer"), list(itertools.product(["none", "right", "wrong"], repeat=3)))
def test_each_set_of_proofs_has_one_answer(with_totp, phone, clock, header, cookie, answer):
    """The header counts where it is sent, else the cookie. If that does not hold, the body decides."""
    clock.advance(30)
    good, code = with_totp.prove(), with_totp.code(clock())
    phone.backup_codes = [with_totp.backup_codes.pop()]
    proofs = {"right": good, "wrong": phone.prove()}  # wrong: of another session of the same user
    sent = {"X_Discord_MFA_Authorization": proofs[header]} if header != "none" else {}
    sent |= {"Cookie": f"__Secure-recent_mfa={proofs[cookie]}"} if cookie != "none" else {}
    body = {"session_id_hashes": [phone.id_hash]} | {"none": {}, "right": {"code": code}, "wrong": {"code": "000000"}}[
        answer
    ]
    proved = (cookie if header == "none" else header) == "right"
    told = with_totp.post("/auth/sessions/logout", body, **sent)
    wanted = (204, None) if proved else {"none": (401, 60003), "right": (204, None), "wrong": (400, 60008)}[answer]
    assert (told.status_code, told.json and told.json["code"]) == wanted
    assert phone.is_signed_in == (wanted[0] != 204)
    if answer == "right":  # a code that was not needed is still good
        again = with_totp.post("/users/@me/mfa/totp/disable", {"code": code})
        assert again.status_code == (200 if proved else 400)


@pytest.mark.parametrize("password", [PASSWORD, "wrong password"])
def test_where_mfa_is_on_the_code_alone_is_looked_at(with_totp, phone, clock, password):
    clock.advance(30)
    ending = {"session_id_hashes": [phone.id_hash], "password": password}
    assert with_totp.post("/auth/sessions/logout", ending | {"code": "000000"}).json["code"] == 60008
    assert with_totp.post("/auth/sessions/logout", ending | {"code": with_totp.code(clock())}).status_code == 204


@pytest.mark.parametrize("code", ["000000", "", None])
def test_where_mfa_is_off_the_password_alone_is_looked_at(alice, new_device, code):
    phone = new_device().log_in(alice)
    ending = {"session_id_hashes": [phone.id_hash], "code": code}
    assert alice.post("/auth/sessions/logout", ending | {"password": "wrong password"}).json["code"] == 60008
    assert alice.post("/auth/sessions/logout", ending | {"password": PASSWORD}).status_code == 204


def test_answers_in_bodies_are_limited_as_all_are(make_app, clock):
    """Over all guarded routes and challenges of a session together; a request without an answer costs nothing."""
    app = make_app(RATE_LIMIT_STEP_UP="4 per 15 minutes")
    device = Device(app.test_client(use_cookies=False)).register("carol@example.com")
    device.enable_totp(clock())
    ending = {"session_id_hashes": [device.id_hash]}
    asked = [device.post("/auth/sessions/logout", ending).status_code for _ in range(6)]
    assert asked == [401] * 6
    tried = [
        device.post("/auth/sessions/logout", ending | {"code": "000000"}).status_code,
        device.post("/users/@me/mfa/totp/disable", {"code": "000000"}).status_code,
        device.patch("/users/@me", {"password": PASSWORD, "new_password": NEW, "code": "000000"}).status_code,
    ]
    ticket = device.challenge()["ticket"]
    tried.append(device.post("/mfa/finish", {"ticket": ticket, "mfa_type": "totp", "data": "000000"}).status_code)
    tried.append(device.post("/auth/sessions/logout", ending | {"code": device.code(clock())}).status_code)
    assert tried == [400, 400, 400, 400, 429]


def test_turning_totp_off_needs_no_body(with_totp):
    """Clients that answer challenges send none."""
    answer = with_totp.post("/users/@me/mfa/totp/disable", X_Discord_MFA_Authorization=with_totp.prove())
    assert answer.status_code == 200


@pytest.mark.parametrize("what", ["change the password", "change the name", "renew the codes"])
def test_a_mistyped_password_spends_no_code(with_totp, what):
    """A backup code would be lost for good."""
    name = ("PATCH", "/users/@me", {"password": PASSWORD, "username": "ada"}, 200)
    method, path, body, success = (requests_of(with_totp, "") | {"change the name": name})[what]
    code = {"code": with_totp.backup_codes.pop()}
    mistyped = with_totp.call(method, path, body | code | {"password": "wrong password"})
    assert (mistyped.status_code, problems(mistyped, "password")) == (400, ["PASSWORD_DOES_NOT_MATCH"])
    assert with_totp.call(method, path, body | code).status_code == success


def test_who_keeps_cookies_may_repeat_a_request_that_failed_after_its_proof(with_totp, phone, clock):
    """The answer has the proof as a cookie, as that of a challenge has. The code alone counts once."""
    clock.advance(30)
    ending = {"session_id_hashes": ["A" * 43 + "="], "code": with_totp.code(clock())}
    unknown = with_totp.post("/auth/sessions/logout", ending)
    assert unknown.json["code"] == 10020
    ending["session_id_hashes"] = [phone.id_hash]
    assert with_totp.post("/auth/sessions/logout", ending).json["code"] == 60008
    cookie = unknown.headers["Set-Cookie"].partition(";")[0]
    assert with_totp.post("/auth/sessions/logout", ending, Cookie=cookie).status_code == 204


@pytest.mark.parametrize("what", ["change the name", "renew the codes"])
def test_an_empty_password_counts_as_a_wrong_one(make_app, clock, what):
    """Each costs as much work as any other."""
    app = make_app(RATE_LIMIT_STEP_UP="3 per 15 minutes")
    device = Device(app.test_client(use_cookies=False)).register("carol@example.com")
    device.enable_totp(clock())
    name = ("PATCH", "/users/@me", {"username": "ada"}, 200)
    method, path, body, _ = (requests_of(device, "") | {"change the name": name})[what]
    empty = body | {"password": ""}
    tried = [device.call(method, path, empty).status_code for _ in range(4)]
    assert tried == [400, 400, 400, 429]


def test_a_proof_that_holds_passes_whatever_the_budget_for_answers(make_app, clock):
    """An answer beside it is not looked at, so it is not counted either."""
    app = make_app(RATE_LIMIT_STEP_UP="2 per 15 minutes")
    device = Device(app.test_client(use_cookies=False)).register("carol@example.com")
    proof = device.prove()
    ending = {"session_id_hashes": [device.id_hash], "password": "wrong password"}
    assert [device.post("/auth/sessions/logout", ending).status_code for _ in range(3)] == [400, 400, 429]
    assert device.post("/auth/sessions/logout", ending, X_Discord_MFA_Authorization=proof).status_code == 204


@pytest.mark.parametrize("sent", ["undefined", "null", "", "Bearer x"])
def test_a_header_that_is_no_proof_hides_no_cookie(with_totp, phone, sent):
    cookie = f"__Secure-recent_mfa={with_totp.prove()}"
    ending = {"session_id_hashes": [phone.id_hash]}
    answer = with_totp.post("/auth/sessions/logout", ending, X_Discord_MFA_Authorization=sent, Cookie=cookie)
    assert answer.status_code == 204


def test_who_answers_while_a_factor_is_turned_on_or_off_gets_the_challenge(alice, app, clock, monkeypatch):
    """The answer was one to another question."""
    phone = Device(app.test_client(use_cookies=False)).log_in(alice)
    challenge = app.extensions["keyrack"].reauthentication.challenge

    def turn_on_meanwhile(caller):
        asked = challenge(caller)
        monkeypatch.undo()
        alice.enable_totp(clock())
        return asked

    monkeypatch.setattr(app.extensions["keyrack"].reauthentication, "challenge", turn_on_meanwhile)
    ending = {"session_id_hashes": [phone.id_hash], "password": PASSWORD}
    answer = phone.post("/auth/sessions/logout", ending)
    assert (answer.status_code, answer.json["code"]) == (401, 60003)
    assert answer.json["mfa"]["methods"][0]["type"] == "totp"
