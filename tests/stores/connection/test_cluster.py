"""A Cluster whose servers fail and whose slots move, while one client goes on asking."""

import threading
import time

import pytest
from redis import ConnectionError, RedisError

from app.stores.connection.connect import connect
from app.stores.connection.node import Wait
from app.stores.keys import unprefixed as keys
from app.stores.scripts import SessionScripts
from app.stores.session_records import Client
from app.stores.sessions import SessionStore
from tests.conftest import LIFETIMES
from tests.servers import wait_until
from tests.sets import ClusterSet

SCRIPT = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1]) return ARGV[1]"


@pytest.fixture(scope="module")
def servers():
    """A Cluster of these tests' own, which they kill servers of."""
    servers = ClusterSet()
    yield servers
    servers.close()


@pytest.fixture
def client(servers):
    with connect(servers.url) as client:
        yield client


def names(count):
    return [f"key:{number}" for number in range(count)]


def test_what_concerns_several_servers_comes_in_order(client):
    client.write(*(("SET", name, name) for name in names(50)))
    assert client.read(*(("GET", name) for name in names(50))) == names(50)
    assert {*names(50)} <= {*client.scan("key:*")}
    assert len({*map(id, client.nodes())}) == 3


def test_a_slot_that_moved_is_followed(client, servers):
    """The first who asks is sent on, and from there on all ask at the right place."""
    slot = servers.slot_of("{moved}")
    client.write(("SET", "{moved}", "here"))
    new = next(node for node in servers.primaries() if node is not servers.owner_of(slot))
    servers.move_slots([slot], new)
    assert client.read(("GET", "{moved}")) == ["here"]
    assert client.write(("SET", "{moved}", "there")) == ["OK"]
    assert new.client.get("{moved}") == "there"


def test_half_of_a_slot_has_moved(client, servers):
    """Keys are found wherever they are; a script on both halves waits until they are together again."""
    slot = servers.slot_of("{half}")
    client.write(("SET", "{half}a", "1"), ("SET", "{half}b", "2"))
    new = next(node for node in servers.primaries() if node is not servers.owner_of(slot))
    servers.begin_move(slot, new)
    assert servers.move_keys(slot, new, 1) == 1
    assert client.read(("GET", "{half}a"), ("GET", "{half}b"), ("GET", "{half}c")) == ["1", "2", None]
    with pytest.raises(RedisError, match="Multiple keys request during rehashing"):
        client.run_script(SCRIPT, ["{half}a", "{half}b"], ["3"])
    assert client.read(("GET", "{half}a"), ("GET", "{half}b")) == ["1", "2"]

    def finish():
        servers.move_keys(slot, new)
        servers.finish_move(slot, new)

    finishing = threading.Timer(0.1, finish)
    finishing.start()
    assert client.run_script(SCRIPT, ["{half}a", "{half}b"], ["3"]) == ("3", True)
    finishing.join()
    assert new.client.mget("{half}a", "{half}b") == ["3", "3"]


def test_a_write_that_another_owner_confirmed(client, servers):
    """The former owner sends it on and refuses WAIT, being a replica. What counts is who confirmed it at the new owner.

    A write that was refused everywhere is confirmed by nobody.
    """
    slot = servers.slot_of("{handed}")
    confirmed = Wait(replicas=1, ms=5000)
    assert client.run_script(SCRIPT, ["{handed}a", "{handed}b"], ["1"], confirmed) == ("1", True)
    new = servers.hand_over(slot)
    new.client.script_load(SCRIPT)  # as another process has done by now
    assert client.run_script(SCRIPT, ["{handed}a", "{handed}b"], ["2"], confirmed) == ("2", True)
    assert new.client.get("{handed}a") == "2"
    assert client.run_script(SCRIPT, ["{handed}a", "{handed}b"], ["3"], Wait(replicas=2, ms=50)) == ("3", False)


def test_writes_of_which_some_were_sent_on(client, servers):
    """Each is confirmed where it was executed: at its owner, or at the one to which its slot moved."""
    old = servers.owner_of(servers.slot_of("{sent}"))
    slots = [servers.slot_of(f"{{{number}}}") for number in range(1000)]
    stays, moves = [number for number, slot in enumerate(slots) if servers.owner_of(slot) is old][:2]
    new = next(node for node in servers.primaries() if node is not old)
    client.write(("SET", f"{{{stays}}}", "1"), ("SET", f"{{{moves}}}", "1"))
    servers.move_slots([slots[moves]], new)
    commands = [("SET", f"{{{stays}}}", "2"), ("SET", f"{{{moves}}}", "2")]
    assert client.send(commands, Wait(replicas=1, ms=5000)) == (["OK", "OK"], True)
    assert client.send(commands, Wait(replicas=2, ms=50)) == (["OK", "OK"], False)


def test_a_replica_takes_over(client, servers):
    """Users elsewhere notice nothing; those of the server that died are refused at once, until there is another."""
    slot = servers.slot_of("{there}")
    client.write(("SET", "{there}", "1"), ("SET", other_than(servers, slot), "2"))
    servers.wait_until_ok()
    dead = servers.kill_owner_of(slot)
    began = time.monotonic()
    with pytest.raises(RedisError):
        client.read(("GET", "{there}"))
    assert time.monotonic() - began < 1
    assert client.read(("GET", other_than(servers, slot))) == ["2"]
    client.require_answer(("GET", "{there}"))  # which keeps an instance in service that serves the others
    servers.wait_for_other_owner_of(slot, dead)
    promoted_at = time.monotonic()
    wait_until(lambda: answer_of(client, "{there}") == ["1"], "it did not find the new primary")
    assert time.monotonic() - promoted_at < 5
    dead.start()
    servers.wait_until_ok()
    assert client.read(("GET", "{there}")) == ["1"]


def other_than(servers, slot):
    """A key that another server has."""
    owner = servers.owner_of(slot)
    return next(name for name in names(50) if servers.owner_of(servers.slot_of(name)) is not owner)


def answer_of(client, name):
    try:
        return client.read(("GET", name))
    except RedisError:
        return None


def test_some_of_the_named_servers_are_away(servers):
    """One that lives is enough to begin with."""
    live = servers.nodes[0].port
    with connect(f"redis+cluster://127.0.0.1:1,127.0.0.1:2,127.0.0.1:{live}") as client:
        assert client.write(("SET", "key", "1")) == ["OK"]


def test_none_of_the_named_servers_is_there():
    """It is told at once, and each time."""
    with connect("redis+cluster://127.0.0.1:1,127.0.0.1:2") as client:
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(ConnectionError):
                client.read(("GET", "key"))
            with pytest.raises(ConnectionError):
                client.require_answer(("GET", "key"))
            assert time.monotonic() - began < 1


def test_an_ending_of_many_users_is_one_event_each(servers, clock):
    """Users of all three servers; each event is heard on any of them."""
    with connect(servers.url) as store, servers.nodes[0].client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(keys.channel)
        heard.get_message(timeout=5)
        scripts = SessionScripts(store, LIFETIMES, clock)
        sessions = SessionStore(store, scripts)
        users = [str(number) for number in range(30)]
        store.write(*(("HSET", keys.user(user), "epoch", 1) for user in users))
        for user in users:
            assert sessions.open(user, f"hash-of-{user}", int(clock()), Client(), "1", 50)
        assert len(sessions.list(*users)) == 30
        assert [sessions.end(user, [f"hash-of-{user}"], "revoked") for user in users] == [1] * 30
        assert sessions.list(*users) == []
        told = []
        wait_until(lambda: told.append(heard.get_message(timeout=1)) or len([m for m in told if m]) == 60, "no events")
