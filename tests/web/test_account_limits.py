"""Limits on wrong passwords and codes of one account: over all addresses, and so that strangers lock nobody out."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.stores.mail import new_notice_id
from app.watch import metrics
from tests.device import PASSWORD, Device

API = "/api/v9/auth"
ORIGIN = {"Sec-Fetch-Site": "same-origin"}
HOME, AWAY = "192.0.2.1", "2001:db8:1:1::1"
STRANGERS = [f"198.51.{number}.7" for number in range(100)]

# The ways to give a password and a code: path, names of the fields, and whether it is a form of a page
PASSWORD_PATHS = [(f"{API}/login", "json"), ("/login", "json"), ("/login/form", "data")]
CODE_PATHS = [
    (f"{API}/mfa/totp", "json"),
    (f"{API}/mfa/backup", "json"),
    (f"{API}/mfa/webauthn", "json"),
    ("/login/mfa", "json"),
    ("/login/code", "data"),
]


@pytest.fixture
def at(make_app):
    """Makes devices at an address, of one service with small budgets."""
    app = make_app(
        TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_LOGIN_ACCOUNT="3 per hour", RATE_LIMIT_CODE_ACCOUNT="3 per hour"
    )
    return lambda address: Device(app.test_client(use_cookies=False), {"X_Forwarded_For": address})


@pytest.fixture
def owner(at):
    return at(HOME).register("alice@example.com")


@pytest.fixture
def owner_with_totp(owner, clock):
    owner.enable_totp(clock())
    return owner


def log_in(device, email="alice@example.com", password="wrong password", path=(f"{API}/login", "json"), **headers):
    where, form = path
    return device._client.open(
        where,
        method="POST",
        **{form: {"login": email, "password": password}},
        headers={name.replace("_", "-"): value for name, value in (device._headers | ORIGIN | headers).items()},
    )


def give_code(device, ticket, code="000000", path=CODE_PATHS[0]):
    where, form = path
    headers = {name.replace("_", "-"): value for name, value in (device._headers | ORIGIN).items()}
    return device._client.open(where, method="POST", **{form: {"ticket": ticket, "code": code}}, headers=headers)


def ticket_of(device):
    return log_in(device, password=PASSWORD).json["ticket"]


def hashes_computed():
    return metrics._REGISTRY.get_sample_value("keyrack_bcrypt_seconds_count")


@pytest.mark.parametrize("path", PASSWORD_PATHS)
def test_wrong_passwords_count_by_account_over_all_addresses(owner, at, path):
    """Whichever way they come in; then a right one is refused too, and no hash is computed: nobody learns anything."""
    tried = [log_in(at(stranger), path=path).status_code for stranger in STRANGERS[:4]]
    assert tried == [400, 400, 400, 429]
    before = hashes_computed()
    for way in PASSWORD_PATHS:
        assert log_in(at(STRANGERS[5]), password=PASSWORD, path=way).status_code == 429
    assert hashes_computed() == before


@pytest.mark.parametrize("path", CODE_PATHS)
def test_wrong_codes_count_by_account_over_all_addresses_and_tickets(owner_with_totp, at, clock, path):
    tried = [give_code(at(stranger), ticket_of(at(stranger)), path=path).status_code for stranger in STRANGERS[:4]]
    assert tried == [400, 400, 400, 429]
    clock.advance(30)
    for way in CODE_PATHS:
        right = owner_with_totp.backup_codes[0]
        assert give_code(at(STRANGERS[5]), ticket_of(at(STRANGERS[5])), right, way).status_code == 429


def test_the_refusal_is_the_contracts_and_does_not_tell_whether_the_account_exists(owner, at):
    """Of an account that is not there as many are counted, and the headers are the same."""
    answers = [
        [log_in(at(stranger), email) for stranger in STRANGERS[:4]]
        for email in ("alice@example.com", "nobody@example.com")
    ]
    assert [[answer.status_code for answer in each] for each in answers] == [[400, 400, 400, 429]] * 2
    refusals = [each[-1] for each in answers]
    for refusal in refusals:
        assert set(refusal.json) == {"message", "retry_after", "global"}
        assert 3000 < refusal.json["retry_after"] <= 3600
        assert 3000 < int(refusal.headers["Retry-After"]) <= 3601
    told = [
        {n: v for n, v in refusal.headers if n.startswith("X-RateLimit-") and "Reset" not in n} for refusal in refusals
    ]
    assert told[0] == told[1] == told[0] | {"X-RateLimit-Limit": "3", "X-RateLimit-Remaining": "0"}


@pytest.mark.parametrize("home", [HOME, AWAY])
def test_strangers_do_not_lock_the_owner_out_where_they_signed_in_from(owner, at, home):
    """An address of a living session has a budget of its own; of IPv6 the whole /64 is the address."""
    at(home).log_in(owner)
    for stranger in STRANGERS[:4]:
        log_in(at(stranger))
    assert log_in(at(home.replace("::1", "::ffff")), password=PASSWORD).status_code == 200
    assert [log_in(at(home)).status_code for _ in range(4)] == [400, 400, 400, 429]
    assert log_in(at(STRANGERS[9]), password=PASSWORD).status_code == 429


def test_strangers_do_not_lock_the_owner_out_of_a_session_that_ended_lately(owner, at):
    traveller = at(AWAY).log_in(owner)
    assert traveller.post("/auth/logout").status_code == 204
    for stranger in STRANGERS[:4]:
        log_in(at(stranger))
    assert log_in(at(AWAY), password=PASSWORD).status_code == 200


@pytest.mark.parametrize("headers", [{"Authorization": "{}"}, {"Cookie": "__Host-session={}"}])
def test_strangers_do_not_lock_the_owner_out_on_a_device_that_moves_about(owner, at, headers):
    """The token of a session that lives or ended lately tells the device, but lets nobody in."""
    for stranger in STRANGERS[:4]:
        log_in(at(stranger))
    carried = {name: value.format(owner.token) for name, value in headers.items()}
    made_up = {name: value.format(owner.token[:-4] + "AAAA") for name, value in headers.items()}
    assert log_in(at(STRANGERS[9]), password=PASSWORD, **made_up).status_code == 429
    assert log_in(at(STRANGERS[9]), password=PASSWORD, **carried).status_code == 200
    assert [log_in(at(STRANGERS[9]), **carried).status_code for _ in range(4)] == [400, 400, 400, 429]


def test_strangers_do_not_lock_the_owner_out_of_the_second_step(owner_with_totp, at):
    """Who knows the password and guesses codes spends the strangers' budget alone."""
    for stranger in STRANGERS[:4]:
        give_code(at(stranger), ticket_of(at(stranger)))
    assert give_code(at(HOME), ticket_of(at(HOME)), owner_with_totp.backup_codes[0]).status_code == 200


def test_right_answers_cost_nothing(owner_with_totp, at):
    """Neither does what was refused for another reason: a ticket that is none, a form that is wrong."""
    for stranger, code in zip(STRANGERS[:5], owner_with_totp.backup_codes[:5], strict=True):
        assert give_code(at(stranger), ticket_of(at(stranger)), code).status_code == 200
        assert give_code(at(stranger), "made up").json["code"] == 60006
    tried = [give_code(at(stranger), ticket_of(at(stranger))).status_code for stranger in STRANGERS[10:14]]
    assert tried == [400, 400, 400, 429]


def test_who_is_over_the_limit_of_their_address_spends_nothing_of_the_accounts(make_app, at, owner):
    app = make_app(
        TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_LOGIN_ADDRESS="1 per hour", RATE_LIMIT_LOGIN_ACCOUNT="3 per hour"
    )
    attacker = Device(app.test_client(use_cookies=False), {"X_Forwarded_For": STRANGERS[0]})
    assert [log_in(attacker).status_code for _ in range(9)] == [400] + [429] * 8
    assert log_in(at(STRANGERS[1]), password=PASSWORD).status_code == 200


def test_wrong_codes_of_a_reset_count_by_user_apart_from_logins(owner_with_totp, at, clock):
    """So whoever knows the password alone keeps nobody from setting a new one."""
    rules = owner_with_totp._client.application.extensions["keyrack"]
    for stranger in STRANGERS[:4]:
        give_code(at(stranger), ticket_of(at(stranger)))

    def answer(device, code):
        version = rules.accounts.get(owner_with_totp.user_id).secrets_version
        link = {
            "token": rules.links.issue_reset(owner_with_totp.user_id, version, clock(), new_notice_id()),
            "password": "a new battery",
        }
        asked = device.post("/auth/reset", link)
        if asked.status_code == 429:
            return 429
        return device.post("/auth/reset", link | {"ticket": asked.json["ticket"], "code": code}).status_code

    assert [answer(at(stranger), "000000") for stranger in STRANGERS[20:22]] == [400, 400]
    assert answer(at(STRANGERS[22]), owner_with_totp.backup_codes[0]) == 200
    assert [answer(at(stranger), "000000") for stranger in STRANGERS[23:25]] == [400, 429]


@pytest.mark.parametrize("redis", ["real", "cluster"], indirect=True)
def test_what_runs_at_once_gives_no_more_wrong_answers(owner_with_totp, at):
    tickets = [ticket_of(at(HOME)) for _ in range(12)]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda n: give_code(at(STRANGERS[n]), tickets[n]).status_code, range(12)))
    assert sorted(answers) == [400] * 3 + [429] * 9


def test_made_up_logins_leave_no_more_than_the_budget_of_their_address(make_app, redis):
    """Two counters for each login that the address limit lets through, and its own; a made-up ticket leaves none."""
    app = make_app(TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_LOGIN_ADDRESS="5 per hour")
    attacker = Device(app.test_client(use_cookies=False), {"X_Forwarded_For": STRANGERS[0]})
    for number in range(40):
        log_in(attacker, f"nobody{number}@example.com")
    assert len(list(redis.scan_iter("*"))) == 1 + 2 * 5
    assert all(0 < redis.ttl(key) <= 3600 for key in redis.scan_iter("*"))
    another = Device(app.test_client(use_cookies=False), {"X_Forwarded_For": STRANGERS[1]})
    before = len(list(redis.scan_iter("*")))
    give_code(another, "made up")
    assert len(list(redis.scan_iter("*"))) == before + 2  # its address, and the pair


def test_the_defaults_are_the_contracts(make_app, owner, clock):
    """20 wrong codes and 100 wrong passwords an hour, from as many addresses as there are."""
    app = make_app(TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_LOGIN_ACCOUNT="", RATE_LIMIT_CODE_ACCOUNT="")
    owner.enable_totp(clock())
    devices = [Device(app.test_client(use_cookies=False), {"X_Forwarded_For": stranger}) for stranger in STRANGERS]
    codes = [give_code(device, ticket_of(device)).status_code for device in devices[:21]]
    assert codes == [400] * 20 + [429]
    assert [log_in(device).status_code for device in devices] == [400] * 100
    assert log_in(devices[0]).status_code == 429


def test_a_session_has_one_budget_wherever_it_is_used(owner, at, clock):
    """A stolen token makes each address known where it is used; that must not multiply the guesses."""
    tried = []
    for stranger in STRANGERS[:4]:
        clock.advance(61)
        assert at(stranger).get("/users/@me", Authorization=owner.token).status_code == 200
        tried += [log_in(at(stranger)).status_code for _ in range(3)]
    assert tried.count(400) == 3


def test_a_known_device_is_not_kept_out_by_a_neighbour_at_its_address(owner, at):
    """A whole school may have one address. The device is looked at first."""
    others = at(HOME).log_in(owner)
    assert [log_in(at(HOME)).status_code for _ in range(4)] == [400, 400, 400, 429]
    answers = [log_in(at(HOME), password=PASSWORD, Authorization=known.token) for known in (owner, others)]
    assert 200 in [answer.status_code for answer in answers]
