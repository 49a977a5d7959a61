"""A Redis that takes no more data (maxmemory, noeviction): nobody can sign in, and every way to end sessions works."""

import pytest
from redis import RedisCluster

from app.stores.mail import new_notice_id
from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device
from tests.passkeys import add, prove

pytestmark = pytest.mark.parametrize("redis", ["real", "cluster"], indirect=True)
ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def full(redis):
    """Lets Redis be full from here on."""
    servers = [redis.get_redis_connection(node) for node in redis.get_primaries()] if _is_cluster(redis) else [redis]

    def fill(maxmemory="1mb"):
        for server in servers:
            server.config_set("maxmemory", maxmemory)

    yield fill
    for server in servers:
        server.config_set("maxmemory", "0")


def reset_link(app, device):
    """The secret of a link as the mail to a device's user carries it."""
    rules = app.extensions["keyrack"]
    version = rules.accounts.get(device.user_id).secrets_version
    return rules.links.issue_reset(device.user_id, version, rules.clock(), new_notice_id())


def _is_cluster(redis):
    return isinstance(redis, RedisCluster)


@pytest.fixture
def phone(alice, new_device):
    return new_device(User_Agent="Alices phone").log_in(alice)


@pytest.fixture
def browser(app, alice):
    """A browser that signed in to Alice's account by cookie."""
    client = app.test_client()
    answer = client.post("/login", json={"login": alice.email, "password": PASSWORD}, headers=ORIGIN)
    assert answer.status_code == 200
    return client


def test_nobody_signs_in_and_whoever_is_signed_in_stays(alice, new_device, full):
    full()
    answer = new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD})
    assert answer.status_code == 503
    body = {"email": "new@example.com", "username": "new", "password": PASSWORD}
    assert new_device().post("/auth/register", body).status_code == 503
    assert alice.get("/gateway/verify").status_code == 200
    assert len(alice.id_hashes()) == 1


def test_logging_out(alice, phone, full):
    full()
    assert phone.post("/auth/logout").status_code == 204
    assert not phone.is_signed_in
    assert alice.is_signed_in


def test_ending_another_after_a_step_up(alice, phone, full):
    full()
    assert alice.end([phone.id_hash]).status_code == 204
    assert not phone.is_signed_in


def test_ending_another_after_a_step_up_with_a_code(with_totp, new_device, clock, full):
    phone = new_device(User_Agent="phone").log_in(with_totp)
    full()
    ticket = with_totp.challenge()["ticket"]
    clock.advance(30)
    body = {"ticket": ticket, "mfa_type": "totp", "data": with_totp.code(clock())}
    proof = with_totp.post("/mfa/finish", body).json["token"]
    assert with_totp.end([phone.id_hash], proof).status_code == 204
    assert not phone.is_signed_in


def test_ending_another_after_a_step_up_with_a_passkey(alice, new_device, full):
    phone = Authenticator()
    add(alice, phone)
    tablet = new_device(User_Agent="tablet").log_in(alice)
    full()
    proof = prove(alice, phone).json["token"]
    assert alice.end([tablet.id_hash], proof).status_code == 204
    assert not tablet.is_signed_in


def test_nobody_signs_in_by_a_passkey(alice, new_device, full):
    phone = Authenticator()
    add(alice, phone)
    begun = new_device().post("/auth/passwordless/start").json
    full()
    body = {"ticket": begun["ticket"], "credential": phone.get(begun["challenge"])}
    assert new_device().post("/auth/conditional/finish", body).status_code == 503
    assert len(alice.id_hashes()) == 1


def test_wrong_answers_are_counted_all_the_same(alice, full, make_app):
    """Five use a ticket up, and a limit holds: a full Redis is no open door."""
    app = make_app(RATE_LIMIT_STEP_UP="3 per hour")
    device = Device(app.test_client(use_cookies=False), {})
    device.token, device.email = alice.token, alice.email
    full()
    ticket = device.challenge()["ticket"]
    answers = [
        device.post("/mfa/finish", {"ticket": ticket, "mfa_type": "password", "data": "wrong"}).status_code
        for _ in range(4)
    ]
    assert answers == [400, 400, 400, 429]


@pytest.mark.parametrize(
    ("path", "send"),
    [
        ("/me/sessions/revoke-all", {"json": {}}),
        ("/settings/sessions/end", {"data": {"all": "all"}}),
    ],
)
def test_a_browser_ends_all_others(alice, phone, browser, full, path, send):
    full()
    assert browser.post(path, headers=ORIGIN, **send).status_code in (200, 303)
    assert not alice.is_signed_in
    assert not phone.is_signed_in
    assert browser.get("/me/sessions").status_code == 200


def test_what_happens_on_the_way_to_an_ending_is_in_the_activity(app, alice, phone, full):
    """It is written with what it tells of, and never stands in its way."""
    full()
    assert alice.end([phone.id_hash]).status_code == 204
    rows = app.test_client().get("/me/activity", headers={"Authorization": alice.token}).json
    assert [row["type"] for row in rows][:2] == ["sessions_ended", "step_up"]


def test_a_browser_ends_one(alice, phone, browser, full):
    session = phone.id_hash.rstrip("=").replace("+", "-").replace("/", "_")
    full()
    assert browser.delete(f"/me/sessions/{session}", headers=ORIGIN).status_code == 200
    assert not phone.is_signed_in
    assert alice.is_signed_in


@pytest.mark.parametrize(
    "command",
    [
        ("sessions", "end", "--user", "alice@example.com", "--yes"),
        ("sessions", "end-all", "--user", "alice@example.com", "--yes"),
        ("sessions", "end-all", "--yes"),
        ("users", "disable", "alice@example.com", "--yes"),
        ("users", "delete", "alice@example.com", "--yes"),
        ("users", "reset-mfa", "alice@example.com", "--yes"),
    ],
)
@pytest.mark.usefixtures("with_totp")
def test_an_operator_ends_sessions(app, alice, phone, full, command):
    full()
    ran = app.test_cli_runner().invoke(args=command)
    assert ran.exit_code == 0, ran.output
    assert not alice.is_signed_in
    assert not phone.is_signed_in


def test_an_operator_sets_a_password(app, alice, phone, full):
    full()
    command = ("users", "set-password", alice.email, "--yes")
    ran = app.test_cli_runner().invoke(args=command, input="a new battery\na new battery\n")
    assert ran.exit_code == 0, ran.output
    assert not alice.is_signed_in
    assert not phone.is_signed_in


def test_a_link_from_a_mail_ends_a_session_that_was_not_theirs(app, alice, phone, full):
    """The limit by address has no room to count. The secret of a link cannot be guessed."""
    links = app.extensions["keyrack"].links
    secret = links.issue_not_me(alice.user_id, phone.id_hash, new_notice_id())
    full()
    answer = app.test_client().post("/not-me/form", data={"token": secret}, headers=ORIGIN)
    assert answer.status_code == 200
    assert (alice.is_signed_in, phone.is_signed_in) == (True, False)


def test_a_reset_is_refused_whole_and_its_link_stays_good(app, alice, full):
    """The new password would be set and nobody signed in by it; so it is not set, and the link can be used later."""
    secret = reset_link(app, alice)
    full()
    body = {"token": secret, "password": "a new battery"}
    assert alice.post("/auth/reset", body).status_code == 503
    assert alice.is_signed_in
    full(maxmemory="0")
    assert alice.post("/auth/reset", body).status_code == 200


def test_a_remembered_device_is_let_in_by_nobody_and_forgotten_all_the_same(with_totp, app, full):
    """What is refused leaves the device remembered, with the value that its browser has."""
    browsers = [app.test_client() for _ in range(2)]
    login = {"login": with_totp.email, "password": PASSWORD}
    for browser in browsers:
        ticket = browser.post("/login", json=login).json["ticket"]
        body = {"ticket": ticket, "code": with_totp.backup_codes.pop(), "remember": True}
        assert browser.post("/login/mfa", json=body).status_code == 200
    full()
    before = len(with_totp.id_hashes())
    assert browsers[0].post("/login", json=login).status_code == 503
    assert len(with_totp.id_hashes()) == before
    full("0")
    assert "mfa" not in browsers[0].post("/login", json=login).json
    full()
    [own] = [one["id"] for one in browsers[1].get("/me/remembered").json if one["isCurrent"]]
    assert browsers[1].delete(f"/me/remembered/{own}").status_code == 200
    assert browsers[1].post("/me/remembered/forget-all").status_code == 200
    assert browsers[1].get("/me/remembered").json == []
