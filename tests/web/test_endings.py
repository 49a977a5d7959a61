"""Whatever ends a session is told only when no process can let it in from memory any more. Each way is walked."""

from types import SimpleNamespace

import orjson
import pyotp
import pytest

from app.stores.keys import unprefixed as keys
from app.stores.mail import new_notice_id
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.device import API, PASSWORD, Device
from tests.former_service import FormerService
from tests.leases import IN_FULL_S, Holders, Time
from tests.passkeys import CREDENTIALS, add, request_of

NEW_PASSWORD = "another horse battery"
OTHERS = ("a" * 16, "b" * 16)
DAY_S = 24 * 3600
GATEWAY = {"Authorization": f"Bearer {'g' * 32}"}


@pytest.fixture(scope="module")
def former():
    return FormerService()


@pytest.fixture
def app(make_app, former, tmp_path):
    key = tmp_path / "jwt.key.pub"
    key.write_text(former.pem, encoding="utf-8")
    return make_app(VERIFY_LEASE="50ms", MAX_SESSIONS_PER_USER="3", ADOPT_JWT_KEY=str(key), GATEWAY_SECRET="g" * 32)


@pytest.fixture
def time(app):
    time = Time()
    time.rule(app.extensions[EXTENSION].endings._rounds)
    return time


@pytest.fixture
def new_browser(app, alice):
    def make():
        browser = app.test_client()
        assert browser.post("/login", json={"login": alice.email, "password": alice.password}).status_code == 200
        return browser

    return make


@pytest.fixture
def place(app, alice, bob, new_device, new_browser, clock, former, redis):
    """What an ending needs. alice has two devices, bob one."""
    phone = new_device().log_in(alice)
    return SimpleNamespace(
        **{"app": app, "alice": alice, "bob": bob, "phone": phone, "new_device": new_device, "clock": clock},
        **{"new_browser": new_browser, "former": former, "redis": redis, "services": app.extensions[EXTENSION]},
    )


def expect(status, answer):
    assert answer.status_code == status, answer.text
    return answer


# Each gets all ready and returns the request, which is all that is timed.


def log_out(place):
    return lambda: expect(204, place.alice.post("/auth/logout"))


def log_out_again(place):
    expect(204, place.alice.post("/auth/logout"))
    return lambda: expect(401, place.alice.post("/auth/logout"))


def log_out_of_a_browser(place):
    browser = place.new_browser()
    return lambda: expect(204, browser.post("/logout"))


def log_out_by_a_form(place):
    browser = place.new_browser()
    return lambda: expect(303, browser.post("/logout/form"))


def end_by_hash(place):
    hashes, proof = [place.phone.id_hash], place.alice.prove()
    return lambda: expect(204, place.alice.end(hashes, proof))


def end_by_hash_again(place):
    hashes, proof = [place.phone.id_hash], place.alice.prove()
    expect(204, place.alice.end(hashes, proof))
    return lambda: expect(404, place.alice.end(hashes, proof))


def end_oneself_by_hash(place):
    hashes, proof = [place.alice.id_hash], place.alice.prove()
    return lambda: expect(204, place.alice.end(hashes, proof))


def _other_in(browser):
    return next(one["id"] for one in browser.get("/me/sessions").json if not one["isCurrent"])


def revoke_one(place):
    browser = place.new_browser()
    other = _other_in(browser)
    return lambda: expect(200, browser.delete(f"/me/sessions/{other}"))


def revoke_some(place):
    browser = place.new_browser()
    other = _other_in(browser)
    return lambda: expect(200, browser.post("/me/sessions/revoke", json={"ids": [other]}))


def revoke_all_others(place):
    browser = place.new_browser()
    return lambda: expect(200, browser.post("/me/sessions/revoke-all"))


def evict(place):
    place.new_device().log_in(place.alice)
    return lambda: place.new_device().post("/auth/login", {"login": place.alice.email, "password": PASSWORD})


def evict_by_registering_in_a_browser_that_is_signed_in(place):
    browser = place.new_browser()
    body = {"email": "carol@example.com", "username": "carol", "password": PASSWORD}
    return lambda: expect(201, browser.post("/register", json=body))


def sign_in_again_in_a_browser(place):
    browser = place.new_browser()
    return lambda: browser.post("/login", json={"login": place.alice.email, "password": PASSWORD})


def notice_an_expiry_by_a_request(place):
    place.clock.advance(31 * DAY_S)
    return lambda: expect(401, place.alice.get("/users/@me"))


def notice_an_expiry_by_a_check(place):
    place.clock.advance(31 * DAY_S)
    return lambda: expect(401, place.alice.get("/gateway/verify"))


def notice_an_expiry_by_the_list(place):
    place.clock.advance(29 * DAY_S)
    expect(200, place.alice.get("/users/@me"))
    place.clock.advance(2 * DAY_S)
    return lambda: expect(200, place.alice.get("/auth/sessions"))


def notice_an_expiry_by_a_login(place):
    place.clock.advance(31 * DAY_S)
    return lambda: place.new_device().post("/auth/login", {"login": place.alice.email, "password": PASSWORD})


def change_the_password(place):
    body = {"password": PASSWORD, "new_password": NEW_PASSWORD}
    return lambda: expect(200, place.alice.patch("/users/@me", body))


def turn_totp_on(place):
    secret = pyotp.random_base32()
    body = {"password": PASSWORD, "secret": secret, "code": pyotp.TOTP(secret).at(int(place.clock()))}
    return lambda: expect(200, place.alice.post("/users/@me/mfa/totp/enable", body))


def turn_totp_off(place):
    place.alice.enable_totp(place.clock())
    proof = place.alice.prove()
    path = "/users/@me/mfa/totp/disable"
    return lambda: expect(200, place.alice.post(path, {}, X_Discord_MFA_Authorization=proof))


def make_new_codes(place):
    place.alice.enable_totp(place.clock())
    proof = place.alice.prove()
    body = {"password": PASSWORD, "regenerate": True}
    return lambda: expect(200, place.alice.post("/users/@me/mfa/codes", body, X_Discord_MFA_Authorization=proof))


def _with_new_passkey(place):
    """A browser, and what it needs to add a passkey: that gives it a new token, and ends the former one."""
    browser, key = place.new_browser(), Authenticator()
    begun = expect(200, browser.post(API + CREDENTIALS, json={"password": PASSWORD})).json
    body = {"ticket": begun["ticket"], "name": "Key", "credential": key.make(begun["challenge"])}
    return browser, key, body


def add_a_passkey_in_a_browser(place):
    browser, _, body = _with_new_passkey(place)
    return lambda: expect(200, browser.post(API + CREDENTIALS, json=body))


def remove_a_passkey_in_a_browser(place):
    browser, key, body = _with_new_passkey(place)
    path = f"{API}{CREDENTIALS}/{expect(200, browser.post(API + CREDENTIALS, json=body)).json['id']}"
    asked = expect(401, browser.delete(path)).json["mfa"]
    answer = {"ticket": asked["ticket"], "mfa_type": "webauthn", "data": key.get(request_of(asked))}
    expect(200, browser.post(f"{API}/mfa/finish", json=answer))
    return lambda: expect(204, browser.delete(path))


def sign_in_by_a_passkey_over_the_cap(place):
    key = Authenticator()
    add(place.alice, key)
    place.new_device().log_in(place.alice)
    begun = place.new_device().post("/auth/passwordless/start").json
    body = {"ticket": begun["ticket"], "credential": key.get(begun["challenge"])}
    return lambda: expect(200, place.new_device().post("/auth/conditional/finish", body))


def revert_a_passkey(place):
    add(place.phone, Authenticator())
    secret = _revert_link(place, "passkey_added")
    return lambda: expect(200, place.new_device().post("/auth/revert", {"token": secret, "password": NEW_PASSWORD}))


def _reset_link(place):
    services, user_id = place.services, place.alice.user_id
    version = services.accounts.get(user_id).secrets_version
    return services.links.issue_reset(user_id, version, services.clock(), new_notice_id())


def reset(place):
    body = {"token": _reset_link(place), "password": NEW_PASSWORD}
    return lambda: expect(200, place.new_device().post("/auth/reset", body))


def reset_with_a_code(place):
    place.alice.enable_totp(place.clock())
    body = {"token": _reset_link(place), "password": NEW_PASSWORD}
    ticket = expect(200, place.new_device().post("/auth/reset", body)).json["ticket"]
    body |= {"ticket": ticket, "code": place.alice.backup_codes.pop(), "method": "backup"}
    return lambda: expect(200, place.new_device().post("/auth/reset", body))


def sign_in_with_a_code_over_the_cap(place):
    place.alice.enable_totp(place.clock())
    for _ in range(2):
        place.new_device().log_in(place.alice)
    body = {"login": place.alice.email, "password": PASSWORD}
    ticket = place.new_device().post("/auth/login", body).json["ticket"]
    answer = {"ticket": ticket, "code": place.alice.backup_codes.pop()}
    return lambda: expect(200, place.new_device().post("/auth/mfa/backup", answer))


def _say_not_me(place):
    secret = place.services.links.issue_not_me(place.alice.user_id, place.phone.id_hash, new_notice_id())
    return lambda status: expect(status, place.app.test_client().post("/not-me/form", data={"token": secret}))


def say_not_me(place):
    say = _say_not_me(place)
    return lambda: say(200)


def say_not_me_again(place):
    say = _say_not_me(place)
    say(200)
    return lambda: say(400)


def _revert_link(place, kind):
    told = [orjson.loads(fields["notice"]) for _, fields in place.redis.xrange(keys.mail.waiting)]
    notice = next(one for one in told if one["kind"] == kind)
    return place.services.links.issue_revert(place.alice.user_id, notice["factor"], notice["at"], notice["id"])


def revert(place):
    place.phone.enable_totp(place.clock())
    secret = _revert_link(place, "totp_on")
    return lambda: expect(200, place.new_device().post("/auth/revert", {"token": secret, "password": NEW_PASSWORD}))


def _adopted(place):
    old = Device(place.app.test_client(use_cookies=False))
    old.token = place.former.token(place.alice.user_id, int(place.clock() - DAY_S))
    expect(200, old.get("/users/@me"))
    return old


def swap(place):
    old = _adopted(place)
    return lambda: expect(200, old.post("/auth/swap"))


def log_out_an_adopted_one(place):
    old = _adopted(place)
    return lambda: expect(204, old.post("/auth/logout"))


def log_out_an_adopted_one_again(place):
    old = _adopted(place)
    expect(204, old.post("/auth/logout"))
    return lambda: expect(401, old.post("/auth/logout"))


def evict_by_adoption(place):
    place.new_device().log_in(place.alice)
    return lambda: _adopted(place)


def _revoke(place):
    body = {"sub_id": {"format": "opaque", "id": place.alice.user_id}}
    return lambda: expect(204, place.app.test_client().post("/gateway/revoke", json=body, headers=GATEWAY))


def revoke_by_the_gateway(place):
    return _revoke(place)


def revoke_by_the_gateway_again(place):
    _revoke(place)()
    return _revoke(place)


def revoke_by_the_gateway_whose_record_was_lost(place):
    place.redis.delete(keys.user(place.alice.user_id))
    return _revoke(place)


def _command(*args, given=None):
    def ready(place):
        def run():
            ran = place.app.test_cli_runner().invoke(args=args, input=given)
            assert ran.exit_code == 0, ran.output

        return run

    ready.__name__ = " ".join(args)
    return ready


def tidy(place):
    place.clock.advance(31 * DAY_S)
    return _command("sessions", "tidy")(place)


def reset_mfa(place):
    place.alice.enable_totp(place.clock())
    return _command("users", "reset-mfa", "alice@example.com", "--yes")(place)


COMMANDS = [
    _command("sessions", "end", "--user", "alice@example.com", "--yes"),
    _command("sessions", "end-all", "--user", "alice@example.com", "--yes"),
    _command("sessions", "end-all", "--yes"),
    _command("users", "disable", "alice@example.com", "--yes"),
    _command("users", "delete", "alice@example.com", "--yes"),
    _command("users", "set-password", "alice@example.com", "--yes", given=f"{NEW_PASSWORD}\n"),
    reset_mfa,
    tidy,
]
REQUESTS = [
    *(log_out, log_out_again, log_out_of_a_browser, log_out_by_a_form),
    *(end_by_hash, end_by_hash_again, end_oneself_by_hash, revoke_one, revoke_some, revoke_all_others),
    *(evict, evict_by_registering_in_a_browser_that_is_signed_in, sign_in_again_in_a_browser),
    *(notice_an_expiry_by_a_request, notice_an_expiry_by_a_check, notice_an_expiry_by_the_list),
    *(notice_an_expiry_by_a_login, change_the_password, turn_totp_on, turn_totp_off, make_new_codes),
    *(reset, reset_with_a_code, sign_in_with_a_code_over_the_cap, say_not_me, say_not_me_again, revert),
    *(add_a_passkey_in_a_browser, remove_a_passkey_in_a_browser, sign_in_by_a_passkey_over_the_cap, revert_a_passkey),
    *(revoke_by_the_gateway, revoke_by_the_gateway_again, revoke_by_the_gateway_whose_record_was_lost),
    *(swap, log_out_an_adopted_one, log_out_an_adopted_one_again, evict_by_adoption),
]
on_one_server = pytest.mark.parametrize("redis", ["fake", "real"], indirect=True)


@on_one_server
@pytest.mark.parametrize("ready", REQUESTS + COMMANDS, ids=lambda ready: ready.__name__)
def test_an_ending_is_told_when_the_leases_of_silent_holders_are_over(place, time, ready):
    act = ready(place)
    time.begin_anew()
    holders = Holders(place.redis, place.services.endings._rounds, time, *OTHERS)
    act()
    assert time.passed_s() >= IN_FULL_S * 0.999
    holders.close()


@on_one_server
@pytest.mark.parametrize("ready", REQUESTS, ids=lambda ready: ready.__name__)
def test_an_ending_is_told_as_soon_as_all_holders_have_answered_it(place, time, ready):
    act = ready(place)
    time.begin_anew()
    holders = Holders(place.redis, place.services.endings._rounds, time, *OTHERS)
    time.hear = holders.answer
    act()
    assert holders.rounds
    assert time.waits == len(holders.rounds)
    assert time.passed_s() == 0
    holders.close()
