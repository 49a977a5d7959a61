"""A clock that was wrong and is set right: nobody is locked out, nothing has ended, and no code counts twice."""

import time

import pytest

from app import create_app
from app.config import load_settings
from app.stores.connection.connect import connect
from app.stores.connection.redis_clock import RedisClock
from app.stores.factors import USUAL_TOTP
from app.stores.keys import unprefixed as keys
from app.stores.notices import NoticeStore
from app.stores.scripts import SessionScripts
from app.stores.session_records import Client
from app.stores.sessions import SessionStore
from tests.conftest import ENVIRONMENT, LIFETIMES
from tests.device import PASSWORD, Device

DAY = 24 * 3600
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def wrong_app(store, clock):
    """Makes the service as a process whose clock is off has it; also Redis' clock, if that is said."""

    def make(off_s, redis_off_s=0):
        settings = load_settings(ENVIRONMENT)
        return create_app(settings, store, lambda: clock() + off_s, lambda: clock() + redis_off_s)

    return make


def at(app, device):
    """The same device, at another process."""
    same = Device(app.test_client(use_cookies=False))
    same.token, same.email, same.user_id = device.token, device.email, device.user_id
    same.totp_secret, same.backup_codes = device.totp_secret, device.backup_codes
    return same


def enter(device, code):
    ticket = device.post("/auth/login", {"login": device.email, "password": PASSWORD}).json["ticket"]
    return device.post("/auth/mfa/totp", {"ticket": ticket, "code": code}).json.get("code", 200)


@pytest.mark.parametrize("off_s", [2 * 3600, 40 * DAY, 400 * DAY])
def test_a_process_that_is_ahead_ends_nothing(alice, new_device, wrong_app, app, redis, clock, off_s):
    """Not when it is asked, nor by a list, a use, a login, a step-up, an ending or a link of the same user."""
    phone, tablet = new_device().log_in(alice), new_device().log_in(alice)
    links = app.extensions["keyrack"].links
    not_me = links.issue_not_me(alice.user_id, phone.id_hash, "1-1")
    ahead = at(wrong_app(off_s), alice)
    assert ahead.is_signed_in
    assert ahead.get("/gateway/verify").status_code == 200
    assert len(ahead.id_hashes()) == 3
    assert ahead.end([tablet.id_hash]).status_code == 204
    another = Device(wrong_app(off_s).test_client(use_cookies=False)).log_in(alice)
    wrong_app(off_s).extensions["keyrack"].links.issue_not_me(alice.user_id, phone.id_hash, "2-1")
    assert [device.is_signed_in for device in (alice, phone, tablet)] == [True, True, False]
    assert at(app, another).is_signed_in
    assert app.test_client().post("/not-me/form", data={"token": not_me}, headers=SAME_ORIGIN).status_code == 200
    assert redis.zcard(keys.ended(alice.user_id)) == 2


@pytest.mark.parametrize("off_s", [-2 * 3600, -40 * DAY])
def test_a_process_that_is_behind_ends_nothing(alice, new_device, wrong_app, app, off_s):
    phone = new_device().log_in(alice)
    behind = at(wrong_app(off_s), alice)
    assert behind.is_signed_in
    assert len(behind.id_hashes()) == 2
    assert (alice.is_signed_in, phone.is_signed_in) == (True, True)


def test_a_last_use_of_the_future_counts_as_now(store, clock, redis):
    """It was noted while the clock of Redis was ahead as well."""
    off_s = [40 * DAY]
    scripts = SessionScripts(store, LIFETIMES, lambda: clock() + off_s[0])
    sessions = SessionStore(store, scripts)
    redis.hset(keys.user("1"), "epoch", "1")
    for id_hash in ("used", "unused"):
        sessions.open("1", id_hash, int(clock()), Client(), "1", 50)
    off_s[0] = 0
    assert sessions.touch("1", "used", Client())
    assert sessions.look_up(sessions.last_use("1", "used")) == [clock()]
    sessions.finish_expired("1")
    assert sessions.look_up(sessions.last_use("1", "unused")) == [clock()]
    assert not sessions.touch("1", "used", Client())


def test_a_session_of_the_future_is_seen_to_be_used(alice, wrong_app, redis, clock):
    """At a process that is right, from its first request on."""
    device = Device(wrong_app(40 * DAY, 40 * DAY).test_client(use_cookies=False)).log_in(alice)
    at(alice._client.application, device).get("/gateway/verify")
    assert redis.zscore(keys.last_used(alice.user_id), at(alice._client.application, device).id_hash) == clock()


def test_a_login_of_the_future_is_no_recent_one(alice, wrong_app, app, new_device):
    """It would count as a proof until then."""
    phone = new_device().log_in(alice)
    device = Device(wrong_app(40 * DAY).test_client(use_cookies=False)).log_in(alice)
    answer = app.test_client().post("/me/sessions/revoke-all", headers={"Authorization": device.token})
    assert answer.status_code == 401
    assert phone.is_signed_in


def test_no_code_counts_at_a_process_that_is_ahead(with_totp, wrong_app, clock):
    """So no step of the future is kept, and the code of the present counts at the others."""
    ahead = at(wrong_app(2 * 3600), with_totp)
    assert enter(ahead, with_totp.code(clock() + 2 * 3600)) == 60008
    clock.advance(USUAL_TOTP.period_s)
    assert enter(with_totp, with_totp.code(clock())) == 200


@pytest.mark.parametrize("off_s", [2 * 3600, 40 * DAY])
def test_codes_count_again_once_the_clocks_are_set_right(with_totp, wrong_app, clock, off_s):
    """That of Redis was ahead as well. What may have counted already does not count: a minute later all is well."""
    ahead = at(wrong_app(off_s, off_s), with_totp)
    of_the_future = clock() + off_s
    assert enter(ahead, with_totp.code(of_the_future)) == 200
    assert enter(with_totp, with_totp.code(clock())) == 60008
    clock.advance(2 * USUAL_TOTP.period_s)
    assert enter(with_totp, with_totp.code(clock())) == 200
    assert enter(with_totp, with_totp.code(clock())) == 60008
    clock.now = of_the_future
    assert enter(with_totp, with_totp.code(clock())) == 60008
    clock.advance(USUAL_TOTP.period_s)
    assert enter(with_totp, with_totp.code(clock())) == 200


def test_a_process_that_is_behind_lets_no_code_count_twice(with_totp, wrong_app, clock):
    clock.advance(USUAL_TOTP.period_s)
    code = with_totp.code(clock())
    assert enter(with_totp, code) == 200
    behind = at(wrong_app(-40 * DAY), with_totp)
    assert enter(behind, with_totp.code(clock() - 40 * DAY)) == 60008
    assert enter(with_totp, code) == 60008


def test_a_count_that_began_in_the_future_begins_anew(store, clock):
    """Or no notice of that kind would be sent until then."""
    off_s = [40 * DAY]
    notices = NoticeStore(store, SessionScripts(store, LIFETIMES, lambda: clock() + off_s[0]))
    assert [notices.count("1", "sign_in") for _ in range(5)] == [1, 2, 3, 4, 5]
    off_s[0] = 0
    assert notices.count("1", "sign_in") == 1


@pytest.mark.parametrize(("off_s", "status"), [(0, 200), (29, 200), (31, 503), (-29, 200), (-31, 503), (40 * DAY, 503)])
def test_a_process_whose_clock_is_off_is_not_ready(wrong_app, off_s, status, caplog):
    assert wrong_app(off_s).test_client().get("/readyz").status_code == status
    assert ("set both by NTP" in caplog.text) is (status == 503)


def test_the_clock_of_redis_is_asked_once_a_minute(store):
    """A process that is two hours ahead is told by it."""
    clock = RedisClock(store, lambda: time.time() + 7200)
    assert abs(clock() - time.time()) < 2
    told = clock()
    assert 0 <= clock() - told < 2


def test_without_redis_the_clock_is_the_process_own():
    clock = RedisClock(connect("redis://127.0.0.1:1"), lambda: 7.0)
    assert clock() == 7
