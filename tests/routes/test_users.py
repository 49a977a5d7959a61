"""The caller's own user: changes of the password and the names."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app import create_app, tokens
from app.config import load_settings
from app.errors import Unauthorized
from app.form_errors import PasswordMismatch
from app.rules.profile import ProfileChange
from app.stores.connection.connect import connect
from app.stores.session_records import Client
from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD, Device, errors

NEW = "another long one"


def test_a_password_change_ends_every_other_session(alice, bob, new_device):
    """The caller goes on under a new token; the old password and the old token are dead."""
    phone = new_device().log_in(alice)
    old_token = alice.token
    answer = alice.patch("/users/@me", {"password": PASSWORD, "new_password": NEW})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    alice.token, alice.password = answer.json["token"], NEW
    assert answer.json == alice.get("/users/@me").json | {"token": alice.token}
    assert not phone.is_signed_in
    assert alice.get("/users/@me", Authorization=old_token).status_code == 401
    assert len(alice.id_hashes()) == 1
    wrong = new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD})
    assert errors(wrong, "login") == ["INVALID_LOGIN"]
    assert new_device().log_in(alice).is_signed_in
    assert bob.is_signed_in


def test_a_password_change_needs_the_old_one(alice):
    wrong = alice.patch("/users/@me", {"password": "wrong", "new_password": NEW})
    assert errors(wrong, "password") == ["PASSWORD_DOES_NOT_MATCH"]
    common = alice.patch("/users/@me", {"password": PASSWORD, "new_password": "password1"})
    assert errors(common, "new_password") == ["PASSWORD_BAD_PASSWORD"]
    assert alice.is_signed_in


def test_a_password_change_with_mfa_on_needs_the_factor(with_totp):
    """The strongest factor there is is asked for; the password is asked for as well."""
    body = {"password": PASSWORD, "new_password": NEW}
    asked = with_totp.patch("/users/@me", body)
    assert (asked.status_code, asked.json["code"]) == (401, 60003)
    proof = with_totp.prove()
    wrong = with_totp.patch("/users/@me", body | {"password": "wrong"}, X_Discord_MFA_Authorization=proof)
    assert errors(wrong, "password") == ["PASSWORD_DOES_NOT_MATCH"]
    assert with_totp.patch("/users/@me", body, X_Discord_MFA_Authorization=proof).status_code == 200


def test_a_stale_change_is_refused(alice, app):
    """Of two changes that began with one password, the second finds it changed."""
    wired = app.extensions["keyrack"]
    caller = wired.devices.identify(alice.token)
    user = wired.accounts.get(alice.user_id)
    renewed = alice.patch("/users/@me", {"password": PASSWORD, "new_password": NEW})
    assert renewed.status_code == 200
    with pytest.raises(Unauthorized):
        wired.profiles.change(caller, user, ProfileChange(new_password="yet another one"), Client())


def test_names_change_with_the_password_and_nothing_else_does(alice, new_device):
    """No token is new and no session ends; who logs in, lists or looks sees the new name."""
    phone = new_device().log_in(alice)
    before = alice.get("/users/@me").json
    answer = alice.patch("/users/@me", {"username": "ada", "global_name": "Ada L.", "password": PASSWORD})
    assert (answer.status_code, answer.json) == (200, before | {"username": "ada", "global_name": "Ada L."})
    assert phone.get("/users/@me").json == answer.json
    assert len(alice.id_hashes()) == 2
    assert new_device().log_in(alice).is_signed_in


@pytest.mark.parametrize("removed", [None, ""])
def test_the_name_that_others_see_needs_no_password_and_can_be_removed(with_totp, removed):
    """Nor a proof."""
    assert with_totp.patch("/users/@me", {"global_name": "Ada"}).json["global_name"] == "Ada"
    assert with_totp.patch("/users/@me", {"bio": "x"}).json["global_name"] == "Ada"
    answer = with_totp.patch("/users/@me", {"global_name": removed})
    assert (answer.status_code, answer.json) == (200, with_totp.get("/users/@me").json)
    assert answer.json["global_name"] is None


@pytest.mark.parametrize("body", [{}, {"bio": "x", "avatar": None, "password": "wrong", "code": "1", "flags": [1, {}]}])
def test_a_change_of_nothing_that_keyrack_has_is_none(alice, body):
    """Real clients send a bio or an avatar by the same route."""
    before = alice.get("/users/@me").json
    answer = alice.patch("/users/@me", body)
    assert (answer.status_code, answer.json) == (200, before)
    assert alice.get("/users/@me").json == before


def test_fields_that_are_null_are_as_if_absent(alice):
    """Older clients send all that they know."""
    before = alice.get("/users/@me").json
    sent = {"username": "ada", "email": alice.email, "avatar": None, "new_password": None, "password": PASSWORD}
    assert alice.patch("/users/@me", sent).json == before | {"username": "ada"}
    empty = dict.fromkeys(["username", "email", "new_password", "password", "code"])
    assert alice.patch("/users/@me", empty).json == before | {"username": "ada"}


@pytest.mark.parametrize("change", [{"username": "ada"}, {"email": "alice@example.com"}, {"new_password": NEW}])
def test_what_needs_the_password_says_so_at_its_field(alice, change):
    before = alice.get("/users/@me").json
    for given, code in (({}, "BASE_TYPE_REQUIRED"), ({"password": "wrong"}, "PASSWORD_DOES_NOT_MATCH")):
        answer = alice.patch("/users/@me", change | given | {"global_name": "Ada"})
        assert errors(answer, "password") == [code]
    assert alice.get("/users/@me").json == before


@pytest.mark.parametrize("change", [{"username": "ada"}, {"email": "alice@example.com"}, {"new_password": NEW}])
def test_what_needs_the_password_needs_the_factor_too(with_totp, clock, change):
    """By challenge, or by a code in the body; a wrong code is told at its field, and nothing is done."""
    body = change | {"password": PASSWORD, "global_name": "Ada"}
    before = with_totp.get("/users/@me").json
    assert with_totp.patch("/users/@me", body).json["code"] == 60003
    wrong = with_totp.patch("/users/@me", body | {"code": "000000"})
    assert (wrong.status_code, wrong.json["code"]) == (400, 60008)
    assert [problem["code"] for problem in wrong.json["errors"]["code"]["_errors"]] == ["INVALID_CODE"]
    assert with_totp.get("/users/@me").json == before
    clock.advance(30)
    answer = with_totp.patch("/users/@me", body | {"code": with_totp.code(clock())})
    assert (answer.status_code, answer.json["global_name"]) == (200, "Ada")


def test_one_right_proof_of_several_counts(with_totp):
    """In a header, a cookie or the body; a code beside a good proof is not looked at."""
    body = {"username": "ada", "password": PASSWORD}
    proof = with_totp.prove()
    tried = [
        with_totp.patch("/users/@me", body, X_Discord_MFA_Authorization="wrong"),
        with_totp.patch("/users/@me", body | {"code": "000000"}, X_Discord_MFA_Authorization="wrong"),
        with_totp.patch("/users/@me", body | {"code": "000000"}, X_Discord_MFA_Authorization=proof),
        with_totp.patch(
            "/users/@me", body | {"code": with_totp.backup_codes.pop()}, X_Discord_MFA_Authorization="wrong"
        ),
    ]
    assert [answer.status_code for answer in tried] == [401, 400, 200, 200]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("username", value) for value in ("a", "", "x" * 33, " ada", "a\u202eda", "a\0b", 5, [], {}, True)],
        *[("global_name", value) for value in ("x" * 33, " Ada", "A\u200bda", 5, [], {}, False)],
        *[("new_password", value) for value in ("short", "", "x" * 73, "password1", "nul\0within", 12345678, [], {})],
        *[("email", value) for value in ("nonsense", "", "x" * 300 + "@example.com", 5, [], {})],
        *[("password", value) for value in (5, [], {}, True)],
        *[("code", value) for value in (5, [], {}, True)],
    ],
)
def test_a_wrong_field_is_named_and_no_other_is_changed(alice, bob, field, value):
    """By the rules of registration."""
    before = alice.get("/users/@me").json
    body = {"username": "ada", "global_name": "Ada", "new_password": NEW, "password": PASSWORD} | {field: value}
    assert errors(alice.patch("/users/@me", body), field)
    assert alice.get("/users/@me").json == before
    assert bob.is_signed_in


@pytest.mark.parametrize(
    "spelling", ["alice@example.com", " Alice@EXAMPLE.com ", "alice@example.com.", '"alice"@example.com']
)
def test_the_own_address_in_any_spelling_is_no_change(alice, spelling):
    before = alice.get("/users/@me").json
    answer = alice.patch("/users/@me", {"email": spelling, "password": PASSWORD})
    assert (answer.status_code, answer.json) == (200, before)


def test_an_address_that_is_none_is_refused_before_a_code_is_used_up(with_totp, clock):
    clock.advance(30)
    code = with_totp.code(clock())
    refused = with_totp.patch("/users/@me", {"email": "new@", "password": PASSWORD, "code": code})
    assert errors(refused, "email") == ["EMAIL_TYPE_INVALID_EMAIL"]
    body = {"username": "ada", "password": PASSWORD, "code": code}
    assert with_totp.patch("/users/@me", body).status_code == 200


def test_names_and_password_change_in_one_step(alice, new_device):
    old_token = alice.token
    body = {"password": PASSWORD, "new_password": NEW, "username": "ada", "global_name": "Ada", "email": alice.email}
    answer = alice.patch("/users/@me", body)
    alice.token, alice.password = answer.json["token"], NEW
    assert answer.json == alice.get("/users/@me").json | {"token": alice.token}
    assert (answer.json["username"], answer.json["global_name"]) == ("ada", "Ada")
    assert alice.patch("/users/@me", {"global_name": "late"}, Authorization=old_token).status_code == 401
    assert new_device().log_in(alice).get("/users/@me").json["global_name"] == "Ada"


def test_no_change_is_made_on_a_password_that_was_changed_meanwhile(alice, new_device, app):
    """The names of the later request stay as they were, and so does the name that needs no password."""
    wired = app.extensions["keyrack"]
    phone = new_device().log_in(alice)
    caller, user = wired.devices.identify(alice.token), wired.accounts.get(alice.user_id)
    before = phone.get("/users/@me").json
    alice.enable_totp(wired.clock())  # the caller's token is replaced
    for change in (ProfileChange(username="ada", global_name="Ada"), ProfileChange(global_name="Ada")):
        with pytest.raises(Unauthorized):
            wired.profiles.change(caller, user, change, Client())
    late = wired.devices.identify(phone.token)  # another session lives on, but a factor is on that it has not shown
    with pytest.raises(PasswordMismatch):
        wired.profiles.change(late, user, ProfileChange(username="ada", global_name="Ada"), Client())
    assert phone.get("/users/@me").json == before | {"mfa_enabled": True, "authenticator_types": [2]}


def test_the_answer_is_the_user_as_it_is_now(alice, new_device, app, monkeypatch):
    """Another device may have changed the other name meanwhile."""
    phone, users = new_device().log_in(alice), app.extensions["keyrack"].profiles._users
    change = users.change

    def change_after_another(*asked):
        monkeypatch.undo()
        assert phone.patch("/users/@me", {"global_name": "Lady"}).status_code == 200
        return change(*asked)

    monkeypatch.setattr(users, "change", change_after_another)
    told = alice.patch("/users/@me", {"username": "ada", "password": PASSWORD}).json
    assert (told["username"], told["global_name"]) == ("ada", "Lady")


def test_of_two_changes_at_once_each_is_whole(alice, new_device):
    """The last word counts for what both have, and neither takes away what the other alone has."""
    phone = new_device().log_in(alice)
    assert alice.patch("/users/@me", {"username": "ada", "password": PASSWORD}).status_code == 200
    assert phone.patch("/users/@me", {"global_name": "Ada"}).json["username"] == "ada"
    assert alice.patch("/users/@me", {"global_name": "Lady"}).json["global_name"] == "Lady"
    assert phone.get("/users/@me").json["username"] == "ada"


@pytest.mark.parametrize("act", ["disable", "delete"])
def test_who_is_disabled_or_deleted_changes_nothing(alice, app, redis, act):
    wired = app.extensions["keyrack"]
    caller, user = wired.devices.identify(alice.token), wired.accounts.get(alice.user_id)
    getattr(wired.leaving, act)(alice.user_id)
    assert alice.patch("/users/@me", {"global_name": "Ada"}).status_code == 401
    with pytest.raises(Unauthorized):
        wired.profiles.change(caller, user, ProfileChange(global_name="Ada"), Client())
    assert "Ada" not in redis.hgetall(f"user:{{{alice.user_id}}}").values()


def test_a_wrong_password_for_a_name_is_limited_as_every_guess(make_app):
    app = make_app(RATE_LIMIT_STEP_UP="2 per 15 minutes")
    device = Device(app.test_client(use_cookies=False)).register("carol@example.com")
    body = {"username": "ada", "password": "wrong"}
    tried = [device.patch("/users/@me", body).status_code for _ in range(3)]
    assert tried == [400, 400, 429]
    assert device.patch("/users/@me", {"global_name": "Ada"}).status_code == 200


def test_a_browser_changes_its_names_from_its_own_origin_alone(alice, app):
    client = app.test_client()
    client.post("/login", json={"login": alice.email, "password": PASSWORD})
    body = {"username": "ada", "password": PASSWORD}
    for site, status in (("cross-site", 403), ("same-origin", 200)):
        answer = client.patch("/api/v9/users/@me", json=body, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == status
    assert "Set-Cookie" not in answer.headers
    assert answer.json["username"] == "ada"


def test_of_changes_at_once_one_password_wins_and_no_other_change_is_half_made(alice, app, new_device):
    """Each sets a password and both names of its own; all others are refused as a whole."""
    bodies = [
        {"password": PASSWORD, "new_password": f"{NEW} {number}", "username": f"u{number}", "global_name": f"g{number}"}
        for number in range(6)
    ]

    def change(body):
        return Device(app.test_client(use_cookies=False)).patch("/users/@me", body, Authorization=alice.token)

    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(change, bodies))
    assert sorted({answer.status_code for answer in answers} - {400}) in ([200], [200, 401])
    [(won, body)] = [(answer, body) for answer, body in zip(answers, bodies, strict=True) if answer.status_code == 200]
    alice.token, alice.password = won.json["token"], body["new_password"]
    user = alice.get("/users/@me").json
    assert (user["username"], user["global_name"]) == (body["username"], body["global_name"])
    assert new_device().log_in(alice).is_signed_in


def test_without_redis_nothing_is_told_or_changed():
    """Also to the gateway's application."""
    secret = "what-the-application-shows-to-be-let-in"
    app = create_app(load_settings(ENVIRONMENT | {"GATEWAY_SECRET": secret}), connect("redis://127.0.0.1:1"))
    device = Device(app.test_client(use_cookies=False))
    device.token = tokens.issue("1", 0)
    body = {"username": "ada", "password": PASSWORD}
    asked = [device.patch("/users/@me", body), device.patch("/users/@me", {}), device.get("/users/@me")]
    asked.append(device.get("/gateway/users/1", Authorization=f"Bearer {secret}"))
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in asked] == [(503, "1")] * 4
