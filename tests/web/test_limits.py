"""Rate limits: what counts, by what, and what the refusal looks like."""

from itertools import pairwise

import pytest

from app import tokens
from app.wire.contract import contract_of
from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device
from tests.passkeys import CREDENTIALS, add, begin, finish, prove, sign_in


@pytest.fixture
def limited_device(make_app):
    """Makes devices of a service with some limits as given, the others out of the way."""

    def make(app=None, address="192.0.2.1", **limits):
        app = app or make_app(TRUSTED_PROXIES="127.0.0.1", **limits)
        return Device(app.test_client(use_cookies=False), {"X_Forwarded_For": address}), app

    return make


def try_log_in(device, email="alice@example.com", password="wrong password"):
    return device.post("/auth/login", {"login": email, "password": password}).status_code


def test_the_refusal_is_the_contracts(alice, limited_device):
    device, _ = limited_device(RATE_LIMIT_LOGIN="2 per minute")
    assert [try_log_in(device) for _ in range(2)] == [400, 400]
    answer = device.post("/auth/login", {"login": alice.email, "password": PASSWORD})
    assert answer.status_code == 429
    assert answer.json == {
        "message": "You are being rate limited.",
        "retry_after": pytest.approx(60, abs=5),
        "global": False,
    }
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    assert answer.headers["X-RateLimit-Limit"] == "2"
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert float(answer.headers["X-RateLimit-Reset-After"]) == answer.json["retry_after"]
    assert float(answer.headers["X-RateLimit-Reset"]) > 1_700_000_000
    assert len(answer.headers["X-RateLimit-Bucket"]) == 32
    assert answer.headers["X-RateLimit-Scope"] == "user"


def test_logins_count_by_address_and_account_together(alice, bob, limited_device):
    """Another account, or another address, has a budget of its own; also an account that does not exist."""
    device, app = limited_device(RATE_LIMIT_LOGIN="2 per minute")
    elsewhere, _ = limited_device(app, "192.0.2.2")
    assert [try_log_in(device) for _ in range(3)] == [400, 400, 429]
    assert try_log_in(device, email="ALICE@example.com") == 429
    assert try_log_in(device, email="bob@example.com") == 400
    assert try_log_in(elsewhere) == 400
    assert [try_log_in(device, email="nobody@example.com") for _ in range(3)] == [400, 400, 429]


def test_mfa_answers_of_a_login_count_too(with_totp, limited_device):
    """A login and its codes spend one budget, whichever tickets they belong to."""
    device, _ = limited_device(RATE_LIMIT_LOGIN="3 per minute")
    ticket = device.post("/auth/login", {"login": with_totp.email, "password": PASSWORD}).json["ticket"]
    codes = [device.post("/auth/mfa/totp", {"ticket": ticket, "code": "000000"}).status_code for _ in range(3)]
    assert codes == [400, 400, 429]
    assert try_log_in(device) == 429


def test_a_made_up_ticket_names_nobody(alice, limited_device):
    """An id that is in a ticket nobody issued spends no budget, and so does not tell whose e-mail belongs to it."""
    device, _ = limited_device(RATE_LIMIT_LOGIN="3 per minute")
    made_up = {"ticket": tokens.issue(alice.user_id, 0), "code": "000000"}
    assert [device.post("/auth/mfa/totp", made_up).status_code for _ in range(4)] == [400, 400, 400, 429]
    assert try_log_in(device) == 400


def test_logins_count_by_address_over_all_accounts(limited_device):
    device, app = limited_device(RATE_LIMIT_LOGIN_ADDRESS="3 per minute")
    assert [try_log_in(device, email=f"{number}@example.com") for number in range(4)] == [400, 400, 400, 429]
    assert try_log_in(limited_device(app, "192.0.2.2")[0]) == 400


def test_an_ipv6_address_counts_by_its_64(limited_device):
    device, app = limited_device(address="2001:db8:0:1::1", RATE_LIMIT_LOGIN_ADDRESS="1 per minute")
    assert try_log_in(device, email="a@example.com") == 400
    assert try_log_in(limited_device(app, "2001:db8:0:1:ffff::2")[0], email="b@example.com") == 429
    assert try_log_in(limited_device(app, "2001:db8:0:2::1")[0], email="c@example.com") == 400


@pytest.mark.parametrize(
    ("path", "body", "setting", "status"),
    [
        ("/auth/login", {"login": "{}@example.com", "password": "wrong"}, "RATE_LIMIT_LOGIN_ADDRESS", 400),
        ("/auth/mfa/totp", {"ticket": "{}", "code": "1"}, "RATE_LIMIT_LOGIN_ADDRESS", 400),
        ("/auth/reset", {"token": "{}", "password": "a new battery"}, "RATE_LIMIT_LOGIN_ADDRESS", 400),
        ("/auth/conditional/finish", {"ticket": "{}", "credential": "x"}, "RATE_LIMIT_LOGIN_ADDRESS", 400),
        ("/auth/forgot", {"login": "{}@example.com"}, "RATE_LIMIT_FORGOT", 200),
        (
            "/auth/register",
            {"email": "{}@example.com", "username": "name", "password": PASSWORD},
            "RATE_LIMIT_REGISTER",
            201,
        ),
    ],
)
def test_an_ipv6_address_counts_by_its_48_too(limited_device, path, body, setting, status):
    """A site with a /48 has as many budgets of an address as is set, however many /64s it sends from."""
    _, app = limited_device(IPV6_NETWORK_BUDGETS="3", **{setting: "2 per hour"})

    def ask(address, number):
        device, _ = limited_device(app, address)
        return device.post(path, {name: text.format(number) for name, text in body.items()})

    answers = [ask(f"2001:db8:7:{number}::1", number) for number in range(1, 8)]
    assert [answer.status_code for answer in answers] == [status] * 6 + [429]
    assert answers[-1].headers["X-RateLimit-Limit"] == "6"
    assert ask("2001:db8:8:1::1", 8).status_code == status
    assert ask("192.0.2.1", 9).status_code == status


def test_who_is_over_the_limit_of_their_64_spends_nothing_of_the_48(limited_device):
    device, app = limited_device(
        address="2001:db8:7:1::1", IPV6_NETWORK_BUDGETS="2", RATE_LIMIT_LOGIN_ADDRESS="1 per hour"
    )
    tried = [try_log_in(device, email=f"{number}@example.com") for number in range(5)]
    assert tried == [400, 429, 429, 429, 429]
    assert try_log_in(limited_device(app, "2001:db8:7:2::1")[0]) == 400
    assert try_log_in(limited_device(app, "2001:db8:7:3::1")[0]) == 429


def test_ipv4_addresses_do_not_count_together(limited_device):
    _, app = limited_device(IPV6_NETWORK_BUDGETS="1", RATE_LIMIT_LOGIN_ADDRESS="1 per hour")
    assert [try_log_in(limited_device(app, f"192.0.2.{number}")[0]) for number in range(4)] == [400] * 4


def test_registrations_count_by_address(limited_device):
    device, _ = limited_device(RATE_LIMIT_REGISTER="1 per hour")
    device.register("alice@example.com")
    body = {"email": "bob@example.com", "username": "bob", "password": PASSWORD}
    assert device.post("/auth/register", body).status_code == 429


def test_a_new_ticket_refills_no_budget(alice, limited_device, new_device):
    """Step-up counts by session over all its tickets; another session of the same user is not locked out."""
    thief, app = limited_device(RATE_LIMIT_STEP_UP="3 per 15 minutes")
    thief.log_in(alice)
    owner, _ = limited_device(app)
    owner.log_in(alice)

    def guess(device):
        body = {"ticket": device.challenge()["ticket"], "mfa_type": "password", "data": "wrong"}
        return device.post("/mfa/finish", body).status_code

    assert [guess(thief) for _ in range(4)] == [400, 400, 400, 429]
    assert owner.end([thief.id_hash]).status_code == 204


def test_passwords_given_again_count_as_step_up(alice, limited_device):
    """Every route that takes a password from a signed-in caller spends the one budget, but for right ones."""
    thief, _ = limited_device(RATE_LIMIT_STEP_UP="2 per 15 minutes")
    thief.log_in(alice)
    wrong = {"password": "wrong", "new_password": "long enough"}
    assert thief.post("/users/@me/mfa/totp/enable", {"password": PASSWORD}).json["code"] == 60005
    assert thief.patch("/users/@me", wrong).status_code == 400
    assert thief.post("/users/@me/mfa/totp/enable", wrong).status_code == 400
    body = {"ticket": thief.challenge()["ticket"], "mfa_type": "password", "data": PASSWORD}
    assert thief.post("/mfa/finish", body).status_code == 429


def answer(device, password="wrong"):
    body = {"ticket": device.challenge()["ticket"], "mfa_type": "password", "data": password}
    return device.post("/mfa/finish", body).status_code


def test_step_up_counts_by_user_too(alice, limited_device):
    """Many sessions of one user share an upper bound, above three wrong answers that each has of its own."""
    first, app = limited_device(RATE_LIMIT_STEP_UP_USER="2 per hour")
    first.log_in(alice)
    second, _ = limited_device(app)
    second.log_in(alice)
    assert [answer(first) for _ in range(6)] == [400] * 3 + [400] * 2 + [429]
    assert [answer(second) for _ in range(4)] == [400] * 3 + [429]


def test_a_right_answer_costs_nothing(alice, limited_device):
    """Neither does one to a ticket that is none, nor a stranger's made-up token."""
    device, app = limited_device(RATE_LIMIT_STEP_UP="4 per hour", RATE_LIMIT_STEP_UP_USER="1 per hour")
    device.log_in(alice)
    assert [answer(device, PASSWORD) for _ in range(9)] == [200] * 9
    body = {"ticket": "x", "mfa_type": "password", "data": "x"}
    assert [device.post("/mfa/finish", body).status_code for _ in range(9)] == [400] * 9
    stranger, _ = limited_device(app)
    stranger.token = alice.token[:-1] + ("A" if alice.token[-1] != "A" else "B")
    assert [stranger.post("/mfa/finish", body).status_code for _ in range(9)] == [401] * 9
    assert [answer(device) for _ in range(5)] == [400] * 4 + [429]


def test_the_sessions_of_a_thief_do_not_spend_what_the_owner_needs(alice, limited_device):
    """Five sessions with the password, ten wrong answers each; the owner signs in anew and changes the password."""
    owner, app = limited_device(RATE_LIMIT_STEP_UP="", RATE_LIMIT_STEP_UP_USER="")
    thieves = [limited_device(app, f"192.0.2.{number}")[0].log_in(alice) for number in range(10, 15)]
    wrong = {"password": "wrong", "new_password": "a new battery"}
    heard = [thief.patch("/users/@me", wrong).status_code for thief in thieves for _ in range(11)]
    assert heard.count(400) == 50
    more = [limited_device(app, f"192.0.2.{number}")[0].log_in(alice) for number in range(15, 20)]
    heard = [thief.patch("/users/@me", wrong).status_code for thief in more for _ in range(11)]
    assert heard.count(400) == 3 * 5 + 15, "50 by user, of which 35 are spent, and three of each session's own"
    owner.log_in(alice)
    assert answer(owner) == 400
    assert answer(owner, PASSWORD) == 200
    right = {"password": PASSWORD, "new_password": "a new battery"}
    assert owner.patch("/users/@me", right).status_code == 200
    assert not any(thief.is_signed_in for thief in thieves + more)


def test_a_new_token_refills_no_budget(with_totp, limited_device, clock):
    """A session is told by its beginning: each change of credentials gives it another token."""
    device, _ = limited_device(RATE_LIMIT_STEP_UP="3 per hour")
    device.token, device.email, device.user_id = with_totp.token, with_totp.email, with_totp.user_id
    device.backup_codes = with_totp.backup_codes
    proof = device.prove()
    wrong = {"password": "wrong", "new_password": "a new battery"}
    assert [device.patch("/users/@me", wrong, X_Discord_MFA_Authorization=proof).status_code for _ in range(2)] == [
        400
    ] * 2
    answer = device.post("/users/@me/mfa/totp/disable", X_Discord_MFA_Authorization=proof)
    device.token = answer.json["token"]
    assert [device.patch("/users/@me", wrong).status_code for _ in range(2)] == [400, 429]


def test_ending_all_others_counts_by_session(alice, limited_device, redis):
    """What was refused for lack of a proof does not count; ending one and logging out are never refused."""
    device, app = limited_device(RATE_LIMIT_END_OTHERS="2 per hour")
    device.log_in(alice)
    client = app.test_client()
    headers = {"Authorization": device.token}

    def end_others():
        return client.post("/me/sessions/revoke-all", headers=headers)

    assert [end_others().status_code for _ in range(3)] == [200, 200, 429]
    assert end_others().json == {"error": "You are being rate limited."}
    page = client.post("/settings/sessions/end", data={"all": "all"}, headers=headers)
    assert page.status_code in (303, 429)
    phone, _ = limited_device(app)
    phone.log_in(alice)
    assert client.post("/settings/sessions/end", data={"all": "all"}, headers=headers).status_code == 429
    assert phone.is_signed_in
    assert device.end([phone.id_hash]).status_code == 204
    assert device.post("/auth/logout").status_code == 204


def test_a_challenge_is_no_ending(alice, limited_device, clock):
    device, app = limited_device(RATE_LIMIT_END_OTHERS="1 per hour")
    device.log_in(alice)
    clock.advance(301)
    client = app.test_client()
    headers = {"Authorization": device.token}
    asked = [client.post("/me/sessions/revoke-all", headers=headers).status_code for _ in range(3)]
    assert asked == [401] * 3
    headers["X-Discord-MFA-Authorization"] = device.prove()
    assert client.post("/me/sessions/revoke-all", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/me/sessions/revoke-all", "/settings/sessions/end"])
def test_ending_all_others_again_and_again_keeps_nobody_from_logging_in(alice, limited_device, path):
    """Over the limit by user all other sessions end as before, but a login that is under way goes on."""
    thief, app = limited_device(RATE_LIMIT_END_OTHERS_USER="2 per hour")
    thief.log_in(alice)
    client = app.test_client()
    accounts = app.extensions["keyrack"].accounts

    def end_others(device):
        form = {"all": "all"} if path.startswith("/settings") else {}
        answer = client.post(path, data=form, headers={"Authorization": device.token})
        assert answer.status_code in (200, 303)

    def version():
        return accounts.get(alice.user_id).credentials_version

    seen = [version()]
    for _ in range(4):
        phone, _ = limited_device(app)
        phone.log_in(alice)
        end_others(thief)
        seen.append(version())
        assert not phone.is_signed_in
    assert [int(later) - int(earlier) for earlier, later in pairwise(seen)] == [1, 1, 0, 0]
    owner, _ = limited_device(app)
    owner.log_in(alice)
    end_others(owner)
    assert not thief.is_signed_in


def test_new_factors_count_by_user_over_all_sessions(alice, limited_device, clock, users):
    """Each is told by a mail with a link of its own, and no hash slows a passkey down. What adds none costs nothing."""
    device, app = limited_device(RATE_LIMIT_NEW_FACTOR="2 per hour")
    device.log_in(alice)
    phone = Authenticator()
    begun = begin(device)
    assert [finish(device, begun, "no passkey").status_code for _ in range(3)] == [400] * 3
    assert [begin(device).keys() for _ in range(3)] == [{"ticket", "challenge"}] * 3
    add(device, phone)
    second, _ = limited_device(app)
    second.token = sign_in(second, phone).json["token"]
    [first] = device.get(CREDENTIALS).json
    proof = prove(device, phone).json["token"]
    assert device.call("DELETE", f"{CREDENTIALS}/{first['id']}", X_Discord_MFA_Authorization=proof).status_code == 204
    second.password = PASSWORD
    assert second.post("/users/@me/mfa/totp/enable", {"password": PASSWORD}).json["code"] == 60005
    second.enable_totp(clock())
    clock.advance(31)
    begun = begin(second, X_Discord_MFA_Authorization=second.prove())
    answer = finish(second, begun, Authenticator().make(begun["challenge"]))
    assert (answer.status_code, answer.headers["X-RateLimit-Limit"]) == (429, "2")
    assert users.get(alice.user_id).factors == {"totp"}


def test_two_processes_count_together(alice, make_app):
    """The limits are in Redis: what one process counted, the other knows."""
    devices = [Device(make_app(RATE_LIMIT_LOGIN="3 per minute").test_client(use_cookies=False)) for _ in range(2)]
    assert [try_log_in(devices[number % 2]) for number in range(4)] == [400, 400, 400, 429]


def test_the_defaults_are_the_contracts(make_app, redis):
    """On by default: the eleventh login in a minute is refused."""
    device = Device(make_app(RATE_LIMIT_LOGIN="", RATE_LIMIT_LOGIN_ADDRESS="").test_client(use_cookies=False))
    assert [try_log_in(device) for _ in range(11)] == [400] * 10 + [429]


def test_looking_is_not_limited(alice, make_app):
    device = Device(make_app(RATE_LIMIT_STEP_UP="1 per hour").test_client(use_cookies=False))
    device.token = alice.token
    assert [device.get("/auth/sessions").status_code for _ in range(60)] == [200] * 60


@pytest.mark.parametrize(
    ("path", "body", "limits"),
    [
        ("/auth/forgot", {"login": ""}, {"RATE_LIMIT_FORGOT": "2 per hour"}),
        ("/auth/login", {"login": "", "password": "wrong"}, {"RATE_LIMIT_LOGIN_ADDRESS": "2 per hour"}),
    ],
)
def test_who_is_over_the_limit_of_their_address_spends_nobodys_budget_and_leaves_nothing(
    alice, limited_device, redis, path, body, limits
):
    """A limit with a longer span than the address' is no exception: what refuses comes first, whatever its numbers."""
    attacker, app = limited_device(RATE_LIMIT_LOGIN="2 per minute", **limits)
    elsewhere, _ = limited_device(app, "192.0.2.2")
    for number in range(2):
        attacker.post(path, body | {"login": f"nobody{number}@example.com"})
    before = redis.dbsize()
    refused = [attacker.post(path, body | {"login": login}) for login in [alice.email, *"abcde"] * 2]
    assert {answer.status_code for answer in refused} == {429}
    assert redis.dbsize() == before
    assert elsewhere.post(path, body | {"login": alice.email}).status_code in (200, 400)


def test_every_route_counts_by_address_first(app):
    for view in app.view_functions.values():
        counted_by = [limit.counted_by for limit in contract_of(view).limits]
        assert "address" not in counted_by[1:]
