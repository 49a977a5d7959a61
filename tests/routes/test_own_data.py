"""GET /me/data, the button on the page, `flask users export`: all that is kept of a user, and no secret of theirs."""

import json

import pytest

from app.stores import own_data
from app.stores.keys import LIMIT_SCOPES, USER_TYPES
from app.stores.keys import unprefixed as keys
from app.web import own_data as own_data_of_web
from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device
from tests.letters import letters_of
from tests.passkeys import add
from tests.web.test_secrets import dump

ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def data(app):
    """The answer to GET /me/data of a device."""

    def get(device, proof=""):
        headers = {"Authorization": device.token, "X-Discord-MFA-Authorization": proof}
        return app.test_client().get("/me/data", headers=headers)

    return get


@pytest.fixture
def busy(alice, new_device, clock):
    """Alice's device, with something of every kind that is kept."""
    phone = new_device(User_Agent="phone").log_in(alice)
    alice.end([phone.id_hash])
    alice.enable_totp(clock())
    alice.challenge()
    add(alice, Authenticator(), X_Discord_MFA_Authorization=alice.prove())
    new_device().post("/auth/login", {"login": alice.email, "password": "wrong"})
    new_device().post("/auth/forgot", {"login": alice.email})
    alice.post("/auth/sessions/debug/notifications")
    new_device().log_in(alice)
    return alice


def test_every_key_of_a_user_has_a_section_or_a_reason():
    """A new key that the copy lacks fails here: it goes into a section, or among what is left out and why."""
    assert set(own_data.SECTION_OF) | own_data.LEFT_OUT == set(USER_TYPES)
    assert not set(own_data.SECTION_OF) & own_data.LEFT_OUT


def test_every_section_is_there(busy, data):
    copy = data(busy, busy.prove()).json
    assert set(own_data.SECTION_OF.values()) | {"made_at", "limits"} == set(copy)
    empty = {name for name, section in copy.items() if not section}
    assert empty <= {"open_links", "remembered_devices"}


def test_every_field_of_the_record_is_told_or_a_secret(busy, redis, data):
    """A field that nobody has thought of is not told, and fails here."""
    fields = set(redis.hgetall(keys.user(busy.user_id)))
    known = set(own_data.TOLD) | own_data.SECRET
    assert {field for field in fields if not field.startswith("adopted:")} <= known
    assert not set(own_data.TOLD) & own_data.SECRET


def test_every_limit_is_in_it_but_those_by_address_alone(alice, app):
    with app.app_context():
        found = {scope for scope, _, _ in own_data_of_web._counters(alice.user_id)}
    assert set(LIMIT_SCOPES) - found == {"login_address", "register"}


def test_it_has_what_happened(busy, data, clock):
    copy = data(busy, busy.prove()).json
    assert copy["account"]["email"] == "alice@example.com"
    assert [session["client"]["address"] for session in copy["sessions"]] == ["127.0.0.1"] * 2
    assert [passkey["name"] for passkey in copy["passkeys"]] == ["Phone"]
    assert "sign_in_refused" in [one["kind"] for one in copy["activity"]]
    assert [one["reason"] for one in copy["ended_sessions"]] == ["revoked"]
    assert {one["setting"] for one in copy["limits"]} >= {"RATE_LIMIT_LOGIN", "RATE_LIMIT_FORGOT"}


def test_it_has_no_secret_and_no_hash_of_one(busy, data, redis):
    """Neither what was issued, nor what Redis has of it."""
    told = data(busy, busy.prove()).text
    record = redis.hgetall(keys.user(busy.user_id))
    hashes = [record["password_hash"], record["totp_secret"], *redis.smembers(keys.backup_codes(busy.user_id))]
    hashes += [busy.id_hash, *redis.hkeys(keys.sessions(busy.user_id)), *redis.hkeys(keys.links(busy.user_id))]
    secrets = [*busy.secrets, *busy.backup_codes, *hashes]
    assert len(secrets) > 15
    assert [secret for secret in secrets if len(secret) > 5 and secret in told] == []
    assert record["password_hash"] in dump(redis)


def test_it_has_the_former_address_for_as_long_as_that_can_be_put_back(alice, app, redis, data):
    def use_link(kind):
        assert alice.post("/auth/verify", {"token": letters_of(app, redis, kind)[-1].secret}).status_code == 200

    use_link("verify")
    assert alice.patch("/users/@me", {"email": "new@example.net", "password": PASSWORD}).status_code == 200
    use_link("new_address")
    [link] = data(alice).json["open_links"]
    assert (link["purpose"], link["email"]) == ("revert", alice.email)


def test_it_is_a_file_that_no_cache_keeps(alice, data):
    answer = data(alice)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="keyrack-data.json"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["account"]["id"] == alice.user_id


def test_a_login_of_five_minutes_ago_is_no_proof(alice, data, clock):
    clock.advance(301)
    answer = data(alice)
    assert (answer.status_code, answer.json["code"]) == (401, 60003)
    assert data(alice, alice.prove()).status_code == 200


def test_it_is_limited_and_a_challenge_costs_nothing(alice, make_app, clock):
    app = make_app(RATE_LIMIT_DATA="2 per hour")

    def status():
        return app.test_client().get("/me/data", headers={"Authorization": alice.token}).status_code

    clock.advance(301)
    assert [status() for _ in range(3)] == [401] * 3
    browser = Device(app.test_client(use_cookies=False)).log_in(alice)
    alice.token = browser.token
    assert [status() for _ in range(3)] == [200, 200, 429]


def test_the_page_asks_for_the_password_and_then_gives_the_file(alice, app, clock):
    browser = app.test_client()
    assert browser.post("/login", json={"login": alice.email, "password": PASSWORD}, headers=ORIGIN).status_code == 200
    assert 'id="data-answer"' not in browser.get("/settings/security").text
    clock.advance(301)
    page = browser.get("/settings/security").text
    assert 'data-prove="Download Your Data"' in page
    wrong = browser.post("/settings/security/data", data={"answer": "wrong"}, headers=ORIGIN)
    assert (wrong.status_code, "Password does not match." in wrong.text) == (400, True)
    right = browser.post(
        "/settings/security/data",
        data={"answer": PASSWORD},
        headers=ORIGIN,
        follow_redirects=True,
        base_url="https://localhost",
    )
    assert right.headers["Content-Disposition"].startswith("attachment")
    assert json.loads(right.text)["account"]["email"] == alice.email
    assert browser.get("/settings/security/data").location == "/settings/security"


def test_another_site_gets_nothing(alice, app):
    browser = app.test_client()
    browser.post("/login", json={"login": alice.email, "password": PASSWORD}, headers=ORIGIN)
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert browser.post("/settings/security/data", headers=foreign).status_code == 403


def test_an_operator_exports_the_same(busy, app, data):
    ran = app.test_cli_runner().invoke(args=["users", "export", "alice@example.com"])
    assert ran.exit_code == 0, ran.output
    told = next(json.loads(line) for line in ran.stdout.splitlines() if "made_at" in line)
    own = data(busy, busy.prove()).json
    assert told["account"] == own["account"]
    assert told["ended_sessions"] == own["ended_sessions"]
    assert set(told) == set(own)
    assert app.test_cli_runner().invoke(args=["users", "export", "nobody@example.com"]).exit_code != 0


def test_each_copy_is_on_record_for_operators_and_for_the_user(alice, app, data, caplog):
    """Whoever has stolen a session and its password may want one."""
    with caplog.at_level("INFO", "keyrack.audit"):
        copy = data(alice).json
        assert app.test_cli_runner().invoke(args=["users", "export", alice.email]).exit_code == 0
    assert [record.message for record in caplog.records].count("data_copied") == 2
    told = [(one["kind"], one["by_operator"]) for one in data(alice).json["activity"]]
    assert ("data_copied", False) in told
    assert ("data_copied", True) in told
    assert "data_copied" in [one["kind"] for one in copy["activity"]]


def test_bobs_is_not_alices(busy, bob, data):
    assert busy.email not in data(bob).text
