"""What is told as done is on as many replicas as REDIS_WAIT_REPLICAS asks for; else it is told that it may not last."""

import pytest

from app.stores.keys import unprefixed as keys
from tests.authenticator import Authenticator
from tests.device import PASSWORD
from tests.passkeys import add, begin, finish, prove

UNCONFIRMED = (
    "503: Service Unavailable. This may or may not have happened: too few replicas have confirmed it. "
    "It is safe to send it again."
)
alone = pytest.mark.parametrize("redis", ["real"], indirect=True)  # it has no replica
followed = pytest.mark.parametrize("redis", ["cluster"], indirect=True)  # each of its primaries has one


@pytest.fixture
def app(request, make_app):
    """Waits for as many replicas as the test's parameter says, one where it says nothing."""
    return make_app(REDIS_WAIT_REPLICAS=str(getattr(request, "param", 1)), REDIS_WAIT_MS="50")


def assert_unconfirmed(answer):
    assert answer.status_code == 503
    assert answer.json == {"code": 0, "message": UNCONFIRMED}
    assert answer.headers["Retry-After"] == "1"


@pytest.fixture
def phone(make_app, alice, new_device):
    return new_device().log_in(alice)


@pytest.fixture
def proof(make_app, alice, phone):
    """Of alice's, earned where nobody waits for replicas."""
    at_once = type(alice)(make_app().test_client(use_cookies=False))
    at_once.token, at_once.password = alice.token, alice.password
    return at_once.prove()


@pytest.fixture
def with_totp_at_once(make_app, alice, clock):
    """Alice with TOTP, which was turned on where nobody waits for replicas."""
    at_once = type(alice)(make_app().test_client(use_cookies=False))
    at_once.token, at_once.email, at_once.user_id = alice.token, alice.email, alice.user_id
    at_once.enable_totp(clock())
    return at_once


@alone
def test_an_ending_that_no_replica_has(alice, phone, proof, caplog):
    """It holds where it was done, is on record, and who asks again is not told more than is known."""
    ended = phone.id_hash
    caplog.clear()
    assert_unconfirmed(alice.end([ended], proof))
    assert not phone.is_signed_in
    assert [record.getMessage() for record in caplog.records].count("sessions_ended") == 1
    assert_unconfirmed(alice.end([ended], proof))


@alone
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/auth/logout", None),
        ("PATCH", "/users/@me", {"password": PASSWORD, "new_password": "another long one"}),
        ("POST", "/users/@me/mfa/totp/enable", "right"),
    ],
)
def test_changes_that_no_replica_has(alice, clock, method, path, body):
    if body == "right":
        secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
        alice.totp_secret = secret
        body = {"password": PASSWORD, "secret": secret, "code": alice.code(clock())}
    assert_unconfirmed(alice.call(method, path, body))


@alone
def test_a_change_that_no_replica_has_is_on_record_and_told(alice, redis, caplog):
    """It happened on the primary, so whoever's account it is must hear of it."""
    mails = redis.xlen(keys.mail.waiting)
    assert_unconfirmed(alice.patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"}))
    assert [record.getMessage() for record in caplog.records].count("credentials_changed") == 1
    assert redis.xlen(keys.mail.waiting) == mails + 1
    alice.password = "another long one"
    assert alice.post("/auth/login", {"login": alice.email, "password": alice.password}).status_code == 200


@alone
def test_a_wrong_code_is_told_as_that(make_app, alice, clock, redis, caplog):
    """Nothing was used up that could come back; and whoever guesses is on record, and told of."""
    at_once = type(alice)(make_app().test_client(use_cookies=False))
    at_once.token, at_once.email = alice.token, alice.email
    at_once.enable_totp(clock())
    mails = redis.xlen(keys.mail.waiting)
    ticket = alice.post("/auth/login", {"login": alice.email, "password": PASSWORD}).json["ticket"]
    answer = alice.post("/auth/mfa/totp", {"ticket": ticket, "code": "000000"})
    assert (answer.status_code, answer.json["code"]) == (400, 60008)
    assert [record.getMessage() for record in caplog.records].count("sign_in_failed") == 1
    assert redis.xlen(keys.mail.waiting) == mails + 1


@alone
@pytest.mark.parametrize("path", ["/api/v9/auth/logout", "/logout"])
def test_who_logs_out_again_waits_again(app, alice, path):
    for _ in range(2):
        answer = app.test_client().post(path, headers={"Authorization": alice.token})
        assert answer.status_code == 503
    assert not alice.is_signed_in


@alone
def test_a_browser_keeps_its_cookie_until_its_end_is_confirmed(app, alice):
    browser = app.test_client()
    browser.post("/login", json={"login": alice.email, "password": PASSWORD})
    for _ in range(2):
        answer = browser.post("/logout")
        assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (503, [])
    assert browser.get_cookie("__Host-session")


@alone
def test_a_login_that_pushes_another_out_goes_on(make_app, alice):
    """Were it refused, each further try would push out one more, until nobody is left."""
    app = make_app(REDIS_WAIT_REPLICAS="1", REDIS_WAIT_MS="50", MAX_SESSIONS_PER_USER="1")
    answer = app.test_client().post("/api/v9/auth/login", json={"login": alice.email, "password": PASSWORD})
    assert answer.status_code == 200
    assert not alice.is_signed_in


@alone
def test_a_login_that_renews_a_hash_goes_on(make_app, alice):
    app = make_app(REDIS_WAIT_REPLICAS="1", REDIS_WAIT_MS="50", BCRYPT_ROUNDS="5")
    answer = app.test_client().post("/api/v9/auth/login", json={"login": alice.email, "password": PASSWORD})
    assert answer.status_code == 200


@alone
def test_a_browser_that_signs_in_again_goes_on(app, alice):
    """And its former session is over."""
    browser = app.test_client()
    former = []
    for _ in range(2):
        assert browser.post("/login", json={"login": alice.email, "password": PASSWORD}).status_code == 200
        former.append(browser.get_cookie("__Host-session").value)
    assert [alice.call("GET", "/users/@me", token=token).status_code for token in former] == [401, 200]


@alone
def test_a_login_by_a_code_opens_nothing(make_app, alice, clock):
    """The code could be good again; the session that nobody has the token of would stay."""
    at_once = type(alice)(make_app().test_client(use_cookies=False))
    at_once.token, at_once.email = alice.token, alice.email
    at_once.enable_totp(clock())
    ticket = alice.post("/auth/login", {"login": alice.email, "password": PASSWORD}).json["ticket"]
    assert_unconfirmed(alice.post("/auth/mfa/backup", {"ticket": ticket, "code": at_once.backup_codes.pop()}))
    assert len(at_once.id_hashes()) == 1


@alone
def test_a_sign_in_by_a_passkey_opens_nothing(make_app, alice):
    """The counter could go back; and a passkey that no replica has is told as that."""
    at_once, key = type(alice)(make_app().test_client(use_cookies=False)), Authenticator()
    at_once.token = alice.token
    add(at_once, key)
    begun = alice.post("/auth/passwordless/start").json
    body = {"ticket": begun["ticket"], "credential": key.get(begun["challenge"])}
    assert_unconfirmed(alice.post("/auth/conditional/finish", body))
    assert len(at_once.id_hashes()) == 1
    proof = prove(at_once, key).json["token"]
    begun = begin(at_once, X_Discord_MFA_Authorization=proof)
    assert_unconfirmed(finish(alice, begun, Authenticator().make(begun["challenge"])))


@alone
def test_an_operator_ends_all_and_hears_that_it_may_not_last(app, alice, bob, phone):
    """Of every user, not of the first alone; exit status 4, as of whatever is refused."""
    ran = app.test_cli_runner().invoke(args=["sessions", "end-all", "--yes"])
    assert ran.exit_code == 4
    assert "may or may not have happened" in ran.stderr
    assert [device.is_signed_in for device in (alice, bob, phone)] == [False] * 3


@alone
def test_an_operator_who_asks_again_is_told_again(app, alice):
    for _ in range(2):
        ran = app.test_cli_runner().invoke(args=["sessions", "end-all", "--user", alice.email, "--yes"])
        assert (ran.exit_code, "may or may not have happened" in ran.stderr) == (4, True)


@alone
def test_an_incident_tool_is_told_each_time_that_it_may_not_last(make_app, alice, phone):
    app = make_app(REDIS_WAIT_REPLICAS="1", REDIS_WAIT_MS="50", GATEWAY_SECRET="g" * 32)
    body = {"sub_id": {"format": "opaque", "id": alice.user_id}}
    for _ in range(2):
        sent = {"Authorization": f"Bearer {'g' * 32}"}
        assert_unconfirmed(app.test_client().post("/gateway/revoke", json=body, headers=sent))
        assert [device.is_signed_in for device in (alice, phone)] == [False] * 2


@alone
def test_an_operator_deletes_a_user(app, alice, redis):
    ran = app.test_cli_runner().invoke(args=["users", "delete", alice.email, "--yes"])
    assert ran.exit_code == 4
    assert not redis.exists(keys.user(alice.user_id))


@alone
def test_a_page_says_so_as_well(app, alice):
    """No redirect, no cookie; and the next request is its own."""
    browser = app.test_client()
    browser.post("/login", json={"login": alice.email, "password": PASSWORD})
    answer = browser.post("/logout/form")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert "may or may not have happened" in answer.text
    assert answer.headers.getlist("Set-Cookie") == []
    assert browser.get("/login").status_code == 200


@alone
def test_a_code_that_is_used_up_on_the_primary_alone(alice):
    """A failover could make it good again, so it earns nothing; and it is used up all the same."""
    answer = {"ticket": alice.challenge()["ticket"], "mfa_type": "password", "data": PASSWORD}
    assert_unconfirmed(alice.post("/mfa/finish", answer))
    assert alice.post("/mfa/finish", answer).json["code"] == 60006


@alone
def test_who_registers_and_signs_in_is_let_in(alice, phone):
    """Losing that may sign somebody out, never in."""
    assert [device.is_signed_in for device in (alice, phone)] == [True, True]


@alone
def test_the_cookie_surface_says_so_too(app, alice):
    browser = app.test_client()
    answer = browser.post("/login", json={"login": alice.email, "password": PASSWORD})
    assert answer.status_code == 200
    answer = browser.post("/me/sessions/revoke-all")
    assert (answer.status_code, answer.json) == (503, {"error": UNCONFIRMED})


@followed
def test_what_a_replica_has_is_told_as_done(alice, phone, proof, redis, cluster):
    ended = phone.id_hash
    assert alice.end([ended], proof).status_code == 204
    slot = cluster.slot_of(keys.ended(alice.user_id))
    replica = next(
        node for node in cluster.replicas() if node.replication()["master_port"] == cluster.owner_of(slot).port
    )
    replica.call("READONLY")
    assert replica.call("ZCARD", keys.ended(alice.user_id)) == 1
    assert alice.patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"}).status_code == 200


@followed
@pytest.mark.parametrize("app", [2], indirect=True)
def test_more_replicas_than_there_are(alice):
    assert_unconfirmed(alice.post("/auth/logout"))


@alone
def test_a_device_that_no_replica_knows_is_not_remembered(make_app, app, with_totp_at_once, redis):
    """Nobody gets its cookie. Who has one signs in with it as with a password alone."""
    browser, login = app.test_client(), {"login": with_totp_at_once.email, "password": PASSWORD}
    ticket = browser.post("/login", json=login).json["ticket"]
    body = {"ticket": ticket, "code": with_totp_at_once.backup_codes.pop(), "remember": True}
    answer = browser.post("/login/mfa", json=body)
    assert answer.status_code == 503
    assert "__Host-remembered" not in str(answer.headers)
    assert not redis.exists(keys.remembered(with_totp_at_once.user_id))

    browser = make_app().test_client()
    ticket = browser.post("/login", json=login).json["ticket"]
    body = {"ticket": ticket, "code": with_totp_at_once.backup_codes.pop(), "remember": True}
    assert browser.post("/login/mfa", json=body).status_code == 200
    waiting = app.test_client()
    waiting.set_cookie("__Host-remembered", browser.get_cookie("__Host-remembered").value, secure=True)
    answer = waiting.post("/login", json=login)
    assert (answer.status_code, "mfa" in answer.json) == (200, False)
    answer = waiting.post("/me/remembered/forget-all")
    assert answer.status_code == 503
    assert not redis.exists(keys.remembered(with_totp_at_once.user_id))
