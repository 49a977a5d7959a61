"""Activity: what happened to an account, written by what made it true, for its user alone."""

from typing import get_args

import bcrypt
import pytest

from app.languages import activity
from app.rules.password_hashes import to_keep
from app.stores.activities import ActivityKind
from app.stores.keys import unprefixed as keys
from app.stores.mail import new_notice_id
from app.stores.users import Change
from app.watch import audit
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device
from tests.letters import letters_of
from tests.passkeys import CREDENTIALS, add, prove, sign_in

LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile Safari/604.1"
ORIGIN = {"Sec-Fetch-Site": "same-origin"}
DAY_S = 24 * 3600


@pytest.fixture
def alice(new_device):
    return new_device(User_Agent=LINUX).register("alice@example.com")


@pytest.fixture
def told(app):
    """The activity of a device's user, newest first, as the cookie API tells it."""

    def look(device):
        answer = app.test_client().get("/me/activity", headers={"Authorization": device.token})
        assert answer.status_code == 200, answer.json
        return answer.json

    return look


def log_in(device, login, password, **more):
    return device.post("/auth/login", {"login": login, "password": password, **more})


def words(rows):
    return [row["explanation"] for row in rows]


def test_a_sign_in_tells_by_what_and_from_where(alice, new_device, told, clock):
    clock.advance(60)
    new_device(User_Agent=IPHONE).log_in(alice)
    newest, first = told(alice)
    assert words([newest, first]) == ["Logged in with a password"] * 2
    assert (newest["deviceName"], newest["amr"], newest["ip"]) == ("Safari on iPhone", ["pwd"], "127.0.0.1")
    assert first["deviceName"] == "Firefox on Linux"


def test_a_wrong_password_tells_from_where(alice, new_device, told, clock):
    clock.advance(60)
    assert log_in(new_device(User_Agent=IPHONE), alice.email, "wrong").status_code == 400
    newest = told(alice)[0]
    assert (newest["type"], newest["reason"]) == ("sign_in_refused", "wrong_password")
    assert (newest["explanation"], newest["deviceName"]) == ("Login refused: wrong password", "Safari on iPhone")


def test_a_right_password_of_an_unverified_address_tells_so(make_app, told):
    app = make_app(VERIFY_EMAIL="required")
    alice = Device(app.test_client(use_cookies=False)).register("alice@example.com")
    assert log_in(Device(app.test_client(use_cookies=False)), alice.email, PASSWORD).status_code >= 400
    assert "Login refused: right password, address not verified" in words(told(alice))


def test_every_reason_for_a_refusal_has_words():
    """But for those of which no user is known."""
    of_nobody = {"unknown_account", "invalid_ticket", "invalid_link"}
    assert set(get_args(audit.WhyNot)) - of_nobody <= set(activity._DETAILS)


def test_a_wrong_code_tells_that_the_password_was_right(alice, new_device, told, clock):
    alice.enable_totp(clock())
    clock.advance(60)
    ticket = log_in(new_device(), alice.email, PASSWORD).json["ticket"]
    assert new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": "000000"}).status_code == 400
    assert words(told(alice))[:2] == ["Login refused: right password, wrong code", "Authenticator app added"]


def test_each_answer_to_a_challenge(alice, told, clock):
    phone = Authenticator()
    add(alice, phone)
    clock.advance(60)
    prove(alice, phone)
    clock.advance(60)
    ticket = alice.challenge()["ticket"]
    alice.post("/mfa/finish", {"ticket": ticket, "mfa_type": "backup", "data": "wrong"})
    assert words(told(alice))[:2] == ["Confirmation refused: by backup code", "Confirmed: by passkey"]


def test_endings_are_in_it_with_the_words_of_recently_ended(alice, new_device, told, clock):
    """Those of one moment and one reason are one entry."""
    phones = [new_device(User_Agent=IPHONE).log_in(alice) for _ in range(3)]
    clock.advance(60)
    alice.end([phone.id_hash for phone in phones])
    newest = told(alice)[0]
    assert (newest["type"], newest["sessions"], newest["deviceName"]) == ("sessions_ended", 3, "3 devices")
    assert (newest["explanation"], newest["reason"]) == ("You signed it out from Firefox on Linux", "revoked")


def test_nobody_sees_what_is_anothers(alice, bob, new_device, told):
    log_in(new_device(), alice.email, "wrong")
    assert [row["type"] for row in told(bob)] == ["signed_in"]
    assert bob.get("/me/activity", token="").status_code in (401, 404)


def test_an_unknown_account_costs_the_same_trips_and_leaves_nothing(alice, new_device, redis, monkeypatch, store):
    """The script runs for nobody, too."""
    sent = []
    run = store.run_script
    monkeypatch.setattr(store, "run_script", lambda *args: sent.append(args) or run(*args))

    def trips(login):
        sent.clear()
        assert log_in(new_device(), login, "wrong").status_code == 400
        return len(sent)

    trips("warm@example.com")
    assert trips("nobody@example.com") == trips(alice.email)
    assert [key for key in redis.scan_iter() if key.startswith("user:{0}")] == []


def test_a_guesser_pushes_out_nothing(alice, new_device, told, redis, clock):
    """A hundred rows are kept; of what proves nothing, fifty."""
    for _ in range(60):
        clock.advance(1)
        log_in(new_device(), alice.email, "wrong")
    kinds = [row["type"] for row in told(alice)]
    assert (kinds.count("sign_in_refused"), kinds[-1]) == (50, "signed_in")
    assert redis.zcard(keys.activity(alice.user_id)) == 51


def test_a_thief_who_has_a_session_alone_pushes_out_nothing(alice, told, clock):
    """The name that others see asks for no password, and is not limited."""
    for number in range(60):
        clock.advance(1)
        assert alice.patch("/users/@me", json={"global_name": f"Thief {number}"}).status_code == 200
    kinds = [row["type"] for row in told(alice)]
    assert (kinds.count("renamed"), kinds[-1]) == (50, "signed_in")


def test_confirming_over_and_over_pushes_out_nothing(alice, told, clock):
    """Whoever has the password may do so as often as they like."""
    for _ in range(30):
        clock.advance(1)
        alice.prove()
    kinds = [row["type"] for row in told(alice)]
    assert (kinds.count("step_up"), kinds[-1]) == (25, "signed_in")


def test_it_is_forgotten_after_the_retention(alice, told, redis, clock, app):
    """Each row goes when its time is over, looked at or not, and all of them if nothing happens any more."""
    key = keys.activity(alice.user_id)
    assert 30 * DAY_S - 5 <= redis.ttl(key) <= 30 * DAY_S
    clock.advance(29 * DAY_S)
    alice.get("/users/@me")
    clock.advance(2 * DAY_S)
    assert told(alice) == []
    app.extensions[EXTENSION].operators.tidy()
    assert redis.zcard(key) == 0


@pytest.mark.parametrize("redis", ["fake", "real", "cluster"], indirect=True)
def test_tidying_forgets_that_of_who_has_no_session(alice, app, redis, clock):
    alice.post("/auth/logout")
    log_in(alice, alice.email, "wrong")
    clock.advance(31 * DAY_S)
    list(app.extensions[EXTENSION].operators.tidy())
    assert list(redis.scan_iter(keys.all_of_user(alice.user_id))) == [keys.known_devices(alice.user_id)]


def test_tidying_forgets_the_old_rows_of_who_never_signed_in(app, redis, new_device, clock):
    """As of an imported account that somebody tries to get into all the time: its key never expires by itself."""
    made = app.test_cli_runner().invoke(
        args=["users", "create", "carol@example.com", "--username", "carol"], input=f"{PASSWORD}\n{PASSWORD}\n"
    )
    assert made.exit_code == 0, made.output
    log_in(new_device(), "carol@example.com", "wrong")
    clock.advance(29 * DAY_S)
    log_in(new_device(), "carol@example.com", "wrong")
    [key] = redis.scan_iter("user:*:activity")
    assert redis.zcard(key) == 2
    clock.advance(2 * DAY_S)
    list(app.extensions[EXTENSION].operators.tidy())
    assert redis.zcard(key) == 1


def test_rows_of_a_clock_that_was_ahead_push_out_nothing(alice, make_app, told, clock, redis):
    """They count as of now, once it is set right, though Redis' clock was ahead as well."""
    clock.advance(9 * DAY_S)
    ahead = Device(make_app().test_client(use_cookies=False))
    for _ in range(3):
        log_in(ahead, alice.email, "wrong")
    clock.advance(-9 * DAY_S)
    log_in(ahead, alice.email, "wrong")
    scores = [score for _, score in redis.zrange(keys.activity(alice.user_id), 0, -1, withscores=True)]
    assert max(scores) <= clock()
    assert len(scores) == 5


def test_what_other_programs_wrote_is_passed_over(alice, told, redis, clock):
    for row in ("x", "[]", '{"kind":"x"}', '{"kind":"signed_in","client":7}', '{"kind":"step_up","detail":[]}'):
        redis.zadd(keys.activity(alice.user_id), {row: clock()})
    assert [row["type"] for row in told(alice)] == ["signed_in", "signed_in"]


def test_the_page_shows_it_and_escapes_what_clients_say(alice, new_device, app):
    log_in(new_device(User_Agent="<b>x</b>/1.0 (Linux)"), alice.email, "wrong")
    page = app.test_client().get("/settings/activity", headers={"Authorization": alice.token}).text
    assert "Login refused: wrong password" in page
    assert "Firefox on Linux" in page
    assert "<b>" not in page
    assert 'href="/settings/activity" aria-current="page"' in page


def test_a_visitor_logs_in_first(app):
    answer = app.test_client().get("/settings/activity")
    assert (answer.status_code, answer.location) == (303, "/login?next=/settings/activity")


def _every_kind(alice, app, new_device, redis, clock):
    """Does all that an account's activity tells of."""
    services = app.extensions[EXTENSION]
    run = app.test_cli_runner().invoke
    log_in(new_device(), alice.email, "wrong")
    alice.post("/mfa/finish", {"ticket": alice.challenge()["ticket"], "mfa_type": "password", "data": "wrong"})
    alice.post("/auth/forgot", {"login": alice.email})
    alice.patch("/users/@me", {"username": "al", "password": PASSWORD})
    alice.enable_totp(clock())
    _remember_and_forget(alice, app)
    copied = app.test_client().get(
        "/me/data", headers={"Authorization": alice.token, "X-Discord-MFA-Authorization": alice.prove()}
    )
    assert copied.status_code == 200
    proof = {"X_Discord_MFA_Authorization": alice.prove()}
    alice.post("/users/@me/mfa/codes", {"password": PASSWORD, "regenerate": True}, **proof)
    proof = {"X_Discord_MFA_Authorization": _prove_by_code(alice, clock)}
    passkey = add(alice, Authenticator(), **proof)["id"]
    proof = {"X_Discord_MFA_Authorization": _prove_by_code(alice, clock)}
    assert alice.patch(f"{CREDENTIALS}/{passkey}", {"name": "Key"}, **proof).status_code == 200
    assert alice.call("DELETE", f"{CREDENTIALS}/{passkey}", **proof).status_code == 204
    assert run(args=["users", "reset-mfa", alice.email, "--yes"]).exit_code == 0
    new = "a new battery\na new battery\n"
    assert run(args=["users", "set-password", alice.email, "--yes"], input=new).exit_code == 0
    weak = to_keep(bcrypt.hashpw(b"password1", bcrypt.gensalt(4)).decode())  # as an import brings it
    services.profiles._users.change(alice.user_id, Change(set={"password_hash": weak}, same_credentials=True))
    assert log_in(new_device(), alice.email, "password1").status_code == 200
    assert run(args=["users", "disable", alice.email, "--yes"]).exit_code == 0
    assert run(args=["users", "enable", alice.email]).exit_code == 0
    _move_and_leave(alice, app, new_device, redis, clock)
    return services.activities.list(alice.user_id)


def _move_and_leave(alice, app, new_device, redis, clock):
    services = app.extensions[EXTENSION]
    new_device().post("/auth/verify", {"token": letters_of(app, redis, "verify")[0].secret})
    for act in ("disable", "delete"):
        device = new_device()
        device.token = log_in(device, alice.email, "password1", undelete=True).json["token"]
        assert device.post(f"/users/@me/{act}", {"password": "password1"}).status_code == 204
    device.token = log_in(device, alice.email, "password1", undelete=True).json["token"]
    answer = device.patch("/users/@me", {"email": "new@example.net", "password": "password1"})
    assert answer.status_code == 200, answer.json
    new_device().post("/auth/verify", {"token": letters_of(app, redis, "new_address")[-1].secret})
    body = {"token": letters_of(app, redis, "address_changed")[-1].secret, "password": "a new battery"}
    assert new_device().post("/auth/revert", body).status_code == 200
    assert services.accounts.get(alice.user_id).email == alice.email


def _remember_and_forget(alice, app):
    browser = app.test_client()
    ticket = browser.post("/login", json={"login": alice.email, "password": PASSWORD}, headers=ORIGIN).json["ticket"]
    body = {"ticket": ticket, "code": alice.backup_codes.pop(), "remember": True}
    assert browser.post("/login/mfa", json=body, headers=ORIGIN).status_code == 200
    assert browser.post("/me/remembered/forget-all", json={}, headers=ORIGIN).status_code == 200


def _prove_by_code(alice, clock):
    clock.advance(30)
    body = {"ticket": alice.challenge()["ticket"], "mfa_type": "totp", "data": alice.code(clock())}
    answer = alice.post("/mfa/finish", body)
    assert answer.status_code == 200, answer.json
    return answer.json["token"]


def test_every_kind_is_written_by_something_and_has_words(alice, app, new_device, redis, clock):
    """So none is added that is never told, and none that is told without words."""
    entries = _every_kind(alice, app, new_device, redis, clock)
    with app.test_request_context():
        texts = [activity.words_of(entry) for entry in entries]
    assert {getattr(entry, "kind", "sessions_ended") for entry in entries} == {
        *get_args(ActivityKind),
        "sessions_ended",
    }
    assert set(activity._WHAT) == set(get_args(ActivityKind))
    assert "Password changed: by an operator" in texts
    assert "You took the account back" in texts, "and not a second sign-in"
    assert "Passkey renamed: Key" in texts


def test_the_name_of_a_passkey_is_no_word_of_ours(alice, told):
    """Words for details, such as "by password", are in the language of the page; names are as their user wrote them."""
    add(alice, Authenticator(), name="password")
    assert "Passkey added: password" in words(told(alice))


def test_a_passkey_alone(alice, app, new_device, told, clock):
    phone = Authenticator()
    add(alice, phone)
    clock.advance(60)
    assert sign_in(new_device(), phone).status_code == 200
    clock.advance(60)
    assert sign_in(new_device(), phone, counter=0).status_code == 400
    assert words(told(alice))[:2] == ["Login refused: passkey not accepted", "Logged in with a passkey"]


def test_a_reset_tells_of_the_new_password_and_of_the_sign_in(alice, app, told, clock):
    services = app.extensions[EXTENSION]
    secret = services.links.issue_reset(alice.user_id, "0", clock(), new_notice_id())
    clock.advance(60)
    alice.token = alice.post("/auth/reset", {"token": secret, "password": "a new battery"}).json["token"]
    assert set(words(told(alice))[:3]) == {
        "Password changed: by a link from a mail",
        "Logged in with a link by mail",
        "Password changed",
    }
