"""`flask users`: each command does what it says, asks before it harms, and shows nothing that could fool a terminal."""

import re

import pytest

from app import create_app
from app.config import load_settings
from app.stores.connection.connect import connect
from app.stores.job_records import Settled
from app.stores.keys import unprefixed as keys
from app.stores.mail import MailStore, new_notice_id
from app.stores.passkeys import Passkey
from app.stores.session_records import Client
from app.stores.users import Change
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD, Device
from tests.passkeys import add, sign_in
from tests.queues import left
from tests.web.test_secrets import dump

NEW = "another long password"
PHONE = Passkey("credential-of-alices-phone", "11", "Phone", b"key", 0, (), True, 7)


def test_who_is_created_can_log_in(run, new_device):
    """The password comes from the input, and stands in no output."""
    ran = run("users", "create", "Carol@Example.com", "--username", "carol", "--json", given=f"{PASSWORD}\n")
    [made] = ran.json
    assert (ran.exit_code, made["email"], made["username"]) == (0, "Carol@Example.com", "carol")
    assert PASSWORD not in ran.out + ran.err
    device = Device(None)
    device.email, device.password = "carol@example.com", PASSWORD
    assert new_device().log_in(device).user_id == made["id"]


@pytest.mark.parametrize(
    ("args", "given", "exit_code", "said"),
    [
        (["alice@example.com", "--username", "alice"], PASSWORD, 4, "Email is already registered"),
        (["carol@example.com", "--username", "carol"], "short", 2, "Must be between 8 and 72"),
        (["carol@example.com", "--username", "carol"], "", 2, "password"),
        (["carol@example.com", "--username", "carol"], "password123", 2, "too weak or common"),
        (["no address", "--username", "carol"], PASSWORD, 2, "Not a well formed email address"),
        (["carol@example.com", "--username", "c\x1b[2J"], PASSWORD, 2, "hidden characters"),
        (["carol@example.com", "--username", "carol", "--password", PASSWORD], "", 2, "No such option"),
    ],
)
def test_create_refuses_what_registration_refuses(run, alice, user_ids, args, given, exit_code, said):
    ran = run("users", "create", *args, given=given)
    assert ran.exit_code == exit_code
    assert said in ran.err
    assert user_ids() == {alice.user_id}


def test_show_by_id_and_by_address(run, with_totp, bob, clock):
    [shown] = run("users", "show", "ALICE@example.com", "--json").json
    assert run("users", "show", with_totp.user_id, "--json").json == [shown]
    assert (shown["id"], shown["mfa_enabled"], shown["sessions"], shown["disabled"]) == (
        with_totp.user_id,
        True,
        1,
        False,
    )
    assert shown["backup_codes_left"] == 10
    assert "hash" not in str(shown)
    assert "alice@example.com" in run("users", "show", with_totp.user_id).out
    assert run("users", "show", "dave@example.com").exit_code == 1
    assert run("users", "show", "1").exit_code == 1


def test_list_has_everybody(run, users):
    """More of them than are read at once."""
    assert run("users", "list").exit_code == 1
    for number in range(1, 451):
        address = f"{number}@example.com"
        named = {"email": address, "username": f"u{number}", "global_name": None}
        users.create(str(number), address, **named, password_hash="$2b$04$x", created_at=number)
    assert {user["id"] for user in run("users", "list", "--json").json} == {str(number) for number in range(1, 451)}
    assert len(run("users", "list").out.splitlines()) == 450


def test_nothing_shown_moves_a_terminals_cursor(run, alice, redis):
    """Whatever stands in Redis: names and addresses lose what is hidden, JSON has it escaped."""
    evil = "\x1b[2Jalice\u202e\x9b1m\x7f\r\nroot\u2028"
    redis.hset(keys.user(alice.user_id), mapping={"username": evil, "email": f"{evil}@example.com"})
    record = redis.hget(keys.sessions(alice.user_id), alice.id_hash).replace("127.0.0.1", "127.0.0.1\\u001b[31m")
    redis.hset(keys.sessions(alice.user_id), alice.id_hash, record)
    for command in (["users", "list"], ["users", "show", alice.user_id], ["sessions", "list"]):
        assert "\x1b" not in run(*command).out
        assert run(*command, "--json").out.isascii()
    assert run("users", "list").out.count("\n") == 1
    assert run("users", "list", "--json").json[0]["username"] == evil
    assert "[2Jalice" in run("users", "delete", alice.user_id).err


@pytest.mark.parametrize("command", ["disable", "delete", "set-password", "reset-mfa"])
def test_harm_is_asked_for(run, with_totp, redis, command):
    """Where nobody can be asked the answer is no, and nothing changes."""
    before = dump(redis)
    ran = run("users", command, with_totp.email, given=f"{NEW}\n")
    assert ran.exit_code == 4
    assert "--yes" in ran.err
    assert dump(redis) == before
    assert run("users", command, "nobody@example.com", "--yes", given=f"{NEW}\n").exit_code == 1


def test_disable_and_enable(run, alice, bob, new_device, heard):
    hashes = sorted([alice.id_hash, new_device().log_in(alice).id_hash])
    heard()
    assert run("users", "disable", alice.email, "--yes").exit_code == 0
    assert heard() == [(id_hash, "admin") for id_hash in hashes]
    assert not alice.is_signed_in
    assert new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD}).status_code == 400
    assert bob.is_signed_in
    assert run("users", "enable", alice.user_id).exit_code == 0
    assert new_device().log_in(alice).is_signed_in


def test_set_password_ends_all_and_stops_logins_under_way(run, with_totp, bob, new_device, heard):
    alice, id_hash = with_totp, with_totp.id_hash
    ticket = new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD}).json["ticket"]
    heard()
    ran = run("users", "set-password", alice.email, "--yes", given=f"{NEW}\n")
    assert (ran.exit_code, NEW in ran.out + ran.err) == (0, False)
    assert heard() == [(id_hash, "admin")]
    code = alice.backup_codes.pop()
    assert new_device().post("/auth/mfa/backup", {"ticket": ticket, "code": code}).json["code"] == 60006
    assert new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD}).status_code == 400
    alice.password = NEW
    assert new_device().log_in(alice).is_signed_in
    assert bob.is_signed_in


def test_set_password_refuses_a_weak_one(run, alice):
    ran = run("users", "set-password", alice.email, "--yes", given="password123\n")
    assert ran.exit_code == 2
    assert "too weak or common" in ran.err
    assert alice.is_signed_in


def test_reset_mfa(run, with_totp, bob, new_device, heard, redis):
    """The password alone signs in again; the factor, its codes and every session are gone."""
    id_hash = with_totp.id_hash
    heard()
    assert run("users", "reset-mfa", with_totp.email, "--yes").exit_code == 0
    assert heard() == [(id_hash, "admin")]
    assert not redis.exists(keys.backup_codes(with_totp.user_id))
    answer = new_device().post("/auth/login", {"login": with_totp.email, "password": PASSWORD})
    assert "token" in answer.json
    assert run("users", "reset-mfa", with_totp.email, "--yes").exit_code == 1
    assert run("users", "reset-mfa", bob.email, "--yes").exit_code == 1
    assert bob.is_signed_in


def test_reset_mfa_takes_passkeys_too(run, alice, new_device, redis):
    """Each kind that goes is on record, and told to the user."""
    phone = Authenticator()
    add(alice, phone)
    id_hash = alice.id_hash
    assert new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD}).json["webauthn"]
    ran = run("users", "reset-mfa", alice.email, "--yes")
    assert ran.exit_code == 0
    assert [line["what"] for line in ran.audit if line["event"] == "credentials_changed"] == ["passkey_removed"]
    assert sign_in(new_device(), phone).json["code"] == 60008
    assert "token" in new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD}).json
    assert not redis.exists(keys.passkeys(alice.user_id), keys.backup_codes(alice.user_id))
    assert not alice.is_signed_in
    assert id_hash in str(ran.audit)


def queue_mails(store, clock, alice, bob, new_device, app):
    """For both: one due, one put aside, one given up; and links for those of alice."""
    mails = MailStore(store, clock)
    for device in (alice, bob):
        mails.forget(device.user_id)  # those that verify an address
    for _ in range(3):
        for device in (alice, bob):
            new_device().post("/auth/forgot", {"login": device.email})
    for _ in range(2):
        [job] = mails.turn("worker", [], 1, 60)
        mails.turn("worker", [Settled(job, "postponed", clock() + 60)], 0, 60)
    for _ in range(2):
        [job] = mails.turn("worker", [], 1, 60)
        mails.turn("worker", [Settled(job, "dead", failure="refused")], 0, 60)
    links = app.extensions[EXTENSION].links
    links.issue_not_me(alice.user_id, alice.id_hash, new_notice_id())
    links.issue_reset(alice.user_id, "9", clock(), new_notice_id())


def test_who_is_deleted_leaves_nothing(run, alice, bob, new_device, redis, store, clock, app, users):
    """Every key and value of Redis, searched for whatever named them: id, address, names, sessions, secrets' hashes."""
    queue_mails(store, clock, alice, bob, new_device, app)
    digest = app.extensions[EXTENSION].accounts.digest_of(alice.email)
    redis.lpush(f"LIMITS:LIMITER/127.0.0.1/{digest}/login/10/1/minute", 1)  # as from before they registered
    assert left(redis) == (2, 2, 2)
    new_device().post("/auth/login", {"login": "bob@example.com", "password": "wrong password"})
    alice.prove()
    alice.challenge()
    alice.enable_totp(clock())
    clock.advance(30)
    phone = new_device(User_Agent="Alices phone").log_in(alice)
    hashes = [alice.id_hash, phone.id_hash]
    alice.end([phone.id_hash])
    new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD})
    users.change(alice.user_id, Change(add_passkey=PHONE))
    record = redis.hgetall(keys.user(alice.user_id))
    codes = redis.smembers(keys.backup_codes(alice.user_id))
    named = [alice.user_id, "alice", digest, *hashes, record["password_hash"], record["totp_secret"], *codes]
    named.append(PHONE.cred_id)
    held = dump(redis)
    assert [name for name in named if name not in held] == []
    ran = run("users", "delete", alice.email, "--yes")
    assert ran.exit_code == 0
    held = dump(redis)
    assert [name for name in named if name in held] == []
    assert left(redis)[0] + left(redis)[1] == 2  # what was open and is deleted is let go of at the next turn
    assert left(redis)[2] == 1
    assert held.count(f'"user_id":"{bob.user_id}"') == 3
    assert bob.is_signed_in
    assert run("users", "delete", alice.email, "--yes").exit_code == 1
    assert new_device().register(alice.email).is_signed_in


def test_a_deletion_that_was_interrupted_is_done_again(run, alice, redis):
    """The record goes last: while anything is left, the user is found by their id."""
    redis.delete(keys.email(alice.email), keys.last_used(alice.user_id))
    assert keys.sessions(alice.user_id) in dump(redis)
    assert run("users", "delete", alice.user_id, "--yes").exit_code == 0
    assert alice.user_id not in dump(redis)


@pytest.mark.parametrize("command", [["users", "list"], ["users", "show", "1"], ["sessions", "end-all", "--yes"]])
def test_redis_away_is_a_sentence(command):
    app = create_app(load_settings(ENVIRONMENT), connect("redis://127.0.0.1:1"))
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 3
    assert result.output.startswith("Error: Redis is away")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "act", "beside"),
    [
        (["users", "disable"], "disable", ["sessions_ended", "account_disabled"]),
        (["users", "enable"], "enable", ["account_enabled"]),
        (["users", "set-password"], "set-password", ["sessions_ended", "credentials_changed"]),
        (["users", "reset-mfa"], "reset-mfa", ["sessions_ended", "credentials_changed"]),
        (["users", "delete"], "delete", ["sessions_ended", "account_deleted"]),
        (["sessions", "end", "--user"], "end", ["sessions_ended"]),
        (["sessions", "end-all", "--user"], "end-all", ["sessions_ended"]),
    ],
)
def test_what_is_done_is_on_record(run, with_totp, command, act, beside):
    """One line for the act, beside those of what it did; the operator is named, the user by id alone."""
    flags = [] if act == "enable" else ["--yes"]
    ran = run(*command, with_totp.email, *flags, given=f"{NEW}\n")
    assert [line["event"] for line in ran.audit] == [*beside, "operator_acted"]
    assert ran.audit[-1]["act"] == act
    assert all(line["actor"]["operator"] for line in ran.audit)
    assert all(line["user_id"] == with_totp.user_id for line in ran.audit if line["event"] != "operator_acted")
    assert with_totp.email not in str(ran.audit)


def test_what_is_refused_is_not(run, with_totp):
    assert run("users", "disable", with_totp.email).audit == []
    assert run("sessions", "end-all").audit == []
    assert run("users", "list").audit == []


@pytest.mark.parametrize(("command", "kind"), [("set-password", "password_changed"), ("reset-mfa", "totp_off")])
def test_users_are_told_what_operators_changed(run, with_totp, redis, command, kind):
    """By mail, as of their own changes: it may have been somebody else who asked the operator."""
    run("users", command, with_totp.email, "--yes", given=f"{NEW}\n")
    [notice] = [fields["notice"] for _, fields in redis.xrange(keys.mail.waiting) if f'"{kind}"' in fields["notice"]]
    assert with_totp.user_id in notice


def test_remembered_devices_are_shown_and_forgotten(run, with_totp, app, users):
    assert run("users", "forget-remembered", with_totp.email).exit_code == 1
    for platform in ("Firefox", "Chrome"):
        client = Client(os="Linux", platform=platform, ip="192.0.2.1")
        _, device = app.extensions[EXTENSION].remembered.prepare(with_totp.user_id, client)
        users.change(with_totp.user_id, Change(same_credentials=True, remembers=device))
    assert re.search("remembered +Firefox on Linux", run("users", "show", with_totp.email).out)
    [shown] = run("users", "show", with_totp.email, "--json").json
    assert {(one["device"], one["ip"]) for one in shown["remembered"]} == {
        ("Firefox on Linux", "192.0.2.1"),
        ("Chrome on Linux", "192.0.2.1"),
    }
    ran = run("users", "forget-remembered", with_totp.email)
    assert "2 remembered devices" in ran.out
    acts = [(line["act"], line["devices"]) for line in ran.audit if line["event"] == "operator_acted"]
    assert acts == [("forget-remembered", 2)]
    assert run("users", "show", with_totp.email, "--json").json[0]["remembered"] == []
    assert run("sessions", "list", "--user", with_totp.email, "--json").json


def test_tidy_deletes_who_is_due_and_doctor_tells_if_it_does_not_run(alice, run, clock):
    assert alice.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    [shown] = run("users", "show", alice.email, "--json").json
    assert (shown["left"], shown["disabled"], shown["verified"]) == ("deleted", True, False)
    assert shown["delete_at"]
    assert "deleted on" in run("users", "list").out
    assert "0 users deleted" in run("users", "tidy").out
    clock.advance(16 * 24 * 3600)
    assert "1 account should have been deleted" in run("doctor").out
    assert "1 user deleted" in run("users", "tidy").out
    assert "No account is overdue for its deletion" in run("doctor").out
    assert run("users", "show", alice.email).exit_code == 1
