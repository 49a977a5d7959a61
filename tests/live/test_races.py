"""What holds when requests race: in threads, through two workers of gunicorn, on a real Redis."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import requests

from app.rules.keyring import Keyring
from app.rules.links import Links
from app.stores.connection.connect import from_redis_py
from app.stores.links import LinkStore
from app.stores.mail import new_notice_id
from app.stores.scripts import SessionScripts
from tests.conftest import LIFETIMES
from tests.device import PASSWORD
from tests.live.server import Service


def count(answers, status):
    return sum(answer.status_code == status for answer in answers)


def test_16_logins_at_once_are_16_sessions(alice, service, at_once):
    """None overwrites another: all of them are listed."""
    devices = [service.device() for _ in range(16)]
    at_once(*(lambda device=device: device.log_in(alice) for device in devices))
    assert len(alice.id_hashes()) == 17
    assert all(device.is_signed_in for device in devices)


def test_the_cap_holds_when_logins_race(alice, service, at_once):
    """60 logins, eight at a time, are 50 sessions; none of the newest eight is gone."""
    for _ in range(7):
        devices = [service.device() for _ in range(8)]
        at_once(*(lambda device=device: device.log_in(alice) for device in devices))
    assert len(devices[0].id_hashes()) == 50
    assert all(device.is_signed_in for device in devices)


def test_one_address_registers_once(service, at_once, real_redis):
    body = {"email": "carol@example.com", "username": "carol", "password": PASSWORD}
    answers = at_once(*[lambda: service.device().post("/auth/register", body)] * 8)
    assert (count(answers, 201), count(answers, 400)) == (1, 7)
    assert len(list(real_redis.scan_iter("user:{*}"))) == 1


def test_a_step_up_ticket_is_claimed_once(alice, at_once):
    body = {"ticket": alice.challenge()["ticket"], "mfa_type": "password", "data": PASSWORD}
    answers = at_once(*[lambda: alice.post("/mfa/finish", body)] * 8)
    assert count(answers, 200) == 1
    assert {answer.json["code"] for answer in answers if answer.status_code != 200} == {60006}


@pytest.fixture
def links(real_redis):
    """What makes the links that mails carry, on the Redis of the service."""
    scripts = SessionScripts(from_redis_py(real_redis), LIFETIMES)
    return Links(LinkStore(from_redis_py(real_redis), scripts), Keyring(["k" * 32]))


@pytest.mark.parametrize("factor", ["password", "totp"])
def test_a_reset_link_works_once(alice, service, at_once, links, factor):
    """Eight at once: one sets the password and is signed in; with a second factor each has a ticket and a code."""
    password = "another horse battery"
    more = [{}] * 8
    if factor == "totp":
        alice.enable_totp(time.time())
    link = links.issue_reset(alice.user_id, "0" if factor == "password" else "1", time.time(), new_notice_id())
    if factor == "totp":
        asked = [alice.post("/auth/reset", {"token": link, "password": password}).json for _ in range(8)]
        more = [{"ticket": ask["ticket"], "code": alice.backup_codes.pop(), "method": "backup"} for ask in asked]
    answers = at_once(
        *(lambda own=own: alice.post("/auth/reset", {"token": link, "password": password} | own) for own in more)
    )
    assert (count(answers, 200), count(answers, 400)) == (1, 7)
    assert not alice.is_signed_in
    [alice.token] = [answer.json["token"] for answer in answers if answer.status_code == 200]
    assert len(alice.id_hashes()) == 1


def test_a_not_me_link_works_once(alice, service, at_once, links, real_redis):
    phone = service.device().log_in(alice)
    link = links.issue_not_me(alice.user_id, phone.id_hash, new_notice_id())
    url = service.url + "/not-me/form"
    answers = at_once(*[lambda: requests.post(url, data={"token": link}, timeout=60)] * 8)
    assert (count(answers, 200), count(answers, 400)) == (1, 7)
    assert (alice.is_signed_in, phone.is_signed_in) == (True, False)


def test_a_totp_code_passes_once(alice, at_once):
    """Eight tickets, one code: at login and step-up together exactly one passes."""
    alice.enable_totp(time.time() - 30)
    code = alice.code(time.time())
    logins = [alice.post("/auth/login", {"login": alice.email, "password": PASSWORD}).json["ticket"] for _ in range(4)]
    step_ups = [alice.challenge()["ticket"] for _ in range(4)]
    answers = at_once(
        *(lambda ticket=ticket: alice.post("/auth/mfa/totp", {"ticket": ticket, "code": code}) for ticket in logins),
        *(
            lambda ticket=ticket: alice.post("/mfa/finish", {"ticket": ticket, "mfa_type": "totp", "data": code})
            for ticket in step_ups
        ),
    )
    assert count(answers, 200) == 1
    assert {answer.json["code"] for answer in answers if answer.status_code != 200} == {60008}


@pytest.mark.parametrize("same_ticket", [True, False])
def test_a_backup_code_passes_once(alice, at_once, same_ticket):
    alice.enable_totp(time.time())

    def ticket():
        return alice.post("/auth/login", {"login": alice.email, "password": PASSWORD}).json["ticket"]

    tickets = [ticket()] * 8 if same_ticket else [ticket() for _ in range(8)]
    code = alice.backup_codes[0]
    answers = at_once(
        *(lambda one=one: alice.post("/auth/mfa/backup", {"ticket": one, "code": code}) for one in tickets)
    )
    assert count(answers, 200) == 1
    assert len(alice.id_hashes()) == 2


def test_wrong_answers_at_once_cannot_be_more_than_five(alice, at_once):
    """Twelve guesses in the same moment are judged five times; the ticket is dead then."""
    body = {"ticket": alice.challenge()["ticket"], "mfa_type": "password", "data": "wrong"}
    answers = at_once(*[lambda: alice.post("/mfa/finish", body)] * 12)
    codes = [answer.json["code"] for answer in answers]
    assert (codes.count(60008), codes.count(60006)) == (5, 7)


@pytest.fixture(scope="module")
def four_workers(live_server):
    service = Service(live_server.url, WEB_CONCURRENCY="4")
    yield service
    service.close()


@pytest.mark.parametrize("path", ["/gateway/verify", "/users/@me"])
def test_no_yes_after_the_204(alice, service, four_workers, path):
    """100 readers use a token while it is ended, and thrice after: none hears a yes that it asked for after the 204."""
    phone = four_workers.device().log_in(alice)
    ended_hash, proof = phone.id_hash, alice.prove()
    alices = service.device()  # a connection of its own: one that is kept may be closed while 100 readers set out
    alices.token = alice.token
    over = Event()

    def ask():
        asked_at = time.monotonic()
        return asked_at, phone.get(path).status_code

    def read():
        heard = []
        while not over.is_set():
            heard.append(ask())
        return heard + [ask() for _ in range(3)]

    with ThreadPoolExecutor(100) as readers:
        reading = [readers.submit(read) for _ in range(100)]
        try:
            assert alices.end([ended_hash], proof).status_code == 204
            ended_at = time.monotonic()
        finally:
            over.set()
        heard = [answer for future in reading for answer in future.result()]
    assert {status for asked_at, status in heard if asked_at >= ended_at} == {401}
    assert {status for _, status in heard} == {200, 401}
    assert ended_hash not in alice.id_hashes()


def test_an_ended_session_stays_ended_while_its_use_is_noted(alice, service, real_redis, at_once):
    """Last-use writes that race with the ending bring nothing back."""
    proof = alice.prove()
    for _ in range(5):
        phone = service.device().log_in(alice)
        ended_hash = phone.id_hash
        last_used = f"user:{{{alice.user_id}}}:last_used"
        real_redis.zincrby(last_used, -120, ended_hash)  # so that each of these requests wants to note its use
        answers = at_once(
            *[lambda: phone.get("/users/@me")] * 15,
            lambda: alice.end([ended_hash], proof),
            *[lambda: phone.get("/users/@me")] * 15,
        )
        assert count(answers, 204) == 1
        assert phone.get("/users/@me").status_code == 401
        assert real_redis.zscore(last_used, ended_hash) is None
        assert not real_redis.hexists(f"user:{{{alice.user_id}}}:sessions", ended_hash)


def test_no_login_with_the_old_password_outlives_its_change(alice, service, at_once):
    """Logins under way while the password changes: whatever comes of them, no session does."""
    for number in range(4):
        new_password = f"password number {number}"
        devices = [service.device() for _ in range(6)]
        old = {"login": alice.email, "password": alice.password}
        answers = at_once(
            *(lambda device=device: device.post("/auth/login", old) for device in devices),
            lambda: alice.patch("/users/@me", {"password": alice.password, "new_password": new_password}),
        )
        assert answers[-1].status_code == 200
        alice.token, alice.password = answers[-1].json["token"], new_password
        for answer in answers[:-1]:
            token = answer.json.get("token")
            assert token is None or service.device().get("/users/@me", Authorization=token).status_code == 401
        assert len(alice.id_hashes()) == 1


def test_two_who_sign_each_other_out(alice, service, at_once):
    """Of two sessions that end each other in the same moment one is left, never none."""
    for _ in range(5):
        one, other = service.device().log_in(alice), service.device().log_in(alice)
        pairs = [(one, other.id_hash, one.prove()), (other, one.id_hash, other.prove())]
        answers = at_once(
            *(
                lambda device=device, target=target, proof=proof: device.end([target], proof)
                for device, target, proof in pairs
            )
        )
        assert sorted(answer.status_code for answer in answers) == [204, 401]
        assert [one.is_signed_in, other.is_signed_in].count(True) == 1
