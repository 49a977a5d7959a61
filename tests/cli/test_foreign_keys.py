"""Keys of another application in the same database: no command fails by them, and none changes them."""

import json
import threading

import pytest

from app.stores.keys import unprefixed as keys
from app.web.services import EXTENSION
from tests.cli.conftest import counts
from tests.device import PASSWORD
from tests.foreign import PUT, SHARED, names_of_user, only, others_names


@pytest.mark.parametrize("kind", PUT)
def test_no_command_fails_by_foreign_keys_and_none_changes_them(app, run, alice, bob, redis, kind):
    """Foreign keys of one type under all names: of ids without a user, of no id, and of what all users share."""
    foreign = [*names_of_user("7"), *others_names(alice.user_id), keys.email("carol@example.com"), *SHARED]
    foreign = [name for name in foreign if keys.type_of(name) != kind]
    redis.delete(*[name for name in SHARED if name in foreign])
    for name in foreign:
        PUT[kind](redis, name)
    before = only(redis, foreign)
    for command, code in {
        ("users", "list"): 0,
        ("users", "show", "7"): 1,
        ("users", "show", "abc"): 1,
        ("users", "show", "carol@example.com"): 1,
        ("users", "disable", "7", "--yes"): 1,
        ("users", "enable", "7"): 1,
        ("users", "delete", "7", "--yes"): 1,
        ("users", "set-password", "7", "--yes"): 1,
        ("users", "reset-mfa", "7", "--yes"): 1,
        ("sessions", "list"): 0,
        ("sessions", "list", "--user", "7"): 1,
        ("sessions", "end", "--user", "7", "--yes"): 1,
        ("sessions", "end-all", "--user", "7", "--yes"): 1,
        ("sessions", "tidy"): 0,
        ("users", "delete", alice.email, "--yes"): 0,
        ("sessions", "end-all", "--yes"): 0,
    }.items():
        ran = run(*command, given=f"{PASSWORD}\n")
        assert ran.exit_code == code, (command, ran.out, ran.err)
        assert only(redis, foreign) == before, command
    assert not app.extensions[EXTENSION].delivery.deliver_due(threading.Event())  # the tests' mail server is away, too
    assert only(redis, foreign) == before
    assert alice.user_id not in only(redis, set(redis.scan_iter()) - set(foreign))
    assert run("users", "show", bob.email).exit_code == 0


def test_an_import_passes_over_foreign_keys(run, redis, tmp_path):
    """An address that is taken by a key of another application is told as taken, an id gets another; nothing waits."""
    redis.hset(keys.email("carol@example.com"), "x", "theirs")
    redis.set(keys.user("7"), "theirs")
    lines = [{"email": "carol@example.com"}, {"email": "dave@example.com", "id": "7"}, {"email": "eve@example.com"}]
    file = tmp_path / "users.jsonl"
    more = {"username": "user", "password_hash": "$2b$04$" + "." * 53}
    file.write_text("\n".join(json.dumps(line | more) for line in lines))
    ran = run("users", "import", str(file), "--json")
    assert (ran.exit_code, counts(ran)) == (0, {"imported": 2, "there": 1, "bad": 0}), ran.err
    assert "id: is somebody else's" in ran.err
    assert redis.get(keys.user("7")) == "theirs"
    assert redis.hgetall(keys.email("carol@example.com")) == {"x": "theirs"}


def test_doctor_names_foreign_keys(run, alice, redis):
    def found():
        [finding] = [one for one in run("doctor", "--json").json if one["check"] == "redis keys"]
        return finding["level"], finding["said"]

    assert found()[0] == "ok"
    redis.set("session:1", "theirs")
    redis.set("user:{abc}", "theirs")
    level, said = found()
    assert (level, "session:1" in said, "user:{abc}" in said) == ("warn", True, True)
    redis.delete(keys.mail.waiting)
    redis.set(keys.mail.waiting, "theirs")
    assert found() == ("fail", "Keys of another application are in the place of Keyrack's: mail.")
    redis.delete(keys.ended(alice.user_id))
    redis.set(keys.ended(alice.user_id), "theirs")
    assert keys.ended(alice.user_id) in found()[1]


def test_a_command_says_which_key_is_in_its_way(run, alice, redis):
    redis.delete(keys.ended(alice.user_id))
    redis.set(keys.ended(alice.user_id), "theirs")
    ran = run("users", "disable", alice.email, "--yes")
    assert ran.exit_code == 3
    assert "a key of another application is in the place of Keyrack's" in ran.err
