"""A new password by a link from a mail, and the link that ends a session that was not one's own doing."""

import pytest

from app import tokens
from app.rules.recovery import Recovery
from app.rules.sign_ins import SignIns
from app.stores.activities import ActivityStore
from app.stores.keys import unprefixed as keys
from app.stores.mail import new_notice_id
from app.stores.session_records import Client
from app.stores.tickets import TicketStore
from app.stores.users import Change, UserStore
from app.web.services import EXTENSION
from tests.device import PASSWORD, Device, errors

NEW_PASSWORD = "another horse battery"
HOUR = 3600


@pytest.fixture
def links(app):
    """The rules of links, not their store."""
    return app.extensions[EXTENSION].links


@pytest.fixture
def reset_link(app, links):
    """Makes the secret of a link as the mail to a device's user carries it."""
    services = app.extensions[EXTENSION]
    return lambda device: links.issue_reset(
        device.user_id, services.accounts.get(device.user_id).secrets_version, services.clock(), new_notice_id()
    )


def reset(device, secret, password=NEW_PASSWORD, **more):
    return device.post("/auth/reset", {"token": secret, "password": password, **more})


def can_log_in(device, email, password):
    return device.post("/auth/login", {"login": email, "password": password}).status_code == 200


def test_forgot_answers_the_same_whoever_is_asked_for(alice, bob, new_device, app, redis):
    """The same answer, and the same work: one notice in the queue, which names nobody where there is nobody."""
    app.extensions[EXTENSION].leaving.disable(bob.user_id)
    told = []
    for login in (alice.email, " ALICE@Example.com ", bob.email, "nobody@example.com", "not an address", ""):
        before = redis.xlen(keys.mail.waiting)
        answer = new_device().post("/auth/forgot", {"login": login})
        told.append((answer.status_code, answer.data, redis.xlen(keys.mail.waiting) - before))
    assert told == [(200, b"{}", 1)] * 6
    assert errors(new_device().post("/auth/forgot", {}), "login") == ["BASE_TYPE_REQUIRED"]


def test_forgot_where_no_mail_is_sent(make_app, redis):
    device = Device(make_app(SMTP_URL="").test_client(use_cookies=False))
    assert device.post("/auth/forgot", {"login": "alice@example.com"}).status_code == 200
    assert not redis.exists(keys.mail.waiting)


def test_reset_signs_in_and_ends_every_session(alice, bob, new_device, reset_link):
    phone = new_device().log_in(alice)
    proof = alice.prove()
    device = new_device()
    answer = reset(device, reset_link(alice))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json) == {"token"}
    device.token = answer.json["token"]
    assert [owner.is_signed_in for owner in (device, alice, phone, bob)] == [True, False, False, True]
    assert device.end([device.id_hash], proof).status_code == 401
    assert not can_log_in(new_device(), alice.email, PASSWORD)
    assert can_log_in(new_device(), alice.email, NEW_PASSWORD)


def test_a_link_works_once_whoever_asks_for_others_meanwhile(alice, new_device, reset_link):
    """A stranger who knows the address asks as often as they may. Once one is used, all are over."""
    secret, *others = [reset_link(alice) for _ in range(6)]
    assert reset(new_device(), secret).status_code == 200
    for one in (secret, *others):
        assert errors(reset(new_device(), one), "token") == ["TOKEN_INVALID"]


@pytest.mark.parametrize("event", ["end_others", "disable"])
def test_all_links_end_when_all_sessions_end(alice, new_device, app, reset_link, event):
    secrets = [reset_link(alice) for _ in range(3)]
    if event == "disable":
        app.extensions[EXTENSION].leaving.disable(alice.user_id)
    else:
        list(app.extensions[EXTENSION].operators.end_all(alice.user_id))
    for one in secrets:
        assert errors(reset(new_device(), one), "token") == ["TOKEN_INVALID"]


def test_a_link_works_for_one_hour(alice, new_device, reset_link, clock):
    secret = reset_link(alice)
    clock.advance(HOUR - 1)
    assert errors(reset(new_device(), secret, "short"), "password") == ["BASE_TYPE_BAD_LENGTH"]
    clock.advance(1)
    assert errors(reset(new_device(), secret), "token") == ["TOKEN_INVALID"]
    assert alice.is_signed_in


def test_the_hour_counts_from_the_request_for_it(alice, new_device, app, links, clock):
    """However long the mail was on its way."""
    asked_at = clock()
    clock.advance(HOUR - 1)
    late = links.issue_reset(alice.user_id, "1", asked_at, new_notice_id())
    clock.advance(1)
    assert errors(reset(new_device(), late), "token") == ["TOKEN_INVALID"]


def test_forgot_says_so_where_nothing_could_be_queued(alice, redis, new_device):
    """The mail is all that is asked for: nobody is told to look for one that will not come."""
    redis.set(keys.mail.waiting, "no stream")
    for login in (alice.email, "nobody@example.com"):
        assert new_device().post("/auth/forgot", {"login": login}).status_code == 503


@pytest.mark.parametrize("event", ["disable", "change of credentials"])
def test_what_happens_right_after_the_new_password_holds(alice, app, redis, store, scripts, links, clock, event):
    """A user who is shut out, or whose sessions are all ended, is out on the new device too."""
    services = app.extensions[EXTENSION]
    users = UserStore(store, scripts)

    class Meddling(SignIns):
        def note(self, user_id, *args, **more):
            if event == "disable":
                services.leaving.disable(user_id)
            else:
                users.change(user_id, Change(end_others="admin"))
            return super().note(user_id, *args, **more)

    ours = services.accounts
    activities = ActivityStore(store, scripts)
    recovery = Recovery(
        users,
        TicketStore(store, scripts),
        ours,
        services.addresses,
        services.devices,
        Meddling(users, services.devices, services.notices, activities),
        links,
        ours._passwords,
        services.second_factor,
        services.second_steps,
        services.notices,
        activities,
    )
    recovery.reset(links.issue_reset(alice.user_id, "0", clock(), new_notice_id()), NEW_PASSWORD, Client())
    assert redis.zcard(keys.last_used(alice.user_id)) == 0


def test_what_is_no_link_resets_nothing(alice, bob, new_device, links, reset_link):
    """Made-up secrets, another purpose, another user's id on a secret, tokens and tickets."""
    secret = reset_link(bob)
    claimed = ".".join([alice.token.split(".")[0], *secret.split(".")[1:]])
    not_me = links.issue_not_me(alice.user_id, alice.id_hash, new_notice_id())
    ticket = alice.challenge()["ticket"]
    for made_up in (tokens.issue(alice.user_id, 0), claimed, not_me, alice.token, ticket, "", "x", "x" * 5000):
        assert errors(reset(new_device(), made_up), "token")
    assert alice.is_signed_in
    assert can_log_in(new_device(), alice.email, PASSWORD)


@pytest.mark.parametrize("event", ["disable", "delete", "new password"])
def test_a_link_dies_with_what_it_was_made_for(alice, new_device, app, reset_link, event):
    secret = reset_link(alice)
    if event == "new password":
        alice.patch("/users/@me", {"password": PASSWORD, "new_password": "yet another one"})
    else:
        getattr(app.extensions[EXTENSION].leaving, event)(alice.user_id)
    assert errors(reset(new_device(), secret), "token") == ["TOKEN_INVALID"]


def test_a_link_outlives_others_being_ended(alice, new_device, app, reset_link, links):
    """Whoever has the password alone could keep the owner from setting a new one otherwise."""
    secret = reset_link(alice)
    thief = new_device().log_in(alice)
    for _ in range(3):
        app.extensions[EXTENSION].accounts.end_others(app.extensions[EXTENSION].devices.identify(thief.token), Client())
    assert reset(new_device(), secret).status_code == 200
    assert not thief.is_signed_in


def test_the_ticket_of_a_reset_outlives_others_being_ended(with_totp, new_device, app, reset_link):
    secret = reset_link(with_totp)
    ticket = reset(new_device(), secret).json["ticket"]
    app.extensions[EXTENSION].accounts.end_others(app.extensions[EXTENSION].devices.identify(with_totp.token), Client())
    code = {"ticket": ticket, "code": with_totp.backup_codes.pop(), "method": "backup"}
    assert reset(new_device(), secret, **code).status_code == 200


def test_a_link_dies_with_a_user_who_comes_back(alice, new_device, app, reset_link, links):
    secret, not_me = reset_link(alice), links.issue_not_me(alice.user_id, alice.id_hash, new_notice_id())
    app.extensions[EXTENSION].leaving.disable(alice.user_id)
    app.extensions[EXTENSION].leaving.enable(alice.user_id)
    assert errors(reset(new_device(), secret), "token") == ["TOKEN_INVALID"]
    answer = app.test_client().post("/not-me/form", data={"token": not_me})
    assert answer.status_code == 400


def test_with_a_second_factor_the_reset_asks_for_it(with_totp, new_device, reset_link, clock):
    """The first answer is the login's, the second needs link, password, ticket and code as they belong together."""
    device = new_device()
    secret = reset_link(with_totp)
    asked = reset(device, secret)
    assert asked.status_code == 200
    assert (asked.json["mfa"], asked.json["totp"], asked.json["backup"]) == (True, True, True)
    assert "token" not in asked.json
    assert with_totp.is_signed_in
    ticket = asked.json["ticket"]
    clock.advance(30)
    right = {"ticket": ticket, "code": with_totp.code(clock()), "method": "totp"}

    assert errors(reset(device, secret, ticket=ticket), "code") == ["BASE_TYPE_REQUIRED"]
    assert errors(reset(device, secret, **right | {"method": "sms"}), "method") == ["BASE_TYPE_CHOICES"]
    assert reset(device, secret, "quite another one", **right).json["code"] == 60006
    assert reset(device, tokens.issue(with_totp.user_id, 0), **right).json["code"] == 60006
    assert reset(device, secret, **right | {"code": "000000"}).json["code"] == 60008
    answer = reset(device, secret, **right)
    assert answer.status_code == 200
    device.token = answer.json["token"]
    assert (device.is_signed_in, with_totp.is_signed_in) == (True, False)
    assert device.get("/users/@me").json["mfa_enabled"] is True
    assert reset(device, secret, **right).json["code"] == 60006


def test_a_backup_code_passes_too(with_totp, new_device, reset_link):
    for method, at in (("backup", 0), ("totp", 1)):
        secret = reset_link(with_totp)
        ticket = reset(new_device(), secret).json["ticket"]
        code = with_totp.backup_codes[at]
        assert reset(new_device(), secret, ticket=ticket, code=code, method=method).status_code == 200


def test_the_ticket_of_a_reset_is_no_logins_ticket_nor_the_other_way_round(with_totp, new_device, reset_link):
    """Or the mailbox alone would do instead of the password, and the password instead of the mailbox."""
    device, secret = new_device(), reset_link(with_totp)
    code = with_totp.backup_codes.pop()
    ticket = reset(device, secret).json["ticket"]
    assert device.post("/auth/mfa/backup", {"ticket": ticket, "code": code}).json["code"] == 60006
    login = device.post("/auth/login", {"login": with_totp.email, "password": PASSWORD}).json["ticket"]
    assert reset(device, secret, ticket=login, code=code).json["code"] == 60006
    step_up = with_totp.challenge()["ticket"]
    assert reset(device, secret, ticket=step_up, code=code).json["code"] == 60006
    assert device.post("/auth/mfa/backup", {"ticket": login, "code": code}).status_code == 200


def test_five_wrong_codes_use_a_ticket_up_and_ten_in_all_are_the_links_budget(with_totp, make_app):
    """A new ticket of the same link refills nothing."""
    app = make_app(RATE_LIMIT_STEP_UP="7 per 15 minutes")
    device = Device(app.test_client(use_cookies=False))
    services = app.extensions[EXTENSION]
    secret = services.links.issue_reset(
        with_totp.user_id, services.accounts.get(with_totp.user_id).secrets_version, services.clock(), new_notice_id()
    )
    ticket = reset(device, secret).json["ticket"]
    wrong = [reset(device, secret, ticket=ticket, code="000000").json["code"] for _ in range(6)]
    assert wrong == [60008] * 5 + [60006]
    assert reset(device, secret).status_code == 429


def test_what_is_no_link_spends_the_budget_of_its_address_alone(make_app):
    app = make_app(RATE_LIMIT_STEP_UP="2 per 15 minutes", TRUSTED_PROXIES="127.0.0.1")

    def try_from(address):
        device = Device(app.test_client(use_cookies=False), {"X_Forwarded_For": address})
        return reset(device, tokens.issue("1", 0)).status_code

    assert [try_from("192.0.2.1") for _ in range(3)] == [400, 400, 429]
    assert try_from("192.0.2.2") == 400


def test_forgot_is_limited_by_account_and_by_address(alice, make_app):
    app = make_app(RATE_LIMIT_FORGOT="2 per hour", TRUSTED_PROXIES="127.0.0.1")

    def ask(login, address):
        device = Device(app.test_client(use_cookies=False), {"X_Forwarded_For": address})
        return device.post("/auth/forgot", {"login": login}).status_code

    asked = [ask(alice.email, "192.0.2.1"), ask(alice.email, "192.0.2.2"), ask(alice.email, "192.0.2.3")]
    assert asked == [200, 200, 429]
    asked = [ask(f"{name}@example.com", "192.0.2.9") for name in ("a", "b", "c")]
    assert asked == [200, 200, 429]
    asked = [ask("d@example.com", f"192.0.2.1{number}") for number in range(3)]
    assert asked == [200, 200, 429], "an account that does not exist counts as one that does"


@pytest.mark.parametrize("path", ["/forgot", "/reset", "/not-me"])
def test_to_look_at_a_page_changes_nothing(alice, new_device, app, links, reset_link, path):
    """Mail scanners fetch links; whatever they make of one, it works afterwards."""
    phone = new_device().log_in(alice)
    not_me, secret = links.issue_not_me(alice.user_id, phone.id_hash, new_notice_id()), reset_link(alice)
    visitor = app.test_client()
    for method in ("GET", "HEAD"):
        for query in ("", f"?token={not_me}", f"?token={secret}"):
            answer = visitor.open(path + query, method=method)
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == "no-store"
    assert (alice.is_signed_in, phone.is_signed_in) == (True, True)
    assert visitor.post("/not-me/form", data={"token": not_me}).status_code == 200
    assert reset(new_device(), secret).status_code == 200


def test_this_wasnt_me(alice, new_device, app, links):
    """Without being signed in, once, that device alone."""
    phone = new_device().log_in(alice)
    secret = links.issue_not_me(alice.user_id, phone.id_hash, new_notice_id())
    visitor = app.test_client()
    answer = visitor.post("/not-me/form", data={"token": secret})
    assert answer.status_code == 200
    assert "logged out" in answer.text
    assert 'href="/forgot"' in answer.text
    assert secret not in answer.text
    assert (alice.is_signed_in, phone.is_signed_in) == (True, False)
    again = visitor.post("/not-me/form", data={"token": secret})
    assert again.status_code == 400
    assert "expired or was used" in again.text
    assert visitor.post("/not-me/form", data={}).status_code == 400


def test_this_wasnt_me_is_good_for_48_hours(alice, app, links, clock):
    secret = links.issue_not_me(alice.user_id, alice.id_hash, new_notice_id())
    clock.advance(48 * HOUR)
    assert app.test_client().post("/not-me/form", data={"token": secret}).status_code == 400
    assert alice.is_signed_in


def test_a_reset_by_page(alice, app, reset_link):
    browser = app.test_client()
    secret = reset_link(alice)
    refused = browser.post("/reset/form", data={"token": secret, "password": "password123"})
    assert refused.status_code == 400
    assert secret not in refused.text
    assert "password123" not in refused.text
    answer = browser.post("/reset/form", data={"token": secret, "password": NEW_PASSWORD})
    assert answer.status_code == 303
    assert "Your password is changed" in browser.get(answer.location).text
    assert not alice.is_signed_in


def test_a_reset_by_page_with_a_second_factor(with_totp, app, reset_link):
    """The page of the code shows neither link nor password again."""
    browser = app.test_client()
    secret = reset_link(with_totp)
    page = browser.post("/reset/form", data={"token": secret, "password": NEW_PASSWORD}).text
    assert "Enter Auth Code" in page
    assert secret not in page
    assert NEW_PASSWORD not in page
    ticket = page.partition('name="ticket" value="')[2].partition('"')[0]
    assert "wrong" in browser.post("/reset/code", data={"ticket": ticket, "code": "000000"}).text
    assert "Please set your new password again" in browser.post("/reset/code", data={"ticket": "x", "code": "1"}).text
    answer = browser.post("/reset/code", data={"ticket": ticket, "code": with_totp.backup_codes.pop()})
    assert answer.status_code == 303
    assert "Max-Age=" in answer.headers["Set-Cookie"]
    assert browser.get("/settings/sessions").status_code == 200
    assert not with_totp.is_signed_in


def test_a_reset_that_is_sent_twice_signs_in(alice, app, reset_link):
    """The link is used up by the first; another password with it is refused."""
    secret = reset_link(alice)
    form = {"token": secret, "password": NEW_PASSWORD}
    browsers = [app.test_client(), app.test_client()]
    assert [browser.post("/reset/form", data=form).status_code for browser in browsers] == [303, 303]
    assert [browser.get("/me/sessions").status_code for browser in browsers] == [401, 200]
    assert len(browsers[1].get("/me/sessions").json) == 1
    refused = app.test_client().post("/reset/form", data=form | {"password": "one more horse battery"})
    assert refused.status_code == 400


def test_a_reset_with_a_code_that_is_sent_twice_signs_in(with_totp, app, reset_link):
    browsers = [app.test_client(), app.test_client()]
    asked = browsers[0].post("/reset/form", data={"token": reset_link(with_totp), "password": NEW_PASSWORD}).text
    ticket = asked.partition('name="ticket" value="')[2].partition('"')[0]
    form = {"ticket": ticket, "code": with_totp.backup_codes.pop()}
    assert [browser.post("/reset/code", data=form).status_code for browser in browsers] == [303, 303]
    assert [browser.get("/me/sessions").status_code for browser in browsers] == [401, 200]


def test_a_reset_on_a_public_computer(with_totp, app, reset_link):
    """The browser forgets the cookie, also where the code comes in a second step."""
    browser = app.test_client()
    form = {"token": reset_link(with_totp), "password": NEW_PASSWORD, "public_computer": "on"}
    ticket = browser.post("/reset/form", data=form).text.partition('name="ticket" value="')[2].partition('"')[0]
    answer = browser.post("/reset/code", data={"ticket": ticket, "code": with_totp.backup_codes.pop()})
    assert answer.status_code == 303
    assert "Max-Age=" not in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("path", ["/forgot/form", "/reset/form", "/reset/code", "/not-me/form"])
def test_forms_are_sent_from_our_own_pages(app, path):
    browser = app.test_client()
    assert browser.post(path, data={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    answer = browser.get(path)
    assert (answer.status_code, answer.location) == (302, "/" + path.split("/")[1])
