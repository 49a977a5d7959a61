"""What users are told by mail: queued by the operation itself, about the right device, and not too often."""

import base64
import json

import pytest

from app.stores.keys import unprefixed as keys
from app.stores.mail import new_notice_id
from app.web.services import EXTENSION
from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD, Device

LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:133.0) Gecko/20100101 Firefox/133.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile Safari/604.1"


@pytest.fixture
def told(redis):
    """The notices queued since the last look, as (kind, user id, system), but those that verify an address."""
    seen = "-"

    def look():
        nonlocal seen
        found = []
        for entry, fields in redis.xrange(keys.mail.waiting, seen):
            seen = f"({entry}"
            notice = json.loads(fields["notice"])
            found.append((notice["kind"], notice["user_id"], notice["client"].get("os")))
        return [one for one in found if one[0] != "verify"]

    return look


def agent(system):
    return {"User_Agent": {"Linux": LINUX, "Mac OS X": MAC, "iOS": IPHONE}[system]}


@pytest.fixture
def alice(new_device):
    return new_device(**agent("Linux")).register("alice@example.com")


def test_the_first_device_is_silent_and_every_other_kind_is_told_once(alice, new_device, told):
    new_device(**agent("Linux")).log_in(alice)
    assert told() == []
    new_device(**agent("iOS")).log_in(alice)
    assert told() == [("sign_in", alice.user_id, "iOS")]
    new_device(**agent("iOS")).log_in(alice)
    new_device(**agent("Linux")).log_in(alice)
    assert told() == []


def test_a_device_that_was_not_theirs_is_new_again(alice, new_device, app, told):
    """Or the thief would sign in again with the password that they still have, and nobody be told."""
    thief = new_device(**agent("iOS")).log_in(alice)
    secret = app.extensions[EXTENSION].links.issue_not_me(alice.user_id, thief.id_hash, new_notice_id())
    assert app.test_client().post("/not-me/form", data={"token": secret}).status_code == 200
    told()
    thief.log_in(alice)
    assert told() == [("sign_in", alice.user_id, "iOS")]
    new_device(**agent("Linux")).log_in(alice)
    assert told() == []


def test_devices_are_known_from_before_mails_were_sent(alice, new_device, make_app, told):
    without = make_app(SMTP_URL="")
    Device(without.test_client(use_cookies=False), agent("iOS")).log_in(alice)
    assert told() == []
    new_device(**agent("iOS")).log_in(alice)
    assert told() == []
    new_device(**agent("Mac OS X")).log_in(alice)
    assert [kind for kind, _, _ in told()] == ["sign_in"]


def test_where_devices_were_not_taken_note_of_no_new_one_is_the_first(alice, new_device, redis, told):
    """An account that was in use before: whoever signs in next is not taken for its owner."""
    redis.delete(keys.known_devices(alice.user_id))
    new_device(**agent("iOS")).log_in(alice)
    assert [kind for kind, _, _ in told()] == ["sign_in"]


def test_a_country_is_new_an_address_is_not(alice, make_app, city_database, told):
    app = make_app(GEOIP_DATABASE=str(city_database), TRUSTED_PROXIES="127.0.0.1")

    def log_in_from(address):
        headers = {"X_Forwarded_For": address, **agent("Linux")}
        Device(app.test_client(use_cookies=False), headers).log_in(alice)
        return [kind for kind, _, _ in told()]

    assert log_in_from("203.0.113.7") == ["sign_in"]
    assert log_in_from("203.0.113.8") == []
    assert log_in_from("192.0.2.1") == [], "no place, as at the registration"
    assert log_in_from("198.51.100.1") == ["sign_in"]


def test_more_than_three_in_an_hour_become_one(alice, new_device, told, clock):
    def log_in_as(number):
        properties = json.dumps({"os": f"System {number}", "browser": "Discord Client"})
        new_device(X_Super_Properties=base64.b64encode(properties.encode()).decode()).log_in(alice)

    for number in range(6):
        log_in_as(number)
    assert [kind for kind, _, _ in told()] == ["sign_in"] * 3 + ["many_sign_ins"]
    clock.advance(3600)
    log_in_as(6)
    assert [kind for kind, _, _ in told()] == ["sign_in"]


def test_a_wrong_code_after_the_right_password(alice, new_device, told, clock):
    """Told of the login alone: at a step-up it is the owner's own device that asks."""
    alice.enable_totp(clock())
    told()
    thief = new_device(**agent("iOS"))
    ticket = thief.post("/auth/login", {"login": alice.email, "password": PASSWORD}).json["ticket"]
    assert told() == []
    for _ in range(4):
        assert thief.post("/auth/mfa/totp", {"ticket": ticket, "code": "000000"}).json["code"] == 60008
    assert told() == [("wrong_code", alice.user_id, "iOS")] * 3 + [("many_wrong_codes", alice.user_id, "iOS")]
    thief.post("/auth/login", {"login": alice.email, "password": "wrong"})
    assert told() == []


def test_every_change_of_credentials(alice, told, clock):
    about = (alice.user_id, "Linux")
    alice.enable_totp(clock())
    assert told() == [("totp_on", *about)]
    proof = alice.prove()
    body = {"password": PASSWORD, "regenerate": True}
    answer = alice.post("/users/@me/mfa/codes", body, X_Discord_MFA_Authorization=proof)
    alice.backup_codes = [code["code"] for code in answer.json["backup_codes"]]
    assert told() == [("codes_renewed", *about)]
    answer = alice.post("/users/@me/mfa/totp/disable", X_Discord_MFA_Authorization=alice.prove())
    alice.token = answer.json["token"]
    assert told() == [("totp_off", *about)]
    assert alice.patch("/users/@me", {"password": "wrong", "new_password": "another long one"}).status_code == 400
    assert told() == []
    assert alice.patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"}).status_code == 200
    assert told() == [("password_changed", *about)]


@pytest.mark.parametrize("where", ["login", "step-up"])
def test_the_last_backup_code(alice, new_device, told, clock, where):
    alice.enable_totp(clock())
    for _ in range(8):
        alice.prove()
    told()
    use = alice.prove if where == "step-up" else lambda: new_device(**agent("Linux")).log_in(alice)
    use()
    assert told() == []
    use()
    assert told() == [("last_code_used", alice.user_id, "Linux")]


def test_a_reset_is_told_as_a_change_of_password(alice, app, new_device, told):
    services = app.extensions[EXTENSION]
    secret = services.links.issue_reset(
        alice.user_id, services.accounts.get(alice.user_id).secrets_version, services.clock(), new_notice_id()
    )
    new_device(**agent("iOS")).post("/auth/reset", {"token": secret, "password": "another horse battery"})
    assert told() == [("password_changed", alice.user_id, "iOS"), ("sign_in", alice.user_id, "iOS")]


def test_suspicious_session_notice(alice, told, make_app, new_device):
    assert alice.post("/auth/sessions/debug/notifications").status_code == 204
    assert told() == [("suspicious", alice.user_id, "Linux")]
    assert [alice.post("/auth/sessions/debug/notifications").status_code for _ in range(4)] == [204] * 4
    assert [kind for kind, _, _ in told()] == ["suspicious"] * 2, "three an hour: it is no way to fill a mailbox"
    assert new_device().post("/auth/sessions/debug/notifications").status_code == 401
    without = Device(make_app(SMTP_URL="").test_client(use_cookies=False))
    without.token = alice.token
    answer = without.post("/auth/sessions/debug/notifications")
    assert (answer.status_code, answer.json) == (404, {"code": 0, "message": "404: Not Found"})


def test_what_is_queued_holds_no_address_and_no_secret(alice, new_device, redis):
    phone = new_device(**agent("iOS")).log_in(alice)
    new_device().post("/auth/forgot", {"login": alice.email})
    queued = json.dumps(redis.xrange(keys.mail.waiting))
    assert "reset" in queued
    assert not [secret for secret in [*alice.secrets, *phone.secrets, alice.email, "nobody"] if secret in queued]
    assert "SMTP_URL" in ENVIRONMENT


def test_ending_all_others_is_told(alice, app, told):
    """Three an hour: it is no way to fill a mailbox."""
    client = app.test_client()
    headers = {"Authorization": alice.token, "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:1.0) Firefox/1.0"}
    for path in ("/me/sessions/revoke-all", "/settings/sessions/end") * 2:
        new = app.test_client().post("/login", json={"login": alice.email, "password": alice.password})
        assert new.status_code == 200
        form = {"all": "all"} if path.startswith("/settings") else {}
        assert client.post(path, data=form, headers=headers).status_code in (200, 303)
    assert [notice for notice in told() if notice[0] == "others_ended"] == [
        ("others_ended", alice.user_id, "Linux")
    ] * 3
