"""An account that its user disables or deletes: it comes back by a sign-in that asks for it, until it is due."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.rules.leaving import Overdue
from app.stores.keys import unprefixed as keys
from app.stores.users import Change
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.device import PASSWORD, errors
from tests.letters import letters_of
from tests.passkeys import add, prove

DAY = 24 * 3600
NEW_PASSWORD = "another horse battery"


@pytest.fixture
def services(app):
    return app.extensions[EXTENSION]


@pytest.fixture(params=["disable", "delete"])
def gone(request, alice):
    """Alice's device, whose account she has left in either way."""
    assert alice.post(f"/users/@me/{request.param}", {"password": PASSWORD}).status_code == 204
    return alice


def enter(device, email, password=PASSWORD, **more):
    return device.post("/auth/login", {"login": email, "password": password, **more})


def test_every_session_ends_and_nobody_is_in_without_asking_for_it(gone, new_device, app, redis):
    """The answer is that of a wrong password."""
    assert not gone.is_signed_in
    wrong = enter(new_device(), gone.email, "wrong")
    for undelete in ({}, {"undelete": False}, {"undelete": None}, {"undelete": "false"}):
        answer = enter(new_device(), gone.email, **undelete)
        assert (answer.status_code, answer.json) == (400, wrong.json)
    assert enter(new_device(), gone.email, "wrong", undelete=True).json == wrong.json
    [told] = [letter for letter in letters_of(app, redis) if letter.kind.startswith("account_")]
    assert "/login?undelete=1" in told.text
    assert ("Deletion" in told.text) is (told.kind == "account_deleted")


def test_a_login_with_undelete_takes_it_back(gone, new_device, services, app, redis):
    device = new_device()
    answer = enter(device, gone.email, undelete=True)
    assert answer.status_code == 200
    device.token = answer.json["token"]
    assert device.is_signed_in
    user = services.accounts.get(gone.user_id)
    assert (user.disabled, user.left, user.delete_at) == (False, None, None)
    assert enter(new_device(), gone.email).status_code == 200
    assert letters_of(app, redis, "came_back")


def test_so_does_the_second_step_which_keeps_what_was_asked(with_totp, new_device):
    body = {"password": PASSWORD, "code": with_totp.backup_codes.pop()}
    assert with_totp.post("/users/@me/delete", body).status_code == 204
    assert enter(new_device(), with_totp.email).status_code == 400
    asked = enter(new_device(), with_totp.email, undelete=True).json
    device = new_device()
    answer = device.post("/auth/mfa/backup", {"ticket": asked["ticket"], "code": with_totp.backup_codes.pop()})
    device.token = answer.json["token"]
    assert device.is_signed_in


def test_so_does_a_passkey(alice, new_device):
    phone = Authenticator()
    add(alice, phone)
    challenge = alice.post("/users/@me/disable", {"password": PASSWORD})
    assert challenge.json["code"] == 60003, "the strongest factor there is"
    token = prove(alice, phone).json["token"]
    body = {"password": PASSWORD}
    assert alice.post("/users/@me/disable", body, X_Discord_MFA_Authorization=token).status_code == 204
    for undelete, status in ((False, 400), (True, 200)):
        start = new_device().post("/auth/conditional/start").json
        credential = phone.get(start["challenge"])
        body = {"ticket": start["ticket"], "credential": credential, "undelete": undelete}
        assert new_device().post("/auth/conditional/finish", body).status_code == status


def test_so_does_a_link_for_a_new_password(gone, new_device, app, redis):
    """Whoever asks for it has forgotten that they left, or their password; nobody else has the mailbox."""
    assert new_device().post("/auth/forgot", {"login": gone.email}).status_code == 200
    secret = letters_of(app, redis, "reset")[-1].secret
    answer = new_device().post("/auth/reset", {"token": secret, "password": NEW_PASSWORD})
    assert answer.status_code == 200
    assert enter(new_device(), gone.email, NEW_PASSWORD).status_code == 200


def test_links_and_tickets_of_before_are_void(alice, new_device, app, redis):
    new_device().post("/auth/forgot", {"login": alice.email})
    reset = letters_of(app, redis, "reset")[-1].secret
    verify = letters_of(app, redis, "verify")[-1].secret
    assert alice.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    answer = new_device().post("/auth/reset", {"token": reset, "password": NEW_PASSWORD})
    assert errors(answer, "token") == ["TOKEN_INVALID"]
    assert errors(new_device().post("/auth/verify", {"token": verify}), "token") == ["TOKEN_INVALID"]


@pytest.mark.parametrize("act", ["disable", "delete"])
def test_a_thief_with_a_session_alone_cannot(with_totp, act):
    for body in ({}, {"password": "wrong"}):
        assert errors(with_totp.post(f"/users/@me/{act}", body), "password")
    answer = with_totp.post(f"/users/@me/{act}", {"password": PASSWORD})
    assert (answer.status_code, answer.json["code"]) == (401, 60003)
    assert with_totp.post(f"/users/@me/{act}", {"password": PASSWORD, "code": "000000"}).json["code"] == 60008
    assert with_totp.is_signed_in


def test_whom_an_operator_shuts_out_only_an_operator_brings_back(gone, new_device, services):
    assert services.leaving.disable(gone.user_id)
    assert enter(new_device(), gone.email, undelete=True).status_code == 400
    assert services.accounts.get(gone.user_id).delete_at is None
    assert services.leaving.enable(gone.user_id)
    assert enter(new_device(), gone.email).status_code == 200


def test_an_operator_brings_back_who_left(gone, new_device, services):
    assert services.leaving.enable(gone.user_id)
    assert enter(new_device(), gone.email).status_code == 200


def test_what_is_due_cannot_be_taken_back_although_it_is_still_there(alice, bob, new_device, clock, services):
    assert alice.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    assert bob.post("/users/@me/disable", {"password": PASSWORD}).status_code == 204
    clock.advance(14 * DAY)
    assert enter(new_device(), alice.email, undelete=True).status_code == 400
    assert list(services.operators.tidy_users()) == [alice.user_id]
    assert enter(new_device(), bob.email, undelete=True).status_code == 200, "disabled, for as long as they like"


def test_nothing_is_left_of_who_is_due(alice, bob, app, redis, clock, services):
    alice.patch("/users/@me", {"email": "new@example.net", "password": PASSWORD})
    assert alice.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    assert list(services.operators.tidy_users()) == []
    assert services.leaving.overdue().users == 0
    clock.advance(14 * DAY + DAY)
    assert services.leaving.overdue().users == 1
    assert list(services.operators.tidy_users()) == [alice.user_id]
    assert services.leaving.overdue() == Overdue(0, clock())
    left = {key for key in redis.scan_iter() if alice.user_id in key or alice.email in key}
    assert left == set()
    assert [letter for letter in letters_of(app, redis) if letter.to == alice.email] == []
    assert redis.exists(keys.user(bob.user_id))


def test_killed_amid_a_deletion_the_next_run_finishes_and_nobody_comes_back_meanwhile(
    alice, new_device, services, clock, monkeypatch
):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    assert alice.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    clock.advance(14 * DAY)
    with monkeypatch.context() as patched:
        patched.setattr(services.leaving._users, "delete", kill)
        with pytest.raises(Killed):
            list(services.operators.tidy_users())
    clock.advance(-14 * DAY)  # a process whose clock is behind
    assert enter(new_device(), alice.email, undelete=True).status_code == 400
    assert list(services.operators.tidy_users()) == [alice.user_id]
    assert services.accounts._users.get(alice.user_id) is None


def test_of_a_return_and_the_sweep_one_wins(alice, new_device, services, clock):
    """Whoever comes back in time is not deleted by a sweep that looked before."""
    assert alice.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    clock.advance(14 * DAY - 1)
    seen = services.accounts.get(alice.user_id)
    assert enter(new_device(), alice.email, undelete=True).status_code == 200
    clock.advance(2)
    assert list(services.leaving.tidy(iter([seen]))) == []
    assert enter(new_device(), alice.email).status_code == 200


def test_a_login_that_began_before_ends_in_nothing(with_totp, new_device):
    asked = enter(new_device(), with_totp.email).json
    body = {"password": PASSWORD, "code": with_totp.backup_codes.pop()}
    assert with_totp.post("/users/@me/disable", body).status_code == 204
    code = with_totp.backup_codes.pop()
    assert new_device().post("/auth/mfa/backup", {"ticket": asked["ticket"], "code": code}).json["code"] == 60006


def test_leaving_and_logging_in_at_once_never_leave_a_session(alice, new_device, redis):
    def log_in(_):
        return enter(new_device(), alice.email).status_code

    with ThreadPoolExecutor(4) as pool:
        logins = [pool.submit(log_in, number) for number in range(6)]
        left = pool.submit(alice.post, "/users/@me/delete", {"password": PASSWORD})
        logins += [pool.submit(log_in, number) for number in range(6)]
        assert left.result().status_code == 204
        assert {login.result() for login in logins} <= {200, 400}
    assert redis.zcard(keys.last_used(alice.user_id)) == 0


def test_the_change_that_an_older_process_reads_is_a_disabled_account(gone, services):
    """So a process of the release before, which knows nothing of leaving, lets nobody in."""
    assert services.accounts.get(gone.user_id).disabled
    assert services.accounts._users.change(gone.user_id, Change(same_credentials=True))


def test_the_page_leaves_and_leads_to_the_login_that_comes_back(app):
    client = app.test_client()
    body = {"email": "alice@example.com", "username": "alice", "password": PASSWORD}
    assert client.post("/register", json=body).status_code == 201
    wrong = client.post("/settings/security/delete", data={"password": "wrong"})
    assert wrong.status_code == 400
    answer = client.post("/settings/security/delete", data={"password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?undelete=1&done=deleted")
    page = client.get(answer.headers["Location"]).text
    assert "will be deleted" in page
    assert 'name="undelete"' in page
    form = {"login": "alice@example.com", "password": PASSWORD}
    refused = client.post("/login/form", data=form)
    assert refused.status_code == 400
    assert "/login?undelete=1" in refused.text, "as after any wrong password: nobody can tell who has left"
    unknown = client.post("/login/form", data=form | {"login": "nobody@example.com"})
    assert "/login?undelete=1" in unknown.text
    assert "undelete" not in client.get("/login").text
    assert client.post("/login/form", data=form | {"undelete": "on"}).status_code == 303
    assert client.get("/settings/security").status_code == 200


def test_a_key_of_another_application_stops_the_sweep_at_nobody_else(alice, bob, redis, clock, services):
    """Bob is deleted, although Alice's new address, which is over, cannot be forgotten."""
    assert alice.patch("/users/@me", {"email": "new@example.net", "password": PASSWORD}).status_code == 200
    assert bob.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    redis.set(keys.remembered(alice.user_id), "another application's")
    clock.advance(14 * DAY)
    users = [services.accounts.get(user.user_id) for user in (alice, bob)]
    assert list(services.leaving.tidy(iter(users))) == [bob.user_id]
    assert services.leaving.overdue().tidied_at == clock()
    later = [services.accounts._users.get(alice.user_id)]
    assert list(services.leaving.tidy(iter(later))) == []


def test_who_came_back_is_no_longer_noted_as_due(alice, bob, new_device, redis, clock, services):
    """Only so many of the index are looked at: those who are back would hide those who wait."""
    assert alice.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    assert bob.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    assert enter(new_device(), alice.email, undelete=True).status_code == 200
    assert list(services.operators.tidy_users()) == []
    assert redis.zrange(keys.leaving, 0, -1) == [bob.user_id]


def test_former_addresses_go_with_the_account(alice, redis, app, services):
    """Also one that could still be put back."""
    assert alice.post("/auth/verify", {"token": letters_of(app, redis, "verify")[-1].secret}).status_code == 200
    for email in ("second@example.net", "third@example.net"):
        assert alice.patch("/users/@me", {"email": email, "password": PASSWORD}).status_code == 200
        assert (
            alice.post("/auth/verify", {"token": letters_of(app, redis, "new_address")[-1].secret}).status_code == 200
        )
    assert services.operators.delete(services.accounts.get(alice.user_id))
    assert list(redis.scan_iter("email:*")) == []
