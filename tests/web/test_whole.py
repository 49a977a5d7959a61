"""A sign-in by a code and a reset happen as a whole or not at all, in whichever moment Redis begins to refuse."""

import pytest

from app.stores.keys import unprefixed as keys
from tests.device import PASSWORD
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


def sign_in(device, app, clock, method):
    login = device.post("/auth/login", {"login": device.email, "password": PASSWORD})
    clock.advance(30)
    code = device.backup_codes[0] if method == "backup" else device.code(clock())
    return f"/auth/mfa/{method}", {"ticket": login.json["ticket"], "code": code}


def reset(device, app, clock, method):
    body = {"token": reset_link(app, device), "password": NEW_PASSWORD}
    if method:
        ticket = device.post("/auth/reset", body).json["ticket"]
        clock.advance(30)
        code = device.backup_codes[0] if method == "backup" else device.code(clock())
        body |= {"ticket": ticket, "code": code, "method": method}
    return "/auth/reset", body


@pytest.mark.parametrize("scripts", range(7))  # the limits run some, and the notices
@pytest.mark.parametrize(
    ("way", "method"), [(sign_in, "backup"), (sign_in, "totp"), (reset, "backup"), (reset, "totp"), (reset, None)]
)
def test_what_is_refused_can_be_sent_again(alice, new_device, app, clock, redis, refuse_after, way, method, scripts):
    """A refusal used up no code, ticket or link, set no password, and opened and ended no session."""
    if method:
        alice.enable_totp(clock())
    device = new_device()
    path, body = way(alice, app, clock, method)
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
        redis.hgetall(keys.links(user_id)),
        redis.zrange(keys.last_used(user_id), 0, -1),
        redis.zrange(keys.ended(user_id), 0, -1),
        [redis.hgetall(key) for key in sorted(redis.keys(keys.ticket(user_id, "*")))],
    )


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
