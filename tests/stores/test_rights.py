"""A user of Redis who lacks a right: every script is refused before its first write, so nothing is half done."""

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from app import create_app
from app.config import load_settings
from app.stores.connection.connect import from_redis_py
from app.stores.keys import unprefixed as keys
from app.stores.lua import all_commands, session_script
from app.stores.rights import find_missing_rights
from app.stores.wiring import Stores
from tests.conftest import ENVIRONMENT, LIFETIMES

HASH, OTHER = "A" * 43 + "=", "B" * 43 + "="
RECORD = '{"began_at":1}'
PASSKEY = '{"id":"5","name":"x","sign_count":0}'
BY_PASSKEY = {"factor": "webauthn", "evidence": {"cred_id": "cred", "id": "5", "sign_count": 1}}
DEVICE = '{"id":"6","began_at":1,"last_used_at":1,"ends_at":9999999999,"credentials_version":"1"}'
OPENS = {"id_hash": OTHER, "record": RECORD, "cap": 1}

CHANGED = ["user", "backup_codes", "passkeys", "links", "remembered"]

# What each script is called with, so that it comes to its writes
CALLS = {
    "open_session": (["user"], {"credentials_version": "1", "opens": OPENS}),
    "touch_session": ([], {"id_hash": HASH, "every_s": 60, "client": {}}),
    "end_sessions": (["remembered"], {"id_hashes": [HASH, OTHER], "reason": "revoked", "caller": HASH}),
    "rename_session": ([], {"id_hash": HASH, "caller": HASH, "name": "x"}),
    "finish_expired": ([], {}),
    "adopt_session": (["user"], {"id_hash": OTHER, "signed_hash": "s", "issued_at": 1, "opens": OPENS}),
    "change_user": (
        CHANGED,
        {"caller": HASH, "set": {"password_hash": "x"}, "backup_codes": ["a"], "new_id_hash": OTHER}
        | {"reason": "mfa_change", "end_others": "mfa_change", "forget": ["webauthn", "totp", "backup"]}
        | {"add_passkey": {"cred_id": "new", "record": PASSKEY}, "max_passkeys": 10, "remove_passkey": "cred"}
        | {"remembers": {"id_hash": "new", "record": DEVICE, "cap": 1}},
    ),
    "open_ticket": (
        ["ticket", "tickets"],
        {"id_hash": "t", "ticket": {"purpose": "step_up", "session": HASH}, "ttl_s": 9, "cap": 1},
    ),
    "redeem_ticket": (
        [*CHANGED, "ticket", "proof"],
        {"purpose": "step_up", "session": HASH, "max_wrong": 5, "proof": "p", "proof_ttl_s": 9}
        | {"answer": BY_PASSKEY, "change": {"opens": OPENS}, "activity": {"right": "{}", "wrong": "{}"}},
    ),
    "sign_in_by_passkey": (
        CHANGED,
        {"answer": BY_PASSKEY, "change": {"opens": OPENS}, "refused": "{}"},
    ),
    "sign_in_remembered": (
        CHANGED,
        {"device": {"id_hash": "cookie", "renewed": "next", "ttl_s": 9999999999, "client": {}}}
        | {"change": {"opens": OPENS}},
    ),
    "forget_remembered": (["remembered"], {"caller": HASH, "activity": '{"kind":"x"}'}),
    "open_link": (["links"], {"id_hash": "l", "purpose": "reset", "record": '{"expires_at":9999999999}'}),
    "end_by_link": (["links", "remembered"], {"id_hash": "not_me"}),
    "note_activity": (["user"], {"row": "{}"}),
    "note_device": (["known_devices", "user"], {"device": "x"}),
    "count_notice": (["told"], {}),
}
NAMED = {
    "user": keys.user("1"),
    "backup_codes": keys.backup_codes("1"),
    "passkeys": keys.passkeys("1"),
    "links": keys.links("1"),
    "remembered": keys.remembered("1"),
    "ticket": keys.ticket("1", "t"),
    "tickets": keys.open_tickets("1", HASH),
    "proof": keys.proof("1", "p"),
    "known_devices": keys.known_devices("1"),
    "told": keys.notice_count("1", "sign_in"),
}


@pytest.fixture
def limited(redis_server, redis, clock):
    """Makes stores of a user of Redis who has all rights but those that are taken away."""
    made = []

    def make(*rights, receivers=(("webhook-0123abcd", None),)):
        redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*", "&*", "+@all", *rights)
        path = redis_server.plain_url.removeprefix("unix://")
        made.append(Redis(unix_socket_path=path, username="limited", password="pw", decode_responses=True, protocol=2))
        return Stores(from_redis_py(made[-1]), LIFETIMES, clock, None, receivers=receivers)

    yield make
    redis.execute_command("ACL", "DELUSER", "limited")
    for client in made:
        client.close()


@pytest.fixture
def populated(redis, clock):
    """A user with a session, one that is over, a ticket, a link, a backup code, a passkey and a remembered device."""
    redis.hset(keys.user("1"), mapping={"epoch": "1", "password_hash": "h"})
    redis.zadd(keys.last_used("1"), {HASH: clock() - 61, "over": 1})
    redis.hset(keys.sessions("1"), mapping={HASH: f'{{"began_at":{int(clock())}}}', "over": RECORD})
    redis.hset(keys.ticket("1", "t"), mapping={"purpose": "step_up", "session": HASH})
    redis.hset(keys.links("1"), "not_me", f'{{"purpose":"not_me","session":"{HASH}","expires_at":9999999999}}')
    redis.sadd(keys.backup_codes("1"), "x")
    redis.hset(keys.passkeys("1"), "cred", PASSKEY)
    redis.hset(keys.remembered("1"), "cookie", DEVICE)


def call(stores, script):
    further, argument = CALLS[script]
    return stores.scripts.register(script)("1", [NAMED[name] for name in further], argument)


def test_every_script_is_walked():
    from app.stores.lua import _HERE, _JOB_SCRIPTS, _OPENINGS, _TELLING  # noqa: PLC0415 - what this test is about

    opened = (*_OPENINGS.values(), *_JOB_SCRIPTS.values())
    openings = {"session", *_TELLING, *(name for names in opened for name in names)}
    scripts = {path.stem for path in _HERE.glob("*.lua")} - openings
    of_no_session = {"write_user", "delete_user", "pass_on"}
    assert scripts - set(_JOB_SCRIPTS) - of_no_session == set(CALLS)


@pytest.mark.parametrize("redis", ["real"], indirect=True)
@pytest.mark.parametrize("script", CALLS)
@pytest.mark.usefixtures("populated")
def test_where_nobody_is_told_no_right_to_queues_is_needed(limited, script):
    call(limited("-xadd", "-xlen", "-xtrim", "-rpush", "-ltrim", "-time", receivers=()), script)


@pytest.mark.parametrize("redis", ["real"], indirect=True)
@pytest.mark.parametrize("script", CALLS)
@pytest.mark.usefixtures("populated")
def test_a_script_that_lacks_one_command_does_nothing(limited, redis, script):
    source = session_script(script).source
    used = [command for command in all_commands() if f'redis.call("{command}"' in source]
    assert "PUBLISH" in used
    before = snapshot(redis)
    for command in used:
        with pytest.raises(NoPermissionError, match=f"(?i){command}"):
            call(limited(f"-{command.lower()}"), script)
        assert snapshot(redis) == before, command
    call(limited(), script)


@pytest.mark.parametrize("redis", ["real"], indirect=True)
@pytest.mark.parametrize("script", CALLS)
@pytest.mark.parametrize(("rights", "said"), [(["resetchannels"], "&auth-events"), (["resetkeys"], "a key|keys")])
@pytest.mark.usefixtures("populated")
def test_a_script_that_lacks_channel_or_keys_does_nothing(limited, redis, script, rights, said):
    """A user of Redis 7 made with `~* +@all` has no channel."""
    before = snapshot(redis)
    with pytest.raises(NoPermissionError, match=said):
        call(limited(*rights), script)
    assert snapshot(redis) == before


def snapshot(redis):
    """All keys and values."""
    readers = {"hash": redis.hgetall, "set": redis.smembers, "string": redis.get}
    readers |= {"zset": lambda key: redis.zrange(key, 0, -1, withscores=True)}
    readers |= {"stream": redis.xrange, "list": lambda key: redis.lrange(key, 0, -1)}
    return {key: readers[redis.type(key)](key) for key in redis.keys("*")}


@pytest.mark.parametrize("redis", ["real"], indirect=True)
@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ((), []),
        (("resetchannels",), ["+publish &auth-events"]),
        (("-zadd", "-hset"), ["+hset", "+zadd"]),
        (("-zscan",), ["+zscan"]),
        (("resetkeys", "~user:*"), ["~passkey_start:*"]),
    ],
)
def test_what_is_missing_is_named(limited, rights, missing):
    stores = limited(*rights)
    assert find_missing_rights(stores.scripts._redis, keys) == missing


@pytest.mark.parametrize("redis", ["real"], indirect=True)
@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ((), []),
        (("resetkeys", "~user:*", "~passkey_start:*"), ["~mail", "~events:*"]),
        (("resetkeys", "~user:*", "~passkey_start:*", "~mail"), ["~events:*"]),
    ],
)
def test_queues_that_scripts_may_not_write_are_named(limited, rights, missing):
    """Each right once, however many receivers there are."""
    streams = [queue.waiting for queue in (keys.mail, keys.events("webhook-00000001"), keys.events("webhook-00000002"))]
    assert find_missing_rights(limited(*rights).scripts._redis, keys, streams) == missing


@pytest.mark.parametrize("redis", ["real"], indirect=True)
@pytest.mark.parametrize("script", CALLS)
@pytest.mark.usefixtures("populated")
def test_without_the_rights_to_leases_every_script_runs(limited, script):
    """And the service is ready."""
    given = ("resetkeys", "~user:*", "~passkey_start:*", "resetchannels", "&auth-events")
    stores = limited(*given, "-client", "-hello", "-subscribe", receivers=())
    call(stores, script)
    assert find_missing_rights(stores.scripts._redis, keys) == []


@pytest.mark.parametrize("redis", ["real"], indirect=True)
@pytest.mark.parametrize("rights", [("resetkeys",), ("-eval", "-evalsha")])
def test_keys_and_scripts_that_are_missing_are_named(limited, rights):
    [said] = find_missing_rights(limited(*rights).scripts._redis, keys)
    assert said.startswith("~user:* +eval +evalsha")


def test_who_has_all_rights_or_cannot_be_asked_lacks_none(store):
    assert find_missing_rights(store, keys) == []


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_readiness_and_doctor_say_which_right_is_missing(redis_server, redis, caplog):
    """An account is not half made, and a sign-in leaves no session that nobody holds."""
    redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*", "+@all", "resetchannels")
    path = redis_server.plain_url.removeprefix("unix://")
    limited = Redis(unix_socket_path=path, username="limited", password="pw", decode_responses=True, protocol=2)
    app = create_app(load_settings(ENVIRONMENT), limited)
    browser = app.test_client()
    assert browser.get("/healthz").status_code == 200
    assert browser.get("/readyz").status_code == 503
    assert "+publish &auth-events" in caplog.text
    body = {"email": "ada@example.com", "username": "ada", "password": "correct horse battery"}
    for _ in range(2):
        assert browser.post("/api/v9/auth/register", json=body).status_code == 503
    assert redis.keys("user:*") + redis.keys("email:*") == []
    said = app.test_cli_runner().invoke(args=["doctor"]).output
    assert "+publish &auth-events" in said
    redis.execute_command("ACL", "SETUSER", "limited", "&auth-events")
    assert browser.get("/readyz").status_code == 200
    assert browser.post("/api/v9/auth/register", json=body).status_code == 201
    limited.close()
    redis.execute_command("ACL", "DELUSER", "limited")
