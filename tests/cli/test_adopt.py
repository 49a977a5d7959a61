"""`flask adopt`: by which key a token holds, or why it is refused, and how many such tokens are in use."""

import pytest

from tests.device import PASSWORD, Device
from tests.former_service import FormerService

DAY = 24 * 3600


@pytest.fixture(scope="module")
def former():
    return FormerService()


@pytest.fixture
def app(make_app, former, tmp_path):
    path = tmp_path / "keys.pem"
    path.write_text(FormerService("RS256").pem + former.pem, encoding="utf-8")
    return make_app(ADOPT_JWT_KEY=str(path))


@pytest.fixture
def token(former, alice, clock):
    return former.token(alice.user_id, int(clock()) - DAY)


def used(app, token):
    device = Device(app.test_client(use_cookies=False))
    device.token = token
    assert device.is_signed_in
    return device


def test_a_token_before_and_after_its_first_use(run, app, token, alice, redis):
    """Asking changes nothing."""
    before = {key: redis.dump(key) for key in redis.keys("*")}
    ran = run("adopt", "check", token)
    assert ran.exit_code == 0
    assert ran.out == (f"The token holds by key 2 (EC P-521). Its next use makes a session of user {alice.user_id}.\n")
    assert {key: redis.dump(key) for key in redis.keys("*")} == before
    device = used(app, token)
    ran = run("adopt", "check", "-", given=f"Bearer {token}\n")
    assert ran.out == f"The token holds by key 2 (EC P-521). It is a session of user {alice.user_id} already.\n"
    assert device.post("/auth/logout").status_code == 204
    ran = run("adopt", "check", token)
    assert (ran.exit_code, ran.err) == (
        4,
        "Error: The token is not adopted: it was a session here, and that is over.\n",
    )


def test_why_a_token_is_refused(run, former, alice, clock):
    now = int(clock())
    refused = {
        "hello": "it is no JWT",
        "a." * 2 + "a" * 5000: "it is longer than 4096 characters",
        former.sign({"iat": now}): "its claim id is no user id, which is a text of digits",
        former.sign({"id": "1"}): "its claim iat is no time",
        former.token("1", now, scopes=["x"]): "it has scopes, so it was given to a program and not to a person",
        former.token("1", now, exp="x"): "its claim exp or nbf is no time",
        former.sign({"id": "1", "iat": now}, typ="at+jwt"): "it is of another type (typ) than JWT, so no session's",
        former.token("999", now): "there is no user with its id",
        former.token(alice.user_id, now + 3600): "it was issued in the future, by this machine's clock",
        former.token(alice.user_id, now, exp=now - 1): "it has expired by its own end (exp)",
        former.token(alice.user_id, now, nbf=now + 999): "it is not good before the time that it names itself (nbf)",
        FormerService("ES256").token(alice.user_id, now): "it names an algorithm that no key has; the keys are "
        "key 1 (RSA of 2048 bits), key 2 (EC P-521)",
        FormerService().token(alice.user_id, now): "its signature holds by no key; the keys are "
        "key 1 (RSA of 2048 bits), key 2 (EC P-521)",
    }
    for token, sentence in refused.items():
        ran = run("adopt", "check", token)
        assert (ran.exit_code, ran.out, ran.err) == (4, "", f"Error: The token is not adopted: {sentence}.\n")
    assert run("users", "disable", alice.user_id, "--yes").exit_code == 0
    assert "its user is disabled." in run("adopt", "check", former.token(alice.user_id, now)).err
    assert run("users", "enable", alice.user_id).exit_code == 0
    assert (
        "(tokens_valid_since). The import set it, or it moved when"
        in run("adopt", "check", former.token(alice.user_id, now)).err
    )


def test_what_is_no_such_token_at_all(run, alice, tmp_path):
    """A file is given as the input, and a token of our own needs nothing."""
    path = tmp_path / "token.txt"
    path.write_text("a.b.c", encoding="utf-8")
    ran = run("adopt", "check", str(path))
    assert (ran.exit_code, f"{path} is a file. Give it as the input: adopt check - < {path}" in ran.err) == (2, True)
    own = run("adopt", "check", alice.token)
    assert (own.exit_code, "one of Keyrack's own" in own.err) == (4, True)


def test_without_the_setting(make_app, token):
    ran = make_app().test_cli_runner().invoke(args=["adopt", "check", token])
    assert ran.exit_code == 2
    assert "ADOPT_JWT_KEY is not set" in ran.output


def test_how_many_are_left(run, app, former, alice, bob, clock):
    """A swapped session has a token of our own."""
    assert run("adopt", "count").out == "0 sessions of 0 users with a token of the service before.\n"
    devices = [
        used(app, former.token(one.user_id, int(clock()) - at)) for one, at in ((alice, 1), (alice, 2), (bob, 3))
    ]
    assert run("adopt", "count").out == "3 sessions of 2 users with a token of the service before.\n"
    assert devices[0].post("/auth/swap").status_code == 200
    assert run("adopt", "count", "--json").json == [{"sessions": 2, "users": 2}]
    assert len(run("sessions", "list", "--adopted", "--json").json) == 3


def test_sessions_that_began_so_are_ended_whichever_token_they_have(run, app, former, alice, bob, clock):
    """Whoever had the key of the service before may have swapped what they made."""
    devices = [used(app, former.token(alice.user_id, int(clock()) - at)) for at in (1, 2, 3)]
    devices[0].token = devices[0].post("/auth/swap").json["token"]
    changed = devices[1].patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"})
    devices[1].token = changed.json["token"]
    devices[0] = used(app, former.token(bob.user_id, int(clock())))
    devices[0].token = devices[0].post("/auth/swap").json["token"]
    assert run("sessions", "end", "--adopted", "--yes").out == "2 sessions ended.\n"
    assert [device.is_signed_in for device in devices] == [False, False, False]
    assert bob.is_signed_in
    assert run("adopt", "count", "--json").json == [{"sessions": 0, "users": 0}]
