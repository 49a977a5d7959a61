"""`flask users replay`: a restored backup lets nobody in whom it should not, and a second run changes nothing."""

import json
import time
from pathlib import Path

import pytest

from app.times import iso
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device
from tests.passkeys import CREDENTIALS, add, prove, sign_in

NEW = "another long password"


class Backup:
    """A copy of everything in Redis, as a snapshot has it."""

    def __init__(self, redis):
        self._redis = redis
        self._held = {key: (self._ttl(key), redis.dump(key)) for key in redis.scan_iter()}

    def _ttl(self, key):
        return max(self._redis.pttl(key), 0)

    def restore(self):
        for key in list(self._redis.scan_iter()):
            self._redis.delete(key)
        for key, (ttl, value) in self._held.items():
            self._redis.restore(key, ttl, value)


@pytest.fixture
def audit(caplog):
    """The audit lines so far, in the form of a log file."""
    from app.watch import logs  # noqa: PLC0415 - what the file is made by

    form = logs.JsonLine()
    return lambda: "".join(f"{form.format(line)}\n" for line in caplog.records if line.name == logs.AUDIT)


@pytest.fixture
def log_file(audit, tmp_path):
    def write():
        file = tmp_path / "audit.log"
        file.write_text("no JSON\n[]\n{}\n5\n" + audit())
        return str(file)

    return write


def may_log_in(new_device, email, password=PASSWORD):
    answer = new_device().post("/auth/login", {"login": email, "password": password})
    return answer.json.get("token") is not None or answer.json.get("mfa") is True


@pytest.fixture
def people(new_device):
    names = ("deleted", "disabled", "enabled", "changed", "guarded", "opened", "codes", "spent", "untouched")
    return {name: new_device().register(f"{name}@example.com") for name in names}


def test_a_restored_backup_lets_in_nobody_who_was_kept_out(run, people, new_device, redis, clock, log_file):
    """The walk of docs/operations.md: back up, change, restore, end all sessions, replay."""
    for name in ("opened", "codes", "spent"):
        people[name].enable_totp(clock())
    run("users", "disable", "enabled@example.com", "--yes")
    since = iso(time.time())  # log lines have the real time
    clock.advance(60)
    backup = Backup(redis)
    codes = {name: list(people[name].backup_codes) for name in ("codes", "spent")}

    run("users", "delete", "deleted@example.com", "--yes")
    run("users", "disable", "disabled@example.com", "--yes")
    run("users", "enable", "enabled@example.com")
    people["changed"].patch("/users/@me", {"password": PASSWORD, "new_password": NEW})
    people["guarded"].enable_totp(clock())
    run("users", "reset-mfa", "opened@example.com", "--yes")
    body = {"password": PASSWORD, "regenerate": True}
    proof = people["codes"].prove()
    people["codes"].post("/users/@me/mfa/codes", body, X_Discord_MFA_Authorization=proof)
    spent = Device(people["spent"]._client, {}).log_in(people["spent"])
    file = log_file()

    backup.restore()
    assert may_log_in(new_device, "deleted@example.com")
    assert may_log_in(new_device, "disabled@example.com")
    assert run("sessions", "end-all", "--yes").exit_code == 0
    ran = run("users", "replay", file, "--since", since, "--dry-run", "--json")
    counts = {"deleted": 1, "disabled": 1, "enabled": 1, "credentials": 5}
    assert (ran.exit_code, ran.json) == (0, [counts])
    assert may_log_in(new_device, "deleted@example.com")
    assert run("users", "replay", file, "--since", since).exit_code == 4
    ran = run("users", "replay", "-", "--since", since, "--yes", "--json", given=Path(file).read_text())
    assert (ran.exit_code, ran.json) == (0, [counts]), ran.err

    assert not spent.is_signed_in
    kept_out = ("deleted", "disabled", "changed", "guarded", "opened")
    assert [name for name in kept_out if may_log_in(new_device, f"{name}@example.com")] == []
    assert not may_log_in(new_device, "changed@example.com", NEW)
    assert [name for name in ("enabled", "untouched") if not may_log_in(new_device, f"{name}@example.com")] == []
    for name, old in codes.items():
        ticket = new_device().post("/auth/login", {"login": f"{name}@example.com", "password": PASSWORD}).json["ticket"]
        answer = new_device().post("/auth/mfa/backup", {"ticket": ticket, "code": old[-1]})
        assert answer.status_code == 400, name
    assert [line["event"] for line in ran.audit if line["event"] == "account_replayed"] == ["account_replayed"] * 7

    again = run("users", "replay", file, "--since", since, "--yes", "--json")
    assert (again.exit_code, again.json) == (1, [dict.fromkeys(counts, 0)])


def test_what_happened_after_the_replay_stays(run, alice, new_device, redis, clock, log_file):
    """A new password since then is not withdrawn by a second run, though the log has it."""
    backup = Backup(redis)
    alice.patch("/users/@me", {"password": PASSWORD, "new_password": NEW})
    backup.restore()
    assert run("users", "replay", log_file(), "--since", "1h", "--yes").exit_code == 0
    assert not may_log_in(new_device, alice.email)
    assert run("users", "set-password", alice.email, "--yes", given=f"{NEW}\n").exit_code == 0
    assert run("users", "replay", log_file(), "--since", "1h", "--yes").exit_code == 1
    assert may_log_in(new_device, alice.email, NEW)


@pytest.mark.parametrize("came_back", [False, True])
def test_who_had_left_has_left_again(run, alice, new_device, app, redis, clock, log_file, came_back):
    """Until the day that they were told, and not if they came back since."""
    backup = Backup(redis)
    assert alice.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    body = {"login": alice.email, "password": PASSWORD, "undelete": True}
    if came_back:
        assert new_device().post("/auth/login", body).status_code == 200
    due = app.extensions[EXTENSION].accounts.get(alice.user_id).delete_at
    backup.restore()
    assert run("users", "replay", log_file(), "--since", "1h", "--yes").exit_code == (1 if came_back else 0)
    user = app.extensions[EXTENSION].accounts.get(alice.user_id)
    assert (user.left, user.delete_at) == ((None, None) if came_back else ("deleted", due))
    assert may_log_in(new_device, alice.email) is came_back
    assert new_device().post("/auth/login", body).status_code == 200
    assert run("users", "replay", log_file(), "--since", "1h", "--yes").exit_code == 1, "they have come back since"


def passkeys_that_sign_in(new_device, *phones):
    return [phone for phone in phones if sign_in(new_device(), phone).status_code == 200]


def test_a_passkey_that_was_removed_goes_again(run, new_device, redis, clock, log_file):
    """It alone: the other one still signs in, and is still asked for after the password."""
    alice, bob = new_device().register("alice@example.com"), new_device().register("bob@example.com")
    kept, removed, bobs = Authenticator(), Authenticator(), Authenticator()
    add(alice, kept)
    second = add(alice, removed, X_Discord_MFA_Authorization=prove(alice, kept).json["token"])
    add(bob, bobs)
    since = iso(time.time())
    clock.advance(60)
    backup = Backup(redis)
    proof = prove(alice, kept).json["token"]
    answer = alice.call("DELETE", f"{CREDENTIALS}/{second['id']}", X_Discord_MFA_Authorization=proof)
    assert answer.status_code == 204
    file = log_file()

    backup.restore()
    assert passkeys_that_sign_in(new_device, removed) == [removed]
    ran = run("users", "replay", file, "--since", since, "--yes", "--json")
    assert ran.json == [{"deleted": 0, "disabled": 0, "enabled": 0, "credentials": 1}]
    assert passkeys_that_sign_in(new_device, kept, removed, bobs) == [kept, bobs]
    answer = new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD})
    assert answer.json["webauthn"]
    assert run("users", "replay", file, "--since", since, "--yes").exit_code == 1


def test_factors_of_a_backup_that_an_operator_took_away(run, new_device, redis, clock, log_file):
    """All go again, of whichever kind, and the password that was behind them does not count alone."""
    alice, bob = new_device().register("alice@example.com"), new_device().register("bob@example.com")
    phone, bobs = Authenticator(), Authenticator()
    add(alice, phone)
    since = iso(time.time())
    clock.advance(60)
    backup = Backup(redis)
    run("users", "reset-mfa", alice.email, "--yes")
    add(bob, bobs)  # the backup does not have it
    file = log_file()

    backup.restore()
    assert run("users", "replay", file, "--since", since, "--yes").exit_code == 0
    assert passkeys_that_sign_in(new_device, phone, bobs) == []
    assert [one.email for one in (alice, bob) if may_log_in(new_device, one.email)] == []


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_a_log_without_audit_lines_is_refused(run, tmp_path):
    """It is the wrong file, or the wrong time: nobody must believe that it was done."""
    file = tmp_path / "log"
    line = {"logger": "keyrack.audit", "event": "account_deleted", "user_id": "1", "time": "2020-01-01T00:00:00.000Z"}
    file.write_text(json.dumps(line))
    ran = run("users", "replay", str(file), "--since", "1h", "--yes")
    assert (ran.exit_code, "no audit line since" in ran.err) == (2, True)
    assert run("users", "replay", str(file), "--since", "2019-12-31", "--yes").exit_code == 1
    assert run("users", "replay", str(file), "--yes").exit_code == 2
