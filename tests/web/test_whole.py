"""A sign-in by a code and a reset happen as a whole or not at all, in whichever moment Redis begins to refuse."""

import pytest

from app.stores.keys import unprefixed as keys
from tests import passkeys
from tests.authenticator import Authenticator
from tests.device import PASSWORD
from tests.passkeys import add
from tests.web.test_full import reset_link

pytestmark = pytest.mark.parametrize("redis", ["real"], indirect=True)
NEW_PASSWORD = "another horse battery"

# What a server refuses with, and what ends it: full, a primary no more, too few replicas
REFUSALS = {
    "OOM": (("CONFIG SET", "maxmemory", "1mb"), ("CONFIG SET", "maxmemory", "0")),
    "READONLY": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "NOREPLICAS": (("CONFIG SET", "min-replicas-to-write", "1"), ("CONFIG SET", "min-replicas-to-write", "0")),
}


@pytest.fixture(params=REFUSALS)
def refuse_after(request, redis, store, monkeypatch):
    """Lets Redis refuse once it has run so many scripts more."""
    begin, end = REFUSALS[request.param]
    run_script = store.run_script

    def refuse(scripts):
        left = [scripts]

        def run(*args):
            if left[0] == 0:
                redis.execute_command(*begin)
            result = run_script(*args)
            left[0] -= 1
            if left[0] == 0:
                redis.execute_command(*begin)
            return result

        monkeypatch.setattr(store, "run_script", run)
        return stop

    def stop():
        monkeypatch.undo()
        redis.execute_command(*end)

    yield refuse
    redis.execute_command(*end)


@pytest.fixture
def phone():
    return Authenticator()


def answer_to(asked, device, clock, method, phone):
    clock.advance(30)
    if method == "webauthn":
        return phone.get(asked["webauthn"])
    return device.backup_codes[0] if method == "backup" else device.code(clock())


def sign_in(device, app, clock, method, phone):
    login = device.post("/auth/login", {"login": device.email, "password": PASSWORD}).json
    code = answer_to(login, device, clock, method, phone)
    return f"/auth/mfa/{method}", {"ticket": login["ticket"], "code": code}


def reset(device, app, clock, method, phone):
    body = {"token": reset_link(app, device), "password": NEW_PASSWORD}
    if method:
        asked = device.post("/auth/reset", body).json
        code = answer_to(asked, device, clock, method, phone)
        body |= {"ticket": asked["ticket"], "code": code, "method": method}
    return "/auth/reset", body


@pytest.mark.parametrize("scripts", range(7))  # the limits run some, and the notices
@pytest.mark.parametrize(
    ("way", "method"),
    [
        *((sign_in, "backup"), (sign_in, "totp"), (sign_in, "webauthn")),
        *((reset, "backup"), (reset, "totp"), (reset, "webauthn"), (reset, None)),
    ],
)
def test_what_is_refused_can_be_sent_again(
    alice, new_device, app, clock, redis, refuse_after, phone, way, method, scripts
):
    """A refusal used up no code, counter, ticket or link, set no password, and opened and ended no session."""
    if method == "webauthn":
        add(alice, phone)
    elif method:
        alice.enable_totp(clock())
    device = new_device()
    path, body = way(alice, app, clock, method, phone)
    before = kept(redis, alice)
    stop = refuse_after(scripts)
    answer = device.post(path, body)
    if answer.status_code == 503:
        assert kept(redis, alice) == before
    stop()
    if answer.status_code == 503:
        answer = device.post(path, body)
    assert answer.status_code == 200
    device.token = answer.json["token"]
    assert device.is_signed_in
    assert alice.is_signed_in is (way is sign_in)


def kept(redis, device):
    user_id = device.user_id
    return (
        redis.hgetall(keys.user(user_id)),
        redis.smembers(keys.backup_codes(user_id)),
        redis.hgetall(keys.passkeys(user_id)),
        redis.hgetall(keys.links(user_id)),
        redis.zrange(keys.last_used(user_id), 0, -1),
        redis.zrange(keys.ended(user_id), 0, -1),
        [redis.hgetall(key) for key in sorted(redis.keys(keys.ticket(user_id, "*")))],
    )


@pytest.mark.parametrize("scripts", range(7))
def test_a_passkey_alone_signs_in_or_changes_nothing(alice, new_device, redis, refuse_after, phone, scripts):
    """Its ticket is used up all the same, unless a limit could not be counted, which comes first."""
    add(alice, phone)
    device = new_device()
    begun = device.post("/auth/passwordless/start").json
    body = {"ticket": begun["ticket"], "credential": phone.get(begun["challenge"])}
    before = kept(redis, alice)
    stop = refuse_after(scripts)
    answer = device.post("/auth/conditional/finish", body)
    assert answer.status_code == 200 or (answer.status_code == 503 and kept(redis, alice) == before)
    stop()
    again = device.post("/auth/conditional/finish", body)
    assert (again.status_code, again.json.get("code")) in {
        (400, 60006),
        (200 if answer.status_code == 503 else 0, None),
    }
    assert passkeys.sign_in(device, phone).status_code == 200


@pytest.mark.parametrize("scripts", range(7))
def test_a_passkey_is_added_as_a_whole(alice, redis, refuse_after, phone, scripts):
    """With its backup codes, or without anything."""
    begun = passkeys.begin(alice)
    before = kept(redis, alice)
    made = phone.make(begun["challenge"])
    stop = refuse_after(scripts)
    answer = passkeys.finish(alice, begun, made)
    stop()
    if answer.status_code == 503:
        assert kept(redis, alice)[:-1] == before[:-1]  # but for the ticket
        begun = passkeys.begin(alice)
        answer = passkeys.finish(alice, begun, Authenticator().make(begun["challenge"]))
    assert len(answer.json["backup_codes"]) == 10
    assert alice.get("/users/@me").json["mfa_enabled"] is True


@pytest.mark.parametrize("scripts", range(7))
def test_a_browser_that_signs_in_again_does_so_as_a_whole(alice, app, redis, refuse_after, scripts):
    """The end of its former session, which comes last, refuses no sign-in that is made."""
    body = {"login": alice.email, "password": PASSWORD}
    browser = app.test_client()
    assert browser.post("/login", json=body).status_code == 200
    before = kept(redis, alice)
    stop = refuse_after(scripts)
    answer = browser.post("/login", json=body)
    assert answer.status_code == 200 or kept(redis, alice) == before
    stop()
    assert browser.get("/me/sessions").status_code == 200
